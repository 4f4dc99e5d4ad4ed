/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Unit test of queue pair 1 and of whose a packet is. */

#include <config.h>
#undef NDEBUG

#include "roce-demux.h"
#include "roce-gsi.h"
#include "roce-icrc.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ovstest.h"
#include "packets.h"
#include "random.h"
#include "util.h"

/* Two ends, each with one queue pair, and a clock in microseconds.  All that
 * goes between them is bytes. */

#define MAX_CONNS 64
#define MAX_HALF_OPEN 16
#define N_SLOTS 4
#define SECOND (1000 * 1000LL)
#define SERVICE (ROCE_CM_SERVICE_TCP + 4420)

struct node {
    struct in6_addr ip;
    struct roce_gsi gsi;
    struct roce_qpns qpns;
    struct roce_drops drops;

    struct roce_cm *cm;
    struct roce_qp qp;
    struct roce_send_slot sends[N_SLOTS];
    struct roce_recv_slot recvs[N_SLOTS];
    uint8_t buf[N_SLOTS][256];
    uint32_t qpn;
    uint64_t n_sent, n_received;
    uint64_t n_requested;
    bool accepts, rejects;      /* Requests? */
    bool accepts_all;           /* From strangers, that will never confirm? */
    struct roce_cm *latest;     /* Request so far. */
    bool is_connected;
    enum roce_cm_event last;
    uint16_t reason;            /* If 'last' is ROCE_CM_REJECTED. */
};

static struct node a, b;
static long long int now;
static int loss;                /* Percent of packets between nodes. */

static void
node_init(struct node *node, uint32_t ip)
{
    struct roce_gsi_config config = {
        .guid = ip,
        .random = random_bytes,
        .max_mtu = 1024,
        .max_conns = MAX_CONNS,
        .max_half_open = MAX_HALF_OPEN,
        .req_rate = 100,
        .req_burst = 10,
    };

    memset(node, 0, sizeof *node);
    in6_addr_set_mapped_ipv4(&node->ip, htonl(ip));
    roce_gsi_init(&node->gsi, &config);
    roce_qpns_init(&node->qpns);
    node->accepts = true;
}

static void
node_uninit(struct node *node)
{
    roce_gsi_destroy(&node->gsi);
    roce_qpns_destroy(&node->qpns);
}

static void
init(void)
{
    now = SECOND;
    loss = 0;
    node_init(&a, 0xc0000201);
    node_init(&b, 0xc0000202);
    ovs_assert(!roce_gsi_listen(&b.gsi, SERVICE));
}

static struct node *
other(struct node *node)
{
    return node == &a ? &b : &a;
}

static uint64_t
n_dropped(const struct node *node)
{
    uint64_t n = 0;

    for (int i = 0; i < ROCE_DROP_N; i++) {
        n += node->gsi.drops.dropped[i] + node->drops.dropped[i];
    }
    for (int i = 0; i < ROCE_PARSE_N; i++) {
        n += node->gsi.drops.refused[i] + node->drops.refused[i];
    }
    return n;
}

/* Connection and queue pair
 * ========================= */

static struct roce_cm_side
make_side(struct node *node)
{
    node->qpn = roce_qpns_add(&node->qpns, node, random_bytes);
    ovs_assert(node->qpn >= ROCE_QPN_FIRST && node->qpn <= ROCE_QPN_MASK);
    return (struct roce_cm_side) {
        .qpn = node->qpn,
        .recv_psn = random_uint32() & ROCE_PSN_MASK,
        .mtu = 1024,
        .ack_timeout = 14,
        .retry_count = 7,
        .rnr_retry = 7,
    };
}

static void
post_recv(struct node *node, uint64_t i)
{
    ovs_assert(!roce_qp_post_recv(&node->qp, node->buf[i % N_SLOTS],
                                  sizeof node->buf[0], i));
}

static void
bring_up(struct node *node)
{
    struct roce_qp_config config = {
        .max_packets = 64,
        .max_bytes = 65536,
        .send_slots = node->sends,
        .recv_slots = node->recvs,
        .n_send_slots = N_SLOTS,
        .n_recv_slots = N_SLOTS,
    };

    roce_cm_get_qp_config(node->cm, &config);
    ovs_assert(!roce_qp_init(&node->qp, &config));
    for (int i = 0; i < N_SLOTS; i++) {
        post_recv(node, i);
    }
}

static void
tear_down(struct node *node)
{
    struct roce_completion c;

    roce_qpns_remove(&node->qpns, node->qpn);
    node->qpn = 0;
    node->cm = NULL;
    roce_qp_stop(&node->qp, ROCE_STOPPED);
    while (roce_qp_poll(&node->qp, &c, 1)) {
        continue;
    }
    node->is_connected = false;
}

/* Disconnects 'node' by itself. */
static void
hang_up(struct node *node)
{
    if (node->cm) {
        roce_gsi_disconnect(&node->gsi, node->cm, now);
        tear_down(node);
    }
}

static void
handle_request(struct node *node, const struct roce_gsi_event *event)
{
    struct roce_cm_side side;

    node->n_requested++;
    node->latest = event->cm;
    if (node->rejects) {
        roce_gsi_reject(&node->gsi, event->cm, ROCE_REJ_CONSUMER, NULL, 0,
                        now);
        return;
    } else if (!IN6_ARE_ADDR_EQUAL(&event->cm->remote_ip, &other(node)->ip)) {
        if (node->accepts_all) {
            side = (struct roce_cm_side) { .qpn = 0x20 };
            ovs_assert(!roce_gsi_accept(&node->gsi, event->cm, &side, NULL, 0,
                                        now));
        }
        return;
    } else if (!node->accepts) {
        return;
    }
    hang_up(node);              /* If the peer has started again. */
    node->cm = event->cm;
    node->cm->aux = node;
    side = make_side(node);
    ovs_assert(!roce_gsi_accept(&node->gsi, node->cm, &side, "yes", 3, now));
    bring_up(node);
}

static void
handle_event(struct node *node, const struct roce_gsi_event *event)
{
    if (event->type == ROCE_CM_REQUESTED) {
        handle_request(node, event);
    } else if (event->type != ROCE_CM_NONE && event->aux == node) {
        node->last = event->type;
        node->reason = event->reason;
        if (event->type != ROCE_CM_CONNECTED) {
            tear_down(node);
            return;
        } else if (node->cm->is_active) {
            bring_up(node);
        }
        node->is_connected = true;
    }
}

/* Transfer
 * ======== */

/* Takes a datagram: MADs have a receive queue of their own. */
static void
input(struct node *node, const struct roce_flow *flow, const uint8_t *bytes,
      size_t len)
{
    static const uint8_t gsi[] = { 0, 0, ROCE_QPN_GSI };
    struct roce_icrc_flow icrc;
    struct roce_packet packet;

    if (len < ROCE_BTH_LEN || !memcmp(bytes + 5, gsi, sizeof gsi)) {
        struct roce_gsi_event event;

        roce_gsi_input(&node->gsi, flow, bytes, len, now, &event);
        handle_event(node, &event);
        return;
    }
    roce_icrc_flow_init(&icrc, flow);
    if (roce_demux(&node->qpns, &icrc, bytes, len, &packet, &node->drops)
        && !roce_qp_input(&node->qp, flow, &packet, now)) {
        node->drops.dropped[ROCE_DROP_UNREADY_QP]++;
    }
}

static void
send_tx(struct node *from, struct node *to, struct roce_flow *flow,
        struct roce_tx *tx)
{
    uint8_t bytes[ROCE_MAX_UDP_LEN];
    struct roce_icrc_flow icrc;

    if (!IN6_ARE_ADDR_EQUAL(&flow->dst, &to->ip)
        || random_range(100) < loss) {
        return;                 /* To one that does not exist, or lost. */
    }
    ovs_assert(IN6_ARE_ADDR_EQUAL(&flow->src, &from->ip));
    roce_icrc_flow_init(&icrc, flow);
    roce_icrc_seal(&icrc, random_uint32(), tx);
    input(to, flow, bytes, roce_tx_copy(tx, bytes, sizeof bytes));
}

static void
run_node(struct node *node)
{
    struct roce_gsi_event event;

    do {
        roce_gsi_run(&node->gsi, now, &event);
        handle_event(node, &event);
    } while (event.type != ROCE_CM_NONE);
}

static void
flush_mads(struct node *node)
{
    struct roce_gsi_tx out;

    while (roce_gsi_output(&node->gsi, &out)) {
        send_tx(node, other(node), &out.flow, &out.tx);
    }
}

static void
flush_qp(struct node *node)
{
    struct node *peer = other(node);
    struct roce_flow flow = {
        .src = node->ip,
        .dst = peer->ip,
        .sport = htons(50000),
        .dport = htons(ROCE_UDP_PORT),
    };
    struct roce_tx tx[4];
    size_t n = roce_qp_output(&node->qp, tx, ARRAY_SIZE(tx), now);

    for (size_t i = 0; i < n; i++) {
        send_tx(node, peer, &flow, &tx[i]);
    }
    roce_qp_sent(&node->qp, now);
}

static void
poll_qp(struct node *node)
{
    struct roce_completion c;

    while (roce_qp_poll(&node->qp, &c, 1)) {
        if (c.status != ROCE_OK) {
            ovs_assert(loss && node->qp.state == ROCE_QP_ERROR);
        } else if (c.is_recv) {
            ovs_assert(c.len == sizeof node->n_sent);
            ovs_assert(!memcmp(node->buf[c.wr_id % N_SLOTS],
                               &node->n_received, c.len));
            post_recv(node, c.wr_id + N_SLOTS);
            node->n_received++;
        } else {
            node->n_sent++;
        }
    }
}

/* Has both nodes do whatever there is to do. */
static void
settle(void)
{
    for (int i = 0; i < 6; i++) {
        struct node *node = i % 2 ? &b : &a;

        run_node(node);
        flush_mads(node);
        if (node->is_connected) {
            flush_qp(node);
            poll_qp(node);
        }
    }
}

static void
start_connect(void)
{
    struct roce_cm_target target = {
        .local_ip = a.ip,
        .remote_ip = b.ip,
        .service_id = SERVICE,
        .src_port = 40000,
    };
    struct roce_cm_side side = make_side(&a);

    ovs_assert(!roce_gsi_connect(&a.gsi, &target, &side, "hi", 2, now,
                                 &a.cm));
    a.cm->aux = &a;
}

static void
establish(void)
{
    start_connect();
    settle();
    ovs_assert(a.is_connected && b.is_connected);
}

/* Sends a message from 'node' and has it arrive. */
static void
exchange(struct node *node)
{
    struct node *peer = other(node);
    uint64_t before = peer->n_received;

    ovs_assert(!roce_qp_post_send(&node->qp, &node->n_sent,
                                  sizeof node->n_sent, 0, true));
    settle();
    settle();
    ovs_assert(peer->n_received == before + 1);
}

/* Tests
 * ===== */

static bool
is_idle(const struct node *node)
{
    return (hmap_is_empty(&node->gsi.by_id)
            && hmap_is_empty(&node->gsi.sources)
            && !node->gsi.n_passive && !node->gsi.n_strangers
            && roce_gsi_deadline(&node->gsi) == LLONG_MAX);
}

static void
test_life(void)
{
    establish();
    for (int i = 0; i < 10; i++) {
        exchange(&a);
        exchange(&b);
    }
    hang_up(&a);
    settle();
    ovs_assert(!b.is_connected && b.last == ROCE_CM_DISCONNECTED);
    ovs_assert(is_idle(&a) && is_idle(&b));
    ovs_assert(!n_dropped(&a) && !n_dropped(&b));
}

static void
test_again(void)
{
    for (int i = 0; i < 2 * MAX_CONNS; i++) {
        establish();
        exchange(&a);
        a.n_sent = a.n_received = b.n_sent = b.n_received = 0;
        hang_up(i % 2 ? &a : &b);
        settle();
        ovs_assert(!a.is_connected && !b.is_connected);
        ovs_assert(is_idle(&a) && is_idle(&b));
        now += SECOND;
    }
}

/* The RTU is lost, but not the first packet, which anyone could have sent.
 * The next RTU follows soon. */
static void
test_no_rtu(void)
{
    struct roce_gsi_tx out;

    start_connect();
    flush_mads(&a);
    flush_mads(&b);
    ovs_assert(a.is_connected && !b.is_connected);
    ovs_assert(roce_gsi_output(&a.gsi, &out));
    ovs_assert(!roce_qp_post_send(&a.qp, &a.n_sent, sizeof a.n_sent, 0, true));
    settle();
    ovs_assert(b.qp.stats.rx_requests && !b.is_connected);
    now += SECOND / 8;
    settle();
    ovs_assert(b.is_connected);
}

/* The peer gives up before it has learned our identifier. */
static void
test_taken_back(void)
{
    b.accepts = false;
    start_connect();
    flush_mads(&a);
    ovs_assert(b.latest->state == ROCE_CM_REQ_RCVD);
    hang_up(&a);
    settle();
    ovs_assert(b.n_requested == 1 && is_idle(&b) && is_idle(&a));
}

/* Likewise, and what it says about it is lost: then it says that it knows
 * nothing of the connection. */
static void
test_taken_back_quietly(void)
{
    struct roce_gsi_tx out;

    start_connect();
    flush_mads(&a);
    hang_up(&a);
    ovs_assert(roce_gsi_output(&a.gsi, &out));
    settle();
    ovs_assert(a.gsi.drops.dropped[ROCE_DROP_UNKNOWN_ID] == 1);
    ovs_assert(b.last == ROCE_CM_DISCONNECTED && b.reason == ROCE_REJ_BAD_ID);
    ovs_assert(is_idle(&a) && is_idle(&b));
}

/* A queue pair that has ended takes nothing. */
static void
test_ended_qp(void)
{
    establish();
    roce_qp_stop(&b.qp, ROCE_STOPPED);
    b.is_connected = false;
    ovs_assert(!roce_qp_post_send(&a.qp, "x", 1, 0, true));
    settle();
    ovs_assert(b.drops.dropped[ROCE_DROP_UNREADY_QP] == 1);
}

static void
test_too_many_connections(void)
{
    struct roce_cm_target target = { .local_ip = a.ip, .remote_ip = b.ip };
    struct roce_cm_side side = { .mtu = 1024 };
    struct roce_cm *cm;

    for (int i = 0; i < MAX_CONNS; i++) {
        ovs_assert(!roce_gsi_connect(&a.gsi, &target, &side, NULL, 0, now,
                                     &cm));
        ovs_assert(cm->local_id == target.id);
    }
    ovs_assert(roce_gsi_connect(&a.gsi, &target, &side, NULL, 0, now, &cm)
               == ENOSPC);
    ovs_assert(!cm);
}

static void
test_no_listener(void)
{
    roce_gsi_unlisten(&b.gsi, SERVICE);
    start_connect();
    settle();
    ovs_assert(a.last == ROCE_CM_REJECTED);
    ovs_assert(a.reason == ROCE_REJ_BAD_SERVICE);
    ovs_assert(!b.n_requested && is_idle(&b));
}

static void
test_too_many_services(void)
{
    for (int i = 1; i < ROCE_GSI_N_SERVICES; i++) {
        ovs_assert(!roce_gsi_listen(&b.gsi, i));
    }
    ovs_assert(roce_gsi_listen(&b.gsi, 100) == ENOSPC);
    roce_gsi_unlisten(&b.gsi, 5);
    ovs_assert(!roce_gsi_listen(&b.gsi, 100));
}

/* Numbers lead to their owners while others come and go. */
static void
test_qpns(void)
{
    static uint32_t qpns[ROCE_MAX_QPS];
    struct roce_qpns table;

    roce_qpns_init(&table);
    for (uint32_t i = 0; i < ROCE_MAX_QPS; i++) {
        qpns[i] = roce_qpns_add(&table, &qpns[i], random_bytes);
        ovs_assert(qpns[i] >= ROCE_QPN_FIRST && qpns[i] <= ROCE_QPN_MASK);
        ovs_assert(qpns[i] % 4 == i % 4);       /* One queue each. */
        if (i == 10) {
            ovs_assert(table.mask < 64);        /* As large as need be. */
        }
    }
    ovs_assert(!roce_qpns_add(&table, &table, random_bytes));
    for (uint32_t i = 0; i < ROCE_MAX_QPS; i += 2) {
        roce_qpns_remove(&table, qpns[i]);
    }
    for (uint32_t i = 0; i < ROCE_MAX_QPS; i++) {
        const struct roce_qpn_slot *slot = &table.slots[qpns[i] & table.mask];

        ovs_assert(i % 2 ? slot->qpn == qpns[i] && slot->owner == &qpns[i]
                   : !slot->qpn);
    }
    ovs_assert(roce_qpns_add(&table, &table, random_bytes));
    roce_qpns_destroy(&table);
}

/* Waits, for at most 'limit' seconds, until '*x' and '*y' are 'value'.
 * Returns false if that is in vain. */
static bool
wait_for(const bool *x, const bool *y, bool value, int limit)
{
    for (int i = 0; i < limit * 100; i++) {
        if (*x == value && *y == value) {
            return true;
        }
        now += SECOND / 100;
        settle();
    }
    return false;
}

static void
send_some(struct node *node)
{
    for (int i = 0; i < 5; i++) {
        uint64_t before = node->n_sent;
        int error = roce_qp_post_send(&node->qp, &node->n_sent,
                                      sizeof node->n_sent, 0, true);

        ovs_assert(!error || node->qp.state == ROCE_QP_ERROR);
        while (node->n_sent == before && node->qp.state == ROCE_QP_READY) {
            now += SECOND / 100;
            settle();
        }
    }
}

/* A life with losses, again and again.  One that does not get going, or ends
 * early, says so, and leaves nothing behind. */
static void
test_lossy(void)
{
    int n_lived = 0;

    loss = 20;
    for (int i = 0; i < 50; i++) {
        a.n_sent = a.n_received = b.n_sent = b.n_received = 0;
        start_connect();
        if (wait_for(&a.is_connected, &b.is_connected, true, 60)) {
            send_some(&a);
            send_some(&b);
            n_lived += a.n_sent == 5 && b.n_sent == 5;
            hang_up(i % 2 ? &a : &b);
            wait_for(&a.is_connected, &b.is_connected, false, 60);
        }
        hang_up(&a);
        hang_up(&b);
        for (int j = 0; j < 100 && !(is_idle(&a) && is_idle(&b)); j++) {
            now += SECOND;
            settle();
        }
        ovs_assert(is_idle(&a) && is_idle(&b));
    }
    ovs_assert(n_lived > 40);
}

/* The peer restarts without a word and gets the same queue pair number. */
static void
test_stale(void)
{
    establish();
    node_uninit(&a);
    node_init(&a, 0xc0000201);
    start_connect();
    a.cm->local.qpn = b.cm->remote.qpn;
    settle();
    ovs_assert(a.last == ROCE_CM_REJECTED && a.reason == ROCE_REJ_STALE);
    ovs_assert(b.last == ROCE_CM_DISCONNECTED && is_idle(&b));
    establish();
}

/* Puts 'mad' into a datagram to queue pair 1 of 'b', along 'flow' from 'src',
 * and returns its length. */
static size_t
make_datagram(const struct roce_mad *mad, uint32_t src, struct roce_flow *flow,
              uint8_t bytes[ROCE_MAX_UDP_LEN])
{
    uint8_t mad_bytes[ROCE_MAD_LEN];
    struct roce_packet packet = {
        .opcode = ROCE_UD_SEND_ONLY,
        .dst_qpn = ROCE_QPN_GSI,
        .qkey = ROCE_MAD_QKEY,
        .src_qpn = ROCE_QPN_GSI,
        .payload = mad_bytes,
        .payload_len = sizeof mad_bytes,
    };
    struct roce_icrc_flow icrc;
    struct roce_tx tx;

    in6_addr_set_mapped_ipv4(&flow->src, htonl(src));
    flow->dst = b.ip;
    flow->sport = htons(50000);
    flow->dport = htons(ROCE_UDP_PORT);
    roce_mad_pack(mad, mad_bytes);
    roce_packet_build(&packet, &tx);
    roce_icrc_flow_init(&icrc, flow);
    roce_icrc_seal(&icrc, 0, &tx);
    return roce_tx_copy(&tx, bytes, ROCE_MAX_UDP_LEN);
}

/* Makes a REQ from 'src' to 'b', which nothing is wrong with. */
static size_t
make_req(uint32_t src, uint32_t id, struct roce_flow *flow,
         uint8_t bytes[ROCE_MAX_UDP_LEN])
{
    struct roce_mad mad = {
        .type = ROCE_MAD_REQ,
        .local_id = id,
        .service_id = SERVICE,
        .ca_guid = src,
        .qpn = 0x100 + id % 0x10000,
        .path_mtu = 3,
        .ip_version = 4,
        .dst_ip = { .s6_addr = { [12] = 192, 0, 2, 2 } },
    };

    in6_addr_set_mapped_ipv4(&mad.local_gid, htonl(src));
    mad.remote_gid = b.ip;
    memcpy(&mad.src_ip.s6_addr[12], &mad.local_gid.s6_addr[12], 4);
    return make_datagram(&mad, src, flow, bytes);
}

/* A good request, but for any one bit. */
static void
test_bad_icrc(void)
{
    uint8_t bytes[ROCE_MAX_UDP_LEN];
    struct roce_flow flow;
    size_t len = make_req(0x0a000001, 1, &flow, bytes);

    for (size_t i = 8 * ROCE_MAX_HDR_LEN; i < 8 * len; i++) {
        bytes[i / 8] ^= 1 << i % 8;
        input(&b, &flow, bytes, len);
        bytes[i / 8] ^= 1 << i % 8;
    }
    ovs_assert(b.gsi.drops.dropped[ROCE_DROP_ICRC]
               == 8 * (len - ROCE_MAX_HDR_LEN));
    ovs_assert(!b.n_requested);
    input(&b, &flow, bytes, len);
    ovs_assert(b.n_requested == 1);
}

/* A packet that is right but for its addressee. */
static void
test_bad_addressee(void)
{
    uint8_t bytes[ROCE_MAX_UDP_LEN];
    struct roce_flow flow;
    size_t len = make_req(0x0a000001, 1, &flow, bytes);
    uint32_t qpn;

    establish();
    qpn = b.qpn ^ 0x800000;
    bytes[0] = ROCE_RC_SEND_ONLY;
    bytes[5] = qpn >> 16;
    bytes[6] = qpn >> 8;
    bytes[7] = qpn;
    input(&b, &flow, bytes, len);
    ovs_assert(b.drops.dropped[ROCE_DROP_UNKNOWN_QP] == 1);
}

/* A datagram to queue pair 1 that is no MAD. */
static void
test_bad_mad(void)
{
    uint8_t bytes[ROCE_MAX_UDP_LEN];
    struct roce_icrc_flow icrc;
    struct roce_packet packet;
    struct roce_flow flow;
    struct roce_tx tx;

    make_req(0x0a000001, 1, &flow, bytes);
    packet = (struct roce_packet) {
        .opcode = ROCE_UD_SEND_ONLY,
        .dst_qpn = ROCE_QPN_GSI,
        .qkey = ROCE_MAD_QKEY,
    };
    roce_packet_build(&packet, &tx);
    roce_icrc_flow_init(&icrc, &flow);
    roce_icrc_seal(&icrc, 0, &tx);
    input(&b, &flow, bytes, roce_tx_copy(&tx, bytes, sizeof bytes));
    ovs_assert(b.gsi.drops.dropped[ROCE_DROP_BAD_MAD] == 1);
}

/* A request with a Q_Key for data. */
static void
test_bad_qkey(void)
{
    uint8_t bytes[ROCE_MAX_UDP_LEN];
    struct roce_icrc_flow icrc;
    struct roce_packet packet;
    struct roce_flow flow;
    struct roce_tx tx;
    uint8_t again[ROCE_MAX_UDP_LEN];
    size_t len = make_req(0x0a000001, 1, &flow, bytes);

    ovs_assert(!roce_packet_parse(bytes, len, &packet));
    packet.qkey = 0x01234567;
    roce_packet_build(&packet, &tx);
    roce_icrc_flow_init(&icrc, &flow);
    roce_icrc_seal(&icrc, 0, &tx);
    input(&b, &flow, again, roce_tx_copy(&tx, again, sizeof again));
    ovs_assert(b.gsi.drops.dropped[ROCE_DROP_NOT_MAD] == 1 && !b.n_requested);
}

/* Floods
 * ====== */

static void
flood_req(uint32_t src, uint32_t id)
{
    uint8_t bytes[ROCE_MAX_UDP_LEN];
    struct roce_flow flow;
    size_t len = make_req(src, id, &flow, bytes);

    input(&b, &flow, bytes, len);
}

/* Has 'src', which has dialed with 'id', confirm the latest request. */
static void
confirm(uint32_t src, uint32_t id)
{
    struct roce_mad mad = {
        .type = ROCE_MAD_RTU,
        .local_id = id,
        .remote_id = b.latest->local_id,
    };
    uint8_t bytes[ROCE_MAX_UDP_LEN];
    struct roce_flow flow;
    size_t len = make_datagram(&mad, src, &flow, bytes);

    input(&b, &flow, bytes, len);
    ovs_assert(b.latest->state == ROCE_CM_ESTABLISHED);
}

#define A_IP 0xc0000201

/* Where requests come from. */
enum flood {
    FLOOD_ONE,
    FLOOD_TWO,
    FLOOD_MANY,
    FLOOD_FORGED,               /* From the peer's own address. */
    N_FLOODS
};

static uint32_t
flood_source(enum flood flood)
{
    return (flood == FLOOD_ONE ? 0x0a000001
            : flood == FLOOD_TWO ? 0x0a000001 + random_range(2)
            : flood == FLOOD_MANY ? random_uint32()
            : A_IP);
}

/* Lets a millisecond with ten requests go by. */
static void
flood(enum flood from)
{
    for (int i = 0; i < 10; i++) {
        flood_req(flood_source(from), random_uint32());
    }
    now += 1000;
    settle();
    ovs_assert(b.gsi.n_strangers <= MAX_HALF_OPEN);
    ovs_assert(hmap_count(&b.gsi.by_id) <= MAX_CONNS);
}

/* Has 'b' know 'a', by a dial that nobody answers. */
static void
make_known(void)
{
    struct roce_cm_target target = { .local_ip = b.ip, .remote_ip = a.ip };
    struct roce_cm_side side = { .mtu = 1024 };
    struct roce_cm *cm;

    ovs_assert(!roce_gsi_connect(&b.gsi, &target, &side, NULL, 0, now, &cm));
}

/* A known peer connects within a second, wherever requests come from that
 * nobody will confirm; a stranger does so unless they have too many
 * addresses. */
static void
test_flood(void)
{
    for (int i = 0; i < 2 * N_FLOODS; i++) {
        enum flood from = i / 2;
        bool known = i % 2;
        long long int start;

        if (!known && from >= FLOOD_MANY) {
            continue;
        }
        node_uninit(&a);
        node_uninit(&b);
        init();
        b.accepts_all = true;
        for (int j = 0; j < 3000; j++) {
            flood(from);
        }
        ovs_assert(from == FLOOD_FORGED || b.gsi.n_strangers > 3);
        if (known) {
            make_known();
        }
        start = now;
        b.accepts = from != FLOOD_FORGED;
        start_connect();
        while (!a.is_connected || !b.is_connected) {
            /* Only the port that requests are for can tell them apart. */
            b.accepts = true;
            settle();
            b.accepts = from != FLOOD_FORGED;
            flood(from);
            ovs_assert(now < start + SECOND);
        }
        exchange(&a);
    }
}

/* What a refused request takes up is nothing, as soon as it is answered. */
static void
test_flood_refused(void)
{
    b.rejects = true;
    for (int i = 0; i < 1000; i++) {
        flood(FLOOD_MANY);
        ovs_assert(is_idle(&b));
    }
    ovs_assert(b.n_requested > 1000);
    b.rejects = false;
    now += SECOND;
    establish();
}

/* Requests among which the connected peers go on.  After that, time takes care
 * of the rest. */
static void
test_flood_ends(void)
{
    b.accepts_all = true;
    establish();
    for (int i = 0; i < 2000; i++) {
        flood(FLOOD_MANY);
        if (!(i % 10)) {
            exchange(&a);
            exchange(&b);
        }
    }
    ovs_assert(b.is_connected && b.n_received == 200);
    ovs_assert(b.gsi.drops.dropped[ROCE_DROP_HALF_OPEN]);
    ovs_assert(b.gsi.drops.dropped[ROCE_DROP_RATE]);
    for (int i = 0; i < 20; i++) {
        now += SECOND;
        settle();
    }
    ovs_assert(hmap_count(&b.gsi.by_id) == 1 && b.gsi.n_passive == 1);
    ovs_assert(hmap_count(&b.gsi.sources) == 1 && !b.gsi.n_strangers);
}

/* Who gives way to a newer one hears of it. */
static void
test_flood_victim(void)
{
    b.accepts_all = true;
    start_connect();
    flush_mads(&a);
    for (int i = 0; i < MAX_HALF_OPEN; i++) {
        ovs_assert(b.last == ROCE_CM_NONE);
        flood_req(0x0a000000 + i, i);
        run_node(&b);
    }
    ovs_assert(b.last == ROCE_CM_UNREACHABLE && !b.cm);
    ovs_assert(b.gsi.n_strangers == MAX_HALF_OPEN);
}

/* Addresses that take all the connections they can get, and confirm them,
 * leave room for others. */
static void
test_shares(void)
{
    b.accepts_all = true;
    for (uint32_t src = 1; src <= 8; src++) {
        uint64_t n = b.n_requested;

        for (int i = 0; i < MAX_CONNS; i++) {
            uint64_t before = b.n_requested;

            flood_req(src, i);
            now += SECOND / 10;
            if (b.n_requested > before) {
                confirm(src, i);
            }
            settle();
        }
        ovs_assert(b.n_requested > n && b.n_requested - n <= MAX_CONNS / 4);
    }
    ovs_assert(b.gsi.drops.dropped[ROCE_DROP_SHARE]);
    ovs_assert(b.gsi.n_passive < MAX_CONNS * 3 / 4);
    establish();
    make_known();
}

/* As many lanes as a port can have, at once. */
static void
test_many_lanes(void)
{
    struct roce_gsi_config config = b.gsi.config;

    config.max_conns = ROCE_MAX_QPS;
    config.max_half_open = 256;
    config.req_burst = 100;
    node_uninit(&b);
    node_init(&b, 0xc0000202);
    b.gsi.config = config;
    ovs_assert(!roce_gsi_listen(&b.gsi, SERVICE));
    b.accepts_all = true;
    for (uint32_t i = 0; i < 64; i++) {
        flood_req(0x0a000001, i);
        if (!i) {
            confirm(0x0a000001, i);
        }
    }
    ovs_assert(b.n_requested == 64);
    ovs_assert(hmap_count(&b.gsi.by_id) == 64);
    ovs_assert(!n_dropped(&b));
}

/* The same request again and again makes no more than one connection, and as
 * many answers as are sent. */
static void
test_flood_same(void)
{
    b.accepts = false;
    for (int i = 0; i < 1000; i++) {
        flood_req(A_IP, 1);
        now += 2000;
        if (i % 100 == 99) {
            struct roce_gsi_tx out;

            ovs_assert(roce_gsi_deadline(&b.gsi) == LLONG_MIN);
            ovs_assert(roce_gsi_output(&b.gsi, &out));
            ovs_assert(!roce_gsi_output(&b.gsi, &out));
        }
    }
    ovs_assert(b.n_requested == 1);
}

/* DREQs for unknown connections get answers, as many as the ring holds. */
static void
test_dreq_flood(void)
{
    struct roce_mad mad = { .type = ROCE_MAD_DREQ };
    uint8_t bytes[ROCE_MAX_UDP_LEN];
    struct roce_gsi_tx out;
    struct roce_flow flow;
    int n = 0;

    for (int i = 0; i < 100; i++) {
        mad.remote_id = i;
        input(&b, &flow, bytes, make_datagram(&mad, 0x0a000001, &flow, bytes));
    }
    while (roce_gsi_output(&b.gsi, &out)) {
        ovs_assert(!roce_mad_parse(out.mad, sizeof out.mad, &mad));
        ovs_assert(mad.type == ROCE_MAD_DREP && mad.local_id == n++);
        ovs_assert(IN6_ARE_ADDR_EQUAL(&out.flow.dst, &flow.src));
    }
    ovs_assert(n == ROCE_GSI_N_REPLIES);
    ovs_assert(b.gsi.drops.dropped[ROCE_DROP_NO_REPLY] == 100 - n);
}

/* Every packet of noise is dropped and counted. */
static void
test_garbage(void)
{
    uint8_t bytes[512];

    establish();
    for (int i = 0; i < 100000; i++) {
        struct roce_flow flow = { .dst = b.ip, .dport = htons(4791) };

        random_bytes(bytes, sizeof bytes);
        in6_addr_set_mapped_ipv4(&flow.src, random_uint32());
        if (i & 1) {
            bytes[0] = i & 2 ? 0x64 : 0x04;
            bytes[1] = 0x40;
            bytes[2] = bytes[3] = 0xff;
            bytes[5] = i & 2 ? 0 : b.qpn >> 16;
            bytes[6] = i & 2 ? 0 : b.qpn >> 8;
            bytes[7] = i & 2 ? 1 : b.qpn;
        }
        input(&b, &flow, bytes, random_range(sizeof bytes));
    }
    ovs_assert(n_dropped(&b) + b.qp.stats.rx_dropped >= 100000);
    ovs_assert(b.is_connected && !b.n_received);
    exchange(&a);
    exchange(&b);
}

/* Each value of each enum has a name of its own. */
#define CHECK_NAMES(FUNCTION, N)                                \
    for (int i = 0; i <= (N); i++) {                            \
        ovs_assert(!strcmp(FUNCTION(i), "unknown") == (i == (N)));     \
        ovs_assert(!i || strcmp(FUNCTION(i), FUNCTION(i - 1))); \
    }

static void
test_names(void)
{
    CHECK_NAMES(roce_parse_result_to_string, ROCE_PARSE_N);
    CHECK_NAMES(roce_status_to_string, ROCE_N_STATUSES);
    CHECK_NAMES(roce_drop_to_string, ROCE_DROP_N);
}

/* Usage: test-roce-gsi [SEED] */
static void
test_roce_gsi_main(int argc, char *argv[])
{
    static void (*const tests[])(void) = {
        test_life, test_again, test_lossy, test_no_rtu, test_bad_icrc,
        test_no_listener, test_too_many_services, test_qpns, test_stale,
        test_taken_back, test_taken_back_quietly, test_ended_qp,
        test_too_many_connections, test_names, test_bad_addressee,
        test_bad_mad, test_bad_qkey, test_flood, test_flood_refused,
        test_flood_ends, test_flood_victim, test_shares, test_many_lanes,
        test_flood_same, test_dreq_flood, test_garbage,
    };
    uint32_t seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;

    set_program_name(argv[0]);
    random_set_seed(seed);
    printf("seed %"PRIu32"\n", seed);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        init();
        tests[i]();
        node_uninit(&a);
        node_uninit(&b);
    }
    printf("%"PRIuSIZE" tests\n", ARRAY_SIZE(tests));
}

OVSTEST_REGISTER("test-roce-gsi", test_roce_gsi_main);

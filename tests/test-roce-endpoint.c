/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Unit test of whose a packet is: endpoint, tables, bounds. */

#include <config.h>
#undef NDEBUG

#include "roce-endpoint.h"
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

/* Two endpoints, each with one queue pair, and a clock in microseconds.  All
 * that goes between them is bytes. */

#define N_QPS 4
#define N_CMS 16
#define N_SLOTS 4
#define SECOND (1000 * 1000LL)
#define SERVICE (ROCE_CM_SERVICE_TCP + 4420)

struct node {
    struct in6_addr ip;
    struct roce_endpoint ep;
    struct roce_endpoint_qp qps[N_QPS];
    struct roce_cm cms[N_CMS];

    struct roce_cm *cm;
    struct roce_qp qp;
    struct roce_send_slot sends[N_SLOTS];
    struct roce_recv_slot recvs[N_SLOTS];
    uint8_t buf[N_SLOTS][256];
    uint32_t qpn;
    uint64_t n_sent, n_received;
    uint64_t n_requested;
    bool accepts, rejects;      /* Requests? */
    bool keeps_qpn;             /* When disconnected? */
    bool is_connected;
    enum roce_cm_event last;
};

static struct node a, b;
static long long int now;
static int loss;                /* Percent of packets between nodes. */

static void
node_init(struct node *node, uint32_t ip)
{
    struct roce_endpoint_config config = {
        .guid = ip,
        .random = random_bytes,
        .max_mtu = 1024,
        .max_half_open = 6,
        .req_rate = 100,
        .req_burst = 10,
        .qps = node->qps,
        .cms = node->cms,
        .n_qps = N_QPS,
        .n_cms = N_CMS,
    };

    memset(node, 0, sizeof *node);
    in6_addr_set_mapped_ipv4(&node->ip, htonl(ip));
    roce_endpoint_init(&node->ep, &config);
    node->accepts = true;
}

static void
init(void)
{
    now = SECOND;
    loss = 0;
    node_init(&a, 0xc0000201);
    node_init(&b, 0xc0000202);
    ovs_assert(!roce_endpoint_listen(&b.ep, SERVICE));
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
        n += node->ep.n_dropped[i];
    }
    for (int i = 0; i < ROCE_PARSE_N; i++) {
        n += node->ep.n_refused[i];
    }
    return n;
}

/* Connection and queue pair
 * ========================= */

static struct roce_cm_side
make_side(struct node *node)
{
    node->qpn = roce_endpoint_alloc_qpn(&node->ep);
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
    roce_endpoint_bind_qp(&node->ep, node->qpn, &node->qp, node->cm);
    for (int i = 0; i < N_SLOTS; i++) {
        post_recv(node, i);
    }
}

static void
tear_down(struct node *node)
{
    struct roce_completion c;

    if (!node->keeps_qpn) {
        roce_endpoint_free_qpn(&node->ep, node->qpn);
    }
    roce_qp_stop(&node->qp, ROCE_STOPPED);
    while (roce_qp_poll(&node->qp, &c, 1)) {
        continue;
    }
    node->is_connected = false;
}

static void
handle_request(struct node *node, const struct roce_endpoint_event *event)
{
    struct roce_cm_side side;

    node->n_requested++;
    if (node->rejects) {
        ovs_assert(!roce_cm_reject(event->cm, ROCE_REJ_CONSUMER, NULL, 0,
                                   now));
        return;
    } else if (!node->accepts) {
        return;
    }
    node->cm = event->cm;
    side = make_side(node);
    ovs_assert(!roce_cm_accept(node->cm, &side, "yes", 3, now));
    bring_up(node);
}

static void
handle_event(struct node *node, const struct roce_endpoint_event *event)
{
    if (event->type == ROCE_CM_REQUESTED) {
        handle_request(node, event);
    } else if (event->type != ROCE_CM_NONE && event->cm == node->cm) {
        node->last = event->type;
        if (event->type == ROCE_CM_CONNECTED) {
            if (node->cm->is_active) {
                bring_up(node);
            }
            node->is_connected = true;
        } else if (event->type == ROCE_CM_DISCONNECTED
                   || event->type == ROCE_CM_REJECTED
                   || event->type == ROCE_CM_UNREACHABLE) {
            tear_down(node);
        }
    }
}

/* Transfer
 * ======== */

static void
input(struct node *node, const struct roce_flow *flow, const uint8_t *bytes,
      size_t len)
{
    struct roce_endpoint_event event;

    roce_endpoint_input(&node->ep, flow, bytes, len, now, &event);
    handle_event(node, &event);
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
    struct roce_endpoint_event event;

    do {
        roce_endpoint_run(&node->ep, now, &event);
        handle_event(node, &event);
    } while (event.type != ROCE_CM_NONE);
}

static void
flush_mads(struct node *node)
{
    struct roce_endpoint_tx out;

    while (roce_endpoint_output(&node->ep, &out)) {
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

    ovs_assert(!roce_endpoint_connect(&a.ep, &target, &side, "hi", 2, now,
                                      &a.cm));
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

static void
test_life(void)
{
    establish();
    for (int i = 0; i < 10; i++) {
        exchange(&a);
        exchange(&b);
    }
    roce_cm_disconnect(a.cm, now);
    settle();
    ovs_assert(!a.is_connected && !b.is_connected);
    ovs_assert(a.last == ROCE_CM_DISCONNECTED && a.last == b.last);
    now += 2 * SECOND;
    settle();
    ovs_assert(a.last == ROCE_CM_EXPIRED && a.last == b.last);
    ovs_assert(roce_endpoint_deadline(&a.ep) == LLONG_MAX);
    ovs_assert(roce_endpoint_deadline(&b.ep) == LLONG_MAX);
    ovs_assert(!n_dropped(&a) && !n_dropped(&b));
}

static void
test_again(void)
{
    for (int i = 0; i < 2 * N_CMS; i++) {
        establish();
        exchange(&a);
        a.n_sent = a.n_received = b.n_sent = b.n_received = 0;
        roce_cm_disconnect(i % 2 ? a.cm : b.cm, now);
        settle();
        ovs_assert(!a.is_connected && !b.is_connected);
        now += SECOND;
    }
}

/* A queue pair outlives its connection, whose memory is used again. */
static void
test_qp_outlives(void)
{
    const struct roce_endpoint_qp *slot;

    b.keeps_qpn = true;
    establish();
    slot = &b.qps[b.qpn % N_QPS];
    ovs_assert(slot->cm == b.cm);
    roce_cm_disconnect(b.cm, now);
    settle();
    now += 2 * SECOND;
    settle();
    ovs_assert(b.last == ROCE_CM_EXPIRED);
    ovs_assert(slot->qp == &b.qp && !slot->cm);
}

/* The RTU is lost, but not the first packet, which anyone could have sent.
 * The next RTU follows soon. */
static void
test_no_rtu(void)
{
    struct roce_endpoint_tx out;

    start_connect();
    flush_mads(&a);
    flush_mads(&b);
    ovs_assert(a.is_connected && !b.is_connected);
    ovs_assert(roce_endpoint_output(&a.ep, &out));
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
    ovs_assert(b.n_requested == 1 && b.cms[0].state == ROCE_CM_REQ_RCVD);
    roce_cm_disconnect(a.cm, now);
    settle();
    ovs_assert(b.cms[0].state == ROCE_CM_TIMEWAIT);
    ovs_assert(b.cms[0].reason == ROCE_REJ_TIMEOUT);
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
    ovs_assert(b.ep.n_dropped[ROCE_DROP_UNREADY_QP] == 1);
}

static void
test_too_many_connections(void)
{
    struct roce_cm_target target = { .local_ip = a.ip, .remote_ip = b.ip };
    struct roce_cm_side side = { .mtu = 1024 };
    struct roce_cm *cm;

    for (int i = 0; i < N_CMS; i++) {
        ovs_assert(!roce_endpoint_connect(&a.ep, &target, &side, NULL, 0, now,
                                          &cm));
        ovs_assert(cm == &a.cms[i] && cm->local_id == target.id);
    }
    ovs_assert(roce_endpoint_connect(&a.ep, &target, &side, NULL, 0, now,
                                     &cm) == ENOSPC);
    ovs_assert(!cm);
}

static void
test_no_listener(void)
{
    roce_endpoint_unlisten(&b.ep, SERVICE);
    start_connect();
    settle();
    ovs_assert(a.last == ROCE_CM_REJECTED);
    ovs_assert(a.cm->reason == ROCE_REJ_BAD_SERVICE);
    ovs_assert(!b.n_requested);
}

static void
test_too_many_services(void)
{
    for (int i = 1; i < ROCE_ENDPOINT_N_SERVICES; i++) {
        ovs_assert(!roce_endpoint_listen(&b.ep, i));
    }
    ovs_assert(roce_endpoint_listen(&b.ep, 100) == ENOSPC);
    roce_endpoint_unlisten(&b.ep, 5);
    ovs_assert(!roce_endpoint_listen(&b.ep, 100));
}

static void
test_too_many_qps(void)
{
    uint32_t qpns[N_QPS];

    for (int i = 0; i < N_QPS; i++) {
        qpns[i] = roce_endpoint_alloc_qpn(&a.ep);
        ovs_assert(qpns[i]);
    }
    ovs_assert(!roce_endpoint_alloc_qpn(&a.ep));
    roce_endpoint_free_qpn(&a.ep, qpns[2]);
    ovs_assert(roce_endpoint_alloc_qpn(&a.ep) != qpns[2]);
    roce_endpoint_free_qpn(&a.ep, 0x123456);    /* No such number. */
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

static bool
is_idle(const struct node *node)
{
    return roce_endpoint_deadline(&node->ep) == LLONG_MAX;
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
            roce_cm_disconnect(i % 2 ? a.cm : b.cm, now);
            if (!wait_for(&a.is_connected, &b.is_connected, false, 60)) {
                roce_cm_disconnect(a.cm, now);
                roce_cm_disconnect(b.cm, now);
            }
        }
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
    node_init(&a, 0xc0000201);
    start_connect();
    a.qps[0].qpn = a.qpn = a.cm->local.qpn = b.cm->remote.qpn;
    settle();
    ovs_assert(a.last == ROCE_CM_REJECTED);
    ovs_assert(a.cm->reason == ROCE_REJ_STALE);
    ovs_assert(b.last == ROCE_CM_DISCONNECTED);
    tear_down(&a);
    establish();
}

/* Fills in a REQ from 'src' to 'b', which nothing is wrong with. */
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
    mad.local_gid = flow->src;
    mad.remote_gid = flow->dst;
    memcpy(&mad.src_ip.s6_addr[12], &flow->src.s6_addr[12], 4);
    roce_mad_pack(&mad, mad_bytes);
    roce_packet_build(&packet, &tx);
    roce_icrc_flow_init(&icrc, flow);
    roce_icrc_seal(&icrc, 0, &tx);
    return roce_tx_copy(&tx, bytes, ROCE_MAX_UDP_LEN);
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
    ovs_assert(b.ep.n_dropped[ROCE_DROP_ICRC]
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
    ovs_assert(b.ep.n_dropped[ROCE_DROP_UNKNOWN_QP] == 1);
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
    ovs_assert(b.ep.n_dropped[ROCE_DROP_BAD_MAD] == 1);
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
    ovs_assert(b.ep.n_dropped[ROCE_DROP_NOT_MAD] == 1 && !b.n_requested);
}

static void
flood_req(uint32_t src, uint32_t id)
{
    uint8_t bytes[ROCE_MAX_UDP_LEN];
    struct roce_flow flow;
    size_t len = make_req(src, id, &flow, bytes);

    input(&b, &flow, bytes, len);
}

static void
expect_bounds(void)
{
    int n_half_open = 0, n_free = 0;

    for (int i = 0; i < N_CMS; i++) {
        n_free += b.cms[i].state == ROCE_CM_IDLE;
        n_half_open += (b.cms[i].state == ROCE_CM_REQ_RCVD
                        || b.cms[i].state == ROCE_CM_TIMEWAIT);
    }
    ovs_assert(n_half_open <= 6);
    ovs_assert(n_free >= N_CMS - 6 - 1);
}

/* Requests from everywhere, among which the connected peers go on. */
static void
test_req_flood(void)
{
    establish();
    b.accepts = false;
    for (int i = 0; i < 20000; i++) {
        flood_req(random_uint32(), random_uint32());
        if (!(i % 100)) {
            exchange(&a);
            exchange(&b);
            expect_bounds();
        }
        now += 100;
    }
    ovs_assert(b.is_connected && b.n_received == 200);
    ovs_assert(b.n_requested >= 7 && b.n_requested < 30);
    ovs_assert(b.ep.n_dropped[ROCE_DROP_HALF_OPEN]);

    /* It is over: time takes care of the rest. */
    for (int i = 0; i < 30; i++) {
        now += SECOND;
        settle();
    }
    for (int i = 0; i < N_CMS; i++) {
        ovs_assert(&b.cms[i] == b.cm || b.cms[i].state == ROCE_CM_IDLE);
    }
}

/* Requests from one address leave room for those from others. */
static void
test_req_flood_one_source(void)
{
    b.accepts = false;
    for (int i = 0; i < 10000; i++) {
        flood_req(0x0a000001, i);
        now += 100;
    }
    ovs_assert(b.n_requested == 3);

    /* 10 at once and 100 in each of the 1 s that it took. */
    ovs_assert(b.ep.n_dropped[ROCE_DROP_HALF_OPEN] + 3 <= 111);
    ovs_assert(b.ep.n_dropped[ROCE_DROP_RATE] >= 10000 - 111);
    b.accepts = true;
    establish();
}

/* Even if each request is rejected at once. */
static void
test_req_flood_rejected(void)
{
    b.rejects = true;
    for (int i = 0; i < 10000; i++) {
        flood_req(random_uint32(), i);
        expect_bounds();
        now += 100;
    }
    ovs_assert(b.n_requested == 6);
}

/* The same request again and again makes no more than one connection. */
static void
test_req_flood_same(void)
{
    b.accepts = false;
    for (int i = 0; i < 1000; i++) {
        flood_req(0x0a000001, 1);
        now += 20 * 1000;
        if (i % 100 == 99) {
            ovs_assert(roce_endpoint_deadline(&b.ep) == LLONG_MIN);
            flush_mads(&b);
        }
    }
    ovs_assert(b.n_requested == 1);
}

/* DREQs for unknown connections get answers, as many as the ring holds. */
static void
test_dreq_flood(void)
{
    struct roce_mad mad = { .type = ROCE_MAD_DREQ };
    struct roce_endpoint_event event;
    uint8_t bytes[ROCE_MAX_UDP_LEN];
    struct roce_endpoint_tx out;
    struct roce_icrc_flow icrc;
    struct roce_flow flow;
    int n = 0;

    make_req(0x0a000001, 1, &flow, bytes);
    roce_icrc_flow_init(&icrc, &flow);
    for (int i = 0; i < 100; i++) {
        struct roce_packet packet = {
            .opcode = ROCE_UD_SEND_ONLY,
            .dst_qpn = ROCE_QPN_GSI,
            .qkey = ROCE_MAD_QKEY,
            .payload = out.mad,
            .payload_len = ROCE_MAD_LEN,
        };
        struct roce_tx tx;

        mad.remote_id = i;
        roce_mad_pack(&mad, out.mad);
        roce_packet_build(&packet, &tx);
        roce_icrc_seal(&icrc, 0, &tx);
        roce_endpoint_input(&b.ep, &flow, bytes,
                            roce_tx_copy(&tx, bytes, sizeof bytes), now,
                            &event);
        ovs_assert(event.type == ROCE_CM_NONE);
    }
    while (roce_endpoint_output(&b.ep, &out)) {
        ovs_assert(!roce_mad_parse(out.mad, sizeof out.mad, &mad));
        ovs_assert(mad.type == ROCE_MAD_DREP && mad.local_id == n++);
        ovs_assert(IN6_ARE_ADDR_EQUAL(&out.flow.dst, &flow.src));
    }
    ovs_assert(n == ROCE_ENDPOINT_N_REPLIES);
    ovs_assert(b.ep.n_dropped[ROCE_DROP_NO_REPLY] == 100 - n);
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
    CHECK_NAMES(roce_qp_state_to_string, ROCE_QP_ERROR + 1);
    CHECK_NAMES(roce_mad_type_to_string, ROCE_MAD_N_TYPES);
    CHECK_NAMES(roce_mad_result_to_string, ROCE_MAD_N_RESULTS);
    CHECK_NAMES(roce_cm_state_to_string, ROCE_CM_N_STATES);
    CHECK_NAMES(roce_cm_event_to_string, ROCE_CM_N_EVENTS);
    CHECK_NAMES(roce_drop_to_string, ROCE_DROP_N);
    ovs_assert(!strcmp(roce_rej_reason_to_string(28), "consumer reject"));
    ovs_assert(!strcmp(roce_rej_reason_to_string(0), "unknown reason"));
}

/* Usage: test-roce-endpoint [SEED] */
static void
test_roce_endpoint_main(int argc, char *argv[])
{
    static void (*const tests[])(void) = {
        test_life, test_again, test_lossy, test_qp_outlives, test_no_rtu,
        test_bad_icrc, test_no_listener, test_too_many_services,
        test_too_many_qps, test_stale, test_taken_back, test_ended_qp,
        test_too_many_connections, test_names, test_bad_addressee,
        test_bad_mad, test_bad_qkey, test_req_flood,
        test_req_flood_one_source, test_req_flood_rejected,
        test_req_flood_same, test_dreq_flood, test_garbage,
    };
    uint32_t seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;

    set_program_name(argv[0]);
    random_set_seed(seed);
    printf("seed %"PRIu32"\n", seed);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        init();
        tests[i]();
    }
    printf("%"PRIuSIZE" tests\n", ARRAY_SIZE(tests));
}

OVSTEST_REGISTER("test-roce-endpoint", test_roce_endpoint_main);

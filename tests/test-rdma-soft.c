/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Unit test of the soft provider: threads' part and random numbers. */

#include <config.h>
#undef NDEBUG

#include "rdma-soft-private.h"

#include <stdio.h>
#include <string.h>

#include "hash.h"
#include "ovstest.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"

/* A connection over a wire that takes as many packets as the test lets it, and
 * brings one that the test has made. */

#define PEER_QPN 0x654321
#define PSN 0xfffff0

static struct soft_dev *dev;
static struct soft_conn *conn;
static struct roce_wire wire;
static struct roce_flow from_peer;
static uint8_t arriving[ROCE_MAX_UDP_LEN];
static size_t arriving_len;
static int room;                /* Packets that the wire takes. */
static int n_on_wire;           /* Packets that it has taken. */
static uint8_t message[3000];

static int
fake_recv_batch(struct roce_wire *w OVS_UNUSED, unsigned int queue,
                struct roce_rx *rxs, int n OVS_UNUSED)
{
    if (!arriving_len || queue != roce_wire_data_queue(conn->up.qpn)) {
        return 0;
    }
    rxs[0] = (struct roce_rx) {
        .flow = from_peer,
        .data = arriving,
        .len = arriving_len,
        .segment_len = arriving_len,
    };
    arriving_len = 0;
    return 1;
}

static int
fake_send_batch(struct roce_path *path OVS_UNUSED,
                struct roce_tx *txs OVS_UNUSED, int n)
{
    int n_taken = MIN(n, room);

    room -= n_taken;
    n_on_wire += n_taken;
    return n_taken;
}

static const struct roce_wire_class fake_class = {
    .name = "fake",
    .recv_batch = fake_recv_batch,
    .send_batch = fake_send_batch,
};

/* Has 'packet' from the peer arrive at the next poll. */
static void
arrive(struct roce_packet packet)
{
    struct roce_icrc_flow icrc;
    struct roce_tx tx;

    packet.dst_qpn = conn->up.qpn;
    roce_packet_build(&packet, &tx);
    roce_icrc_flow_init(&icrc, &from_peer);
    roce_icrc_seal(&icrc, 0, &tx);
    arriving_len = roce_tx_copy(&tx, arriving, sizeof arriving);
}

static void
arrive_ack(int i)
{
    arrive((struct roce_packet) {
        .opcode = ROCE_RC_ACK,
        .psn = roce_psn_add(PSN, i),
        .syndrome = ROCE_SYN_ACK,
    });
}

static void
create_conn(void)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    struct roce_qp_config config = {
        .remote_qpn = PEER_QPN,
        .send_psn = PSN,
        .mtu = 1024,
        .timeout = 12,
        .retry_count = 7,
        .max_packets = 64,
        .max_bytes = 65536,
        .n_send_slots = 4,
        .n_recv_slots = 4,
    };

    dev = xzalloc_cacheline(sizeof *dev);
    dev->wire = &wire;
    wire.class = &fake_class;
    for (int i = 0; i < ROCE_WIRE_N_DATA; i++) {
        ovs_spin_init(&dev->rxqs[i].lock);
    }
    roce_qpns_init(&dev->qpns);
    in6_addr_set_mapped_ipv4(&config.local_ip, htonl(0xc0000201));
    in6_addr_set_mapped_ipv4(&config.remote_ip, htonl(0xc0000202));
    from_peer.src = config.remote_ip;
    from_peer.dst = config.local_ip;
    from_peer.dport = htons(ROCE_UDP_PORT);

    conn = soft_conn_create();
    conn->up.dev = &dev->up;
    soft_conn_add_qpn(conn);
    config.local_qpn = conn->up.qpn;
    config.send_slots = xcalloc(4, sizeof *config.send_slots);
    config.recv_slots = xcalloc(4, sizeof *config.recv_slots);
    ovs_assert(!roce_qp_init(&conn->qp, &config));
    conn->is_bound = true;
}

static void
send_message(uint32_t len)
{
    struct ordma_send_wr wr = {
        .addr = message,
        .len = len,
        .flags = ORDMA_SEND_SIGNALED,
    };

    ovs_assert(soft_post_send(&conn->up, &wr, 1) == 1);
    soft_transmit(&conn->up);
}

/* Polls until whatever has arrived is taken in, and returns how many sends
 * have completed. */
static int
poll_conn(void)
{
    long long int end = time_usec() + 2000;
    struct ordma_wc wcs[4];
    int n = 0;

    while (arriving_len || time_usec() < end) {
        n += soft_poll(&conn->up, wcs, ARRAY_SIZE(wcs));
    }
    return n;
}

/* Sends complete only once the wire has taken the last packet that is built,
 * because it points to their memory, even if the peer says before that it has
 * them. */
static void
test_early_ack(void)
{
    create_conn();
    send_message(3000);
    arrive_ack(2);
    ovs_assert(!poll_conn() && !n_on_wire);
    room = 2;
    ovs_assert(!poll_conn() && n_on_wire == 2);
    room = 1;
    ovs_assert(poll_conn() == 1 && n_on_wire == 3);
}

/* Likewise when the first copy has arrived and the second one waits. */
static void
test_late_copy(void)
{
    create_conn();
    n_on_wire = 0;
    room = 1;
    send_message(1000);
    while (n_on_wire < 2) {     /* Until it is sent again. */
        ovs_assert(!poll_conn());
        room = n_on_wire == 1;
    }
    arrive_ack(0);
    ovs_assert(poll_conn() == 1);
    create_conn();
    n_on_wire = 0;
    room = 1;
    send_message(1000);
    while (!conn->is_blocked) { /* Until there is a copy that waits. */
        ovs_assert(!poll_conn());
    }
    arrive_ack(0);
    ovs_assert(!poll_conn() && n_on_wire == 1);
    room = 1;
    ovs_assert(poll_conn() == 1 && n_on_wire == 2);
}

/* Guessing
 * ========
 *
 * OVS's generator of random numbers, xorshift32, shows its whole state in each
 * number.  No number that a peer or a stranger sees may lead to another. */

#define N_CONNS 4
#define N_STEPS 64

static uint32_t
xorshift(uint32_t x)
{
    x ^= x << 13;
    x ^= x >> 17;
    return x ^ x << 5;
}

struct numbers {
    uint64_t guid;
    uint32_t qpns[N_CONNS], ids[N_CONNS], psns[N_CONNS];
};

/* Returns true if 'psns' follow each other from a state of which the first one
 * is the lower part. */
static bool
psns_follow(const uint32_t psns[], uint32_t state)
{
    for (int i = 1; i < N_CONNS; i++) {
        int n = 0;

        do {
            state = xorshift(state);
        } while ((state & ROCE_PSN_MASK) != psns[i] && ++n < N_STEPS);
        if (n == N_STEPS) {
            return false;
        }
    }
    return true;
}

static bool
psns_are_predictable(const uint32_t psns[])
{
    for (uint32_t high = 0; high < 256; high++) {
        if (psns_follow(psns, high << 24 | psns[0])) {
            return true;
        }
    }
    return false;
}

/* Returns how many of 'a', numbers of 'mask', are hashes of a counter and
 * 'secret'. */
static int
count_hashes(const uint32_t a[], uint32_t mask, uint32_t secret)
{
    int n = 0;

    for (int i = 0; i < N_CONNS; i++) {
        for (int j = 0; j < N_STEPS; j++) {
            if (!((hash_2words(j, secret) ^ a[i]) & mask)) {
                n++;
                break;
            }
        }
    }
    return n;
}

/* Tries all parts of the GUID as a state, of which the secret of the numbers
 * could be a successor. */
static bool
guid_tells(const struct numbers *s)
{
    for (int shift = 0; shift <= 32; shift++) {
        uint32_t state = s->guid >> shift;

        for (int i = 0; i < N_STEPS; i++) {
            state = xorshift(state);
            if (count_hashes(s->qpns, 0xfffc00, state) == N_CONNS
                || count_hashes(s->ids, 0xfffffc00, state) == N_CONNS) {
                return true;
            }
        }
    }
    return false;
}

static void
get_numbers(const struct in6_addr *peer, struct numbers *s)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_provider *provider = &ordma_soft_provider;
    struct ordma_dial target = { .remote = *peer, .port = htons(6081) };
    struct ordma_qp_cap cap = { .n_send = 1, .n_recv = 1 };
    struct ordma_conn *conns[N_CONNS];

    ovs_assert(!provider->listen(target.port));
    for (int i = 0; i < N_CONNS; i++) {
        ovs_assert(!provider->dial(&target, NULL, &conns[i]));
        ovs_assert(!provider->create_qp(conns[i], &cap));
        ovs_assert(!provider->connect(conns[i], NULL, 0));
        s->guid = soft_conn_cast(conns[i])->cm->local_guid;
        s->qpns[i] = conns[i]->qpn;
        s->ids[i] = soft_conn_cast(conns[i])->cm->local_id;
        s->psns[i] = soft_conn_cast(conns[i])->cm->local.recv_psn;
    }
    for (int i = 0; i < N_CONNS; i++) {
        provider->destroy(conns[i]);
    }
}

/* Usage: test-rdma-soft [PEER]
 *
 * With PEER, an address, tries to guess numbers from dialing it. */
static void
test_rdma_soft_main(int argc, char *argv[])
{
    set_program_name(argv[0]);
    ovs_mutex_lock(&ordma_mutex);
    if (argc > 1) {
        struct in6_addr peer;
        struct numbers s;
        ovs_be32 ip;

        ovs_assert(ip_parse(argv[1], &ip));
        in6_addr_set_mapped_ipv4(&peer, ip);
        get_numbers(&peer, &s);
        ovs_assert(!psns_are_predictable(s.psns));
        ovs_assert(!guid_tells(&s));
    } else {
        test_early_ack();
        test_late_copy();
    }
    ovs_mutex_unlock(&ordma_mutex);
}

OVSTEST_REGISTER("test-rdma-soft", test_rdma_soft_main);

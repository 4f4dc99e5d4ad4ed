/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Unit test of RoCEv2 queue pairs over a wire that loses packets. */

#include <config.h>
#undef NDEBUG

#include "roce-icrc.h"
#include "roce-packet.h"
#include "roce-qp.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ovstest.h"
#include "packets.h"
#include "random.h"
#include "util.h"

/* Two queue pairs and what lies between them.
 *
 * Messages are slices of one array of random bytes, chosen by their number, so
 * that a receiver knows what each must be.  The clock is a variable. */

#define MAX_MSG (64 * 1024)
#define N_SLOTS 64
#define TX_BATCH 32

static uint8_t noise[2 * MAX_MSG];

struct end {
    const char *name;
    struct roce_qp qp;
    struct roce_flow flow;              /* Of what this end sends. */
    struct roce_icrc_flow icrc;         /* Likewise. */
    struct roce_send_slot sends[N_SLOTS];
    struct roce_recv_slot recvs[N_SLOTS];
    uint8_t *bufs[N_SLOTS];

    uint32_t n_posted, n_sent;          /* Messages, by this end. */
    uint32_t n_recvs, n_received;       /* Buffers, messages. */
};

static void
end_init_flow(struct end *e, bool ipv6, int from, int to)
{
    if (ipv6) {
        e->flow.src = e->flow.dst = in6addr_loopback;
        e->flow.src.s6_addr[0] = e->flow.dst.s6_addr[0] = 0x20;
        e->flow.src.s6_addr[15] = from;
        e->flow.dst.s6_addr[15] = to;
    } else {
        in6_addr_set_mapped_ipv4(&e->flow.src, htonl(0xc0000200 + from));
        in6_addr_set_mapped_ipv4(&e->flow.dst, htonl(0xc0000200 + to));
    }
    e->flow.sport = roce_flow_sport(0x100 + from, 0x100 + to);
    e->flow.dport = htons(ROCE_UDP_PORT);
    roce_icrc_flow_init(&e->icrc, &e->flow);
}

static const struct roce_qp_config default_config = {
    .mtu = 1024,
    .timeout = 12,              /* 16.8 ms. */
    .retry_count = 7,
    .rnr_retry = 7,
    .min_rnr_timer = 12,        /* .64 ms. */
    .max_packets = 64,
    .max_bytes = UINT16_MAX + 1,
};

static void
end_init(struct end *e, const struct roce_qp_config *base, bool ipv6,
         int from, int to, uint32_t send_psn, uint32_t recv_psn)
{
    struct roce_qp_config config = *base;

    memset(e, 0, sizeof *e);
    e->name = from == 1 ? "A" : "B";
    end_init_flow(e, ipv6, from, to);
    config.local_ip = e->flow.src;
    config.remote_ip = e->flow.dst;
    config.local_qpn = 0x100 + from;
    config.remote_qpn = 0x100 + to;
    config.send_psn = send_psn;
    config.recv_psn = recv_psn;
    config.send_slots = e->sends;
    config.recv_slots = e->recvs;
    config.n_send_slots = config.n_recv_slots = N_SLOTS;
    ovs_assert(!roce_qp_init(&e->qp, &config));
    for (int i = 0; i < N_SLOTS; i++) {
        e->bufs[i] = xmalloc(MAX_MSG);
    }
}

static void
end_uninit(struct end *e)
{
    for (int i = 0; i < N_SLOTS; i++) {
        free(e->bufs[i]);
    }
}

static void
post_recvs(struct end *e, uint32_t n)
{
    for (; n; n--, e->n_recvs++) {
        ovs_assert(!roce_qp_post_recv(&e->qp, e->bufs[e->n_recvs % N_SLOTS],
                                      MAX_MSG, e->n_recvs));
    }
}

/* Directed tests
 * ==============
 *
 * One end is real; packets for it are made by hand. */

#define LATER (1000 * 1000)     /* All timers below expire before. */

struct rig {
    struct end a;
    struct roce_tx tx[TX_BATCH];
    struct roce_packet out[TX_BATCH]; /* What 'tx' has, parsed. */
    uint8_t bytes[TX_BATCH][ROCE_MAX_UDP_LEN];
    long long int now;
};

static struct rig rig;

static void
rig_init(const struct roce_qp_config *config)
{
    end_init(&rig.a, config, false, 1, 2, 0xfffffe, 0xfffffd);
    rig.now = 1;
}

static void
rig_uninit(void)
{
    end_uninit(&rig.a);
}

static void
feed__(struct roce_packet *packet)
{
    struct roce_flow flow = {
        .src = rig.a.flow.dst,
        .dst = rig.a.flow.src,
    };

    packet->op = &roce_opcodes[packet->opcode];
    packet->dst_qpn = 0x101;
    roce_qp_input(&rig.a.qp, &flow, packet, rig.now);
}

/* A request that is 'n' PSNs ahead of the one first expected. */
static void
feed_request(uint8_t opcode, int n, size_t len, bool ack_req)
{
    feed__(&(struct roce_packet) {
        .opcode = opcode,
        .psn = roce_psn_add(0xfffffd, n),
        .ack_req = ack_req,
        .payload = noise,
        .payload_len = len,
        .imm = htonl(0x11223344),
    });
}

/* A reply about the packet 'n' behind the first. */
static void
feed_reply(uint8_t syndrome, int n)
{
    feed__(&(struct roce_packet) {
        .opcode = ROCE_RC_ACK,
        .psn = roce_psn_add(0xfffffe, n),
        .syndrome = syndrome,
    });
}

/* Collects what the end wants to send, without sending it, and returns how
 * many packets that are. */
static size_t
take(void)
{
    size_t n = roce_qp_output(&rig.a.qp, rig.tx, TX_BATCH, rig.now);

    for (size_t i = 0; i < n; i++) {
        size_t len = roce_tx_copy(&rig.tx[i], rig.bytes[i], ROCE_MAX_UDP_LEN);

        ovs_assert(!roce_packet_parse(rig.bytes[i], len, &rig.out[i]));
        ovs_assert(rig.out[i].dst_qpn == 0x102);
    }
    return n;
}

/* Sends what the end wants to send and returns how many packets that are. */
static size_t
drain(void)
{
    size_t n = take();

    roce_qp_sent(&rig.a.qp, rig.now);
    return n;
}

static void
send_message(uint32_t len)
{
    ovs_assert(!roce_qp_post_send(&rig.a.qp, noise, len, rig.a.n_posted++,
                                  true));
}

/* Packet 'i' of the last drain() is a request. */
static void
expect_request(size_t i, uint8_t opcode, int n, bool ack_req, size_t len)
{
    ovs_assert(rig.out[i].opcode == opcode);
    ovs_assert(rig.out[i].psn == roce_psn_add(0xfffffe, n));
    ovs_assert(rig.out[i].ack_req == ack_req);
    ovs_assert(rig.out[i].payload_len == len);
}

/* The last drain(), of one packet, was a reply. */
static void
expect_reply(uint8_t syndrome, int n, uint32_t msn)
{
    ovs_assert(rig.out[0].opcode == ROCE_RC_ACK);
    ovs_assert(rig.out[0].syndrome == syndrome);
    ovs_assert(rig.out[0].psn == roce_psn_add(0xfffffd, n));
    ovs_assert(rig.out[0].msn == msn);
}

/* Exactly one completion waits. */
static void
expect_completion(bool is_recv, uint64_t wr_id, enum roce_status status)
{
    struct roce_completion c;

    ovs_assert(roce_qp_poll(&rig.a.qp, &c, 1) == 1);
    ovs_assert(c.is_recv == is_recv);
    ovs_assert(c.wr_id == wr_id);
    ovs_assert(c.status == status);
}

static void
expect_no_completion(void)
{
    struct roce_completion c;

    ovs_assert(!roce_qp_poll(&rig.a.qp, &c, 1));
}

static void
expect_end(enum roce_status status)
{
    ovs_assert(rig.a.qp.state == ROCE_QP_ERROR);
    ovs_assert(rig.a.qp.status == status);
    ovs_assert(roce_qp_post_recv(&rig.a.qp, noise, 1, 0) == EPIPE);
}

static void
test_segments(void)
{
    send_message(0);
    send_message(1024);
    send_message(1025);
    send_message(3072);
    ovs_assert(drain() == 7);
    expect_request(0, ROCE_RC_SEND_ONLY, 0, true, 0);
    expect_request(1, ROCE_RC_SEND_ONLY, 1, true, 1024);
    expect_request(2, ROCE_RC_SEND_FIRST, 2, false, 1024);
    expect_request(3, ROCE_RC_SEND_LAST, 3, true, 1);
    expect_request(4, ROCE_RC_SEND_FIRST, 4, false, 1024);
    expect_request(5, ROCE_RC_SEND_MIDDLE, 5, false, 1024);
    expect_request(6, ROCE_RC_SEND_LAST, 6, true, 1024);

    /* One acknowledgment completes many messages, and not the one that it
     * covers in part. */
    feed_reply(ROCE_SYN_ACK, 5);
    expect_completion(false, 0, ROCE_OK);
    expect_completion(false, 1, ROCE_OK);
    expect_completion(false, 2, ROCE_OK);
    expect_no_completion();
    feed_reply(ROCE_SYN_ACK, 6);
    expect_completion(false, 3, ROCE_OK);
    ovs_assert(roce_qp_deadline(&rig.a.qp) == LLONG_MAX);
}

static void
test_window_packets(void)
{
    send_message(MAX_MSG);
    ovs_assert(drain() == TX_BATCH);
    ovs_assert(drain() == 32);
    expect_request(31, ROCE_RC_SEND_LAST, 63, true, 1024);
    send_message(10 * 1024);
    ovs_assert(!drain());
    feed_reply(ROCE_SYN_ACK, 2);
    ovs_assert(drain() == 3);
    expect_request(2, ROCE_RC_SEND_MIDDLE, 66, true, 1024);
}

static void
test_window_bytes(void)
{
    rig.a.qp.req.max_bytes = 3000;
    send_message(8 * 1024);
    ovs_assert(drain() == 2);
    expect_request(0, ROCE_RC_SEND_FIRST, 0, false, 1024);
    expect_request(1, ROCE_RC_SEND_MIDDLE, 1, true, 1024);
    rig.a.qp.req.max_bytes = 0;         /* One packet always fits. */
    ovs_assert(!drain());
    feed_reply(ROCE_SYN_ACK, 1);
    ovs_assert(drain() == 1);
    expect_request(0, ROCE_RC_SEND_MIDDLE, 2, true, 1024);
}

static void
test_backlog(void)
{
    ovs_assert(!roce_qp_backlog(&rig.a.qp));
    send_message(0);
    ovs_assert(roce_qp_backlog(&rig.a.qp) == 1);
    send_message(100);
    ovs_assert(roce_qp_backlog(&rig.a.qp) == 100);
    ovs_assert(drain() == 2);
    ovs_assert(!roce_qp_backlog(&rig.a.qp));

    /* What a window or the peer holds back does not count. */
    rig.a.qp.req.max_bytes = 1200;
    send_message(3000);
    ovs_assert(drain() == 1);
    ovs_assert(!roce_qp_backlog(&rig.a.qp));
    feed_reply(ROCE_SYN_ACK, 2);
    ovs_assert(roce_qp_backlog(&rig.a.qp) == 3000 - 1024);
    ovs_assert(drain() == 1);
    feed_reply(ROCE_SYN_RNR | 1, 3);
    ovs_assert(!roce_qp_backlog(&rig.a.qp));
}

static void
test_gap_reported(void)
{
    send_message(4096);
    ovs_assert(drain() == 4);
    feed_reply(ROCE_SYN_NAK_SEQ, 1);
    ovs_assert(drain() == 3);
    expect_request(0, ROCE_RC_SEND_MIDDLE, 1, false, 1024);
    feed_reply(ROCE_SYN_NAK_SEQ, 1);    /* Again: nothing. */
    ovs_assert(!drain());
    feed_reply(ROCE_SYN_NAK_SEQ, 2);    /* Another. */
    ovs_assert(drain() == 2);
    feed_reply(ROCE_SYN_ACK, 3);
    expect_completion(false, 0, ROCE_OK);
}

/* After a timeout, the peer may report the same gap again. */
static void
test_gap_reported_again(void)
{
    send_message(1024);
    ovs_assert(drain() == 1);
    feed_reply(ROCE_SYN_NAK_SEQ, 0);
    ovs_assert(drain() == 1);
    rig.now += 16777;
    ovs_assert(drain() == 1);
    feed_reply(ROCE_SYN_NAK_SEQ, 0);
    ovs_assert(drain() == 1);
    ovs_assert(rig.a.qp.stats.rx_naks == 2);
}

/* Linux soft-RoCE follows an RNR NAK with a sequence error. */
static void
test_not_ready(void)
{
    send_message(100);
    send_message(100);
    ovs_assert(drain() == 2);
    feed_reply(ROCE_SYN_RNR | 1, 1);
    expect_completion(false, 0, ROCE_OK);
    feed_reply(ROCE_SYN_NAK_SEQ, 1);
    ovs_assert(!drain());
    ovs_assert(roce_qp_deadline(&rig.a.qp) == rig.now + 10);
    rig.now += 10;
    ovs_assert(drain() == 1);
    expect_request(0, ROCE_RC_SEND_ONLY, 1, true, 100);
    feed_reply(ROCE_SYN_ACK, 1);
    expect_completion(false, 1, ROCE_OK);
}

/* Sending does not put off the timer of what was sent before; news does. */
static void
test_timer(void)
{
    send_message(100);
    ovs_assert(drain() == 1);
    rig.now += 10000;
    send_message(100);
    ovs_assert(drain() == 1);
    ovs_assert(roce_qp_deadline(&rig.a.qp) == 1 + 16777);
    feed_reply(ROCE_SYN_ACK, 0);
    ovs_assert(roce_qp_deadline(&rig.a.qp) == rig.now + 16777);
    feed_reply(ROCE_SYN_ACK, 1);
    ovs_assert(roce_qp_deadline(&rig.a.qp) == LLONG_MAX);
}

/* In a wide window, a long message asks now and then. */
static void
test_ask_every(void)
{
    int n_asked = 0;
    size_t n;

    rig.a.qp.req.max_packets = 1024;
    rig.a.qp.req.max_bytes = UINT32_MAX / 2;
    rig.a.qp.req.ask_every = 8;
    send_message(MAX_MSG);
    while ((n = drain()) > 0) {
        for (size_t i = 0; i < n; i++) {
            n_asked += rig.out[i].ack_req;
        }
    }
    ovs_assert(n_asked == 64 / 8);
}

static void
test_ghosts(void)
{
    send_message(100);
    feed_reply(ROCE_SYN_ACK, 0);        /* Not sent yet. */
    feed_reply(ROCE_SYN_NAK_SEQ, 0);
    feed_reply(ROCE_SYN_RNR, 0);
    feed_reply(ROCE_SYN_NAK_INVALID, 0);
    ovs_assert(drain() == 1);
    feed_reply(ROCE_SYN_ACK, -1);       /* Duplicate: fine. */
    feed_reply(ROCE_SYN_ACK, -2);
    feed_reply(ROCE_SYN_ACK, 1);
    feed_reply(ROCE_SYN_ACK, 0x800000);
    feed_reply(ROCE_SYN_NAK_SEQ, 1);
    feed_reply(0x80, 0);                /* Reserved. */
    feed_reply(0x65, 0);
    ovs_assert(rig.a.qp.stats.rx_ghosts == 10);
    expect_no_completion();
    feed_reply(ROCE_SYN_ACK, 0);
    expect_completion(false, 0, ROCE_OK);
}

/* The peer acknowledges what is not sent yet: a send completes once no packet
 * of it waits, because its memory can be used for something else then. */
static void
test_early(void)
{
    send_message(1024);
    send_message(2048);
    ovs_assert(take() == 3);
    feed_reply(ROCE_SYN_ACK, 0);
    feed_reply(ROCE_SYN_ACK, 1);
    feed_reply(ROCE_SYN_ACK, 0);
    feed_reply(ROCE_SYN_ACK, 3);                /* Not even built. */
    expect_no_completion();
    ovs_assert(roce_qp_deadline(&rig.a.qp) == LLONG_MIN);
    roce_qp_sent(&rig.a.qp, rig.now);
    expect_completion(false, 0, ROCE_OK);
    expect_no_completion();
    ovs_assert(rig.a.qp.stats.rx_ghosts == 1);
    feed_reply(ROCE_SYN_ACK, 2);
    expect_completion(false, 1, ROCE_OK);
    ovs_assert(roce_qp_deadline(&rig.a.qp) == LLONG_MAX);
}

/* The first copy has arrived, and the second one waits to be sent, behind
 * another message. */
static void
test_early_again(void)
{
    send_message(1024);
    ovs_assert(drain() == 1);
    rig.now += 16777;
    send_message(1024);
    ovs_assert(take() == 2);
    feed_reply(ROCE_SYN_ACK, 0);
    expect_no_completion();
    roce_qp_sent(&rig.a.qp, rig.now);
    expect_completion(false, 0, ROCE_OK);
    expect_no_completion();
}

/* Negative acknowledgments wait likewise, and are not heeded twice. */
static void
test_early_nak(void)
{
    send_message(1024);
    send_message(1024);
    ovs_assert(take() == 2);
    feed_reply(ROCE_SYN_RNR | 1, 1);
    expect_no_completion();
    roce_qp_sent(&rig.a.qp, rig.now);
    expect_completion(false, 0, ROCE_OK);
    ovs_assert(roce_qp_deadline(&rig.a.qp) == rig.now + 10);
    rig.now += 10;
    ovs_assert(take() == 1);
    feed_reply(ROCE_SYN_NAK_SEQ, 1);
    roce_qp_sent(&rig.a.qp, rig.now);
    ovs_assert(take() == 1);
    feed_reply(ROCE_SYN_ACK, 1);
    feed_reply(ROCE_SYN_NAK_SEQ, 1);            /* Late. */
    roce_qp_sent(&rig.a.qp, rig.now);
    expect_completion(false, 1, ROCE_OK);
    expect_no_completion();
    ovs_assert(roce_qp_deadline(&rig.a.qp) == LLONG_MAX);
}

/* What waited goes when the queue pair ends. */
static void
test_early_end(void)
{
    send_message(1024);
    send_message(1024);
    ovs_assert(take() == 2);
    feed_reply(ROCE_SYN_ACK, 1);
    roce_qp_stop(&rig.a.qp, ROCE_STOPPED);
    roce_qp_sent(&rig.a.qp, rig.now);
    expect_completion(false, 0, ROCE_FLUSHED);
    expect_completion(false, 1, ROCE_FLUSHED);
    ovs_assert(roce_qp_deadline(&rig.a.qp) == LLONG_MAX);
}

static void
test_timeout(void)
{
    send_message(100);
    send_message(100);
    ovs_assert(drain() == 2);
    for (int i = 0; i < 7; i++) {
        int timeout = 16777 << MIN(i, 3);

        ovs_assert(roce_qp_deadline(&rig.a.qp) == rig.now + timeout);
        rig.now += timeout - 1;
        ovs_assert(!drain());
        rig.now++;
        ovs_assert(drain() == 2);
    }
    rig.now += LATER;
    ovs_assert(!drain());
    expect_end(ROCE_NO_ACK);
    expect_completion(false, 0, ROCE_NO_ACK);
    expect_completion(false, 1, ROCE_FLUSHED);
    expect_no_completion();
}

/* What is posted after the end is flushed, signalled or not. */
static void
test_post_after_end(void)
{
    roce_qp_stop(&rig.a.qp, ROCE_STOPPED);
    expect_end(ROCE_STOPPED);
    expect_no_completion();
    ovs_assert(!roce_qp_post_send(&rig.a.qp, noise, 1, 5, false));
    ovs_assert(!drain());
    expect_completion(false, 5, ROCE_FLUSHED);
    expect_no_completion();
}

static void
test_refused_by_peer(void)
{
    post_recvs(&rig.a, 1);
    send_message(100);
    send_message(100);
    send_message(100);
    ovs_assert(drain() == 3);
    feed_reply(ROCE_SYN_NAK_INVALID, 1);
    expect_end(ROCE_REMOTE_INVALID);
    expect_completion(true, 0, ROCE_FLUSHED);
    expect_completion(false, 0, ROCE_OK);
    expect_completion(false, 1, ROCE_REMOTE_INVALID);
    expect_completion(false, 2, ROCE_FLUSHED);
    expect_no_completion();
    ovs_assert(roce_qp_deadline(&rig.a.qp) == LLONG_MAX);
}

static void
test_rnr_retries(void)
{
    rig.a.qp.req.rnr_retry = rig.a.qp.req.rnr_retries_left = 2;
    send_message(100);
    for (int i = 0; i < 2; i++) {
        ovs_assert(drain() == 1);
        feed_reply(ROCE_SYN_RNR | 31, 0);
        feed_reply(ROCE_SYN_RNR | 31, 0);       /* Duplicate: no matter. */
        rig.now += LATER;
    }
    ovs_assert(drain() == 1);
    feed_reply(ROCE_SYN_RNR | 31, 0);
    expect_end(ROCE_NOT_READY);
    expect_completion(false, 0, ROCE_NOT_READY);
}

/* Seven times means for ever, and otherwise progress starts the count anew. */
static void
test_rnr_endless(void)
{
    send_message(100);
    for (int i = 0; i < 9; i++) {
        ovs_assert(drain() == 1);
        feed_reply(ROCE_SYN_RNR | 31, 0);
        rig.now += LATER;
    }
    rig.a.qp.req.rnr_retry = rig.a.qp.req.rnr_retries_left = 1;
    for (int i = 0; i < 20; i++) {
        send_message(100);
        ovs_assert(drain() == 2);
        feed_reply(ROCE_SYN_RNR | 31, i + 1);
        rig.now += LATER;
        expect_completion(false, i, ROCE_OK);
    }
}

/* But not for ever without any progress. */
static void
test_rnr_stall(void)
{
    rig.now += 100 * LATER;
    send_message(100);
    send_message(100);
    ovs_assert(drain() == 2);
    rig.now += LATER;
    feed_reply(ROCE_SYN_ACK, 0);
    expect_completion(false, 0, ROCE_OK);
    for (int i = 0; i < 10; i++) {
        feed_reply(ROCE_SYN_RNR | 31, 1);
        ovs_assert(rig.a.qp.state == ROCE_QP_READY);
        rig.now += LATER;
        ovs_assert(drain() == 1);
    }
    feed_reply(ROCE_SYN_RNR | 31, 1);
    expect_end(ROCE_NOT_READY);
    expect_completion(false, 1, ROCE_NOT_READY);
}

static void
test_unsignalled(void)
{
    for (int i = 0; i < N_SLOTS; i++) {
        ovs_assert(!roce_qp_post_send(&rig.a.qp, noise, 1, i, i == 63));
    }
    ovs_assert(roce_qp_post_send(&rig.a.qp, noise, 1, 0, true) == ENOBUFS);
    ovs_assert(roce_qp_post_send(&rig.a.qp, noise, ROCE_MAX_MESSAGE + 1, 0,
                                 true) == EMSGSIZE);
    drain();
    drain();
    feed_reply(ROCE_SYN_ACK, 63);
    expect_completion(false, 63, ROCE_OK);
    expect_no_completion();

    /* Failure does not go without a completion. */
    ovs_assert(!roce_qp_post_send(&rig.a.qp, noise, 1, 64, false));
    drain();
    feed_reply(ROCE_SYN_NAK_INVALID, 64);
    expect_completion(false, 64, ROCE_REMOTE_INVALID);
}

static void
test_receive(void)
{
    struct roce_completion c;

    post_recvs(&rig.a, 2);
    feed_request(0x00, 0, 1024, false);
    feed_request(0x01, 1, 1024, true);
    feed_request(0x03, 2, 7, true);
    feed_request(0x05, 3, 0, true);
    ovs_assert(drain() == 1);                   /* For the whole batch. */
    expect_reply(ROCE_SYN_ACK, 3, 2);
    ovs_assert(roce_qp_poll(&rig.a.qp, &c, 1) == 1);
    ovs_assert(c.is_recv && c.len == 2055 && !c.solicited);
    ovs_assert(c.has_imm && c.imm == htonl(0x11223344));
    ovs_assert(roce_qp_poll(&rig.a.qp, &c, 1) == 1);
    ovs_assert(!c.len && c.wr_id == 1);
    ovs_assert(!memcmp(rig.a.bufs[0], noise, 1024));
    ovs_assert(!memcmp(rig.a.bufs[0] + 1024, noise, 1024));
    ovs_assert(!memcmp(rig.a.bufs[0] + 2048, noise, 7));
}

/* Nobody asks, so nobody is told. */
static void
test_not_asked(void)
{
    post_recvs(&rig.a, 2);
    feed_request(0x04, 0, 4, false);
    feed_request(0x00, 1, 1024, false);
    ovs_assert(!drain());
    feed_request(0x00, 1, 1024, false);         /* Duplicate. */
    ovs_assert(!drain());
    expect_completion(true, 0, ROCE_OK);
}

static void
test_duplicates(void)
{
    post_recvs(&rig.a, 4);
    feed_request(0x04, 0, 4, true);
    ovs_assert(drain() == 1);
    feed_request(0x04, 0, 4, true);
    feed_request(0x04, -3, 4, true);
    ovs_assert(drain() == 1);
    expect_reply(ROCE_SYN_ACK, 0, 1);
    expect_completion(true, 0, ROCE_OK);
    expect_no_completion();
}

static void
test_gap(void)
{
    post_recvs(&rig.a, 8);
    feed_request(0x04, 0, 4, true);
    feed_request(0x04, 2, 4, true);
    feed_request(0x04, 3, 4, true);
    ovs_assert(drain() == 1);
    expect_reply(ROCE_SYN_NAK_SEQ, 1, 1);
    feed_request(0x04, 4, 4, true);
    ovs_assert(!drain());                       /* Said once. */
    feed_request(0x04, 1, 4, true);
    ovs_assert(drain() == 1);
    expect_reply(ROCE_SYN_ACK, 1, 2);
}

/* The expected packet comes before the gap is reported. */
static void
test_gap_filled(void)
{
    post_recvs(&rig.a, 8);
    feed_request(0x04, 2, 4, true);
    feed_request(0x04, 0, 4, true);
    ovs_assert(drain() == 1);
    expect_reply(ROCE_SYN_NAK_SEQ, 1, 1);       /* Still misses 1 and 2. */
    feed_request(0x04, 3, 4, true);
    ovs_assert(!drain());
    feed_request(0x04, 1, 4, true);
    feed_request(0x04, 3, 4, true);
    feed_request(0x04, 2, 4, true);
    feed_request(0x04, 3, 4, true);
    ovs_assert(drain() == 1);
    expect_reply(ROCE_SYN_ACK, 3, 4);
}

/* Whatever the order, the gap lasts until the latest packet that it cost. */
static void
test_gap_shuffled(void)
{
    static const int orders[][6] = {
        { 2, 4, 0, 1, 2, 3 },
        { 4, 2, 0, 1, 2, 3 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        rig_uninit();
        rig_init(&default_config);
        post_recvs(&rig.a, 8);
        for (int j = 0; j < 6; j++) {
            feed_request(0x04, orders[i][j], 4, true);
        }
        ovs_assert(drain() == 1);
        expect_reply(ROCE_SYN_NAK_SEQ, 4, 4);
    }
}

static void
test_solicited(void)
{
    struct roce_completion c;

    post_recvs(&rig.a, 1);
    feed__(&(struct roce_packet) {
        .opcode = ROCE_RC_SEND_ONLY,
        .psn = 0xfffffd,
        .solicited = true,
    });
    ovs_assert(roce_qp_poll(&rig.a.qp, &c, 1) == 1 && c.solicited);
}

static void
test_no_buffer(void)
{
    feed_request(0x04, 0, 4, true);
    feed_request(0x04, 1, 4, true);
    ovs_assert(drain() == 1);
    expect_reply(ROCE_SYN_RNR | 12, 0, 0);
    feed_request(0x04, 1, 4, true);
    ovs_assert(!drain());                       /* Nothing but the RNR NAK. */
    feed_request(0x04, 0, 4, true);
    ovs_assert(drain() == 1);
    expect_reply(ROCE_SYN_RNR | 12, 0, 0);
    feed_request(0x04, 0, 4, true);
    post_recvs(&rig.a, 1);
    feed_request(0x04, 0, 4, true);
    ovs_assert(drain() == 1);
    expect_reply(ROCE_SYN_ACK, 0, 1);
}

static void
test_strangers(void)
{
    struct roce_packet packet = {
        .opcode = ROCE_RC_SEND_ONLY,
        .op = &roce_opcodes[ROCE_RC_SEND_ONLY],
        .psn = 0xfffffd,
        .dst_qpn = 0x101,
    };
    struct roce_flow flow = {
        .src = rig.a.flow.dst,
        .dst = rig.a.flow.src,
    };

    post_recvs(&rig.a, 1);
    packet.dst_qpn = 0x102;
    ovs_assert(!roce_qp_input(&rig.a.qp, &flow, &packet, 0));
    packet.dst_qpn = 0x101;
    flow.src.s6_addr[15] ^= 1;
    ovs_assert(!roce_qp_input(&rig.a.qp, &flow, &packet, 0));
    flow.src.s6_addr[15] ^= 1;
    flow.dst.s6_addr[0] ^= 1;
    ovs_assert(!roce_qp_input(&rig.a.qp, &flow, &packet, 0));
    ovs_assert(rig.a.qp.stats.rx_dropped == 3);
    expect_no_completion();
}

static void
test_stop(void)
{
    post_recvs(&rig.a, 1);
    send_message(1);
    roce_qp_stop(&rig.a.qp, ROCE_STOPPED);
    roce_qp_stop(&rig.a.qp, ROCE_OK);
    expect_end(ROCE_STOPPED);
    feed_request(0x04, 0, 0, true);
    feed_reply(ROCE_SYN_ACK, 0);
    ovs_assert(!drain());
    expect_completion(true, 0, ROCE_FLUSHED);
    expect_completion(false, 0, ROCE_FLUSHED);
    expect_no_completion();
}

/* Requests that end the queue pair, each after a first packet of a message if
 * 'in_message'.  The posted buffer has room for 1500 bytes. */
static const struct breach {
    bool in_message;
    uint8_t opcode;
    size_t len;
    enum roce_status status;
} breaches[] = {
    { false, 0x00, 1023, ROCE_BAD_LENGTH },
    { false, 0x01, 1024, ROCE_BAD_SEQUENCE },
    { false, 0x02, 10, ROCE_BAD_SEQUENCE },
    { false, 0x03, 10, ROCE_BAD_SEQUENCE },
    { false, 0x04, 1025, ROCE_BAD_LENGTH },
    { false, 0x06, 1024, ROCE_BAD_OPCODE },
    { false, 0x0c, 0, ROCE_BAD_OPCODE },
    { false, 0x14, 0, ROCE_BAD_OPCODE },
    { false, 0x17, 10, ROCE_BAD_OPCODE },
    { true, 0x00, 1024, ROCE_BAD_SEQUENCE },
    { true, 0x01, 1024, ROCE_LOCAL_LENGTH },
    { true, 0x01, 10, ROCE_BAD_LENGTH },
    { true, 0x02, 0, ROCE_BAD_LENGTH },
    { true, 0x02, 477, ROCE_LOCAL_LENGTH },
    { true, 0x03, 477, ROCE_LOCAL_LENGTH },
    { true, 0x04, 10, ROCE_BAD_SEQUENCE },
    { true, 0x16, 10, ROCE_BAD_OPCODE },
};

static void
test_breaches(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(breaches); i++) {
        const struct breach *b = &breaches[i];
        bool too_long = b->status == ROCE_LOCAL_LENGTH;

        rig_init(&default_config);
        ovs_assert(!roce_qp_post_recv(&rig.a.qp, rig.a.bufs[0], 1500, 0));
        if (b->in_message) {
            feed_request(0x00, 0, 1024, false);
        }
        feed_request(b->opcode, b->in_message, b->len, true);
        expect_end(b->status);
        expect_completion(true, 0, too_long ? b->status : ROCE_FLUSHED);
        ovs_assert(drain() == 1);
        expect_reply(ROCE_SYN_NAK_INVALID, b->in_message, 0);
        ovs_assert(!drain());
        rig_uninit();
    }
}

static void
test_bad_config(void)
{
    static const struct roce_qp_config bad[] = {
        { .mtu = 0 }, { .mtu = 128 }, { .mtu = 1000 }, { .mtu = 8192 },
        { .mtu = 1024, .timeout = 32 }, { .mtu = 1024, .retry_count = 8 },
        { .mtu = 1024, .max_packets = 0 },
        { .mtu = 1024, .max_packets = ROCE_MAX_WINDOW + 1 },
        { .mtu = 1024, .max_packets = 1, .n_send_slots = 3 },
        { .mtu = 1024, .max_packets = 1, .n_send_slots = 4 },
        { .mtu = 1024, .send_psn = 1 << 24 },
    };
    struct roce_qp qp;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ovs_assert(roce_qp_init(&qp, &bad[i]) == EINVAL);
    }
}

static void
test_directed(void)
{
    static void (*const tests[])(void) = {
        test_segments, test_window_packets, test_window_bytes, test_backlog,
        test_gap_reported, test_gap_reported_again, test_not_ready,
        test_timer, test_ask_every, test_ghosts, test_early, test_early_again,
        test_early_nak, test_early_end, test_timeout,
        test_post_after_end, test_refused_by_peer, test_rnr_retries,
        test_rnr_endless, test_rnr_stall,
        test_unsignalled, test_receive, test_not_asked, test_duplicates,
        test_gap, test_gap_filled, test_gap_shuffled, test_solicited,
        test_no_buffer, test_strangers, test_stop,
    };

    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        rig_init(&default_config);
        tests[i]();
        rig_uninit();
    }
    test_breaches();
    test_bad_config();
    printf("directed: %"PRIuSIZE" tests, %"PRIuSIZE" breaches\n",
           ARRAY_SIZE(tests), ARRAY_SIZE(breaches));
}

/* Scripted wire
 * =============
 *
 * Both ends are real and send messages to each other.  Everything on the wire
 * is bytes with an ICRC; what the wire does to them is a row of a table, in
 * units of 1 per 1000 packets. */

struct weather {
    const char *name;
    int loss, dup, reorder, corrupt;
    int delay;                  /* In usec, plus as much again at random. */
    uint16_t mtu;
    uint32_t max_len;           /* Of a message. */
    uint32_t max_packets;
    uint32_t n_buffers;         /* That the receiver keeps posted. */
    bool ipv6;
    bool may_fail;              /* May the connection end? */
    uint32_t n_messages;        /* Each way, times the scale. */
};

static const struct weather weathers[] = {
    /*            loss dup reor corr  dly  mtu   len   win bufs   v6, fail */
    { "calm",       0,   0,   0,   0,  10, 1024, 20000, 128, 64, false,
      false, 2000 },
    { "tiny",       0,   0,   0,   0,  10,  256,   600,  16, 64, false,
      false, 9000 },
    { "jumbo",      0,   0,   0,   0,  10, 4096, 60000, 128, 64, true,
      false, 900 },
    { "lossy 1",   10,   0,   0,   0,  20, 1024,  8000, 128, 64, false,
      false, 2000 },
    { "lossy 5",   50,   0,   0,   0,  20, 2048, 16000,  64, 64, true,
      false, 1000 },
    { "lossy 10", 100,   0,   0,   0,  20, 1024,  3000,  32, 64, false,
      true, 1000 },
    { "lossy 20", 200,   0,   0,   0,  20, 1024,  3000,  16, 64, false,
      true, 1000 },
    { "lossy 30", 300,   0,   0,   0,  20,  512,  3000,  16, 64, false,
      true, 500 },
    { "echo",       0, 200,   0,   0,  20, 1024,  8000, 128, 64, false,
      false, 1000 },
    { "shuffle",    0,   0,  50,   0,  20, 1024,  8000,  64, 64, false,
      false, 1000 },
    { "noise",      0,   0,   0,  20,  20, 1024,  8000,  64, 64, true,
      false, 2000 },
    { "noise v4",   0,   0,   0,   1,  20, 1024,  8000,  64, 64, false,
      false, 200 },
    { "scarce",     0,   0,   0,   0,  20, 1024,  3000,  64,  2, false,
      false, 500 },
    { "window 1",  10,  10,   0,   0,  20, 1024,  3000,   1, 64, false,
      false, 500 },
    { "slow",       0,   0,   0,   0, 15000, 1024, 3000, 32, 64, false,
      false, 300 },
    { "storm",     50,  50,  50,  10,  50, 1024,  8000,  64,  8, true,
      true, 500 },
    { "hurricane", 200, 100, 100, 20, 100,  256,  2000,  16,  4, true,
      true, 300 },
};

struct flight {
    struct flight *next;        /* In order of 'arrival'. */
    long long int arrival;
    int to;
    size_t len;
    uint8_t bytes[];
};

struct world {
    const struct weather *w;
    struct end ends[2];
    struct flight *flights;     /* Earliest first. */
    uint32_t n_messages;
    long long int now;
    uint64_t n_packets, n_rejected;
};

static bool
happens(int per_mille)
{
    return per_mille && random_range(1000) < per_mille;
}

/* Message 'i' of each end. */
static uint32_t
message_len(const struct weather *w, uint32_t i)
{
    return (i * 2654435761u >> 8) % (w->max_len + 1);
}

static const uint8_t *
message_data(uint32_t i)
{
    return noise + i * 7919u % MAX_MSG;
}

static void
launch__(struct world *world, struct flight *f)
{
    struct flight **p = &world->flights;

    while (*p && (*p)->arrival <= f->arrival) {
        p = &(*p)->next;
    }
    f->next = *p;
    *p = f;
}

static void
launch(struct world *world, int to, const struct roce_tx *tx)
{
    const struct weather *w = world->w;
    size_t len = roce_tx_len(tx);
    struct flight *f;

    if (happens(w->loss)) {
        return;
    }
    f = xmalloc(sizeof *f + len);
    f->to = to;
    f->len = roce_tx_copy(tx, f->bytes, len);
    f->arrival = world->now + w->delay;
    if (happens(w->reorder)) {
        f->arrival += random_range(w->delay + 1);
    }
    if (happens(w->corrupt)) {
        uint32_t at = random_range(len - 1);

        f->bytes[at] ^= 1 + random_range(255);
        f->bytes[at + 1] ^= random_range(256);
    }
    launch__(world, f);
}

static void
transmit(struct world *world, int from)
{
    struct end *e = &world->ends[from];
    struct roce_tx tx[TX_BATCH];
    size_t n;

    do {
        n = roce_qp_output(&e->qp, tx, TX_BATCH, world->now);
        for (size_t i = 0; i < n; i++) {
            world->n_packets++;
            roce_icrc_seal(&e->icrc, random_uint32(), &tx[i]);
            launch(world, !from, &tx[i]);
            if (happens(world->w->dup)) {
                launch(world, !from, &tx[i]);
            }
        }
        roce_qp_sent(&e->qp, world->now);
    } while (n == TX_BATCH);
}

static void
arrive(struct world *world, const struct flight *f)
{
    struct end *to = &world->ends[f->to];
    struct end *from = &world->ends[!f->to];
    struct roce_packet packet;

    if (roce_packet_parse(f->bytes, f->len, &packet)
        || !roce_icrc_check(&from->icrc, f->bytes, f->len)) {
        world->n_rejected++;
        return;
    }
    roce_qp_input(&to->qp, &from->flow, &packet, world->now);
}

static void
check_received(const struct world *world, struct end *e,
               const struct roce_completion *c)
{
    uint32_t i = e->n_received++;

    ovs_assert(c->wr_id == i);
    ovs_assert(c->len == message_len(world->w, i));
    ovs_assert(!memcmp(e->bufs[i % N_SLOTS], message_data(i), c->len));
    memset(e->bufs[i % N_SLOTS], 0xcc, c->len);
}

static void
collect(struct world *world, struct end *e)
{
    struct roce_completion c[TX_BATCH];
    size_t n;

    while ((n = roce_qp_poll(&e->qp, c, TX_BATCH)) > 0) {
        for (size_t i = 0; i < n; i++) {
            if (c[i].status != ROCE_OK) {
                ovs_assert(e->qp.state == ROCE_QP_ERROR);
            } else if (c[i].is_recv) {
                check_received(world, e, &c[i]);
            } else {
                ovs_assert(c[i].wr_id == e->n_sent++);
            }
        }
    }
}

static void
work(struct world *world, struct end *e)
{
    const struct weather *w = world->w;

    collect(world, e);
    if (e->qp.state == ROCE_QP_ERROR) {
        return;
    }
    while (e->n_recvs - e->n_received < w->n_buffers) {
        post_recvs(e, 1);
    }
    while (e->n_posted < world->n_messages
           && e->n_posted - e->n_sent < N_SLOTS) {
        ovs_assert(!roce_qp_post_send(&e->qp, message_data(e->n_posted),
                                      message_len(w, e->n_posted),
                                      e->n_posted, true));
        e->n_posted++;
    }
}

/* Moves on to when something happens and has all of it happen. */
static void
step(struct world *world)
{
    long long int next = world->flights ? world->flights->arrival : LLONG_MAX;

    for (int i = 0; i < 2; i++) {
        next = MIN(next, roce_qp_deadline(&world->ends[i].qp));
    }
    ovs_assert(next != LLONG_MAX);
    world->now = MAX(world->now, next) + random_range(20);

    while (world->flights && world->flights->arrival <= world->now) {
        struct flight *f = world->flights;

        world->flights = f->next;
        arrive(world, f);
        free(f);
    }
    for (int i = 0; i < 2; i++) {
        transmit(world, i);
        work(world, &world->ends[i]);
    }
}

static bool
is_over(const struct world *world)
{
    for (int i = 0; i < 2; i++) {
        const struct end *e = &world->ends[i];

        if (e->qp.state == ROCE_QP_ERROR) {
            return true;
        } else if (e->n_sent < world->n_messages
                   || e->n_received < world->n_messages) {
            return false;
        }
    }
    return true;
}

static void
report(struct world *world)
{
    const struct end *a = &world->ends[0], *b = &world->ends[1];

    printf("%-10s %8"PRIu64" packets, %6"PRIu64" rejected, %5"PRIu64" naks, "
           "%5"PRIu64" rnr, %5"PRIu64" timeouts, %6u + %6u messages, %s/%s\n",
           world->w->name, world->n_packets, world->n_rejected,
           a->qp.stats.rx_naks + b->qp.stats.rx_naks,
           a->qp.stats.rx_not_ready + b->qp.stats.rx_not_ready,
           a->qp.stats.timeouts + b->qp.stats.timeouts,
           a->n_received, b->n_received,
           roce_status_to_string(a->qp.status),
           roce_status_to_string(b->qp.status));
}

static void
test_weather(const struct weather *w, uint32_t scale)
{
    static struct world world;
    struct roce_qp_config config = default_config;
    uint32_t psn_a = 0xffff00, psn_b = random_uint32() & ROCE_PSN_MASK;

    memset(&world, 0, sizeof world);
    world.w = w;
    world.n_messages = w->n_messages * scale;
    config.mtu = w->mtu;
    config.max_packets = w->max_packets;
    end_init(&world.ends[0], &config, w->ipv6, 1, 2, psn_a, psn_b);
    end_init(&world.ends[1], &config, w->ipv6, 2, 1, psn_b, psn_a);
    for (int i = 0; i < 2; i++) {
        work(&world, &world.ends[i]);
    }
    while (!is_over(&world)) {
        step(&world);
    }
    report(&world);
    for (int i = 0; i < 2; i++) {
        struct end *e = &world.ends[i];

        ovs_assert(e->qp.state != ROCE_QP_ERROR || w->may_fail);
        roce_qp_stop(&e->qp, ROCE_STOPPED);
        collect(&world, e);
        ovs_assert(!roce_qp_is_pollable(&e->qp));
        end_uninit(e);
    }
    while (world.flights) {
        struct flight *f = world.flights;

        world.flights = f->next;
        free(f);
    }
}

/* Usage: test-roce-rc [SEED [SCALE]] */
static void
test_roce_rc_main(int argc, char *argv[])
{
    uint32_t seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
    uint32_t scale = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;

    set_program_name(argv[0]);
    random_set_seed(seed);
    random_bytes(noise, sizeof noise);
    printf("seed %"PRIu32"\n", seed);
    test_directed();
    for (size_t i = 0; i < ARRAY_SIZE(weathers); i++) {
        test_weather(&weathers[i], scale);
    }
}

OVSTEST_REGISTER("test-roce-rc", test_roce_rc_main);

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Test of an RDMA provider against another implementation. */

/* Two of these, each with a provider of its own, are an RDMA provider's test
 * against another implementation:
 *
 *     ovstest-rdma test-rdma-provider PROVIDER listen PEER
 *     ovstest-rdma test-rdma-provider PROVIDER dial PEER
 *
 * The side that dials sends the messages of each round below, and the other
 * sends each of them back.  Nobody knows of credits here: in a late round the
 * receiver has no buffers at first, so that its queue pair answers "receiver
 * not ready", which ports avoid.
 *
 * In the end, the side that dials sends through two more connections at once.
 * On the other side they share few buffers, and none at first. */

#undef NDEBUG
#include <config.h>

#include <assert.h>
#include <string.h>

#include "ovs-thread.h"
#include "ovstest.h"
#include "packets.h"
#include "rdma-provider.h"
#include "rdma-soft-private.h"
#include "timeval.h"
#include "util.h"

#define PORT 6081
#define DEPTH 16
#define MAX_LEN 262144
#define TIMEOUT 100             /* Seconds, for all. */
#define LATE_MS 100

#define N_SHARING 2             /* Connections that share buffers. */
#define SHARED_DEPTH 3          /* The buffers. */
#define SHARED_LEN 9014

struct round {
    uint32_t len;               /* Of each message. */
    int n;                      /* Messages, at most DEPTH. */
    bool late;
};

/* Around the path MTU, and as large as segmentation offload makes them. */
static const struct round rounds[] = {
    { 1, 1, false }, { 8, DEPTH, false }, { 255, DEPTH, false },
    { 1023, 3, false }, { 1024, 3, false }, { 1025, 3, false },
    { 4095, 3, false }, { 4096, 3, false }, { 4097, 3, false },
    { 9014, DEPTH, false }, { 65537, DEPTH, false }, { MAX_LEN, 4, false },
    { 64, 1, true }, { 64, DEPTH, true }, { 65537, DEPTH, true },
    { 100, 2, true },
};

static const struct ordma_provider *provider;
static struct ordma_conn *conn, *sharing[N_SHARING];
static int n_sharing, n_sharing_established;
static struct ordma_srq *srq;
static bool established, disconnected;
static struct ordma_mr *mr;
static uint8_t *memory;         /* DEPTH to send, DEPTH to receive. */
static int n_sent, n_received;  /* Completions in this round. */
static uint32_t received_len[DEPTH];

static uint8_t *
buffer(int i)
{
    return memory + i * MAX_LEN;
}

/* Makes the queue pair of 'conn', which has got a device. */
static void
prepare(void)
{
    struct ordma_qp_cap cap = { .n_send = DEPTH, .n_recv = DEPTH };

    assert(!provider->create_qp(conn, &cap));
    assert(!provider->reg_mr(conn->dev, memory, 2 * DEPTH * MAX_LEN, &mr));
}

static bool
is_sharing(const struct ordma_conn *c)
{
    for (int i = 0; i < n_sharing; i++) {
        if (sharing[i] == c) {
            return true;
        }
    }
    return false;
}

/* Connects 'c', which we have dialed. */
static void
connect_sharing(struct ordma_conn *c)
{
    struct ordma_qp_cap cap = { .n_send = DEPTH, .n_recv = 1 };

    assert(!provider->create_qp(c, &cap));
    assert(!provider->connect(c, "share", 5));
}

/* Accepts 'c', which is to receive from what 'srq' has. */
static void
accept_sharing(struct ordma_conn *c)
{
    struct ordma_qp_cap cap = { .n_send = 1, .n_recv = DEPTH };

    if (!srq) {
        assert(!provider->create_srq(c->dev, SHARED_DEPTH, &srq));
    }
    cap.srq = srq;
    assert(!provider->create_qp(c, &cap));
    assert(!provider->accept(c, "hello yourself", 14));
    sharing[n_sharing++] = c;
}

static void
handle_event(const struct ordma_event *event)
{
    switch (event->type) {
    case ORDMA_EV_RESOLVED:
        if (event->conn == conn) {
            prepare();
            assert(!provider->connect(conn, "hello", 5));
        } else if (is_sharing(event->conn)) {
            connect_sharing(event->conn);
        }
        break;

    case ORDMA_EV_REQUEST:
        if (established) {
            assert(!memcmp(event->private_data, "share", 5));
            accept_sharing(event->conn);
            break;
        }
        assert(!memcmp(event->private_data, "hello", 5));
        conn = event->conn;
        prepare();
        assert(!provider->accept(conn, "hello yourself", 14));
        break;

    case ORDMA_EV_ESTABLISHED:
        if (is_sharing(event->conn)) {
            n_sharing_established++;
        } else {
            established = true;
        }
        break;

    case ORDMA_EV_DISCONNECTED:
        disconnected |= event->conn == conn;
        break;

    case ORDMA_EV_MOVED:
        break;

    case ORDMA_EV_REJECTED:
    case ORDMA_EV_FAILED:
    default:
        ovs_fatal(0, "%s", event->reason);
    }
}

/* Does what there is to do. */
static void
run(void)
{
    struct ordma_event event;
    struct ordma_wc wc;

    provider->run();
    while (provider->next_event(&event)) {
        handle_event(&event);
    }
    while (established && provider->poll(conn, &wc, 1)) {
        if (wc.error) {
            ovs_fatal(0, "message %d of %s: %s", (int) wc.wr_id % DEPTH,
                      wc.wr_id < DEPTH ? "those sent" : "those received",
                      wc.error);
        }
        if (wc.wr_id < DEPTH) {
            n_sent++;
        } else {
            received_len[wc.wr_id - DEPTH] = wc.byte_len;
            n_received++;
        }
    }
}

/* Byte 'ofs' of message 'i' of a round. */
static uint8_t
pattern(int i, uint32_t ofs)
{
    return i + 7 * ofs + (ofs >> 8);
}

static void
fill(uint8_t *p, int i, uint32_t len)
{
    for (uint32_t ofs = 0; ofs < len; ofs++) {
        p[ofs] = pattern(i, ofs);
    }
}

static void
send_round(const struct round *round)
{
    for (int i = 0; i < round->n; i++) {
        struct ordma_send_wr wr = {
            .wr_id = i,
            .addr = buffer(i),
            .len = round->len,
            .lkey = mr->lkey,
            .flags = ORDMA_SEND_SIGNALED,
        };

        fill(buffer(i), i, round->len);
        assert(provider->post_send(conn, &wr, 1) == 1);
    }
    while (n_sent < round->n) {
        run();
    }
    n_sent = 0;
}

static void
post_round(const struct round *round)
{
    for (int i = 0; i < round->n; i++) {
        struct ordma_recv_wr wr = {
            .wr_id = DEPTH + i,
            .addr = buffer(DEPTH + i),
            .len = MAX_LEN,
            .lkey = mr->lkey,
        };

        memset(wr.addr, 0, round->len);
        assert(provider->post_recv(conn, &wr, 1) == 1);
    }
}

static void
receive_round(const struct round *round)
{
    if (round->late) {
        long long int end = time_msec() + LATE_MS;

        while (time_msec() < end) {
            run();
        }
        post_round(round);
    }
    while (n_received < round->n) {
        run();
    }
    n_received = 0;
    for (int i = 0; i < round->n; i++) {
        assert(received_len[i] == round->len);
        for (uint32_t ofs = 0; ofs < round->len; ofs++) {
            if (buffer(DEPTH + i)[ofs] != pattern(i, ofs)) {
                ovs_fatal(0, "message %d of %"PRIu32" bytes: byte %"PRIu32
                          " is wrong", i, round->len, ofs);
            }
        }
    }
}

/* Sends DEPTH messages through each of the connections. */
static void
send_sharing(void)
{
    while (n_sharing_established < N_SHARING) {
        run();
    }
    for (int i = 0; i < N_SHARING * DEPTH; i++) {
        struct ordma_send_wr wr = {
            .addr = buffer(i),
            .len = SHARED_LEN,
            .lkey = mr->lkey,
            .flags = ORDMA_SEND_SIGNALED,
        };

        fill(buffer(i), i, SHARED_LEN);
        assert(provider->post_send(sharing[i / DEPTH], &wr, 1) == 1);
    }
    for (int n = 0; n < N_SHARING * DEPTH; ) {
        for (int c = 0; c < N_SHARING; c++) {
            struct ordma_wc wc;

            if (provider->poll(sharing[c], &wc, 1)) {
                if (wc.error) {
                    ovs_fatal(0, "shared buffers: %s", wc.error);
                }
                n++;
            }
        }
        run();
    }
}

static void
post_shared(int i)
{
    struct ordma_recv_wr wr = {
        .wr_id = i,
        .addr = buffer(i),
        .len = MAX_LEN,
        .lkey = mr->lkey,
    };

    memset(wr.addr, 0, SHARED_LEN);
    assert(provider->post_srq_recv(srq, &wr, 1) == 1);
}

/* Takes message 'i' of those sent, which has completed as 'wc', and posts its
 * buffer again. */
static void
take_shared(const struct ordma_wc *wc, int i)
{
    if (wc->error) {
        ovs_fatal(0, "shared buffers: %s", wc->error);
    }
    assert(wc->byte_len == SHARED_LEN);
    for (uint32_t ofs = 0; ofs < SHARED_LEN; ofs++) {
        assert(buffer(wc->wr_id)[ofs] == pattern(i, ofs));
    }
    post_shared(wc->wr_id);
}

/* Posts the shared buffers, too late, and receives what send_sharing() sends
 * until the peer, which waits for acknowledgments, hangs up. */
static void
receive_sharing(void)
{
    long long int end = time_msec() + LATE_MS;
    int n[N_SHARING] = { 0 };

    while (n_sharing_established < N_SHARING || time_msec() < end) {
        run();
    }
    for (int i = 0; i < SHARED_DEPTH; i++) {
        post_shared(i);
    }
    while (!disconnected) {
        for (int c = 0; c < N_SHARING; c++) {
            struct ordma_wc wc;

            if (provider->poll(sharing[c], &wc, 1)) {
                take_shared(&wc, c * DEPTH + n[c]++);
            }
        }
        run();
    }
    assert(n[0] == DEPTH && n[1] == DEPTH);
}

/* Makes sure that "receiver not ready" has been said, and heard: only the soft
 * provider counts that. */
static void
check_not_ready(void)
{
    if (provider == &ordma_soft_provider) {
        struct soft_conn *c = soft_conn_cast(conn);
        struct roce_qp_stats s;

        ovs_spin_lock(&c->lock);
        s = c->qp.stats;
        ovs_spin_unlock(&c->lock);
        printf("not ready: sent %"PRIu64", received %"PRIu64"\n",
               s.tx_not_ready, s.rx_not_ready);
        assert(s.rx_not_ready && s.tx_not_ready);
    }
}

/* Destroys what connections share, and them. */
static void
destroy_sharing(void)
{
    while (n_sharing) {
        provider->destroy(sharing[--n_sharing]);
    }
    if (srq) {
        provider->destroy_srq(srq);
    }
}

static struct ordma_conn *
dial(const char *peer)
{
    struct ordma_dial target = { .port = htons(PORT) };
    struct ordma_conn *new;
    ovs_be32 ip;

    if (ip_parse(peer, &ip)) {
        in6_addr_set_mapped_ipv4(&target.remote, ip);
    } else if (!ipv6_parse(peer, &target.remote)) {
        ovs_fatal(0, "%s: not an address", peer);
    }
    if (provider->dial(&target, NULL, &new)) {
        ovs_fatal(0, "cannot dial");
    }
    return new;
}

/* Buffers for a round are posted before the peer can know that it begins. */
static void
dialing_side(const char *peer)
{
    for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
        if (!rounds[i].late) {
            post_round(&rounds[i]);
        }
        send_round(&rounds[i]);
        receive_round(&rounds[i]);
    }
    while (n_sharing < N_SHARING) {
        sharing[n_sharing++] = dial(peer);
    }
    send_sharing();
    provider->disconnect(conn);
}

static void
listening_side(void)
{
    post_round(&rounds[0]);
    for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
        receive_round(&rounds[i]);
        if (i + 1 < ARRAY_SIZE(rounds) && !rounds[i + 1].late) {
            post_round(&rounds[i + 1]);
        }
        send_round(&rounds[i]);
    }
    receive_sharing();
}

static void
test_rdma_provider_main(int argc, char *argv[])
{
    bool listens;

    listens = argc == 3 && !strcmp(argv[2], "listen");
    if (!listens && (argc != 4 || strcmp(argv[2], "dial"))) {
        ovs_fatal(0, "usage: %s PROVIDER listen | PROVIDER dial PEER",
                  argv[0]);
    }
    set_program_name(argv[0]);
    provider = ordma_provider_lookup(argv[1]);
    if (!provider) {
        ovs_fatal(0, "%s: no such provider", argv[1]);
    }
    memory = xmalloc(2 * DEPTH * MAX_LEN);
    time_alarm(TIMEOUT);

    ovs_mutex_lock(&ordma_mutex);
    assert(!provider->listen(htons(PORT)));
    if (listens) {
        puts("listening");
        fflush(stdout);
    } else {
        conn = dial(argv[3]);
    }
    while (!established) {
        run();
    }
    if (listens) {
        listening_side();
    } else {
        dialing_side(argv[3]);
    }
    check_not_ready();
    destroy_sharing();
    provider->destroy(conn);
    provider->unlisten(htons(PORT));
    ovs_mutex_unlock(&ordma_mutex);
    puts("done");
}

OVSTEST_REGISTER("test-rdma-provider", test_rdma_provider_main);

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * A provider whose queue pairs are arrays, and ports on it, for unit tests. */

#ifndef TESTS_RDMA_LOOP_H
#define TESTS_RDMA_LOOP_H 1

#include <assert.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include "netdev-rdma-private.h"
#include "ovs-numa.h"
#include "ovs-thread.h"
#include "packets.h"
#include "rdma-compat.h"
#include "rdma-lane.h"
#include "rdma-pool.h"
#include "util.h"

/* Nothing happens by itself: loop_run() moves what one connection has sent to
 * the receive buffers of its peer, which can be itself.  One thread. */

#define LOOP_RING 4096

struct loop_ring {
    struct ordma_recv_wr wrs[LOOP_RING];
    uint32_t head, tail;
};

struct loop_srq {
    struct ordma_srq up;
    struct loop_ring ring;
};

struct loop {
    struct ordma_conn up;
    struct loop *peer;
    struct loop_ring rq;
    struct loop_ring *receives; /* 'rq', or that of a shared queue. */
    struct ordma_send_wr sent[LOOP_RING];
    uint32_t sent_head, sent_tail;  /* Posted, delivered. */
    struct ordma_wc wcs[2 * LOOP_RING];
    uint32_t wc_head, wc_tail;
    bool failed;                /* Does it flush what is posted? */

    struct ordma_cq cq;         /* Of this connection alone. */
    bool polled;                /* In this round. */
};

static bool loop_has_srq;       /* Can the provider share? */

static inline struct loop *
loop_cast(struct ordma_conn *conn)
{
    return CONTAINER_OF(conn, struct loop, up);
}

static int
loop_create_qp(struct ordma_conn *conn, const struct ordma_qp_cap *cap)
{
    struct loop *loop = loop_cast(conn);

    loop->receives = (cap->srq
                      ? &CONTAINER_OF(cap->srq, struct loop_srq, up)->ring
                      : &loop->rq);
    return 0;
}

static int
loop_create_srq(struct ordma_dev *dev OVS_UNUSED, unsigned int n,
                struct ordma_srq **srqp)
{
    struct loop_srq *srq;

    if (!loop_has_srq) {
        return EOPNOTSUPP;
    }
    assert(n <= LOOP_RING);
    srq = xzalloc(sizeof *srq);
    srq->up.provider = dev->provider;
    *srqp = &srq->up;
    return 0;
}

static void
loop_destroy_srq(struct ordma_srq *srq)
{
    free(CONTAINER_OF(srq, struct loop_srq, up));
}

static int
loop_reg_mr(struct ordma_dev *dev OVS_UNUSED, void *addr OVS_UNUSED,
            size_t len OVS_UNUSED, struct ordma_mr **mrp)
{
    *mrp = xzalloc(sizeof **mrp);
    return 0;
}

static void
loop_dereg_mr(struct ordma_dev *dev OVS_UNUSED, struct ordma_mr *mr)
{
    free(mr);
}

static void
loop_complete(struct loop *loop, uint64_t wr_id, uint32_t len,
              const char *error)
{
    loop->wcs[loop->wc_head++ % (2 * LOOP_RING)] = (struct ordma_wc) {
        .wr_id = wr_id,
        .byte_len = len,
        .error = error,
    };
}

static int
loop_post_send(struct ordma_conn *conn, const struct ordma_send_wr wrs[],
               int n)
{
    struct loop *loop = loop_cast(conn);

    for (int i = 0; i < n; i++) {
        if (loop->failed) {
            loop_complete(loop, wrs[i].wr_id, 0, "flushed");
        } else {
            assert(loop->sent_head - loop->sent_tail < LOOP_RING);
            loop->sent[loop->sent_head++ % LOOP_RING] = wrs[i];
        }
    }
    return n;
}

static int
loop_post_ring(struct loop_ring *ring, const struct ordma_recv_wr wrs[], int n)
{
    for (int i = 0; i < n; i++) {
        ring->wrs[ring->head++ % LOOP_RING] = wrs[i];
    }
    return n;
}

static int
loop_post_recv(struct ordma_conn *conn, const struct ordma_recv_wr wrs[],
               int n)
{
    return loop_post_ring(&loop_cast(conn)->rq, wrs, n);
}

static int
loop_post_srq_recv(struct ordma_srq *srq, const struct ordma_recv_wr wrs[],
                   int n)
{
    return loop_post_ring(&CONTAINER_OF(srq, struct loop_srq, up)->ring, wrs,
                          n);
}

static int
loop_poll(struct ordma_conn *conn, struct ordma_wc wcs[], int n)
{
    struct loop *loop = loop_cast(conn);
    int i;

    for (i = 0; i < n && loop->wc_tail != loop->wc_head; i++) {
        wcs[i] = loop->wcs[loop->wc_tail++ % (2 * LOOP_RING)];
    }
    return i;
}

static struct ordma_conn *
loop_poll_cq(struct ordma_cq *cq)
{
    struct loop *loop = CONTAINER_OF(cq, struct loop, cq);

    loop->polled = !loop->polled && loop->wc_tail != loop->wc_head;
    return loop->polled ? &loop->up : NULL;
}

static void
loop_destroy(struct ordma_conn *conn)
{
    free(loop_cast(conn));
}

static const struct ordma_provider loop_provider = {
    .name = "loop",
    .create_qp = loop_create_qp,
    .create_srq = loop_create_srq,
    .destroy_srq = loop_destroy_srq,
    .destroy = loop_destroy,
    .reg_mr = loop_reg_mr,
    .dereg_mr = loop_dereg_mr,
    .post_send = loop_post_send,
    .post_recv = loop_post_recv,
    .post_srq_recv = loop_post_srq_recv,
    .poll = loop_poll,
    .poll_cq = loop_poll_cq,
};

/* Gives the peer of 'loop' the 'len' bytes at 'data', for which it must have a
 * buffer. */
static void
loop_inject(struct loop *loop, const void *data, uint32_t len)
{
    struct loop_ring *ring = loop->peer->receives;
    const struct ordma_recv_wr *recv;

    assert(ring->tail != ring->head);
    recv = &ring->wrs[ring->tail++ % LOOP_RING];
    assert(len <= recv->len);
    memcpy(recv->addr, data, len);
    loop_complete(loop->peer, recv->wr_id, len, NULL);
}

/* Does the device's part: moves what 'loop' has sent, up to 'n' messages, to
 * its peer, as long as that has buffers.  Returns how many. */
static int
loop_run(struct loop *loop, int n)
{
    const struct loop_ring *ring = loop->peer->receives;
    int i;

    for (i = 0; (i < n && loop->sent_tail != loop->sent_head
                 && ring->tail != ring->head); i++) {
        const struct ordma_send_wr *send
            = &loop->sent[loop->sent_tail++ % LOOP_RING];

        loop_inject(loop, send->addr, send->len);
        if (send->flags & ORDMA_SEND_SIGNALED) {
            loop_complete(loop, send->wr_id, 0, NULL);
        }
    }
    return i;
}

/* Fails 'loop': all that is posted completes with an error. */
static inline void
loop_fail(struct loop *loop)
{
    loop->failed = true;
    while (loop->sent_tail != loop->sent_head) {
        loop_complete(loop, loop->sent[loop->sent_tail++ % LOOP_RING].wr_id,
                      0, "flushed");
    }
}

static void
loop_init_eal(int argc, char *argv[])
{
    char *args[32] = { "ovstest", "--no-pci", "--no-telemetry",
                       "--log-level=error", "-m", "256", "--in-memory" };
    int n = argc > 3 ? 6 : 7;

    for (int i = 3; i < argc && n < ARRAY_SIZE(args); i++) {
        args[n++] = argv[i];
    }
    assert(rte_eal_init(n, args) >= 0);
}

static struct ordma_dev *
loop_create_dev(void)
{
    struct ordma_dev *dev = xzalloc(sizeof *dev);

    ovs_mutex_lock(&ordma_mutex);
    assert(!ordma_dev_init(dev, &loop_provider, "loop"));
    ovs_mutex_unlock(&ordma_mutex);
    return dev;
}

/* Returns a connection of 'dev' to 'peer', or to itself if that is null. */
static struct loop *
loop_create(struct ordma_dev *dev, struct loop *peer)
{
    struct loop *loop = xzalloc(sizeof *loop);

    loop->up.provider = &loop_provider;
    loop->up.dev = dev;
    loop->cq.provider = &loop_provider;
    loop->peer = peer ? peer : loop;
    if (peer) {
        peer->peer = loop;
    }
    return loop;
}

/* Returns a session of one lane on 'loop', for 'port'. */
static struct ordma_session *
loop_create_session(struct netdev_rdma *port, struct loop *loop)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session
        = xzalloc_cacheline(sizeof *session + sizeof session->links[0]);
    struct ordma_link *link = &session->links[0];
    struct ordma_lane_params params = {
        .conn = &loop->up,
        .rx_pool = port->pools.rx,
        .tx_pool = port->pools.tx,
        .n_recv = port->have.n_rxq_desc,
        .n_shared = port->have.n_rxq_desc,
        .n_send = port->have.n_txq_desc,
    };

    assert(!ordma_lane_create(&params, &port->stats, &link->lane));
    link->session = session;
    loop->up.aux = link;
    session->n_lanes = 1;
    session->max_msg = port->pools.rx->data_len;
    in6_addr_set_mapped_ipv4(&session->local, htonl(0xc0000201));
    in6_addr_set_mapped_ipv4(&session->remote, htonl(0xc0000202));
    session->in_key.mode = ORDMA_KEY_FLOW;
    return session;
}

/* Returns a port with 'n_desc' descriptors of each kind and a session on
 * 'loop', without the rest of OVS.  The lane has no credits yet. */
static struct netdev_rdma *
loop_create_port(struct loop *loop, int n_desc)
{
    struct netdev_rdma *port = xzalloc_cacheline(sizeof *port);

    port->have = (struct netdev_rdma_params) {
        .n_rxq = 1,
        .n_txq = 1,
        .n_rxq_desc = n_desc,
        .n_txq_desc = n_desc,
        .mtu = NETDEV_RDMA_DEFAULT_MTU,
    };
    port->up.netdev_class = &netdev_rdma_class;
    port->up.name = "loop";
    port->up.n_rxq = 1;
    port->txqs = xzalloc_cacheline(sizeof *port->txqs);
    port->rxqs = xzalloc_cacheline(sizeof *port->rxqs);
    ovs_spin_init(&port->txqs[0].lock);
    ovsrcu_init(&port->rxqs[0].cq, &loop->cq);
    port->max_frame = port->have.mtu + NETDEV_RDMA_L2_LEN;
    port->max_tso_frame = port->max_frame;
    atomic_init(&port->is_up, true);
    assert(!netdev_rdma_pools_get(&port->have, false, &port->pools));
    ovs_mutex_lock(&ordma_mutex);
    ovsrcu_init(&port->session, loop_create_session(port, loop));
    ovs_mutex_unlock(&ordma_mutex);
    return port;
}

static inline struct ordma_lane *
loop_lane(struct loop *loop)
{
    const struct ordma_link *link = loop->up.aux;

    return link->lane;
}

/* Tells 'loop' the credits that its peer grants. */
static void
loop_start(struct loop *loop)
{
    ovs_mutex_lock(&ordma_mutex);
    ordma_lane_start(loop_lane(loop),
                     ordma_lane_initial_credits(loop_lane(loop->peer)));
    ovs_mutex_unlock(&ordma_mutex);
}

static struct netdev_rdma_rxq *
loop_create_rxq(struct netdev_rdma *port)
{
    struct netdev_rdma_rxq *rxq = xzalloc_cacheline(sizeof *rxq);

    rxq->up.netdev = &port->up;
    rxq->stats = &port->rxqs[0].stats;
    return rxq;
}

#endif /* tests/rdma-loop.h */

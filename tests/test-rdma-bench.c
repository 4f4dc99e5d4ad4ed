/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Benchmark: what a frame costs between a bridge and an RDMA device. */

/* Measures what a frame costs in cycles between a bridge and an RDMA device,
 * with the device taken out:
 *
 *     ovstest-rdma bench-rdma [FRAME_LEN [N_BURSTS [EAL_ARGUMENTS...]]]
 *
 * EAL_ARGUMENTS replace "--in-memory".  With "--no-huge --no-shconf", valgrind
 * can count instructions.
 *
 * A port sends bursts to itself through a queue pair that does nothing but
 * copy, outside of what is measured.  Prints the median over the bursts of the
 * cycles of netdev_rdma_send() and of netdev_rdma_rxq_recv(), by frame.  The
 * latter includes freeing what was sent and posting receive buffers.  Also
 * prints the cycles of a poll that finds nothing. */

#undef NDEBUG
#include <config.h>

#include <assert.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include "netdev-rdma-private.h"
#include "ovs-numa.h"
#include "ovs-thread.h"
#include "ovstest.h"
#include "packets.h"
#include "rdma-compat.h"
#include "rdma-lane.h"
#include "rdma-pool.h"
#include "util.h"

#define DESC 2048
#define BURST NETDEV_MAX_BURST
#define RING 4096

/* A queue pair that is connected to itself. */
struct loop {
    struct ordma_conn up;
    struct ordma_recv_wr rq[RING];
    uint32_t rq_head, rq_tail;
    struct ordma_send_wr sent[RING];
    int n_sent;
    struct ordma_wc wcs[2 * RING];
    int n_wcs, next_wc;
};

static struct loop *
loop_cast(struct ordma_conn *conn)
{
    return CONTAINER_OF(conn, struct loop, up);
}

static int
loop_create_qp(struct ordma_conn *conn OVS_UNUSED,
               const struct ordma_qp_cap *cap OVS_UNUSED)
{
    return 0;
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

static int
loop_post_send(struct ordma_conn *conn, const struct ordma_send_wr wrs[],
               int n)
{
    struct loop *loop = loop_cast(conn);

    memcpy(&loop->sent[loop->n_sent], wrs, n * sizeof *wrs);
    loop->n_sent += n;
    return n;
}

static int
loop_post_recv(struct ordma_conn *conn, const struct ordma_recv_wr wrs[],
               int n)
{
    struct loop *loop = loop_cast(conn);

    for (int i = 0; i < n; i++) {
        loop->rq[loop->rq_head++ % RING] = wrs[i];
    }
    return n;
}

static int
loop_poll(struct ordma_conn *conn, struct ordma_wc wcs[], int n)
{
    struct loop *loop = loop_cast(conn);

    n = MIN(n, loop->n_wcs - loop->next_wc);
    memcpy(wcs, &loop->wcs[loop->next_wc], n * sizeof *wcs);
    loop->next_wc += n;
    return n;
}

static const struct ordma_provider loop_provider = {
    .name = "loop",
    .create_qp = loop_create_qp,
    .reg_mr = loop_reg_mr,
    .dereg_mr = loop_dereg_mr,
    .post_send = loop_post_send,
    .post_recv = loop_post_recv,
    .poll = loop_poll,
};

/* Does the device's part: moves what was sent to receive buffers. */
static void
loop_run(struct loop *loop)
{
    assert(loop->next_wc == loop->n_wcs);
    loop->n_wcs = loop->next_wc = 0;
    for (int i = 0; i < loop->n_sent; i++) {
        const struct ordma_send_wr *send = &loop->sent[i];
        const struct ordma_recv_wr *recv
            = &loop->rq[loop->rq_tail++ % RING];

        assert(send->len <= recv->len);
        memcpy(recv->addr, send->addr, send->len);
        loop->wcs[loop->n_wcs++] = (struct ordma_wc) {
            .wr_id = recv->wr_id,
            .byte_len = send->len,
        };
        if (send->flags & ORDMA_SEND_SIGNALED) {
            loop->wcs[loop->n_wcs++] = (struct ordma_wc) {
                .wr_id = send->wr_id,
            };
        }
    }
    loop->n_sent = 0;
}

static void
init_eal(int argc, char *argv[])
{
    char *args[32] = { "bench", "--no-pci", "--no-telemetry",
                       "--log-level=error", "-m", "128", "--in-memory" };
    int n = argc > 3 ? 6 : 7;

    for (int i = 3; i < argc && n < ARRAY_SIZE(args); i++) {
        args[n++] = argv[i];
    }
    assert(rte_eal_init(n, args) >= 0);
}

static struct loop *
create_loop(void)
{
    struct ordma_dev *dev = xzalloc(sizeof *dev);
    struct loop *loop = xzalloc(sizeof *loop);

    assert(!ordma_dev_init(dev, &loop_provider, "loop", OVS_NUMA_UNSPEC));
    loop->up.provider = &loop_provider;
    loop->up.dev = dev;
    return loop;
}

/* Returns a session of one lane on 'loop', for 'port'. */
static struct ordma_session *
create_session(struct netdev_rdma *port, struct loop *loop)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = xzalloc_cacheline(sizeof *session);
    struct ordma_lane_params params = {
        .conn = &loop->up,
        .rx_pool = port->rx_pool,
        .tx_pool = port->tx_pool,
        .n_recv = DESC,
        .n_send = DESC,
    };
    struct ordma_lane **lane = &session->links[0].lane;

    assert(!ordma_lane_create(&params, &port->stats, lane));
    ordma_lane_start(*lane, ordma_lane_initial_credits(*lane));
    session->n_lanes = 1;
    session->max_msg = port->rx_pool->data_len;
    in6_addr_set_mapped_ipv4(&session->local, htonl(0xc0000201));
    in6_addr_set_mapped_ipv4(&session->remote, htonl(0xc0000202));
    session->in_key.mode = ORDMA_KEY_FLOW;
    return session;
}

/* Returns a port with a session on 'loop', without the rest of OVS. */
static struct netdev_rdma *
create_port(struct loop *loop)
{
    struct netdev_rdma *port = xzalloc_cacheline(sizeof *port);

    port->up.netdev_class = &netdev_rdma_class;
    port->up.n_rxq = 1;
    port->txqs = xzalloc_cacheline(sizeof *port->txqs);
    port->rxqs = xzalloc_cacheline(sizeof *port->rxqs);
    port->max_frame = NETDEV_RDMA_DEFAULT_MTU + NETDEV_RDMA_L2_LEN;
    port->max_tso_frame = port->max_frame;
    atomic_init(&port->is_up, true);
    assert(!ordma_pool_create("rx", DESC + 1024, 4096, 0, &port->rx_pool));
    assert(!ordma_pool_create("tx", DESC + 4096, 3072, 0, &port->tx_pool));
    port->big_pool = port->tx_pool;
    ovs_mutex_lock(&ordma_mutex);
    ovsrcu_init(&port->session, create_session(port, loop));
    ovs_mutex_unlock(&ordma_mutex);
    return port;
}

/* Fills 'batch' with packets as a guest's port and "set_tunnel" leave them. */
static void
make_packets(struct ordma_pool *pool, uint16_t frame_len,
             struct dp_packet_batch *batch)
{
    struct rte_mbuf *mbufs[BURST];

    assert(!rte_pktmbuf_alloc_bulk(pool->mp, mbufs, BURST));
    dp_packet_batch_init(batch);
    for (int i = 0; i < BURST; i++) {
        struct dp_packet *packet = CONTAINER_OF(mbufs[i], struct dp_packet,
                                                mbuf);

        ordma_packet_init_fields(packet);
        memset(rte_pktmbuf_append(mbufs[i], frame_len), i, frame_len);
        pkt_metadata_init_tnl(&packet->md);
        packet->md.tunnel.ip_dst = htonl(0xc0000202);
        packet->md.tunnel.flags = FLOW_TNL_F_KEY;
        packet->md.tunnel.tun_id = htonll(i);
        dp_packet_set_rss_hash(packet, i);
        dp_packet_batch_add(batch, packet);
    }
}

/* Checks and frees 'batch', which begins with packet number 'first' of what
 * make_packets() makes. */
static void
check_and_free(struct dp_packet_batch *batch, uint16_t frame_len, int first)
{
    struct dp_packet *packet;

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        assert(dp_packet_size(packet) == frame_len);
        assert(packet->md.tunnel.tun_id == htonll(first + i));
        assert(*(uint8_t *) dp_packet_data(packet) == first + i);
    }
    dp_packet_delete_batch(batch, true);
}

/* Receives a burst from 'rxq'.  Returns the cycles, an idle poll at the end
 * included. */
static uint32_t
receive(struct netdev_rdma_rxq *rxq, uint16_t frame_len)
{
    uint32_t cycles = 0;
    int n = 0, error;

    do {
        struct dp_packet_batch batch;
        uint64_t start;

        dp_packet_batch_init(&batch);
        start = rte_rdtsc_precise();
        error = netdev_rdma_rxq_recv(&rxq->up, &batch, NULL);
        cycles += rte_rdtsc_precise() - start;
        n += dp_packet_batch_size(&batch);
        check_and_free(&batch, frame_len, n - dp_packet_batch_size(&batch));
    } while (!error);
    assert(n == BURST);
    return cycles;
}

static int
compare_u32(const void *a_, const void *b_)
{
    const uint32_t *a = a_, *b = b_;

    return *a < *b ? -1 : *a > *b;
}

static double
median(uint32_t cycles[], size_t n)
{
    qsort(cycles, n, sizeof *cycles, compare_u32);
    return (double) cycles[n / 2] / BURST;
}

/* Returns the median of the cycles of 'n' polls of 'rxq' that find nothing. */
static double
poll_idly(struct netdev_rdma_rxq *rxq, size_t n)
{
    uint32_t *cycles = xcalloc(n, sizeof *cycles);

    for (size_t i = 0; i < n; i++) {
        struct dp_packet_batch batch;
        uint64_t start;

        dp_packet_batch_init(&batch);
        start = rte_rdtsc_precise();
        assert(netdev_rdma_rxq_recv(&rxq->up, &batch, NULL) == EAGAIN);
        cycles[i] = rte_rdtsc_precise() - start;
    }
    return median(cycles, n) * BURST;
}

static void
bench_rdma_main(int argc, char *argv[])
{
    uint16_t frame_len = argc > 1 ? atoi(argv[1]) : 64;
    size_t n = argc > 2 ? atoi(argv[2]) : 20000;
    uint32_t *tx = xcalloc(n, sizeof *tx), *rx = xcalloc(n, sizeof *rx);
    struct netdev_rdma_rxq *rxq = xzalloc_cacheline(sizeof *rxq);
    struct ordma_pool *guest_pool;
    struct netdev_rdma *port;
    struct loop *loop;

    set_program_name(argv[0]);
    init_eal(argc, argv);
    loop = create_loop();
    port = create_port(loop);
    rxq->up.netdev = &port->up;
    rxq->stats = &port->rxqs[0].stats;
    assert(!ordma_pool_create("guest", 4096, 2048, 0, &guest_pool));

    for (size_t i = 0; i < n; i++) {
        struct dp_packet_batch batch;
        uint64_t start;

        make_packets(guest_pool, frame_len, &batch);
        start = rte_rdtsc_precise();
        netdev_rdma_send(&port->up, 0, &batch, false);
        tx[i] = rte_rdtsc_precise() - start;

        loop_run(loop);
        rx[i] = receive(rxq, frame_len);
    }
    printf("%d bytes: %.1f cycles a frame to send, %.1f to receive, "
           "%.1f an idle poll\n",
           frame_len, median(tx, n), median(rx, n), poll_idly(rxq, n));
}

OVSTEST_REGISTER("bench-rdma", bench_rdma_main);

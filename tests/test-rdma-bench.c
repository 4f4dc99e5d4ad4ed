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

#include <rte_cycles.h>

#include "ovstest.h"
#include "tests/rdma-loop.h"

#define DESC 2048
#define BURST NETDEV_MAX_BURST

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
    struct ordma_pool *guest_pool;
    struct netdev_rdma_rxq *rxq;
    struct netdev_rdma *port;
    struct loop *loop;

    set_program_name(argv[0]);
    loop_init_eal(argc, argv);
    loop = loop_create(loop_create_dev(), NULL);
    port = loop_create_port(loop, DESC);
    loop_start(loop);
    rxq = loop_create_rxq(port);
    assert(!ordma_pool_get(ORDMA_POOL_TX, 4096, 2048, 0, &guest_pool));

    for (size_t i = 0; i < n; i++) {
        struct dp_packet_batch batch;
        uint64_t start;

        make_packets(guest_pool, frame_len, &batch);
        start = rte_rdtsc_precise();
        netdev_rdma_send(&port->up, 0, &batch, false);
        tx[i] = rte_rdtsc_precise() - start;

        loop_run(loop, INT_MAX);
        rx[i] = receive(rxq, frame_len);
    }
    printf("%d bytes: %.1f cycles a frame to send, %.1f to receive, "
           "%.1f an idle poll\n",
           frame_len, median(tx, n), median(rx, n), poll_idly(rxq, n));
}

OVSTEST_REGISTER("bench-rdma", bench_rdma_main);

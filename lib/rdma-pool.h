/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Pools of packet buffers that outlive their users. */

#ifndef RDMA_POOL_H
#define RDMA_POOL_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <rte_mbuf.h>

#include "util.h"

/* Longest 'data_len' of a pool: the size of an mbuf is a uint16_t, and
 * rte_pktmbuf_pool_create() wants it to be a multiple of 8. */
#define ORDMA_POOL_MAX_LEN \
    (ROUND_DOWN(UINT16_MAX, 8) - RTE_PKTMBUF_HEADROOM)

/* Pools of packet buffers
 * =======================
 *
 * mbufs laid out as dp_packets of source DPBUF_DPDK, in DPDK's heap and so in
 * registered memory.  Any thread may allocate from 'mp' and free to it.
 *
 * A pool is shared by reference counting.  Packets of a pool can outlive its
 * last reference, in a guest's or a NIC's queue, so that a pool without
 * references stays until all its packets are back. */
struct ordma_pool {
    struct rte_mempool *mp;
    uint16_t data_len;          /* Bytes behind the headroom of a buffer. */
};

/* Creates a pool of at least 'n' buffers that hold 'data_len' bytes, at most
 * ORDMA_POOL_MAX_LEN, behind RTE_PKTMBUF_HEADROOM, on NUMA node 'numa_id'.
 * 'name' is for people.  Returns 0 and the pool in '*poolp', or a positive
 * errno value.  Main thread. */
int ordma_pool_create(const char *name, unsigned int n, uint16_t data_len,
                      int numa_id, struct ordma_pool **poolp);

/* Takes another reference.  Main thread. */
struct ordma_pool *ordma_pool_ref(struct ordma_pool *);

/* Drops a reference to 'pool', which may be null.  Does not block.  Any
 * thread. */
void ordma_pool_unref(struct ordma_pool *);

/* Frees pools that are not referenced and whose packets are all back.
 * Main thread. */
void ordma_pools_run(void);

/* Arranges for poll_block() to wake up when ordma_pools_run() is worth a
 * try. */
void ordma_pools_wait(void);

#endif /* rdma-pool.h */

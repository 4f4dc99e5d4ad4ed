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

#include "ovs-atomic.h"
#include "util.h"

/* Longest 'data_len' of a pool: the size of an mbuf is a uint16_t, and
 * rte_pktmbuf_pool_create() wants it to be a multiple of 8. */
#define ORDMA_POOL_MAX_LEN \
    (ROUND_DOWN(UINT16_MAX, 8) - RTE_PKTMBUF_HEADROOM)

/* Shares
 * ======
 *
 * Users of the same thing may each have a share of it: their part, as if all
 * had the same, but ORDMA_MIN_SHARE at least, since not all want theirs at
 * once.  What they keep without need must not be more than their part.  The
 * main thread counts users, others ask. */

#define ORDMA_MIN_SHARE 32

struct ordma_share {
    uint32_t total;
    unsigned int n_users;       /* The main thread's. */
    atomic_uint32_t part;       /* For any thread. */
};

static inline void
ordma_share_init(struct ordma_share *share, uint32_t total)
{
    share->total = total;
    share->n_users = 0;
    atomic_init(&share->part, total);
}

/* Adds 'n' to the users of 'share'.  Main thread. */
static inline void
ordma_share_add(struct ordma_share *share, int n)
{
    share->n_users += n;
    atomic_store_relaxed(&share->part,
                         share->total / MAX(share->n_users, 1));
}

static inline uint32_t
ordma_share_part(const struct ordma_share *share)
{
    uint32_t part;

    atomic_read_relaxed(&CONST_CAST(struct ordma_share *, share)->part,
                        &part);
    return part;
}

static inline uint32_t
ordma_share_get(const struct ordma_share *share)
{
    return MAX(ordma_share_part(share), ORDMA_MIN_SHARE);
}

/* Pools of packet buffers
 * =======================
 *
 * mbufs laid out as dp_packets of source DPBUF_DPDK, in DPDK's heap and so in
 * registered memory.  Any thread may allocate from 'mp' and free to it.
 *
 * Pools belong to the process: ports whose buffers are of the same use, length
 * and NUMA node have the same.  Packets of a pool can outlive its last
 * reference, in a guest's or a NIC's queue, so that a pool without references
 * stays until all its packets are back, or somebody wants it again. */

enum ordma_pool_use {
    ORDMA_POOL_RX,              /* Messages received. */
    ORDMA_POOL_TX,              /* Messages to send, and copies. */
};

struct ordma_pool {
    struct rte_mempool *mp;
    uint16_t data_len;          /* Bytes behind the headroom of a buffer. */
    unsigned int n;             /* Buffers. */
    unsigned int n_wanted;      /* Buffers that there should be: more than 'n'
                                 * if there was not enough memory. */

    /* Messages that a lane may have under way, if for TX. */
    struct ordma_share share;
};

/* The least buffers that a pool can have. */
#define ORDMA_POOL_MIN_BUFFERS 64

/* Finds or creates a pool of 'n' buffers or more that hold 'data_len' bytes,
 * at most ORDMA_POOL_MAX_LEN, behind RTE_PKTMBUF_HEADROOM, on NUMA node
 * 'numa_id' or, if that has no memory, another.  With too little memory for a
 * new one, it has less buffers.  Returns 0 and a reference to the pool in
 * '*poolp', or a positive errno value if there is no memory for
 * ORDMA_POOL_MIN_BUFFERS.  Main thread. */
int ordma_pool_get(enum ordma_pool_use use, unsigned int n, uint16_t data_len,
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

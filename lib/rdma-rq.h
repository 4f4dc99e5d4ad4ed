/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Receive buffers, of one queue pair or shared by several. */

#ifndef RDMA_RQ_H
#define RDMA_RQ_H 1

#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/list.h"
#include "openvswitch/thread.h"
#include "ovs-atomic.h"
#include "rdma-pool.h"
#include "rdma-provider.h"
#include "util.h"

struct rte_mbuf;

/* Receive queues
 * ==============
 *
 * A receive queue has the buffers that a device may fill: those of one queue
 * pair, or, if the device can do that, those that several queue pairs share.
 * Queue pairs that share take buffers in any order, so each buffer has a slot,
 * whose number is the 'wr_id' of its work request.  A slot is in use from
 * posting the buffer until ordma_rq_take().
 *
 * Sharing
 * -------
 *
 * The lanes of all ports that have buffers from the same pool, belong to the
 * same receive queue of their ports, want queues of the same length and use
 * the same device share one queue.  It comes with the first of them and goes
 * with the last.  A peer takes a buffer for each message that arrives or has
 * begun to arrive, and a message that finds none waits at the peer.  So
 * nothing is lost when all peers send at once.
 *
 * A peer may send as many messages as the queue has buffers for each of those
 * that share it, 'share', so that one that sends a lot, or that does not
 * finish what it has begun, leaves the others theirs.
 *
 * Threads
 * -------
 *
 * Whoever polls one of the queue pairs takes and posts: one PMD thread, and
 * the main thread for lanes in SETUP and DRAIN.  That is what 'lock' is for,
 * which is held for one burst.  The rest is the main thread's. */
struct ordma_rq {
    /* Read only between creation and destruction. */
    const struct ordma_provider *provider;
    struct ordma_srq *srq;      /* Null if one queue pair has it. */
    struct ordma_pool *pool;    /* Where buffers come from. */
    uint32_t n;                 /* Slots. */
    uint32_t batch;             /* Post when so many are missing. */
    struct ordma_share share;   /* Buffers for a lane, if shared. */

    OVS_ALIGNED_VAR(CACHE_LINE_SIZE)
    struct ovs_spin lock;
    struct rte_mbuf **mbufs OVS_GUARDED;    /* By slot, if in use. */
    uint32_t *free_slots OVS_GUARDED;       /* 'n_free' of them. */
    atomic_uint32_t n_free;     /* Written with 'lock' held. */

    /* The main thread's. */
    struct ovs_list node OVS_GUARDED_BY(ordma_mutex);   /* If shared. */
    const struct ordma_dev *dev;    /* If shared by connections of one. */
    unsigned int index;         /* If shared: receive queue of the port. */
    uint32_t n_wanted;          /* As 'n', if the pool had enough. */
};

/* Returns the queue of 'n' buffers of 'pool' that connections of 'dev' share
 * for receive queue 'index' of their ports, creating it if there is none, with
 * another reference to it.  If the pool has not enough left for a new queue,
 * because others have it, the queue is smaller.  If the device cannot do that,
 * the queue is for one queue pair alone and has 'n_own' buffers.  None is
 * posted yet in a new queue. */
struct ordma_rq *ordma_rq_get(struct ordma_dev *dev, struct ordma_pool *pool,
                              unsigned int index, uint32_t n, uint32_t n_own)
    OVS_REQUIRES(ordma_mutex);

/* Drops a reference to 'rq', and with the last one frees what is posted, when
 * no queue pair uses it any more. */
void ordma_rq_unref(struct ordma_rq *rq) OVS_REQUIRES(ordma_mutex);

/* Posts buffers, in groups, or in smaller ones while less than 'n_needed' are
 * posted.  'conn' is a connection that the queue is for.  Posts less if the
 * pool has no more.  Returns false if the device does not take them.  Any
 * thread that may poll 'conn'. */
bool ordma_rq_refill(struct ordma_rq *rq, struct ordma_conn *conn,
                     uint32_t n_needed) OVS_EXCLUDED(rq->lock);

/* Moves the buffers in the 'n' 'slots', which have completed, to 'mbufs', and
 * frees the slots.  Any thread that polls. */
void ordma_rq_take(struct ordma_rq *rq, const uint32_t slots[], int n,
                   struct rte_mbuf *mbufs[]) OVS_EXCLUDED(rq->lock);

/* Returns how many buffers are posted and not taken yet.  Any thread. */
static inline uint32_t
ordma_rq_n_posted(const struct ordma_rq *rq)
{
    uint32_t n_free;

    atomic_read_relaxed(&CONST_CAST(struct ordma_rq *, rq)->n_free, &n_free);
    return rq->n - n_free;
}

#endif /* rdma-rq.h */

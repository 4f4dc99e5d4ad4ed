/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Receive buffers, of one queue pair or shared by several. */

#include <config.h>

#include "rdma-rq.h"

#include <errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "coverage.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "rdma-mem.h"

VLOG_DEFINE_THIS_MODULE(rdma_rq);

COVERAGE_DEFINE(rdma_no_rx_buffer);

/* Buffers are posted in groups of this size. */
#define REFILL_BATCH ORDMA_MAX_BURST

/* Queues that are shared. */
static struct ovs_list shared_rqs OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&shared_rqs);

/* Buffers. */

static void
set_n_free(struct ordma_rq *rq, uint32_t n_free)
    OVS_REQUIRES(rq->lock)
{
    atomic_store_relaxed(&rq->n_free, n_free);
}

static int
post(struct ordma_rq *rq, struct ordma_conn *conn,
     const struct ordma_recv_wr wrs[], int n)
{
    return (!n ? 0
            : rq->srq
            ? rq->provider->post_srq_recv(rq->srq, wrs, n)
            : rq->provider->post_recv(conn, wrs, n));
}

/* Posts the 'n' buffers 'mbufs', for which there are slots.  Returns how many
 * were posted. */
static int
post_buffers(struct ordma_rq *rq, struct ordma_conn *conn,
             struct rte_mbuf *mbufs[], int n)
    OVS_REQUIRES(rq->lock)
{
    uint32_t n_free = rq->n - ordma_rq_n_posted(rq);
    struct ordma_recv_wr wrs[REFILL_BATCH];
    uint16_t len = rq->pool->data_len;
    unsigned int hint = 0;
    int i;

    for (i = 0; i < n; i++) {
        uint32_t slot = rq->free_slots[n_free - 1 - i];

        rq->mbufs[slot] = mbufs[i];
        wrs[i].wr_id = slot;
        wrs[i].addr = rte_pktmbuf_mtod(mbufs[i], void *);
        wrs[i].len = len;
        if (!ordma_mem_lookup(conn->dev->mem, wrs[i].addr, len, &hint,
                              &wrs[i].lkey)) {
            break;
        }
    }
    n = post(rq, conn, wrs, i);
    set_n_free(rq, n_free - n);
    return n;
}

/* Returns how many buffers to post now. */
static int
refill_size(const struct ordma_rq *rq, uint32_t n_needed)
{
    uint32_t n_posted = ordma_rq_n_posted(rq);
    uint32_t n_missing = rq->n - n_posted;

    return (n_missing >= rq->batch || n_posted < n_needed
            ? MIN(n_missing, REFILL_BATCH) : 0);
}

/* Posts a group of buffers.  Returns 0, ENOMEM if the pool has no more, or EIO
 * if the device does not take them. */
static int
refill_once(struct ordma_rq *rq, struct ordma_conn *conn, uint32_t n_needed)
    OVS_REQUIRES(rq->lock)
{
    struct rte_mbuf *mbufs[REFILL_BATCH];
    int n = refill_size(rq, n_needed);
    int n_done;

    if (rte_pktmbuf_alloc_bulk(rq->pool->mp, mbufs, n)) {
        COVERAGE_INC(rdma_no_rx_buffer);
        return ENOMEM;
    }
    n_done = post_buffers(rq, conn, mbufs, n);
    if (n_done < n) {
        rte_pktmbuf_free_bulk(&mbufs[n_done], n - n_done);
        return EIO;
    }
    return 0;
}

bool
ordma_rq_refill(struct ordma_rq *rq, struct ordma_conn *conn,
                uint32_t n_needed)
{
    int error = 0;

    while (!error && refill_size(rq, n_needed)) {
        ovs_spin_lock(&rq->lock);
        error = refill_once(rq, conn, n_needed);
        ovs_spin_unlock(&rq->lock);
    }
    return error != EIO;
}

void
ordma_rq_take(struct ordma_rq *rq, const uint32_t slots[], int n,
              struct rte_mbuf *mbufs[])
{
    uint32_t n_free;

    ovs_spin_lock(&rq->lock);
    n_free = rq->n - ordma_rq_n_posted(rq);
    for (int i = 0; i < n; i++) {
        mbufs[i] = rq->mbufs[slots[i]];
        rq->free_slots[n_free++] = slots[i];
    }
    set_n_free(rq, n_free);
    ovs_spin_unlock(&rq->lock);
}

/* Life cycle. */

static struct ordma_rq *
create_rq(const struct ordma_provider *provider, struct ordma_pool *pool,
          uint32_t n)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_rq *rq = xzalloc_cacheline(sizeof *rq);

    rq->provider = provider;
    rq->pool = ordma_pool_ref(pool);
    rq->n = n;
    rq->batch = MIN(REFILL_BATCH, n / 2);
    rq->mbufs = xcalloc(n, sizeof *rq->mbufs);
    rq->free_slots = xcalloc(n, sizeof *rq->free_slots);
    for (uint32_t i = 0; i < n; i++) {
        rq->free_slots[i] = n - 1 - i;
    }
    atomic_init(&rq->n_free, n);
    ordma_share_init(&rq->share, n);
    ovs_spin_init(&rq->lock);
    return rq;
}

/* Frees what is posted. */
static void
free_posted(struct ordma_rq *rq)
    OVS_REQUIRES(ordma_mutex)
{
    uint32_t n_free = rq->n - ordma_rq_n_posted(rq);

    for (uint32_t i = 0; i < n_free; i++) {
        rq->mbufs[rq->free_slots[i]] = NULL;
    }
    for (uint32_t i = 0; i < rq->n; i++) {
        rte_pktmbuf_free(rq->mbufs[i]);
    }
}

static void
destroy_rq(struct ordma_rq *rq)
    OVS_REQUIRES(ordma_mutex)
{
    free_posted(rq);
    ovs_spin_destroy(&rq->lock);
    ordma_pool_unref(rq->pool);
    free(rq->mbufs);
    free(rq->free_slots);
    free_cacheline(rq);
}

/* Returns true if connections of 'dev' can share 'rq', which others of the
 * same provider share. */
static bool
serves_dev(const struct ordma_rq *rq, const struct ordma_dev *dev)
{
    return (rq->provider == dev->provider
            && (rq->dev == dev || dev->provider->srq_serves_all_devs));
}

static struct ordma_rq *
find_shared(const struct ordma_dev *dev, const struct ordma_pool *pool,
            unsigned int index, uint32_t n)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_rq *rq;

    LIST_FOR_EACH (rq, node, &shared_rqs) {
        if (rq->pool == pool && rq->index == index && rq->n_wanted == n
            && serves_dev(rq, dev)) {
            return rq;
        }
    }
    return NULL;
}

/* Creates a queue to share, or returns null if 'dev' cannot do that. */
static struct ordma_rq *
create_shared(struct ordma_dev *dev, struct ordma_pool *pool,
              unsigned int index, uint32_t n)
    OVS_REQUIRES(ordma_mutex)
{
    uint32_t n_avail = rte_mempool_avail_count(pool->mp);
    struct ordma_rq *rq;
    int error;

    if (!dev->provider->create_srq) {
        return NULL;
    }
    rq = create_rq(dev->provider, pool, n <= n_avail ? n : n_avail / 2 + 2);
    error = dev->provider->create_srq(dev, rq->n, &rq->srq);
    if (error) {
        VLOG_INFO_ONCE("%s: no shared receive queue of %"PRIu32" buffers "
                       "(%s), each connection has its own",
                       dev->name, rq->n, ovs_strerror(error));
        destroy_rq(rq);
        return NULL;
    }
    rq->dev = dev;
    rq->index = index;
    rq->n_wanted = n;
    ovs_list_push_back(&shared_rqs, &rq->node);
    return rq;
}

struct ordma_rq *
ordma_rq_get(struct ordma_dev *dev, struct ordma_pool *pool,
             unsigned int index, uint32_t n, uint32_t n_own)
{
    struct ordma_rq *rq = find_shared(dev, pool, index, n);

    if (!rq) {
        rq = create_shared(dev, pool, index, n);
    }
    if (!rq) {
        rq = create_rq(dev->provider, pool, n_own);
    }
    ordma_share_add(&rq->share, 1);
    return rq;
}

void
ordma_rq_unref(struct ordma_rq *rq)
{
    ordma_share_add(&rq->share, -1);
    if (!rq->share.n_users) {
        if (rq->srq) {
            ovs_list_remove(&rq->node);
            rq->provider->destroy_srq(rq->srq);
        }
        destroy_rq(rq);
    }
}

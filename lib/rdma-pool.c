/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Pools of packet buffers that outlive their users. */

#include <config.h>

#include "rdma-pool.h"

#include <errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dp-packet.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_pool);

/* How often to look whether the packets of a pool without references are
 * back, in ms. */
#define SWEEP_INTERVAL 500

struct pool {
    struct ordma_pool up;
    struct ovs_list node;       /* In 'pools'. */
    enum ordma_pool_use use;
    int numa_id;                /* As asked for. */
    int n_refs;
};

static struct ovs_mutex pool_mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list pools OVS_GUARDED_BY(pool_mutex)
    = OVS_LIST_INITIALIZER(&pools);
static unsigned int n_dead OVS_GUARDED_BY(pool_mutex);
static long long int next_sweep OVS_GUARDED_BY(pool_mutex);

static void
init_packet(struct rte_mempool *mp OVS_UNUSED, void *aux OVS_UNUSED,
            void *packet, unsigned int i OVS_UNUSED)
{
    dp_packet_init_dpdk(packet);
}

/* Returns the size of the private area behind the rte_mbuf that makes room for
 * the rest of a dp_packet and the whole a multiple of the cache line. */
static uint16_t
private_size(uint32_t data_room)
{
    return (ROUND_UP(sizeof(struct dp_packet) + data_room, CACHE_LINE_SIZE)
            - sizeof(struct rte_mbuf) - data_room);
}

/* Returns a new memory pool of 'n' buffers, or null. */
static struct rte_mempool *
create_mempool(unsigned int n, uint16_t data_len, int numa_id)
{
    static unsigned int serial;
    uint32_t data_room = RTE_PKTMBUF_HEADROOM + data_len;
    /* A thread's cache keeps up to one and a half times as many. */
    unsigned int cache = MIN(n / 8, RTE_MEMPOOL_CACHE_MAX_SIZE / 2);
    const int nodes[] = { numa_id, SOCKET_ID_ANY };
    struct rte_mempool *mp = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(nodes) && !mp; i++) {
        char name[RTE_MEMPOOL_NAMESIZE];

        snprintf(name, sizeof name, "ordma%u", serial++);
        mp = rte_pktmbuf_pool_create(name, n, cache, private_size(data_room),
                                     data_room, nodes[i]);
    }
    if (mp) {
        rte_mempool_obj_iter(mp, init_packet, NULL);
    }
    return mp;
}

/* Creates a pool, of less than 'n' buffers if there is not enough memory.
 * Returns null if there is far too little. */
static struct pool *
create_pool(enum ordma_pool_use use, unsigned int n, uint16_t data_len,
            int numa_id)
{
    unsigned int n_wanted = n;
    struct rte_mempool *mp;
    struct pool *pool;

    do {
        mp = create_mempool(n, data_len, numa_id);
    } while (!mp && (n /= 2) >= ORDMA_POOL_MIN_BUFFERS);
    if (n < n_wanted) {
        VLOG_WARN("memory for %u of %u buffers of %"PRIu16" bytes on NUMA "
                  "node %d only: raise other_config:dpdk-socket-mem or the "
                  "number of hugepages", mp ? n : 0, n_wanted, data_len,
                  numa_id);
    }
    if (!mp) {
        return NULL;
    }
    pool = xzalloc(sizeof *pool);
    pool->up.mp = mp;
    pool->up.data_len = data_len;
    pool->up.n = n;
    pool->up.n_wanted = n_wanted;
    ordma_share_init(&pool->up.share, n / 2);
    pool->use = use;
    pool->numa_id = numa_id;
    return pool;
}

static struct pool *
find_pool(enum ordma_pool_use use, unsigned int n, uint16_t data_len,
          int numa_id)
    OVS_REQUIRES(pool_mutex)
{
    struct pool *pool;

    LIST_FOR_EACH (pool, node, &pools) {
        if (pool->use == use && pool->up.n_wanted >= n
            && pool->up.data_len == data_len && pool->numa_id == numa_id) {
            return pool;
        }
    }
    return NULL;
}

int
ordma_pool_get(enum ordma_pool_use use, unsigned int n, uint16_t data_len,
               int numa_id, struct ordma_pool **poolp)
{
    struct pool *pool;

    ovs_assert(data_len <= ORDMA_POOL_MAX_LEN);
    ovs_mutex_lock(&pool_mutex);
    pool = find_pool(use, n, data_len, numa_id);
    if (!pool) {
        pool = create_pool(use, n, data_len, numa_id);
        if (pool) {
            ovs_list_push_back(&pools, &pool->node);
        }
    } else if (!pool->n_refs) {
        n_dead--;
    }
    if (pool) {
        pool->n_refs++;
        *poolp = &pool->up;
    }
    ovs_mutex_unlock(&pool_mutex);
    return pool ? 0 : ENOMEM;
}

struct ordma_pool *
ordma_pool_ref(struct ordma_pool *pool_)
{
    struct pool *pool = CONTAINER_OF(pool_, struct pool, up);

    ovs_mutex_lock(&pool_mutex);
    pool->n_refs++;
    ovs_mutex_unlock(&pool_mutex);
    return pool_;
}

void
ordma_pool_unref(struct ordma_pool *pool_)
{
    if (pool_) {
        struct pool *pool = CONTAINER_OF(pool_, struct pool, up);

        ovs_mutex_lock(&pool_mutex);
        n_dead += !--pool->n_refs;
        ovs_mutex_unlock(&pool_mutex);
    }
}

/* Frees the pools that nobody refers to and whose packets are back. */
static void
sweep_pools(void)
    OVS_REQUIRES(pool_mutex)
{
    struct pool *pool;

    LIST_FOR_EACH_SAFE (pool, node, &pools) {
        if (!pool->n_refs && rte_mempool_full(pool->up.mp)) {
            ovs_list_remove(&pool->node);
            rte_mempool_free(pool->up.mp);
            free(pool);
            n_dead--;
        }
    }
}

void
ordma_pools_run(void)
{
    ovs_mutex_lock(&pool_mutex);
    if (n_dead && time_msec() >= next_sweep) {
        next_sweep = time_msec() + SWEEP_INTERVAL;
        sweep_pools();
    }
    ovs_mutex_unlock(&pool_mutex);
}

void
ordma_pools_wait(void)
{
    ovs_mutex_lock(&pool_mutex);
    if (n_dead) {
        poll_timer_wait_until(next_sweep);
    }
    ovs_mutex_unlock(&pool_mutex);
}

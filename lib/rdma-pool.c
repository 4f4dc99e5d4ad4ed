/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Pools of packet buffers that outlive their users. */

#include <config.h>

#include "rdma-pool.h"

#include <errno.h>
#include <rte_errno.h>
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
    struct ovs_list node;       /* In 'dead_pools' if n_refs == 0. */
    int n_refs;
};

static struct ovs_mutex pool_mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list dead_pools OVS_GUARDED_BY(pool_mutex)
    = OVS_LIST_INITIALIZER(&dead_pools);
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

int
ordma_pool_create(const char *name, unsigned int n, uint16_t data_len,
                  int numa_id, struct ordma_pool **poolp)
{
    static unsigned int serial;
    uint32_t data_room = RTE_PKTMBUF_HEADROOM + data_len;
    /* A thread's cache keeps up to one and a half times as many. */
    unsigned int cache = MIN(n / 8, RTE_MEMPOOL_CACHE_MAX_SIZE / 2);
    char mp_name[RTE_MEMPOOL_NAMESIZE];
    struct rte_mempool *mp;
    struct pool *pool;

    ovs_assert(data_len <= ORDMA_POOL_MAX_LEN);
    snprintf(mp_name, sizeof mp_name, "ordma%u", serial++);
    mp = rte_pktmbuf_pool_create(mp_name, n, cache, private_size(data_room),
                                 data_room, numa_id);
    if (!mp) {
        VLOG_INFO("%s: no memory for %u buffers on NUMA node %d, trying "
                  "others", name, n, numa_id);
        mp = rte_pktmbuf_pool_create(mp_name, n, cache,
                                     private_size(data_room), data_room,
                                     SOCKET_ID_ANY);
    }
    if (!mp) {
        VLOG_WARN("%s: cannot allocate %u buffers of %"PRIu32" bytes (%s): "
                  "raise dpdk-socket-mem or the number of hugepages, or lower "
                  "n_rxq, n_rxq_desc, n_txq_desc or mtu_request",
                  name, n, data_room, rte_strerror(rte_errno));
        return rte_errno ? rte_errno : ENOMEM;
    }
    rte_mempool_obj_iter(mp, init_packet, NULL);
    VLOG_DBG("%s: %s: %u buffers of %"PRIu32" bytes",
             name, mp_name, n, data_room);

    pool = xmalloc(sizeof *pool);
    pool->up.mp = mp;
    pool->up.data_len = data_len;
    pool->n_refs = 1;
    *poolp = &pool->up;
    return 0;
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
        if (!--pool->n_refs) {
            ovs_list_push_back(&dead_pools, &pool->node);
        }
        ovs_mutex_unlock(&pool_mutex);
    }
}

void
ordma_pools_run(void)
{
    struct pool *pool;

    ovs_mutex_lock(&pool_mutex);
    if (time_msec() >= next_sweep) {
        next_sweep = time_msec() + SWEEP_INTERVAL;
        LIST_FOR_EACH_SAFE (pool, node, &dead_pools) {
            if (rte_mempool_full(pool->up.mp)) {
                ovs_list_remove(&pool->node);
                rte_mempool_free(pool->up.mp);
                free(pool);
            }
        }
    }
    ovs_mutex_unlock(&pool_mutex);
}

void
ordma_pools_wait(void)
{
    ovs_mutex_lock(&pool_mutex);
    if (!ovs_list_is_empty(&dead_pools)) {
        poll_timer_wait_until(next_sweep);
    }
    ovs_mutex_unlock(&pool_mutex);
}

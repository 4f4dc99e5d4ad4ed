/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * How large the buffers of a port are, and how many it takes. */

#include <config.h>

#include "netdev-rdma-private.h"
#include "rdma-pool.h"
#include "util.h"

/* Messages of at least this size are received, so that many small frames fit
 * into one. */
#define MIN_MSG_SIZE 4096

/* Messages are built by copying up to at least this size. */
#define MIN_COPY_SIZE 3072

/* Buffers are a multiple of this, so that ports with about the same MTU have
 * the same. */
#define SIZE_STEP 1024

/* Received packets that may be in queues of other ports, beyond the buffers
 * posted. */
#define N_SPARE_RX 1024
#define N_SPARE_BIG_RX 512      /* The same if a buffer takes 64 kB. */

/* Copies: of frames sent, until the peer acknowledges, and of frames received,
 * while they are in queues of other ports. */
#define N_COPY 4096
#define N_BIG_COPY 256          /* The same if a buffer takes 64 kB. */

/* A kind of pool. */
struct kind {
    enum ordma_pool_use use;
    unsigned int n;
    uint16_t data_len;
    struct ordma_pool **pool;
};

/* Returns the size of buffers for messages of one frame of 'mtu' bytes, or for
 * those of 'min' bytes. */
static uint16_t
buffer_size(int mtu, uint32_t min)
{
    uint32_t one = ORDMA_MSG_MAX_OVERHEAD + mtu + NETDEV_RDMA_L2_LEN;

    return MIN(ROUND_UP(MAX(one, min), SIZE_STEP), ORDMA_POOL_MAX_LEN);
}

char *
netdev_rdma_pools_get(const struct netdev_rdma_params *params,
                      bool has_offload, struct netdev_rdma_pools *pools)
{
    unsigned int n_posted = params->n_rxq * params->n_rxq_desc;
    unsigned int n_sent = params->n_rxq * params->n_txq_desc;
    const struct kind kinds[] = {
        { ORDMA_POOL_RX,
          n_posted + (has_offload ? N_SPARE_BIG_RX : N_SPARE_RX),
          (has_offload ? ORDMA_POOL_MAX_LEN
           : buffer_size(params->mtu, MIN_MSG_SIZE)), &pools->rx },
        { ORDMA_POOL_TX, MAX(N_COPY, 2 * n_sent),
          buffer_size(params->mtu, MIN_COPY_SIZE), &pools->tx },
        { ORDMA_POOL_TX, N_BIG_COPY, ORDMA_POOL_MAX_LEN, &pools->big },
    };

    memset(pools, 0, sizeof *pools);
    for (size_t i = 0; i < (has_offload ? 3 : 2); i++) {
        const struct kind *kind = &kinds[i];

        if (ordma_pool_get(kind->use, kind->n, kind->data_len,
                           params->numa_id, kind->pool)) {
            netdev_rdma_pools_unref(pools);
            return xasprintf("no memory for %d buffers of %d bytes, raise "
                             "other_config:dpdk-socket-mem or the number of "
                             "hugepages, or lower mtu_request",
                             ORDMA_POOL_MIN_BUFFERS, kind->data_len);
        }
    }
    if (!has_offload) {
        pools->big = ordma_pool_ref(pools->tx);
    }
    return NULL;
}

void
netdev_rdma_pools_unref(struct netdev_rdma_pools *pools)
{
    ordma_pool_unref(pools->rx);
    ordma_pool_unref(pools->tx);
    ordma_pool_unref(pools->big);
}

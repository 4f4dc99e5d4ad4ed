/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The counters of a port: every frame once. */

#ifndef RDMA_STATS_H
#define RDMA_STATS_H 1

#include <stdint.h>

#include "ovs-atomic.h"

/* Counters of a port
 * ==================
 *
 * Each queue of a port has a set, and one more set counts what the main thread
 * does.  A set has one writer at a time, so that counting takes no atomic
 * read-modify-write; anyone may read.
 *
 * Every frame that a port is asked to send, or that arrives in a message, is
 * counted exactly once, in TX_PACKETS or RX_PACKETS or in one of the DROPS.
 * The names below, in lower case, are the names of custom statistics. */

/* Frames not sent. */
#define ORDMA_TX_DROPS                                                       \
    ORDMA_COUNTER(TX_ADMIN_DOWN_DROPS)   /* Interface is down. */            \
    ORDMA_COUNTER(TX_NO_CARRIER_DROPS)   /* Not connected to a peer. */      \
    ORDMA_COUNTER(TX_PENDING_DROPS)      /* Too many wait for a dial. */     \
    ORDMA_COUNTER(TX_PEER_LIMIT_DROPS)   /* Port has max_peers peers. */     \
    ORDMA_COUNTER(TX_NO_TUNNEL_DROPS)    /* No tunnel destination set. */    \
    ORDMA_COUNTER(TX_RUNT_DROPS)         /* Shorter than Ethernet. */        \
    ORDMA_COUNTER(TX_MTU_EXCEEDED_DROPS) /* Longer than MTU or peer takes. */ \
    ORDMA_COUNTER(TX_INVALID_HWOL_DROPS) /* Headers unfit for offload. */    \
    ORDMA_COUNTER(TX_NO_BUFFER_DROPS)    /* Nothing to copy the frame to. */ \
    ORDMA_COUNTER(TX_NO_CREDIT_DROPS)    /* Peer is slow. */                 \
    ORDMA_COUNTER(TX_QUEUE_FULL_DROPS)   /* Send queue is full. */

/* Frames sent, but the connection ended before the peer acknowledged. */
#define ORDMA_TX_LOST ORDMA_COUNTER(TX_FLUSHED_DROPS)

/* Frames received and not delivered. */
#define ORDMA_RX_DROPS                                                       \
    ORDMA_COUNTER(RX_ADMIN_DOWN_DROPS)   /* Interface is down. */            \
    ORDMA_COUNTER(RX_MALFORMED_DROPS)    /* Rest of a malformed message. */  \
    ORDMA_COUNTER(RX_WRONG_KEY_DROPS)    /* Key is not in_key. */            \
    ORDMA_COUNTER(RX_OVERSIZE_DROPS)     /* Longer than the MTU. */          \
    ORDMA_COUNTER(RX_INVALID_HWOL_DROPS) /* Headers unfit for offload. */    \
    ORDMA_COUNTER(RX_NO_BUFFER_DROPS)    /* Nothing to copy the frame to. */ \
    ORDMA_COUNTER(RX_TEARDOWN_DROPS)     /* Arrived as connection ended. */

/* Not frames, or not exclusive. */
#define ORDMA_OTHER_COUNTERS                                                 \
    ORDMA_COUNTER(TX_COPIED_PACKETS)     /* Frames copied to a message. */   \
    ORDMA_COUNTER(TX_MESSAGES)           /* DATA messages sent. */           \
    ORDMA_COUNTER(RX_MESSAGES)           /* DATA messages received. */       \
    ORDMA_COUNTER(RX_COPIED_PACKETS)     /* Frames copied from a message. */ \
    ORDMA_COUNTER(RX_MALFORMED_MESSAGES)                                     \
    ORDMA_COUNTER(CONNECTS)              /* Sessions that came up. */        \
    ORDMA_COUNTER(DISCONNECTS)           /* Sessions that went down. */      \
    ORDMA_COUNTER(REJECTED_REQUESTS)     /* Requests of peers refused. */

enum ordma_counter {
    ORDMA_TX_PACKETS,
    ORDMA_TX_BYTES,
    ORDMA_RX_PACKETS,
    ORDMA_RX_BYTES,
    ORDMA_N_BASIC_COUNTERS,

    /* From here on, custom statistics. */
    ORDMA_BEFORE_CUSTOM_COUNTERS = ORDMA_N_BASIC_COUNTERS - 1,
#define ORDMA_COUNTER(NAME) ORDMA_##NAME,
    ORDMA_TX_DROPS
    ORDMA_TX_LOST
    ORDMA_RX_DROPS
    ORDMA_OTHER_COUNTERS
#undef ORDMA_COUNTER
    ORDMA_N_COUNTERS
};

struct ordma_stats {
    atomic_uint64_t n[ORDMA_N_COUNTERS];
};

/* Adds 'n' to 'counter' in 'stats', whose only writer the caller is. */
static inline void
ordma_stats_add(struct ordma_stats *stats, enum ordma_counter counter,
                uint64_t n)
{
    uint64_t value;

    atomic_read_relaxed(&stats->n[counter], &value);
    atomic_store_relaxed(&stats->n[counter], value + n);
}

/* Adds all the counters of 'src' to 'totals'. */
static inline void
ordma_stats_sum(uint64_t totals[ORDMA_N_COUNTERS], struct ordma_stats *src)
{
    for (int i = 0; i < ORDMA_N_COUNTERS; i++) {
        uint64_t value;

        atomic_read_relaxed(&src->n[i], &value);
        totals[i] += value;
    }
}

/* Adds all the counters of 'src', which nobody writes any more, to 'dst'. */
static inline void
ordma_stats_merge(struct ordma_stats *dst, struct ordma_stats *src)
{
    for (int i = 0; i < ORDMA_N_COUNTERS; i++) {
        uint64_t value;

        atomic_read_relaxed(&src->n[i], &value);
        ordma_stats_add(dst, i, value);
    }
}

#endif /* rdma-stats.h */

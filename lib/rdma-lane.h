/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * A queue pair with its buffers and the credits of both directions. */

#ifndef RDMA_LANE_H
#define RDMA_LANE_H 1

#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/thread.h"
#include "ovs-atomic.h"
#include "rdma-provider.h"
#include "util.h"

struct ordma_pool;
struct ordma_rq;
struct ordma_stats;
struct rte_mbuf;

/* Lanes
 * =====
 *
 * A lane is one queue pair between a port and its peer, with the buffers
 * posted to it and the credits of both directions.
 *
 * Credits
 * -------
 *
 * A DATA message needs a credit, which is the peer's promise that it may take
 * one of the receive buffers that lanes of several peers share, see rdma-rq.h,
 * or, if the device cannot do that, that one is posted for it.  In the former
 * case there may be fewer buffers than promises, if many peers send at once:
 * then a message waits until there is one.  All the counts run freely modulo
 * 2**32:
 *
 *     tx_granted:   DATA messages that the peer has allowed so far.
 *     tx_sent:      DATA messages sent so far.
 *     rx_grantable: DATA messages that the buffers posted so far allow; with
 *                   shared buffers, the lane's share of them beyond those
 *                   received.
 *     rx_granted:   DATA messages that we have allowed the peer so far.
 *
 * The header of every message grants rx_grantable - rx_granted.  When nothing
 * is sent for a while, a CREDIT message does.
 *
 * Messages of other types need no credit.  ORDMA_LANE_RESERVE buffers are
 * posted beyond the credits granted and suffice for them, unless they are
 * shared: a side sends CREDIT only when it can grant half of the peer's
 * buffers, so that at most two can be under way before the peer must have
 * received one, and PING only when the last one was answered or is seconds
 * old.
 *
 * A lane may also have no more messages under way than its share of the pool
 * from which they come, so that a peer that does not acknowledge does not take
 * the buffers of all others with it.
 *
 * Threads
 * -------
 *
 * "Main" is whoever holds 'ordma_mutex'; "poller" the one PMD thread that has
 * the receive queue; "sender" any thread that holds 'tx_lock'.  The lock is
 * held for one burst, never while waiting for something.
 *
 * Send buffers travel in a ring: senders add at 'sq_head', the poller frees at
 * 'sq_tail' as completions come.  The poller therefore also serves a lane that
 * only sends. */

/* Receive buffers and send queue entries kept for messages without credit. */
#define ORDMA_LANE_RESERVE 8

struct ordma_lane_params {
    struct ordma_conn *conn;    /* Has a device, but no queue pair yet. */
    struct ordma_pool *rx_pool; /* For messages received. */
    struct ordma_pool *tx_pool; /* For messages without credit. */
    unsigned int n_recv;        /* Messages that may arrive before the first
                                 * is polled, ORDMA_LANE_RESERVE included. */
    unsigned int n_shared;      /* Buffers that it shares with other lanes of
                                 * 'rxq'. */
    unsigned int rxq;           /* Receive queue of the port. */
    unsigned int n_send;        /* Messages under way, likewise. */
    struct ordma_cq *cq;        /* Where it is polled. */
    uint8_t tos, ttl;           /* Of packets sent. */
};

/* A message to send: 'mbuf''s data begin with ORDMA_MSG_HEADER_LEN bytes that
 * ordma_lane_send() fills in. */
struct ordma_tx_msg {
    struct rte_mbuf *mbuf;
    uint16_t n_records;         /* Frames in it. */
    uint32_t n_bytes;           /* Bytes of these frames. */
};

/* What a lane has sent or received, for people.  One writer. */
struct ordma_lane_stats {
    atomic_uint64_t n_messages; /* Of type DATA. */
    atomic_uint64_t n_frames;
    atomic_uint64_t n_bytes;    /* Of messages of all types. */
};

struct ordma_lane {
    /* Read only between creation and destruction. */
    struct ordma_conn *conn;
    const struct ordma_provider *provider;
    struct ordma_pool *tx_pool;
    struct ordma_rq *rq;        /* Receive queue. */
    struct ordma_tx_msg *sq;    /* Send ring. */
    uint32_t sq_mask;           /* Size of the ring, minus 1. */
    uint32_t n_send;            /* DATA messages that we may send at most. */
    uint32_t n_recv;            /* The same for the peer. */

    /* Text that says why the lane has failed, or null. */
    ATOMIC(const char *) failure;

    /* Written by the poller, read by senders. */
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE)
    atomic_uint32_t sq_tail;
    atomic_uint32_t tx_granted;
    atomic_uint32_t rx_grantable;

    /* The poller's. */
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE)
    uint32_t n_rx_data;         /* DATA messages received. */
    uint16_t rx_sequence;       /* Of the next message. */
    bool pong_due;              /* PING not answered yet. */
    uint64_t n_flushed;         /* Frames in sends that did not complete. */
    atomic_count n_rx_messages; /* Of all types: for liveness. */
    struct ordma_lane_stats rx_stats;
    atomic_llong rtt;           /* Of the last PING and PONG, usec, or 0. */
    atomic_uint n_pongs;        /* PONGs received. */
    atomic_bool held;           /* Does the poller have more messages of it
                                 * than it could deliver? */

    /* For ordma_lane_drain(). */
    bool have_marker;           /* Posted the last send, at 'marker'. */
    bool flushed_marker;        /* It has completed. */
    uint32_t marker;

    /* The sender's. */
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE)
    struct ovs_spin tx_lock;
    uint32_t sq_head OVS_GUARDED;
    uint32_t tx_sent OVS_GUARDED;
    atomic_uint32_t rx_granted;     /* Written by senders only. */
    uint16_t tx_sequence OVS_GUARDED;
    uint16_t n_unsignaled OVS_GUARDED;
    unsigned int sq_hint OVS_GUARDED;
    struct ordma_lane_stats tx_stats;
    atomic_uint64_t n_tx_drops; /* Frames that ordma_lane_send() refused. */
    atomic_llong ping_time;     /* When the last PING was sent, usec, or 0. */
};

/* A message received takes one line from senders, and one sent none from the
 * poller. */
BUILD_ASSERT_DECL(offsetof(struct ordma_lane, failure) < CACHE_LINE_SIZE);
BUILD_ASSERT_DECL(offsetof(struct ordma_lane, sq_tail) % CACHE_LINE_SIZE == 0);
BUILD_ASSERT_DECL(offsetof(struct ordma_lane, rx_grantable)
                  - offsetof(struct ordma_lane, sq_tail) < CACHE_LINE_SIZE);
BUILD_ASSERT_DECL(offsetof(struct ordma_lane, n_rx_data) % CACHE_LINE_SIZE
                  == 0);
BUILD_ASSERT_DECL(offsetof(struct ordma_lane, tx_lock) % CACHE_LINE_SIZE == 0);

/* Creates a lane: a queue pair for 'params->conn', with receive buffers
 * posted.  Returns 0 and the lane in '*lanep', which owns 'params->conn' then,
 * or a positive errno value.  'stats' as in ordma_lane_destroy(). */
int ordma_lane_create(const struct ordma_lane_params *params,
                      struct ordma_stats *stats, struct ordma_lane **lanep)
    OVS_REQUIRES(ordma_mutex);

/* Works off what is left of 'lane', which is disconnected and which no other
 * thread uses any more, so that the frames that it has taken from the port but
 * not to the peer, or the reverse, can be counted.  Does not block: returns
 * false if it has to be called again. */
bool ordma_lane_drain(struct ordma_lane *lane, struct ordma_stats *stats)
    OVS_REQUIRES(ordma_mutex);

/* Destroys 'lane', which no other thread uses any more, with its connection.
 * Counts the frames of the sends that did not complete to 'stats'. */
void ordma_lane_destroy(struct ordma_lane *lane, struct ordma_stats *stats)
    OVS_REQUIRES(ordma_mutex);

/* Returns the number of DATA messages that the peer may send at first, for the
 * hello.  They count as granted. */
uint16_t ordma_lane_initial_credits(struct ordma_lane *lane)
    OVS_REQUIRES(ordma_mutex);

/* Takes the credits in the peer's hello. */
void ordma_lane_start(struct ordma_lane *lane, uint16_t credits)
    OVS_REQUIRES(ordma_mutex);

/* Why ordma_lane_send() took fewer messages than it was given. */
enum ordma_tx_result {
    ORDMA_TX_OK,
    ORDMA_TX_NO_CREDIT,
    ORDMA_TX_QUEUE_FULL,
    ORDMA_TX_FAILED
};

/* Sends the DATA messages 'msgs', '*n' of them, at most ORDMA_MAX_BURST, with
 * one doorbell.  Stores in '*n' how many it took; the others still belong to
 * the caller, and the result says why.  Any thread. */
enum ordma_tx_result ordma_lane_send(struct ordma_lane *lane,
                                     const struct ordma_tx_msg msgs[], int *n)
    OVS_EXCLUDED(lane->tx_lock);

/* Sends a PING of 'len' bytes, or as short as it can be.  Returns false if
 * that is not possible now.  Any thread. */
bool ordma_lane_ping(struct ordma_lane *lane, uint32_t len)
    OVS_EXCLUDED(lane->tx_lock);

/* Returns how many PONGs have answered.  The first ones wake the main thread.
 * Any thread. */
static inline unsigned int
ordma_lane_n_pongs(const struct ordma_lane *lane)
{
    unsigned int n;

    atomic_read_relaxed(&CONST_CAST(struct ordma_lane *, lane)->n_pongs, &n);
    return n;
}

/* Notes that the poller holds on to 'lane' between its calls, or not any more:
 * so long the lane is not destroyed.  Poller. */
static inline void
ordma_lane_hold(struct ordma_lane *lane, bool held)
{
    atomic_store_explicit(&lane->held, held, memory_order_release);
}

/* Any thread. */
static inline bool
ordma_lane_is_held(const struct ordma_lane *lane)
{
    bool held;

    atomic_read_explicit(&CONST_CAST(struct ordma_lane *, lane)->held, &held,
                         memory_order_acquire);
    return held;
}

/* Moves up to 'n' messages received, at most ORDMA_MAX_BURST, to 'msgs', and
 * frees what was sent.  Returns how many; the caller owns them.  Their data
 * have not been looked at.  Poller, or whoever replaces it. */
int ordma_lane_poll(struct ordma_lane *lane, struct rte_mbuf *msgs[], int n);

/* Takes the header of a message received, in the order of ordma_lane_poll():
 * credits, sequence, PING.  Fails the lane, and returns false, if it is out of
 * sequence or has no credit.  Poller. */
struct ordma_msg;
bool ordma_lane_received(struct ordma_lane *lane, const struct ordma_msg *);

/* Posts new receive buffers and sends what is due: credits, PONG.  To be
 * called after a round of ordma_lane_poll() and ordma_lane_received().
 * Poller. */
void ordma_lane_replenish(struct ordma_lane *lane)
    OVS_EXCLUDED(lane->tx_lock);

/* Marks 'lane' as failed because of 'reason', static text, and wakes the main
 * thread.  Any thread. */
void ordma_lane_fail(struct ordma_lane *lane, const char *reason);

/* Returns why 'lane' has failed, or null.  Any thread. */
static inline const char *
ordma_lane_failure(const struct ordma_lane *lane)
{
    const char *failure;

    atomic_read_relaxed(&CONST_CAST(struct ordma_lane *, lane)->failure,
                        &failure);
    return failure;
}

/* The state of a lane, for people. */
struct ordma_lane_info {
    uint32_t tx_credits;        /* DATA messages that we may send. */
    uint32_t rx_credits;        /* DATA messages that the peer may send. */
    uint32_t n_queued;          /* Sends not completed. */
    uint32_t n_send;            /* The most that there may be of those. */
    uint64_t tx_messages, tx_frames, tx_bytes, tx_drops;
    uint64_t rx_messages, rx_frames, rx_bytes;
    long long int rtt;          /* In usec, or 0 if not known. */
};

/* Adds the counts of 'lane' to those in '*info', the longest time being that
 * of all. */
void ordma_lane_add_info(struct ordma_lane *lane, struct ordma_lane_info *info)
    OVS_REQUIRES(ordma_mutex) OVS_EXCLUDED(lane->tx_lock);

/* Returns the number of DATA messages sent and received.  Any thread. */
uint64_t ordma_lane_n_messages(const struct ordma_lane *);

/* Changes when a lane fails or a session's grace period ends: the main thread
 * waits for it. */
struct seq *ordma_seq(void);

#endif /* rdma-lane.h */

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * A queue pair with its buffers and the credits of both directions. */

#include <config.h>

#include "rdma-lane.h"

#include <errno.h>
#include <rte_mbuf.h>

#include "coverage.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "rdma-mem.h"
#include "rdma-msg.h"
#include "rdma-pool.h"
#include "rdma-rq.h"
#include "rdma-stats.h"
#include "seq.h"
#include "timeval.h"

VLOG_DEFINE_THIS_MODULE(rdma_lane);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

COVERAGE_DEFINE(rdma_credit_message);
COVERAGE_DEFINE(rdma_control_skipped);
COVERAGE_DEFINE(rdma_lane_failed);

/* Tells send completions from receive completions. */
#define WR_ID_SEND (UINT64_C(1) << 63)

/* Sends may be inlined up to this size if the device agrees. */
#define WANT_INLINE 256

/* At most so many sends share one signaled completion. */
#define SIGNAL_INTERVAL 32

/* The main thread waits for the first PONGs. */
#define WAKING_PONGS 2

static uint32_t
load_relaxed(const atomic_uint32_t *p)
{
    uint32_t value;

    atomic_read_relaxed(CONST_CAST(atomic_uint32_t *, p), &value);
    return value;
}

static uint32_t
load_acquire(atomic_uint32_t *p)
{
    uint32_t value;

    atomic_read_explicit(p, &value, memory_order_acquire);
    return value;
}

static uint64_t
load_count(const atomic_uint64_t *p)
{
    uint64_t value;

    atomic_read_relaxed(CONST_CAST(atomic_uint64_t *, p), &value);
    return value;
}

/* Adds 'n' to '*p', whose only writer the caller is. */
static void
add_count(atomic_uint64_t *p, uint64_t n)
{
    atomic_store_relaxed(p, load_count(p) + n);
}

uint64_t
ordma_lane_n_messages(const struct ordma_lane *lane)
{
    return (load_count(&lane->tx_stats.n_messages)
            + load_count(&lane->rx_stats.n_messages));
}

void
ordma_lane_add_info(struct ordma_lane *lane, struct ordma_lane_info *info)
{
    long long int rtt;

    ovs_spin_lock(&lane->tx_lock);
    info->tx_credits += load_relaxed(&lane->tx_granted) - lane->tx_sent;
    info->n_queued += lane->sq_head - load_relaxed(&lane->sq_tail);
    ovs_spin_unlock(&lane->tx_lock);
    info->rx_credits += (load_relaxed(&lane->rx_granted)
                         - (uint32_t) load_count(&lane->rx_stats.n_messages));
    info->n_send += lane->n_send;
    info->tx_messages += load_count(&lane->tx_stats.n_messages);
    info->tx_frames += load_count(&lane->tx_stats.n_frames);
    info->tx_bytes += load_count(&lane->tx_stats.n_bytes);
    info->tx_drops += load_count(&lane->n_tx_drops);
    info->rx_messages += load_count(&lane->rx_stats.n_messages);
    info->rx_frames += load_count(&lane->rx_stats.n_frames);
    info->rx_bytes += load_count(&lane->rx_stats.n_bytes);
    atomic_read_relaxed(&lane->rtt, &rtt);
    info->rtt = MAX(info->rtt, rtt);
}

struct seq *
ordma_seq(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;
    static struct seq *seq;

    if (ovsthread_once_start(&once)) {
        seq = seq_create();
        ovsthread_once_done(&once);
    }
    return seq;
}

void
ordma_lane_fail(struct ordma_lane *lane, const char *reason)
{
    const char *expected = NULL;

    if (atomic_compare_exchange_strong(&lane->failure, &expected, reason)) {
        COVERAGE_INC(rdma_lane_failed);
        seq_change(ordma_seq());
    }
}

/* Receive side. */

/* Posts receive buffers: in groups, or fewer if the peer's credits and half of
 * the reserve are not covered.  A shared queue covers nothing in
 * particular. */
static void
refill(struct ordma_lane *lane)
{
    uint32_t n_promised = load_relaxed(&lane->rx_granted) - lane->n_rx_data;
    uint32_t n_needed = n_promised + ORDMA_LANE_RESERVE / 2;

    if (!ordma_rq_refill(lane->rq, lane->conn, lane->rq->srq ? 0 : n_needed)) {
        ordma_lane_fail(lane, "cannot post receive buffers");
    }
}

/* Returns how many DATA messages the peer may have under way if there are
 * buffers enough. */
static uint32_t
max_ready(const struct ordma_lane *lane)
{
    return (lane->rq->srq
            ? MIN(lane->n_recv, ordma_share_get(&lane->rq->share))
            : lane->n_recv);
}

/* Returns how many DATA messages may arrive before the next buffer is
 * posted. */
static uint32_t
n_ready(const struct ordma_lane *lane)
{
    uint32_t n_posted = ordma_rq_n_posted(lane->rq);

    return MIN(n_posted - MIN(n_posted, ORDMA_LANE_RESERVE),
               max_ready(lane));
}

/* Publishes how many DATA messages the buffers posted allow.  Messages of
 * other types use buffers up, but what has been granted stays granted. */
static void
update_grantable(struct ordma_lane *lane)
{
    uint32_t grantable = lane->n_rx_data + n_ready(lane);

    if ((int32_t) (grantable - load_relaxed(&lane->rx_grantable)) > 0) {
        atomic_store_relaxed(&lane->rx_grantable, grantable);
    }
}

/* Notes how long the last PING took. */
static void
take_pong(struct ordma_lane *lane)
{
    unsigned int n_pongs = ordma_lane_n_pongs(lane) + 1;
    long long int ping_time;

    atomic_read_relaxed(&lane->ping_time, &ping_time);
    if (ping_time) {
        atomic_store_relaxed(&lane->rtt, MAX(time_usec() - ping_time, 1));
        atomic_store_relaxed(&lane->ping_time, 0);
    }
    atomic_store_relaxed(&lane->n_pongs, n_pongs);
    if (n_pongs <= WAKING_PONGS) {
        seq_change(ordma_seq());
    }
}

/* Returns true if we have allowed the peer the DATA message that has come
 * next. */
static bool
was_granted(const struct ordma_lane *lane)
{
    return lane->n_rx_data != load_relaxed(&lane->rx_granted);
}

bool
ordma_lane_received(struct ordma_lane *lane, const struct ordma_msg *msg)
{
    if (msg->sequence != lane->rx_sequence++) {
        ordma_lane_fail(lane, "message out of sequence");
        return false;
    }
    if (msg->credits) {
        atomic_store_relaxed(&lane->tx_granted,
                             load_relaxed(&lane->tx_granted) + msg->credits);
    }
    if (msg->type == ORDMA_MSG_DATA) {
        if (OVS_UNLIKELY(!was_granted(lane))) {
            ordma_lane_fail(lane, "message without credit");
            return false;
        }
        lane->n_rx_data++;
        add_count(&lane->rx_stats.n_messages, 1);
        add_count(&lane->rx_stats.n_frames, msg->n_records);
    } else if (msg->type == ORDMA_MSG_PONG) {
        take_pong(lane);
    }
    lane->pong_due |= msg->type == ORDMA_MSG_PING;
    atomic_count_set(&lane->n_rx_messages,
                     atomic_count_get(&lane->n_rx_messages) + 1);
    return true;
}

/* Frees the sends before 'end', which the peer has received. */
static void
complete_sends(struct ordma_lane *lane, uint32_t end)
{
    uint32_t tail = load_relaxed(&lane->sq_tail);

    for (; tail != end; tail++) {
        rte_pktmbuf_free(lane->sq[tail & lane->sq_mask].mbuf);
    }
    atomic_store_explicit(&lane->sq_tail, tail, memory_order_release);
}

/* Handles a completion with an error.  Every request that is outstanding
 * completes with one, even if unsignaled, so that the peer has received all
 * the sends before the first. */
static void
complete_with_error(struct ordma_lane *lane, const struct ordma_wc *wc)
{
    ordma_lane_fail(lane, wc->error);
    if (wc->wr_id & WR_ID_SEND) {
        uint32_t index = wc->wr_id;

        complete_sends(lane, index);
        lane->n_flushed += lane->sq[index & lane->sq_mask].n_records;
        lane->flushed_marker |= index == lane->marker && lane->have_marker;
        complete_sends(lane, index + 1);
    } else {
        uint32_t slot = wc->wr_id;
        struct rte_mbuf *mbuf;

        ordma_rq_take(lane->rq, &slot, 1, &mbuf);
        rte_pktmbuf_free(mbuf);
    }
}

/* Moves the messages received in the 'n' slots 'slots', of 'lens' bytes, to
 * 'msgs'. */
static void
take_messages(struct ordma_lane *lane, const uint32_t slots[],
              const uint32_t lens[], int n, struct rte_mbuf *msgs[])
{
    uint64_t n_bytes = 0;

    ordma_rq_take(lane->rq, slots, n, msgs);
    for (int i = 0; i < n; i++) {
        msgs[i]->data_len = lens[i];
        msgs[i]->pkt_len = lens[i];
        n_bytes += lens[i];
    }
    add_count(&lane->rx_stats.n_bytes, n_bytes);
}

int
ordma_lane_poll(struct ordma_lane *lane, struct rte_mbuf *msgs[], int n)
{
    uint32_t slots[ORDMA_MAX_BURST], lens[ORDMA_MAX_BURST];
    struct ordma_wc wcs[ORDMA_MAX_BURST];
    int n_msgs = 0;

    n = lane->provider->poll(lane->conn, wcs, n);
    for (int i = 0; i < n; i++) {
        const struct ordma_wc *wc = &wcs[i];

        if (OVS_UNLIKELY(wc->error)) {
            complete_with_error(lane, wc);
        } else if (wc->wr_id & WR_ID_SEND) {
            complete_sends(lane, (uint32_t) wc->wr_id + 1);
        } else {
            slots[n_msgs] = wc->wr_id;
            lens[n_msgs++] = wc->byte_len;
        }
    }
    if (n_msgs) {
        take_messages(lane, slots, lens, n_msgs, msgs);
    }
    return n_msgs;
}

/* Send side. */

/* Returns how many sends share a signaled completion: buffers that the peer
 * has acknowledged but that we do not know of are not to be more than half of
 * the lane's part. */
static uint32_t
signal_interval(const struct ordma_lane *lane)
{
    uint32_t part = ordma_share_part(&lane->tx_pool->share);

    return MIN(SIGNAL_INTERVAL, MIN(lane->n_send, part) / 2);
}

/* Fills in the header of 'msg', and '*wr' to send it.  Returns false if that
 * is impossible, because the memory of 'msg' is not registered any more. */
static bool
prepare_send(struct ordma_lane *lane, enum ordma_msg_type type,
             const struct ordma_tx_msg *msg, uint32_t index,
             struct ordma_send_wr *wr)
    OVS_REQUIRES(lane->tx_lock)
{
    uint32_t owed = (load_relaxed(&lane->rx_grantable)
                     - load_relaxed(&lane->rx_granted));
    struct ordma_msg header = {
        .type = type,
        .credits = MIN(owed, UINT16_MAX),
        .n_records = msg->n_records,
        .sequence = lane->tx_sequence++,
    };
    void *data = rte_pktmbuf_mtod(msg->mbuf, void *);

    ordma_msg_put(data, &header);
    atomic_store_relaxed(&lane->rx_granted,
                         load_relaxed(&lane->rx_granted) + header.credits);

    wr->wr_id = WR_ID_SEND | index;
    wr->addr = data;
    wr->len = rte_pktmbuf_data_len(msg->mbuf);
    wr->flags = 0;
    if (wr->len <= lane->conn->max_inline) {
        wr->flags |= ORDMA_SEND_INLINE;
    } else if (!ordma_mem_lookup(lane->conn->dev->mem, data, wr->len,
                                 &lane->sq_hint, &wr->lkey)) {
        ordma_lane_fail(lane, "DPDK gave memory back while in use");
        return false;
    }
    if (++lane->n_unsignaled >= signal_interval(lane)) {
        wr->flags |= ORDMA_SEND_SIGNALED;
        lane->n_unsignaled = 0;
    }
    lane->sq[index & lane->sq_mask] = *msg;
    add_count(&lane->tx_stats.n_messages, type == ORDMA_MSG_DATA);
    add_count(&lane->tx_stats.n_frames, msg->n_records);
    add_count(&lane->tx_stats.n_bytes, wr->len);
    return true;
}

/* Posts the 'n' messages 'msgs', for which there is room.  Returns how many
 * the ring has taken: less than 'n' means that the lane has failed. */
static int
post_messages(struct ordma_lane *lane, enum ordma_msg_type type,
              const struct ordma_tx_msg msgs[], int n)
    OVS_REQUIRES(lane->tx_lock)
{
    struct ordma_send_wr wrs[ORDMA_MAX_BURST];
    int n_ready = 0, n_posted;

    while (n_ready < n && prepare_send(lane, type, &msgs[n_ready],
                                       lane->sq_head + n_ready,
                                       &wrs[n_ready])) {
        n_ready++;
    }
    n_posted = lane->provider->post_send(lane->conn, wrs, n_ready);
    lane->sq_head += n_posted;
    if (n_posted < n) {
        ordma_lane_fail(lane, "cannot post sends");
    }
    return n_posted;
}

/* Returns how many messages are under way. */
static uint32_t
n_queued(struct ordma_lane *lane)
    OVS_REQUIRES(lane->tx_lock)
{
    return lane->sq_head - load_acquire(&lane->sq_tail);
}

/* Returns how many DATA messages there is room for. */
static uint32_t
data_room(struct ordma_lane *lane)
    OVS_REQUIRES(lane->tx_lock)
{
    uint32_t most = MIN(lane->n_send, ordma_share_get(&lane->tx_pool->share));

    return most - MIN(most, n_queued(lane));
}

/* Has the device send what was posted, if posting did not.  Threads that send
 * to the same lane do not wait for each other's system calls: no lock. */
static void
transmit(struct ordma_lane *lane)
    OVS_EXCLUDED(lane->tx_lock)
{
    if (lane->provider->transmit) {
        lane->provider->transmit(lane->conn);
    }
}

/* Counts that the frames in the 'n' messages 'msgs' were not sent. */
static void
count_drops(struct ordma_lane *lane, const struct ordma_tx_msg msgs[], int n)
    OVS_REQUIRES(lane->tx_lock)
{
    for (int i = 0; i < n; i++) {
        add_count(&lane->n_tx_drops, msgs[i].n_records);
    }
}

enum ordma_tx_result
ordma_lane_send(struct ordma_lane *lane, const struct ordma_tx_msg msgs[],
                int *n)
{
    enum ordma_tx_result result = ORDMA_TX_OK;
    uint32_t room, credits;
    int n_wanted = *n;

    ovs_spin_lock(&lane->tx_lock);
    credits = load_relaxed(&lane->tx_granted) - lane->tx_sent;
    room = data_room(lane);
    if (OVS_UNLIKELY(ordma_lane_failure(lane))) {
        *n = 0;
        result = ORDMA_TX_FAILED;
    } else if (OVS_UNLIKELY(credits < *n && credits <= room)) {
        *n = credits;
        result = ORDMA_TX_NO_CREDIT;
    } else if (OVS_UNLIKELY(room < *n)) {
        *n = room;
        result = ORDMA_TX_QUEUE_FULL;
    }
    if (*n) {
        int n_posted = post_messages(lane, ORDMA_MSG_DATA, msgs, *n);

        if (OVS_UNLIKELY(n_posted < *n)) {
            *n = n_posted;
            result = ORDMA_TX_FAILED;
        }
        lane->tx_sent += *n;
    }
    count_drops(lane, msgs + *n, n_wanted - *n);
    ovs_spin_unlock(&lane->tx_lock);

    transmit(lane);
    return result;
}

/* Returns a buffer for a message without records of 'len' bytes, all zeros but
 * for the header, or null. */
static struct rte_mbuf *
control_mbuf(const struct ordma_lane *lane, uint32_t len)
{
    const struct ordma_pool *pool = (len <= lane->tx_pool->data_len
                                     ? lane->tx_pool : lane->rq->pool);
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool->mp);

    if (mbuf) {
        len = MIN(len, pool->data_len);
        memset(rte_pktmbuf_append(mbuf, len), 0, len);
    }
    return mbuf;
}

/* Sends a message without records, 'len' bytes long.  Returns false if that is
 * not possible now. */
static bool
send_control(struct ordma_lane *lane, enum ordma_msg_type type, uint32_t len)
    OVS_EXCLUDED(lane->tx_lock)
{
    struct ordma_tx_msg msg = { .n_records = 0 };
    bool sent = false;

    if (ordma_lane_failure(lane)) {
        return false;
    }
    msg.mbuf = control_mbuf(lane, len);
    if (msg.mbuf) {
        if (!ovs_spin_trylock(&lane->tx_lock)) {
            sent = (n_queued(lane) < lane->n_send + ORDMA_LANE_RESERVE
                    && post_messages(lane, type, &msg, 1));
            ovs_spin_unlock(&lane->tx_lock);
        }
        if (sent) {
            transmit(lane);
        } else {
            rte_pktmbuf_free(msg.mbuf);
        }
    }
    COVERAGE_ADD(rdma_control_skipped, !sent);
    return sent;
}

bool
ordma_lane_ping(struct ordma_lane *lane, uint32_t len)
{
    atomic_store_relaxed(&lane->ping_time, time_usec());
    return send_control(lane, ORDMA_MSG_PING, MAX(len, ORDMA_MSG_HEADER_LEN));
}

void
ordma_lane_replenish(struct ordma_lane *lane)
{
    uint32_t owed;

    if (OVS_UNLIKELY(ordma_lane_failure(lane))) {
        return;
    }
    refill(lane);
    update_grantable(lane);

    owed = load_relaxed(&lane->rx_grantable) - load_relaxed(&lane->rx_granted);
    if (lane->pong_due) {
        lane->pong_due = !send_control(lane, ORDMA_MSG_PONG,
                                       ORDMA_MSG_HEADER_LEN);
    } else if (owed >= MAX(max_ready(lane) / 2, 1)
               && send_control(lane, ORDMA_MSG_CREDIT, ORDMA_MSG_HEADER_LEN)) {
        COVERAGE_INC(rdma_credit_message);
    }
}

/* Life cycle. */

/* Posts the first receive buffers.  There may be few or none, because an
 * earlier session has not given its own back yet: then the peer gets credits
 * later. */
static int
lane_post_first(struct ordma_lane *lane)
{
    refill(lane);
    update_grantable(lane);
    return ordma_lane_failure(lane) ? EIO : 0;
}

/* Returns a lane on 'rq' without a queue pair. */
static struct ordma_lane *
lane_alloc(const struct ordma_lane_params *params, struct ordma_rq *rq)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_lane *lane = xzalloc_cacheline(sizeof *lane);
    uint32_t sq_size = ROUND_UP_POW2(params->n_send);

    lane->conn = params->conn;
    lane->provider = params->conn->provider;
    lane->rq = rq;
    lane->tx_pool = ordma_pool_ref(params->tx_pool);
    ordma_share_add(&lane->tx_pool->share, 1);
    lane->sq = xcalloc(sq_size, sizeof *lane->sq);
    lane->sq_mask = sq_size - 1;
    lane->n_send = params->n_send - ORDMA_LANE_RESERVE;
    lane->n_recv = params->n_recv - ORDMA_LANE_RESERVE;
    ovs_spin_init(&lane->tx_lock);
    return lane;
}

static void
lane_free(struct ordma_lane *lane)
    OVS_REQUIRES(ordma_mutex)
{
    ordma_rq_unref(lane->rq);
    ovs_spin_destroy(&lane->tx_lock);
    ordma_share_add(&lane->tx_pool->share, -1);
    ordma_pool_unref(lane->tx_pool);
    free(lane->sq);
    free_cacheline(lane);
}

int
ordma_lane_create(const struct ordma_lane_params *params,
                  struct ordma_stats *stats, struct ordma_lane **lanep)
{
    struct ordma_rq *rq = ordma_rq_get(params->conn->dev, params->rx_pool,
                                       params->rxq, params->n_shared,
                                       params->n_recv);
    struct ordma_lane *lane = lane_alloc(params, rq);
    struct ordma_qp_cap cap = {
        .n_send = params->n_send,
        .n_recv = params->n_recv,
        .srq = rq->srq,
        .cq = params->cq,
        .max_inline = WANT_INLINE,
        .tos = params->tos,
        .ttl = params->ttl,
    };
    int error;

    error = lane->provider->create_qp(lane->conn, &cap);
    if (error) {
        VLOG_RL(&rl, error == ENOTCONN ? VLL_DBG : VLL_WARN,
                "%s: cannot create a queue pair (%s)",
                params->conn->dev_name, ovs_strerror(error));
        lane_free(lane);
        return error;
    }
    error = lane_post_first(lane);
    if (error) {
        VLOG_WARN_RL(&rl, "%s: cannot post receive buffers (%s)",
                     params->conn->dev_name, ovs_strerror(error));
        lane->conn = NULL;      /* Still the caller's. */
        lane->provider->disconnect(params->conn);
        ordma_lane_destroy(lane, stats);
        return error;
    }
    *lanep = lane;
    return 0;
}

uint16_t
ordma_lane_initial_credits(struct ordma_lane *lane)
{
    uint32_t credits = MIN(load_relaxed(&lane->rx_grantable), UINT16_MAX);

    atomic_store_relaxed(&lane->rx_granted, credits);
    return credits;
}

void
ordma_lane_start(struct ordma_lane *lane, uint16_t credits)
{
    atomic_store_relaxed(&lane->tx_granted, credits);
}

/* Counts the frames in the message 'mbuf', which nobody will deliver. */
static void
count_undelivered(const struct rte_mbuf *mbuf, struct ordma_stats *stats)
{
    struct ordma_cursor cursor;
    struct ordma_msg msg;

    if (!ordma_msg_parse(rte_pktmbuf_mtod(mbuf, void *),
                         rte_pktmbuf_data_len(mbuf), &msg, &cursor)) {
        ordma_stats_add(stats, ORDMA_RX_TEARDOWN_DROPS, msg.n_records);
    }
}

bool
ordma_lane_drain(struct ordma_lane *lane, struct ordma_stats *stats)
{
    struct rte_mbuf *msgs[ORDMA_MAX_BURST];
    bool done;
    int n;

    if (!lane->have_marker) {
        struct ordma_tx_msg marker = { .mbuf = NULL };
        struct ordma_send_wr wr = {
            .wr_id = WR_ID_SEND | lane->sq_head,
            .flags = ORDMA_SEND_SIGNALED | ORDMA_SEND_INLINE,
        };

        lane->have_marker = true;
        lane->marker = lane->sq_head;
        lane->sq[lane->sq_head++ & lane->sq_mask] = marker;
        if (lane->provider->post_send(lane->conn, &wr, 1) != 1) {
            lane->flushed_marker = true;
        }
        transmit(lane);
    }
    /* The receive of a message that has only begun to arrive may complete
     * after all sends: look once more after the marker. */
    done = lane->flushed_marker;
    while ((n = ordma_lane_poll(lane, msgs, ORDMA_MAX_BURST)) > 0) {
        for (int i = 0; i < n; i++) {
            count_undelivered(msgs[i], stats);
            rte_pktmbuf_free(msgs[i]);
        }
    }
    return done;
}

void
ordma_lane_destroy(struct ordma_lane *lane, struct ordma_stats *stats)
{
    uint32_t tail = load_relaxed(&lane->sq_tail);

    /* Phase 1: the device lets go of the buffers. */
    if (lane->conn) {
        lane->provider->destroy(lane->conn);
    }

    /* Phase 2: nothing but the rings refers to the buffers, or, if the receive
     * queue is shared, the device will use them for others. */
    for (; tail != lane->sq_head; tail++) {
        struct ordma_tx_msg *msg = &lane->sq[tail & lane->sq_mask];

        lane->n_flushed += msg->n_records;
        rte_pktmbuf_free(msg->mbuf);
    }
    ordma_stats_add(stats, ORDMA_TX_FLUSHED_DROPS, lane->n_flushed);

    /* Phase 3: the lane itself. */
    lane_free(lane);
}

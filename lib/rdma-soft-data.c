/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What PMD threads do for the soft provider: receive, send, complete. */

#include <config.h>

#include "rdma-soft-private.h"

#include <errno.h>
#include <limits.h>
#include <rte_cycles.h>

#include "rdma-random.h"
#include "timeval.h"
#include "util.h"

/* What PMD threads do for the soft provider: see rdma-soft-private.h. */

/* Time. */

/* When a thread has last read the clock. */
struct reading {
    uint64_t tsc;
    long long int usec;
};
DEFINE_STATIC_PER_THREAD_DATA(struct reading, reading, { 0, 0 });

/* Returns time_usec() as it was two microseconds ago at most.  To read the
 * clock takes longer than all else in a poll that finds nothing, and the time
 * stamp counter tells whether that is worthwhile. */
static long long int
recent_usec(void)
{
    struct reading *reading = reading_get();
    uint64_t tsc = rte_rdtsc();

    if (tsc - reading->tsc >= rte_get_tsc_hz() >> 19) {
        reading->tsc = tsc;
        reading->usec = time_usec();
    }
    return reading->usec;
}

/* Connections. */

/* Returns the time at which to send what 'conn' has to send.  A queue pair
 * that has ended tells its peer at once, for nobody may poll it again. */
static long long int
due_time(const struct soft_conn *conn)
    OVS_REQUIRES(conn->lock)
{
    long long int deadline = roce_qp_deadline(&conn->qp);
    uint32_t backlog;

    if (deadline > LLONG_MIN || conn->qp.state == ROCE_QP_ERROR) {
        return deadline;
    }
    backlog = roce_qp_backlog(&conn->qp);
    return (backlog >= SOFT_ENOUGH ? LLONG_MIN
            : backlog ? conn->next_send
            : conn->next_reply);
}

void
soft_conn_unlock(struct soft_conn *conn)
{
    bool is_pollable = roce_qp_is_pollable(&conn->qp);
    long long int tx_time = due_time(conn);

    atomic_store_relaxed(&conn->is_pollable, is_pollable);
    atomic_store_relaxed(&conn->tx_time, tx_time);
    if (is_pollable || tx_time != LLONG_MAX) {
        soft_cq_wake(conn);
    }
    ovs_spin_unlock(&conn->lock);
}

/* Shared receive queues.  Queue pairs know nothing of them: just before the
 * packet in which a message begins, a receive is moved to the queue pair that
 * the packet is for.  So a queue pair has one that it does not use yet for no
 * longer than it takes the message to arrive. */
struct soft_srq {
    struct ordma_srq up;
    struct ovs_spin lock;
    struct ordma_recv_wr *wrs OVS_GUARDED;
    uint32_t mask;
    uint32_t head OVS_GUARDED;  /* Modulo 2**32: 'tail' to 'head' are there. */
    uint32_t tail OVS_GUARDED;
};

static struct soft_srq *
soft_srq_cast(const struct ordma_srq *srq)
{
    return CONTAINER_OF(srq, struct soft_srq, up);
}

/* Moves a receive from 'srq' to 'qp', if there is one, and room for it. */
static void
srq_move(struct ordma_srq *srq_, struct roce_qp *qp)
{
    struct soft_srq *srq = soft_srq_cast(srq_);

    ovs_spin_lock(&srq->lock);
    if (srq->tail != srq->head) {
        const struct ordma_recv_wr *wr = &srq->wrs[srq->tail & srq->mask];

        if (!roce_qp_post_recv(qp, wr->addr, wr->len, wr->wr_id)) {
            srq->tail++;
        }
    }
    ovs_spin_unlock(&srq->lock);
}

/* Receiving. */

/* Gives 'packet' to the queue pair of 'conn'.  Returns false if that has no
 * use for it. */
static bool
input(struct soft_conn *conn, const struct roce_flow *flow,
      const struct roce_packet *packet, long long int now)
{
    bool taken, had_reply;

    ovs_spin_lock(&conn->lock);
    had_reply = roce_qp_has_reply(&conn->qp);
    if (conn->srq && roce_qp_needs_recv(&conn->qp, flow, packet)) {
        srq_move(conn->srq, &conn->qp);
    }
    taken = roce_qp_input(&conn->qp, flow, packet, now);
    if (!had_reply) {
        conn->next_reply = now + SOFT_REPLY_PAUSE;
    }
    soft_conn_unlock(conn);
    return taken;
}

/* Takes the UDP payload 'data' of 'len' bytes, which came along 'flow', for
 * which 'rxq->icrc' is set up. */
static void
receive_packet(struct soft_dev *dev, struct soft_rxq *rxq,
               const struct roce_flow *flow, const uint8_t *data, size_t len,
               long long int now)
    OVS_REQUIRES(rxq->lock)
{
    struct roce_packet packet;
    struct soft_conn *conn;

    conn = roce_demux(&dev->qpns, &rxq->icrc, data, len, &packet,
                      &rxq->drops);
    if (OVS_UNLIKELY(!conn)) {
        return;
    } else if (OVS_LIKELY(input(conn, flow, &packet, now))) {
        rxq->is_busy |= packet.op->kind == ROCE_OP_SEND;
    } else {
        rxq->drops.dropped[ROCE_DROP_UNREADY_QP]++;
    }
}

static void
receive_train(struct soft_dev *dev, struct soft_rxq *rxq,
              const struct roce_rx *rx, long long int now)
    OVS_REQUIRES(rxq->lock)
{
    size_t offset = 0;

    if (OVS_UNLIKELY(!roce_flow_equals(&rx->flow, &rxq->flow))) {
        rxq->flow = rx->flow;
        roce_icrc_flow_init(&rxq->icrc, &rx->flow);
    }
    do {
        size_t len = MIN(rx->len - offset, rx->segment_len);

        receive_packet(dev, rxq, &rx->flow, rx->data + offset, len, now);
        offset += rx->segment_len;
    } while (offset < rx->len);
}

/* Returns how long to wait after receiving a batch at 'now'. */
static long long int
next_pause(struct soft_rxq *rxq, long long int now)
    OVS_REQUIRES(rxq->lock)
{
    if (rxq->is_busy) {
        rxq->last_busy = now;
    }
    return MIN((now - rxq->last_busy) / SOFT_PATIENCE, SOFT_MAX_PAUSE);
}

/* Receives a batch from receive queue 'queue' of 'dev', if that has been due
 * for 'delay' usec and no other thread is at it. */
static void
receive(struct soft_dev *dev, unsigned int queue, long long int now,
        long long int delay)
{
    struct soft_rxq *rxq = &dev->rxqs[queue];
    struct roce_wire *wire = dev->wire;
    struct roce_rx rxs[ROCE_WIRE_MAX_RX];
    long long int next;
    int n, n_total = 0;

    atomic_read_relaxed(&rxq->next_receive, &next);
    if (now < next + delay || ovs_spin_trylock(&rxq->lock)) {
        return;
    }
    rxq->is_busy = false;
    do {
        n = wire->class->recv_batch(wire, queue, rxs, ROCE_WIRE_MAX_RX);
        for (int i = 0; i < n; i++) {
            receive_train(dev, rxq, &rxs[i], now);
        }
        n_total += n;
    } while (n == ROCE_WIRE_MAX_RX && n_total < SOFT_MAX_TRAINS);
    atomic_store_relaxed(&rxq->next_receive, now + next_pause(rxq, now));
    ovs_spin_unlock(&rxq->lock);
}

static void
lock_all(struct soft_dev *dev)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    for (int i = 0; i < ROCE_WIRE_N_DATA; i++) {
        ovs_spin_lock(&dev->rxqs[i].lock);
    }
}

static void
unlock_all(struct soft_dev *dev)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    for (int i = ROCE_WIRE_N_DATA - 1; i >= 0; i--) {
        ovs_spin_unlock(&dev->rxqs[i].lock);
    }
}

void
soft_conn_add_qpn(struct soft_conn *conn)
{
    struct soft_dev *dev = soft_dev_cast(conn->up.dev);

    lock_all(dev);
    conn->up.qpn = roce_qpns_add(&dev->qpns, conn, ordma_random_bytes);
    unlock_all(dev);
}

void
soft_conn_remove_qpn(struct soft_conn *conn)
{
    struct soft_dev *dev = soft_dev_cast(conn->up.dev);

    lock_all(dev);
    roce_qpns_remove(&dev->qpns, conn->up.qpn);
    unlock_all(dev);
}

void
soft_dev_receive(struct soft_dev *dev, unsigned int queues)
{
    long long int now = recent_usec();
    long long int next_sweep;

    for (unsigned int i = 0; i < ROCE_WIRE_N_DATA; i++) {
        if (queues & (1u << i)) {
            receive(dev, i, now, 0);
        }
    }
    atomic_read_relaxed(&dev->next_sweep, &next_sweep);
    if (now >= next_sweep) {
        atomic_store_relaxed(&dev->next_sweep, now + SOFT_SWEEP_INTERVAL);
        for (unsigned int i = 0; i < ROCE_WIRE_N_DATA; i++) {
            receive(dev, i, now, SOFT_SWEEP_INTERVAL);
        }
    }
}

/* Sending. */

/* Fetches the next packets to send, if those of the last time are gone.
 * Returns false if there are none. */
static bool
fetch_packets(struct soft_conn *conn, long long int now)
    OVS_REQUIRES(conn->tx_lock)
{
    if (conn->next_tx == conn->n_txs) {
        conn->next_tx = 0;
        ovs_spin_lock(&conn->lock);
        conn->n_txs = 0;
        if (conn->is_bound) {
            roce_qp_sent(&conn->qp, now);
            if (roce_qp_backlog(&conn->qp)) {
                conn->next_send = now + SOFT_SEND_PAUSE;
            }
            conn->n_txs = roce_qp_output(&conn->qp, conn->txs, SOFT_TX_BATCH,
                                         now);
        }
        soft_conn_unlock(conn);
    }
    return conn->next_tx < conn->n_txs;
}

/* Sends what 'conn' has to send, unless another thread is at it.  Any
 * thread. */
static void
soft_conn_transmit(struct soft_conn *conn, long long int now)
{
    const struct roce_wire *wire = soft_dev_cast(conn->up.dev)->wire;
    bool is_blocked = false;

    if (ovs_spin_trylock(&conn->tx_lock)) {
        return;
    }
    for (int i = 0; i < SOFT_TX_ROUNDS && fetch_packets(conn, now); i++) {
        conn->next_tx += wire->class->send_batch(&conn->path,
                                                 &conn->txs[conn->next_tx],
                                                 conn->n_txs - conn->next_tx);
        if (conn->next_tx < conn->n_txs) {
            is_blocked = true;
            break;
        }
    }
    atomic_store_relaxed(&conn->is_blocked, is_blocked);
    ovs_spin_unlock(&conn->tx_lock);
}

/* Waits until no thread sends for 'conn', and forgets what could not be sent.
 * Returns why the last packet was not, if so. */
static int
quiesce_transmit(struct soft_conn *conn)
{
    int error;

    ovs_spin_lock(&conn->tx_lock);
    error = conn->path.error;
    conn->next_tx = conn->n_txs = 0;
    atomic_store_relaxed(&conn->is_blocked, false);
    ovs_spin_unlock(&conn->tx_lock);
    return error;
}

/* Members of the provider. */

int
soft_post_send(struct ordma_conn *conn_, const struct ordma_send_wr wrs[],
               int n)
{
    struct soft_conn *conn = soft_conn_cast(conn_);
    int i;

    ovs_spin_lock(&conn->lock);
    for (i = 0; i < n; i++) {
        if (!conn->is_bound
            || roce_qp_post_send(&conn->qp, wrs[i].addr, wrs[i].len,
                                 wrs[i].wr_id,
                                 wrs[i].flags & ORDMA_SEND_SIGNALED)) {
            break;
        }
    }
    soft_conn_unlock(conn);
    return i;
}

void
soft_transmit(struct ordma_conn *conn_)
{
    struct soft_conn *conn = soft_conn_cast(conn_);
    long long int now = recent_usec();
    long long int tx_time;

    atomic_read_relaxed(&conn->tx_time, &tx_time);
    if (now >= tx_time) {
        soft_conn_transmit(conn, now);
    }
}

int
soft_post_recv(struct ordma_conn *conn_, const struct ordma_recv_wr wrs[],
               int n)
{
    struct soft_conn *conn = soft_conn_cast(conn_);
    int i;

    ovs_spin_lock(&conn->lock);
    for (i = 0; i < n; i++) {
        if (roce_qp_post_recv(&conn->qp, wrs[i].addr, wrs[i].len,
                              wrs[i].wr_id)) {
            break;
        }
    }
    ovs_spin_unlock(&conn->lock);
    return i;
}

/* Returns text for a completion with 'status' of 'qp', whose last packets were
 * not sent due to 'send_error' if that is nonzero.  That a request was flushed
 * tells less than why. */
static const char *
error_text(const struct roce_qp *qp, enum roce_status status, int send_error)
{
    if (status == ROCE_FLUSHED) {
        status = qp->status;
    }
    return (status == ROCE_OK ? NULL
            : status == ROCE_NO_ACK && send_error == EPERM
            ? soft_firewall_text
            : roce_status_to_string(status));
}

/* Moves up to 'n' completions of 'conn' to 'wcs' and returns how many. */
static int
poll_qp(struct soft_conn *conn, struct ordma_wc wcs[], int n, int send_error)
    OVS_REQUIRES(conn->lock)
{
    struct roce_completion completions[ORDMA_MAX_BURST];

    n = roce_qp_poll(&conn->qp, completions, MIN(n, ORDMA_MAX_BURST));
    for (int i = 0; i < n; i++) {
        wcs[i].wr_id = completions[i].wr_id;
        wcs[i].byte_len = completions[i].len;
        wcs[i].error = error_text(&conn->qp, completions[i].status,
                                  send_error);
    }
    return n;
}

int
soft_poll(struct ordma_conn *conn_, struct ordma_wc wcs[], int n)
{
    struct soft_conn *conn = soft_conn_cast(conn_);
    long long int now = recent_usec();
    bool is_pollable, is_blocked;
    long long int tx_time;
    int send_error = 0;

    if (!conn->cq) {
        soft_dev_receive(soft_dev_cast(conn->up.dev),
                         1u << roce_wire_data_queue(conn->up.qpn));
    }
    atomic_read_relaxed(&conn->is_pollable, &is_pollable);
    atomic_read_relaxed(&conn->tx_time, &tx_time);
    atomic_read_relaxed(&conn->is_blocked, &is_blocked);
    if (!is_pollable && now < tx_time && !is_blocked) {
        return 0;
    }
    ovs_spin_lock(&conn->lock);
    if (OVS_UNLIKELY(conn->qp.state == ROCE_QP_ERROR)) {
        ovs_spin_unlock(&conn->lock);
        send_error = quiesce_transmit(conn);
        ovs_spin_lock(&conn->lock);
    }
    n = poll_qp(conn, wcs, n, send_error);
    soft_conn_unlock(conn);

    if (now >= tx_time || is_blocked) {
        soft_conn_transmit(conn, now);
    }
    return n;
}

int
soft_create_srq(struct ordma_dev *dev OVS_UNUSED, unsigned int n,
                struct ordma_srq **srqp)
{
    struct soft_srq *srq = xzalloc(sizeof *srq);

    srq->up.provider = &ordma_soft_provider;
    srq->mask = ROUND_UP_POW2(n) - 1;
    srq->wrs = xcalloc(srq->mask + 1, sizeof *srq->wrs);
    ovs_spin_init(&srq->lock);
    *srqp = &srq->up;
    return 0;
}

void
soft_destroy_srq(struct ordma_srq *srq_)
{
    struct soft_srq *srq = soft_srq_cast(srq_);

    ovs_spin_destroy(&srq->lock);
    free(srq->wrs);
    free(srq);
}

int
soft_post_srq_recv(struct ordma_srq *srq_, const struct ordma_recv_wr wrs[],
                   int n)
{
    struct soft_srq *srq = soft_srq_cast(srq_);
    int i;

    ovs_spin_lock(&srq->lock);
    for (i = 0; i < n && srq->head - srq->tail <= srq->mask; i++) {
        srq->wrs[srq->head++ & srq->mask] = wrs[i];
    }
    ovs_spin_unlock(&srq->lock);
    return i;
}

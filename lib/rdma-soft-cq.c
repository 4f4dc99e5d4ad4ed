/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Completion queues of the soft provider: which connections to poll. */

#include <config.h>

#include "rdma-soft-private.h"

#include <limits.h>

#include "util.h"

/* Completion queues
 * =================
 *
 * A connection is in the list of its completion queue while it has completions
 * or something to send, by now or later, and is idle otherwise.  So a poll
 * takes time for what goes on, whatever the number of connections.
 *
 * Whoever changes a queue pair sees under its lock whether its connection is
 * idle, and adds it to the list if it is not any more: soft_cq_wake().  The
 * poller takes it out when it finds it idle under the same lock.
 *
 * A connection without completion queue is polled by itself. */
struct soft_cq {
    struct ordma_cq up;
    struct soft_dev *dev;       /* Of its connections. */
    atomic_uint queues;         /* Bit for each receive queue of interest. */
    atomic_uint n_busy;         /* Connections in the lists. */

    struct ovs_spin lock;
    struct ovs_list busy OVS_GUARDED;   /* "struct soft_conn"s. */
    struct ovs_list round OVS_GUARDED;  /* Those not returned yet. */
    unsigned int n_conns[ROCE_WIRE_N_DATA] OVS_GUARDED;  /* By queue. */

    bool in_round;              /* The poller's. */
};

static struct soft_cq *
soft_cq_cast(const struct ordma_cq *cq)
{
    return CONTAINER_OF(cq, struct soft_cq, up);
}

int
soft_create_cq(struct ordma_cq **cqp)
{
    struct soft_cq *cq = xzalloc_cacheline(sizeof *cq);

    cq->up.provider = &ordma_soft_provider;
    ovs_spin_init(&cq->lock);
    ovs_list_init(&cq->busy);
    ovs_list_init(&cq->round);
    *cqp = &cq->up;
    return 0;
}

void
soft_destroy_cq(struct ordma_cq *cq_)
{
    struct soft_cq *cq = soft_cq_cast(cq_);

    ovs_spin_destroy(&cq->lock);
    free_cacheline(cq);
}

/* Adds 'n' to the connections of 'cq' that receive from 'queue'. */
static void
add_conns(struct soft_cq *cq, unsigned int queue, int n)
    OVS_REQUIRES(cq->lock)
{
    unsigned int queues;

    cq->n_conns[queue] += n;
    atomic_read_relaxed(&cq->queues, &queues);
    queues &= ~(1u << queue);
    queues |= (cq->n_conns[queue] > 0) << queue;
    atomic_store_relaxed(&cq->queues, queues);
}

static void
add_busy(struct soft_cq *cq, int n)
    OVS_REQUIRES(cq->lock)
{
    unsigned int n_busy;

    atomic_add_relaxed(&cq->n_busy, n, &n_busy);
}

void
soft_join_cq(struct ordma_conn *conn_)
{
    struct soft_conn *conn = soft_conn_cast(conn_);
    struct soft_cq *cq = soft_cq_cast(conn->cq);

    ovs_spin_lock(&cq->lock);
    cq->dev = soft_dev_cast(conn->up.dev);
    conn->in_cq = true;
    add_conns(cq, roce_wire_data_queue(conn_->qpn), 1);
    ovs_spin_unlock(&cq->lock);

    ovs_spin_lock(&conn->lock);
    soft_cq_wake(conn);
    ovs_spin_unlock(&conn->lock);
}

void
soft_leave_cq(struct soft_conn *conn)
{
    struct soft_cq *cq = soft_cq_cast(conn->cq);

    ovs_spin_lock(&cq->lock);
    if (conn->in_cq) {
        conn->in_cq = false;
        add_conns(cq, roce_wire_data_queue(conn->up.qpn), -1);
        if (!ovs_list_is_empty(&conn->cq_node)) {
            ovs_list_remove(&conn->cq_node);
            ovs_list_init(&conn->cq_node);
            add_busy(cq, -1);
        }
    }
    ovs_spin_unlock(&cq->lock);
}

/* Adds 'conn' to the list, unless it has left or is there. */
static void
push(struct soft_cq *cq, struct soft_conn *conn)
    OVS_REQUIRES(cq->lock)
{
    if (conn->in_cq && ovs_list_is_empty(&conn->cq_node)) {
        ovs_list_push_back(&cq->busy, &conn->cq_node);
        add_busy(cq, 1);
    }
}

void
soft_cq_wake(struct soft_conn *conn)
{
    if (conn->cq && !conn->is_busy) {
        struct soft_cq *cq = soft_cq_cast(conn->cq);

        ovs_spin_lock(&cq->lock);
        conn->is_busy = conn->in_cq;
        push(cq, conn);
        ovs_spin_unlock(&cq->lock);
    }
}

static bool
looks_busy(const struct soft_conn *conn_)
{
    struct soft_conn *conn = CONST_CAST(struct soft_conn *, conn_);
    bool is_pollable, is_blocked;
    long long int tx_time;

    atomic_read_relaxed(&conn->is_pollable, &is_pollable);
    atomic_read_relaxed(&conn->tx_time, &tx_time);
    atomic_read_relaxed(&conn->is_blocked, &is_blocked);
    return is_pollable || is_blocked || tx_time != LLONG_MAX;
}

/* Notes that 'conn', which is in no list now, is idle, unless something has
 * come up. */
static bool
make_idle(struct soft_conn *conn)
{
    ovs_spin_lock(&conn->lock);
    conn->is_busy = looks_busy(conn);
    ovs_spin_unlock(&conn->lock);
    return !conn->is_busy;
}

/* Takes the next connection of the round out of the list and returns it, or
 * null if there is none. */
static struct soft_conn *
pop(struct soft_cq *cq)
    OVS_REQUIRES(cq->lock)
{
    struct soft_conn *conn;

    if (ovs_list_is_empty(&cq->round)) {
        return NULL;
    }
    conn = CONTAINER_OF(ovs_list_pop_front(&cq->round), struct soft_conn,
                        cq_node);
    ovs_list_init(&conn->cq_node);
    add_busy(cq, -1);
    return conn;
}

static void
begin_round(struct soft_cq *cq)
{
    unsigned int queues, n_busy;

    atomic_read_relaxed(&cq->queues, &queues);
    if (queues) {
        soft_dev_receive(cq->dev, queues);
    }
    atomic_read_relaxed(&cq->n_busy, &n_busy);
    if (n_busy) {
        ovs_spin_lock(&cq->lock);
        ovs_list_push_back_all(&cq->round, &cq->busy);
        ovs_spin_unlock(&cq->lock);
        cq->in_round = true;
    }
}

struct ordma_conn *
soft_poll_cq(struct ordma_cq *cq_)
{
    struct soft_cq *cq = soft_cq_cast(cq_);
    struct soft_conn *conn;

    if (!cq->in_round) {
        begin_round(cq);
    }
    while (cq->in_round) {
        bool is_busy;

        ovs_spin_lock(&cq->lock);
        conn = pop(cq);
        is_busy = conn && looks_busy(conn);
        if (is_busy) {
            push(cq, conn);
        }
        ovs_spin_unlock(&cq->lock);

        cq->in_round = conn != NULL;
        if (is_busy) {
            return &conn->up;
        } else if (conn && !make_idle(conn)) {
            ovs_spin_lock(&cq->lock);
            push(cq, conn);
            ovs_spin_unlock(&cq->lock);
        }
    }
    return NULL;
}

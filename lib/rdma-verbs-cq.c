/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Completion queues of the verbs provider: which connections to poll. */

#include <config.h>

#include "rdma-verbs.h"

#include <errno.h>
#include <rte_cycles.h>

#include "coverage.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "socket-util.h"
#include "util.h"

COVERAGE_DEFINE(rdma_verbs_cq_idle);
COVERAGE_DEFINE(rdma_verbs_cq_event);

/* Completion queues
 * =================
 *
 * To libibverbs each connection has a completion queue of its own, because it
 * must be as large as the connections that share it can fill it, and cannot be
 * resized everywhere.  What a thread polls is a set of connections:
 *
 *     active   polled in turn.  A connection becomes idle when it had nothing
 *              for IDLE_POLLS polls, was told to notify us
 *              (ibv_req_notify_cq()), and had nothing in another poll.
 *
 *     idle     not polled.  The first completion writes to the completion
 *              channel that the connections on a device share.  That is a file
 *              descriptor, which the poller reads without blocking, not more
 *              often than every EVENT_PAUSE.
 *
 * So a poll takes time for what goes on, whatever the number of connections.
 * While there are only MIN_ACTIVE, polling them costs less than a system call.
 *
 * The set is changed by the main thread, which replaces it by another one, in
 * which all connections are active, and used by the poller without a lock:
 * that is the only one who changes the order of its connections.  A connection
 * is destroyed a grace period after it has left the set, and a channel with
 * the last connection that uses it, so that the poller never sees one gone.
 * An event that it has just read can be about a connection that has left: then
 * ibv_destroy_cq() waits for ibv_ack_cq_events(), which comes at once. */

#define IDLE_POLLS 4096
#define MIN_ACTIVE 8
#define EVENT_PAUSE 32          /* In usec. */
#define MAX_EVENTS 32           /* From a channel at a time. */

/* A completion channel of the connections of a completion queue on 'dev'. */
struct cq_channel {
    struct ovs_list node;       /* In "struct ordma_verbs_cq"'s 'channels'. */
    struct ordma_verbs_cq *cq;
    struct ordma_verbs_dev *dev;
    struct ibv_comp_channel *ibv;
    unsigned int n_conns;
};

/* Connections on more devices than channels are always active. */
struct conn_set {
    struct ibv_comp_channel *channels[4];
    unsigned int n_channels;

    /* The poller's. */
    bool is_ready;              /* Has the connections' 'cq_index'. */
    unsigned int next;          /* Of the round; 0 if it has not begun. */
    unsigned int n_active;      /* These come first. */
    unsigned int n;
    struct ordma_verbs_conn *conns[];
};

struct ordma_verbs_cq {
    struct ordma_cq up;
    OVSRCU_TYPE(struct conn_set *) set;
    uint64_t next_look;         /* For events, in TSC cycles: the poller's. */

    struct ovs_list conns OVS_GUARDED_BY(ordma_mutex);  /* In 'set'. */
    struct ovs_list channels OVS_GUARDED_BY(ordma_mutex);
};

static struct ordma_verbs_cq *
ordma_verbs_cq_cast(const struct ordma_cq *cq)
{
    return CONTAINER_OF(cq, struct ordma_verbs_cq, up);
}

/* The main thread's part. */

/* Adds the channel of 'conn', which is in 'set', to that. */
static void
set_add_channel(struct conn_set *set, const struct ordma_verbs_conn *conn)
{
    struct ibv_comp_channel *channel = conn->channel->ibv;
    unsigned int i;

    for (i = 0; i < set->n_channels; i++) {
        if (set->channels[i] == channel) {
            return;
        }
    }
    set->channels[set->n_channels++] = channel;
}

/* Has the poller of 'cq' use its connections of now. */
static void
ordma_verbs_cq_publish(struct ordma_verbs_cq *cq)
    OVS_REQUIRES(ordma_mutex)
{
    struct conn_set *old = ovsrcu_get_protected(struct conn_set *, &cq->set);
    size_t n = ovs_list_size(&cq->conns);
    struct conn_set *set = xzalloc(sizeof *set + n * sizeof set->conns[0]);
    struct ordma_verbs_conn *conn;

    LIST_FOR_EACH (conn, cq_node, &cq->conns) {
        set->conns[set->n++] = conn;
        if (conn->channel) {
            set_add_channel(set, conn);
        }
    }
    set->n_active = set->n;
    ovsrcu_set(&cq->set, set);
    if (old) {
        ovsrcu_postpone(free, old);
    }
}

int
ordma_verbs_create_cq(struct ordma_cq **cqp)
{
    struct ordma_verbs_cq *cq = xzalloc(sizeof *cq);

    cq->up.provider = &ordma_verbs_provider;
    ovs_list_init(&cq->conns);
    ovs_list_init(&cq->channels);
    ordma_verbs_cq_publish(cq);
    *cqp = &cq->up;
    return 0;
}

void
ordma_verbs_destroy_cq(struct ordma_cq *cq_)
{
    struct ordma_verbs_cq *cq = ordma_verbs_cq_cast(cq_);

    ovs_assert(ovs_list_is_empty(&cq->channels));
    free(ovsrcu_get_protected(struct conn_set *, &cq->set));
    free(cq);
}

/* Returns the channel of 'cq' on 'dev', or null if there can be none. */
static struct cq_channel *
get_channel(struct ordma_verbs_cq *cq, struct ordma_verbs_dev *dev)
    OVS_REQUIRES(ordma_mutex)
{
    struct ibv_comp_channel *ibv;
    struct cq_channel *channel;

    LIST_FOR_EACH (channel, node, &cq->channels) {
        if (channel->dev == dev) {
            return channel;
        }
    }
    if (ovs_list_size(&cq->channels)
        >= ARRAY_SIZE(((struct conn_set *) NULL)->channels)) {
        return NULL;
    }
    ibv = ibv_create_comp_channel(dev->context);
    if (!ibv) {
        return NULL;
    }
    if (set_nonblocking(ibv->fd)) {
        ibv_destroy_comp_channel(ibv);
        return NULL;
    }

    channel = xzalloc(sizeof *channel);
    channel->cq = cq;
    channel->dev = dev;
    channel->ibv = ibv;
    ovs_list_push_back(&cq->channels, &channel->node);
    return channel;
}

static void
unref_channel(struct cq_channel *channel)
    OVS_REQUIRES(ordma_mutex)
{
    if (!channel->n_conns) {
        ovs_list_remove(&channel->node);
        ibv_destroy_comp_channel(channel->ibv);
        free(channel);
    }
}

int
ordma_verbs_cq_init(struct ordma_verbs_conn *conn, struct ordma_cq *cq,
                    unsigned int n)
{
    struct ordma_verbs_dev *dev = ordma_verbs_dev_cast(conn->up.dev);
    struct cq_channel *channel
        = cq ? get_channel(ordma_verbs_cq_cast(cq), dev) : NULL;

    conn->cq = ibv_create_cq(dev->context, n, conn,
                             channel ? channel->ibv : NULL, 0);
    if (!conn->cq) {
        int error = errno;

        if (channel) {
            unref_channel(channel);
        }
        return error;
    }
    conn->group = cq ? ordma_verbs_cq_cast(cq) : NULL;
    conn->channel = channel;
    if (channel) {
        channel->n_conns++;
    }
    return 0;
}

void
ordma_verbs_cq_uninit(struct ordma_verbs_conn *conn)
{
    ordma_verbs_leave_cq(conn);
    if (conn->cq) {
        ibv_destroy_cq(conn->cq);
    }
    if (conn->channel) {
        conn->channel->n_conns--;
        unref_channel(conn->channel);
    }
}

void
ordma_verbs_join_cq(struct ordma_conn *conn_)
{
    struct ordma_verbs_conn *conn = ordma_verbs_conn_cast(conn_);

    conn->in_cq = true;
    ovs_list_push_back(&conn->group->conns, &conn->cq_node);
    ordma_verbs_cq_publish(conn->group);
}

void
ordma_verbs_leave_cq(struct ordma_verbs_conn *conn)
{
    if (conn->in_cq) {
        conn->in_cq = false;
        ovs_list_remove(&conn->cq_node);
        ordma_verbs_cq_publish(conn->group);
    }
}
/* The poller's part. */

static void
set_put(struct conn_set *set, unsigned int i, struct ordma_verbs_conn *conn)
{
    set->conns[i] = conn;
    conn->cq_index = i;
}

static void
set_swap(struct conn_set *set, unsigned int a, unsigned int b)
{
    struct ordma_verbs_conn *conn = set->conns[a];

    set_put(set, a, set->conns[b]);
    set_put(set, b, conn);
}

/* Makes 'conn' active, if it is in 'set' at all. */
static void
set_activate(struct conn_set *set, struct ordma_verbs_conn *conn)
{
    if (conn->cq_index < set->n && set->conns[conn->cq_index] == conn) {
        conn->n_empty = 0;
        if (conn->cq_index >= set->n_active) {
            set_swap(set, conn->cq_index, set->n_active++);
        }
    }
}

static void
read_events(struct conn_set *set, struct ibv_comp_channel *channel)
{
    struct ibv_cq *ibv_cq;
    void *conn;

    for (int i = 0; i < MAX_EVENTS; i++) {
        if (ibv_get_cq_event(channel, &ibv_cq, &conn)) {
            break;
        }
        COVERAGE_INC(rdma_verbs_cq_event);
        set_activate(set, conn);
        ibv_ack_cq_events(ibv_cq, 1);   /* 'conn' may be gone from now on. */
    }
}

static void
begin_round(struct ordma_verbs_cq *cq, struct conn_set *set)
{
    uint64_t now;

    if (!set->is_ready) {
        for (unsigned int i = 0; i < set->n; i++) {
            set_put(set, i, set->conns[i]);
        }
        set->is_ready = true;
    }
    if (set->n_active == set->n) {
        return;
    }
    now = rte_rdtsc();
    if (now >= cq->next_look) {
        cq->next_look = now + rte_get_tsc_hz() / 1000000 * EVENT_PAUSE;
        for (unsigned int i = 0; i < set->n_channels; i++) {
            read_events(set, set->channels[i]);
        }
    }
}

/* Returns true if 'conn' need not be polled until it notifies us.  It is asked
 * to before its last poll: what comes before that, the poll finds. */
static bool
becomes_idle(struct ordma_verbs_conn *conn)
{
    if (conn->n_empty < IDLE_POLLS) {
        conn->is_armed = false;
        return false;
    } else if (!conn->is_armed) {
        conn->is_armed = !ibv_req_notify_cq(conn->cq, 0);
        conn->n_empty = conn->is_armed ? IDLE_POLLS : 0;
        return false;
    }
    return conn->n_empty > IDLE_POLLS;
}

struct ordma_conn *
ordma_verbs_poll_cq(struct ordma_cq *cq_)
{
    struct ordma_verbs_cq *cq = ordma_verbs_cq_cast(cq_);
    struct conn_set *set = ovsrcu_get(struct conn_set *, &cq->set);

    if (!set->next) {
        begin_round(cq, set);
    }
    while (set->next < set->n_active) {
        struct ordma_verbs_conn *conn = set->conns[set->next];

        if (set->n_active <= MIN_ACTIVE || !conn->channel
            || !becomes_idle(conn)) {
            set->next++;
            return &conn->up;
        }
        COVERAGE_INC(rdma_verbs_cq_idle);
        set_swap(set, set->next, --set->n_active);
    }
    set->next = 0;
    return NULL;
}

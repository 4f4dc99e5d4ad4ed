/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * A set of lanes, from the first attempt to the last buffer returned. */

#include <config.h>

#include "rdma-session.h"

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "rdma-stats.h"
#include "seq.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_session);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* How long a device may take to flush a queue pair, in ms, and how often to
 * look. */
#define DRAIN_TIMEOUT 10000
#define DRAIN_INTERVAL 2

/* Sessions in GRACE and DRAIN. */
static struct ovs_list dead_sessions OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&dead_sessions);

/* Counts for sessions without a port. */
static struct ordma_stats orphan_stats OVS_GUARDED_BY(ordma_mutex);

static struct ordma_stats *
session_stats(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    return session->stats ? session->stats : &orphan_stats;
}

struct ordma_session *
ordma_session_create(struct ordma_peer *peer, uint64_t id, bool dialed,
                     struct ordma_stats *stats)
{
    static uint64_t serial OVS_GUARDED_BY(ordma_mutex);
    struct ordma_session *session = xzalloc(sizeof *session);

    session->serial = ++serial;
    session->id = id;
    session->n_lanes = 1;
    session->peer = peer;
    session->stats = stats;
    session->state = ORDMA_SESSION_SETUP;
    session->dialed = dialed;
    for (int i = 0; i < ORDMA_MAX_LANES; i++) {
        session->links[i].session = session;
    }
    return session;
}

int
ordma_session_add_lane(struct ordma_session *session, unsigned int index,
                       const struct ordma_lane_params *params)
{
    struct ordma_link *link = &session->links[index];
    int error = ordma_lane_create(params, session_stats(session), &link->lane);

    if (!error) {
        link->conn = params->conn;
        link->conn->aux = link;
    }
    return error;
}

void
ordma_session_publish(struct ordma_session *session, ordma_session_slot *slot)
{
    session->state = ORDMA_SESSION_UP;
    ovsrcu_set(slot, session);
}

static void
session_destroy(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        struct ordma_link *link = &session->links[i];

        if (link->lane) {
            ordma_lane_destroy(link->lane, session_stats(session));
        } else if (link->conn) {
            link->conn->provider->destroy(link->conn);
        }
    }
    free(session);
}

/* Returns true if all lanes of 'session' are drained. */
static bool
session_drain(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    bool done = true;

    for (unsigned int i = 0; i < session->n_lanes; i++) {
        struct ordma_lane *lane = session->links[i].lane;

        if (lane && !ordma_lane_drain(lane, session_stats(session))) {
            done = false;
        }
    }
    return done;
}

/* RCU callback. */
static void
session_quiesced(struct ordma_session *session)
{
    atomic_store(&session->quiesced, true);
    seq_change(ordma_seq());
}

void
ordma_session_close(struct ordma_session *session, ordma_session_slot *slot)
{
    /* Phase 1: the peer learns of it, and nothing is sent any more. */
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        struct ordma_link *link = &session->links[i];

        if (link->conn) {
            link->conn->provider->disconnect(link->conn);
        }
    }
    session->peer = NULL;

    /* Phase 2: no PMD thread finds the session any more.  One may be at it
     * until the end of a grace period, see ordma_sessions_run(). */
    if (session->state == ORDMA_SESSION_UP) {
        ovsrcu_set(slot, NULL);
        session->state = ORDMA_SESSION_GRACE;
        ovs_list_push_back(&dead_sessions, &session->node);
        ovsrcu_postpone(session_quiesced, session);
    } else {
        /* No PMD thread has ever known it, but the peer may have sent. */
        session_drain(session);
        session_destroy(session);
    }
}

void
ordma_sessions_run(void)
{
    struct ordma_session *session;

    LIST_FOR_EACH_SAFE (session, node, &dead_sessions) {
        bool quiesced;

        atomic_read(&session->quiesced, &quiesced);
        if (!quiesced) {
            continue;
        }

        /* Phase 3: the main thread has taken over from the PMD threads. */
        if (session->state == ORDMA_SESSION_GRACE) {
            session->state = ORDMA_SESSION_DRAIN;
            session->deadline = time_msec() + DRAIN_TIMEOUT;
        }

        /* Phase 4: every request has completed, or never will. */
        if (session_drain(session)) {
            ovs_list_remove(&session->node);
            session_destroy(session);
        } else if (time_msec() >= session->deadline) {
            VLOG_WARN_RL(&rl, "%s: device did not flush its queue pairs",
                         session->links[0].conn->dev->name);
            ovs_list_remove(&session->node);
            session_destroy(session);
        }
    }
}

void
ordma_sessions_wait(void)
{
    struct ordma_session *session;

    LIST_FOR_EACH (session, node, &dead_sessions) {
        if (session->state == ORDMA_SESSION_DRAIN) {
            poll_timer_wait(DRAIN_INTERVAL);
            break;
        }
    }
}

void
ordma_sessions_orphan(const struct ordma_stats *stats)
{
    struct ordma_session *session;

    LIST_FOR_EACH (session, node, &dead_sessions) {
        if (session->stats == stats) {
            session->stats = NULL;
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * A set of lanes, from the first attempt to the last buffer returned. */

#ifndef RDMA_SESSION_H
#define RDMA_SESSION_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/list.h"
#include "ovs-rcu.h"
#include "rdma-hello.h"
#include "rdma-lane.h"
#include "rdma-provider.h"

struct ordma_peer;

/* Sessions
 * ========
 *
 * A session is the set of lanes between a port and its peer, from the first
 * connection attempt to the last buffer returned.  It never comes back: after
 * a failure the peer (see rdma-peer.h) starts a new one.
 *
 *     SETUP   Lanes are being connected.  Only the main thread knows it.
 *     UP      All lanes are connected; PMD threads find the session in the
 *             port's slot, by RCU, and use the lanes.
 *     GRACE   Disconnected and out of the slot, but a PMD thread may still be
 *             at it.
 *     DRAIN   No PMD thread knows it: the main thread works off and counts
 *             what is left in the queues.  The session is freed after that.
 *
 * Every member is the main thread's, under 'ordma_mutex', except that those
 * under "For PMD threads" do not change while the session is UP and that lanes
 * have rules of their own. */

enum ordma_session_state {
    ORDMA_SESSION_SETUP,
    ORDMA_SESSION_UP,
    ORDMA_SESSION_GRACE,
    ORDMA_SESSION_DRAIN,
};

/* The connection of one lane. */
struct ordma_link {
    struct ordma_session *session;
    struct ordma_conn *conn;        /* Null before it is dialed. */
    struct ordma_lane *lane;        /* Null before 'conn' has a queue pair. */
    bool established;
};

struct ordma_session {
    /* For PMD threads. */
    uint64_t serial;                /* Tells it from all others here. */
    unsigned int n_lanes;           /* Elements used in 'links'. */
    uint32_t max_msg;               /* Longest message that the peer takes. */
    struct in6_addr local, remote;  /* For the metadata of received frames. */
    struct ordma_key in_key;        /* Frames with other keys are dropped. */

    /* For the main thread. */
    struct ovs_list node;           /* In the peer's or the dead list. */
    struct ordma_peer *peer;        /* Null in GRACE and DRAIN. */
    struct ordma_stats *stats;      /* The port's, or null without a port. */
    enum ordma_session_state state;
    bool dialed;                    /* By us rather than by the peer. */
    uint64_t id;                    /* ordma_hello's 'session'. */
    struct ordma_hello theirs;      /* The peer's hello on lane 0. */
    long long int deadline;         /* DRAIN: when to give up, msec. */
    atomic_bool quiesced;           /* GRACE: the grace period is over. */

    struct ordma_link links[ORDMA_MAX_LANES];
};

/* Creates a session in state SETUP for 'peer'. */
struct ordma_session *ordma_session_create(struct ordma_peer *peer,
                                           uint64_t id, bool dialed,
                                           struct ordma_stats *stats)
    OVS_REQUIRES(ordma_mutex);

/* Gives 'session', in state SETUP, the lane 'index' with the parameters
 * 'params'.  Returns 0, or a positive errno value and the connection is still
 * the caller's. */
int ordma_session_add_lane(struct ordma_session *session, unsigned int index,
                           const struct ordma_lane_params *params)
    OVS_REQUIRES(ordma_mutex);

/* Puts 'session' into 'slot', which makes it UP. */
typedef OVSRCU_TYPE(struct ordma_session *) ordma_session_slot;
void ordma_session_publish(struct ordma_session *session,
                           ordma_session_slot *slot)
    OVS_REQUIRES(ordma_mutex);

/* Disconnects 'session', which is SETUP or UP, takes it out of 'slot' and
 * frees it when nobody uses it any more. */
void ordma_session_close(struct ordma_session *session,
                         ordma_session_slot *slot)
    OVS_REQUIRES(ordma_mutex);

/* Makes closed sessions stop counting to 'stats', which is about to go. */
void ordma_sessions_orphan(const struct ordma_stats *stats)
    OVS_REQUIRES(ordma_mutex);

/* Do the periodic work of closed sessions. */
void ordma_sessions_run(void) OVS_REQUIRES(ordma_mutex);
void ordma_sessions_wait(void) OVS_REQUIRES(ordma_mutex);

#endif /* rdma-session.h */

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

struct ordma_cqs;
struct ordma_peer;

/* Sessions
 * ========
 *
 * A session is the set of lanes between a port and its peer.  It begins with a
 * dial or with a request of the peer and never comes back: after a failure the
 * peer (see rdma-peer.h) starts a new one.  It knows nothing of peers but what
 * it calls, 'ops'.
 *
 *     SETUP   Lanes are being connected.  Only the main thread knows it.
 *     PROBE   All lanes are connected, and PMD threads poll them, but have not
 *             yet shown that data gets through: a PING has to be answered on
 *             each, then another in a packet as long as the path MTU says.
 *     UP      Frames can flow.
 *     GRACE   Closed, but a PMD thread may still be at it.
 *     DRAIN   No PMD thread knows it: the main thread works off and counts
 *             what is left in the queues.  The session is freed after that.
 *
 * Every member is the main thread's, under 'ordma_mutex', except that those
 * under "For PMD threads" do not change from PROBE on and that lanes have
 * rules of their own. */

/* What all the sessions of a port have in common.  The port owns it, changes
 * it only under 'ordma_mutex', and closes its sessions before it goes. */
struct ordma_port {
    struct ovs_list node;           /* For rdma-accept, as is 'error'. */
    char *error;                    /* Why not to connect now, or null. */
    const char *name;
    const struct ordma_provider *provider;
    struct in6_addr remote;         /* The peer (IPv4: mapped), or all zeros
                                     * for any number of peers. */
    struct in6_addr local;          /* Our address, or all zeros. */
    ovs_be16 dst_port;              /* Connection manager port, both ends. */
    uint8_t tos;                    /* Traffic class of connections. */
    uint8_t ttl;                    /* Of the packets that we send. */
    const char *rdma_dev;           /* Device to use, or null for any. */
    uint32_t features;              /* ORDMA_FEATURE_*. */
    struct ordma_key in_key, out_key;

    unsigned int n_rxq;             /* The most lanes of a session. */
    unsigned int n_rxq_desc;        /* Receive buffers that its lanes share
                                     * with those of other ports. */
    unsigned int n_recv;            /* Messages that a peer may have under way
                                     * on a lane at most. */
    unsigned int n_send;            /* Messages under way to a peer, likewise;
                                     * both are powers of 2. */
    uint32_t max_frame;             /* Longest frame that the port sends. */
    struct ordma_pool *rx_pool;     /* Of messages received. */
    struct ordma_pool *tx_pool;     /* Of messages sent. */
    struct ordma_cqs *cqs;          /* Where PMD threads poll, see below. */
    struct ordma_stats *stats;      /* Written under 'ordma_mutex'. */

    /* Returns the peer for a request from 'remote' to 'local', which fits the
     * port, or null if the port has as many peers as it may have. */
    struct ordma_peer *(*get_peer)(struct ordma_port *,
                                   const struct in6_addr *remote,
                                   const struct in6_addr *local);

    /* Called when the carrier or the status of a peer changes. */
    void (*changed)(struct ordma_port *);
};

/* The completion queues of a port's receive queues.  The port and its sessions
 * share them by reference counting. */
struct ordma_cqs {
    unsigned int n_refs;
    unsigned int n;
    struct ordma_cq *cqs[];         /* By receive queue. */
};

/* Creates 'n' completion queues of 'provider', with one reference.  Returns 0
 * or a positive errno value. */
int ordma_cqs_create(const struct ordma_provider *provider, unsigned int n,
                     struct ordma_cqs **cqsp) OVS_REQUIRES(ordma_mutex);
void ordma_cqs_unref(struct ordma_cqs *) OVS_REQUIRES(ordma_mutex);

enum ordma_session_state {
    ORDMA_SESSION_SETUP,
    ORDMA_SESSION_PROBE,
    ORDMA_SESSION_UP,
    ORDMA_SESSION_GRACE,
    ORDMA_SESSION_DRAIN,
};

/* The connection of one lane: its connection's 'aux'. */
struct ordma_link {
    struct ordma_session *session;
    struct ordma_conn *conn;        /* Null before it is dialed. */
    struct ordma_lane *lane;        /* Null before 'conn' has a queue pair. */
    bool established;
    unsigned int n_pings;           /* PROBE: sent. */
};

/* What a session reports, in the main thread.  The user may close it then. */
struct ordma_session_ops {
    void (*up)(struct ordma_session *);
    void (*failed)(struct ordma_session *, const char *reason);
    void (*refused)(struct ordma_session *, enum ordma_refusal);
};

struct ordma_session {
    /* For PMD threads. */
    unsigned int n_lanes;           /* Elements used in 'links'. */
    uint32_t max_msg;               /* Longest message that the peer takes. */
    struct in6_addr local, remote;  /* For the metadata of received frames. */
    struct ordma_key in_key;        /* Frames with other keys are dropped. */

    /* For the main thread. */
    const struct ordma_session_ops *ops;
    void *aux;                      /* The user's. */
    struct ordma_port *port;        /* Null once closed. */
    struct ordma_stats *stats;      /* The port's, or null without a port. */
    struct ordma_cqs *cqs;
    enum ordma_session_state state;
    bool dialed;                    /* By us rather than by the peer. */
    uint64_t id;                    /* ordma_hello's 'session'. */
    struct ordma_hello theirs;      /* The peer's hello on lane 0. */
    int max_mtu;                    /* See struct ordma_dial. */
    long long int long_time;        /* PROBE: when all have answered a short
                                     * PING, msec. */
    struct ovs_list node;           /* GRACE, DRAIN: in 'dead_sessions'. */
    long long int deadline;         /* DRAIN: when to give up, msec. */
    atomic_bool quiesced;           /* GRACE: the grace period is over. */

    struct ordma_link links[];
};

/* A place where PMD threads find the session that is up, or null. */
typedef OVSRCU_TYPE(struct ordma_session *) ordma_session_slot;

/* Starts a session of 'port': dials 'remote' from 'local', or from any address
 * if that is all zeros, with a path MTU of at most 'max_mtu' unless that is 0.
 * Stores the session in '*sessionp'.  'ops' hear what comes of it, maybe
 * before this returns. */
void ordma_session_dial(struct ordma_port *port,
                        const struct in6_addr *remote,
                        const struct in6_addr *local, int max_mtu,
                        const struct ordma_session_ops *ops, void *aux,
                        struct ordma_session **sessionp)
    OVS_REQUIRES(ordma_mutex);

/* Starts a session of 'port' for a request of the peer, which says 'hello' and
 * which ordma_session_accept() takes. */
struct ordma_session *ordma_session_create_passive(
    struct ordma_port *port, const struct ordma_hello *hello,
    const struct ordma_session_ops *ops, void *aux)
    OVS_REQUIRES(ordma_mutex);

/* Returns true if the request of 'hello' is for another lane of 'session'. */
bool ordma_session_wants(const struct ordma_session *session,
                         const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex);

/* Accepts 'conn' as the lane of 'session' that 'hello' says.  Returns false if
 * that is not possible, in which case 'conn' is still the caller's; 'ops' have
 * heard why. */
bool ordma_session_accept(struct ordma_session *session,
                          struct ordma_conn *conn,
                          const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex);

/* Returns ORDMA_REFUSED_NONE if 'port' can work with a peer that says 'hello',
 * otherwise why not. */
enum ordma_refusal ordma_session_check(const struct ordma_port *port,
                                       const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex);

/* Returns true if 'port' may use the device of 'conn'. */
bool ordma_session_is_right_dev(const struct ordma_port *port,
                                const struct ordma_conn *conn)
    OVS_REQUIRES(ordma_mutex);

/* Handles 'event', which is about a link of some session. */
void ordma_session_handle_event(const struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex);

/* Does what lanes have given reason for: goes on probing, or reports that one
 * has failed. */
void ordma_session_run(struct ordma_session *) OVS_REQUIRES(ordma_mutex);

/* Returns static text that says what 'session', which is not UP, waits for. */
const char *ordma_session_waits_for(const struct ordma_session *)
    OVS_REQUIRES(ordma_mutex);

/* Returns the path MTU of 'session' if packets of that length have been
 * without an answer for a while though short ones had one, otherwise 0. */
int ordma_session_probed_mtu(const struct ordma_session *)
    OVS_REQUIRES(ordma_mutex);

/* Asks the peer for signs of life on all lanes of 'session', which is UP. */
void ordma_session_ping(struct ordma_session *) OVS_REQUIRES(ordma_mutex);

/* Closes 'session', which is in no slot any more, and frees it when nobody
 * uses it.  Its user hears nothing more of it, but may look at it until
 * ordma_sessions_run(). */
void ordma_session_close(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex);

/* Makes closed sessions stop counting to 'stats', which is about to go. */
void ordma_sessions_orphan(const struct ordma_stats *stats)
    OVS_REQUIRES(ordma_mutex);

/* Do the periodic work of closed sessions. */
void ordma_sessions_run(void) OVS_REQUIRES(ordma_mutex);
void ordma_sessions_wait(void) OVS_REQUIRES(ordma_mutex);

#endif /* rdma-session.h */

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * One end's view of the other: its session, when to dial and to give up. */

#include <config.h>

#include "rdma-peer.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "random.h"
#include "rdma-lane.h"
#include "rdma-msg.h"
#include "rdma-stats.h"
#include "reconnect.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_peer);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* All times in ms. */
#define MIN_BACKOFF 1000
#define MAX_BACKOFF 8000
#define PROBE_INTERVAL 5000
#define SUCCESSOR_TIMEOUT 8000
#define CROSSING_TIMEOUT 1000   /* Age at which our dial yields, at least. */
#define MTU_TIMEOUT (10 * 60 * 1000)    /* As the kernel's for a route. */

struct ordma_peer {
    struct ovs_list node;           /* In 'peers'. */
    struct ordma_port *port;
    struct ordma_peer_id id;
    char *name;                     /* For logs. */
    struct reconnect *fsm;          /* When to dial, probe and give up. */
    struct ordma_session *session;  /* Not closed, or null. */
    struct ordma_session *successor; /* Not UP, to replace 'session', which
                                      * is UP, when it is UP itself.  Or
                                      * null. */
    long long int successor_deadline; /* When to give that up. */
    long long int yield_at;         /* When our dial yields to the peer's. */
    bool has_failed;                /* Waits for the next attempt. */
    int max_mtu;                    /* Greatest path MTU that works... */
    long long int max_mtu_until;    /* ...as far as we know, until then. */
    unsigned int n_connects;        /* Sessions that came up. */
    unsigned int n_rx_messages;     /* As last seen, for 'fsm'. */
    char *last_error;               /* Or null. */
    long long int last_error_time;  /* Wall clock, ms. */
};

static struct ovs_list peers OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&peers);

static const struct ordma_session_ops session_ops;

static bool
peer_is_up(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    return peer->session && peer->session->state == ORDMA_SESSION_UP;
}

/* Sessions that fail. */

static void
peer_set_error(struct ordma_peer *peer, const char *error)
    OVS_REQUIRES(ordma_mutex)
{
    bool repeated = peer->last_error && !strcmp(peer->last_error, error);

    VLOG(repeated ? VLL_DBG : VLL_INFO, "%s: %s", peer->name, error);
    if (!repeated) {
        free(peer->last_error);
        peer->last_error = xstrdup(error);
    }
    peer->last_error_time = time_wall_msec();
}

/* Ends the session that was to replace that of 'peer', if any. */
static void
close_successor(struct ordma_peer *peer, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    if (peer->successor) {
        VLOG_INFO_RL(&rl, "%s: a new connection of the peer was given up (%s)",
                     peer->name, reason);
        ordma_session_close(peer->successor);
        peer->successor = NULL;
    }
}

/* Closes the session of 'peer', if any, but not its successor. */
static void
close_session(struct ordma_peer *peer, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = peer->session;

    if (session) {
        if (peer_is_up(peer)) {
            ovsrcu_set(peer->id.slot, NULL);
            VLOG_INFO("%s: disconnected (%s)", peer->name, reason);
            ordma_stats_add(peer->port->stats, ORDMA_DISCONNECTS, 1);
        }
        peer->session = NULL;
        ordma_session_close(session);
        peer->port->changed(peer->port);
    }
}

static void
peer_close(struct ordma_peer *peer, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    close_successor(peer, reason);
    close_session(peer, reason);
}

/* Closes the session of 'peer' because of 'reason', an error that people
 * should see, and lets it try again after a while.  A peer on demand that was
 * up goes idle. */
static void
peer_fail(struct ordma_peer *peer, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    long long int now = time_msec();

    peer_set_error(peer, reason);
    close_session(peer, reason);
    if (!reconnect_is_connected(peer->fsm)) {
        peer->has_failed = true;
        reconnect_connect_failed(peer->fsm, now, 0);
    } else if (peer->id.wanted) {
        reconnect_disable(peer->fsm, now);
    } else {
        peer->has_failed = true;
        reconnect_disconnected(peer->fsm, now, 0);
    }
    peer->port->changed(peer->port);
}

/* Notes that a new session is about to be set up. */
static void
peer_begin(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    peer->has_failed = false;
    reconnect_enable(peer->fsm, time_msec());
    reconnect_connecting(peer->fsm, time_msec());
}

/* Makes the successor the session of 'peer'. */
static void
peer_succeed(struct ordma_peer *peer, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *successor = peer->successor;

    close_session(peer, reason);
    peer_begin(peer);
    peer->session = successor;
    peer->successor = NULL;
    peer->port->changed(peer->port);
}

/* Returns the greatest path MTU of sessions of 'peer', or 0 for no limit. */
static int
peer_max_mtu(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    return time_msec() < peer->max_mtu_until ? peer->max_mtu : 0;
}

/* Has the next session of 'peer' use shorter packets than the 'mtu' bytes that
 * do not get through.  Returns false if there are no shorter ones. */
static bool
lower_mtu(struct ordma_peer *peer, int mtu)
    OVS_REQUIRES(ordma_mutex)
{
    if (mtu / 2 < ORDMA_MIN_PATH_MTU) {
        return false;
    }
    VLOG_INFO("%s: packets of %d bytes do not get through, trying %d",
              peer->name, mtu, mtu / 2);
    peer->max_mtu = mtu / 2;
    peer->max_mtu_until = time_msec() + MTU_TIMEOUT;
    return true;
}

/* What sessions report. */

static void
warn_max_msg(const struct ordma_peer *peer,
             const struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    if (session->max_msg < ORDMA_MSG_MAX_OVERHEAD + peer->port->max_frame) {
        VLOG_WARN("%s: the peer takes messages of %"PRIu32" bytes only, set "
                  "the same mtu_request on both ends",
                  peer->name, session->max_msg);
    }
}

static void
session_up(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_peer *peer = session->aux;
    const struct ordma_conn *conn = session->links[0].conn;
    struct ds remote = DS_EMPTY_INITIALIZER;

    if (session == peer->successor) {
        peer_succeed(peer, "peer started again");
    }
    ovsrcu_set(peer->id.slot, session);

    ipv6_format_mapped(&session->remote, &remote);
    VLOG_INFO("%s: connected to %s through %s, %u lane%s, path MTU %d",
              peer->name, ds_cstr(&remote), conn->dev_name, session->n_lanes,
              session->n_lanes == 1 ? "" : "s", conn->path_mtu);
    ds_destroy(&remote);
    warn_max_msg(peer, session);
    ordma_stats_add(peer->port->stats, ORDMA_CONNECTS, 1);
    peer->n_connects++;
    peer->n_rx_messages = 0;
    reconnect_connected(peer->fsm, time_msec());
    peer->port->changed(peer->port);
}

static void
session_failed(struct ordma_session *session, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_peer *peer = session->aux;

    if (lower_mtu(peer, ordma_session_probed_mtu(session))) {
        reason = ordma_session_waits_for(session);
    }
    if (session == peer->successor) {
        close_successor(peer, reason);
    } else if (peer->successor) {
        peer_set_error(peer, reason);
        peer_succeed(peer, reason);
    } else {
        peer_fail(peer, reason);
    }
}

static void
session_refused(struct ordma_session *session, enum ordma_refusal refusal)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_peer *peer = session->aux;
    char *reason;

    if (refusal == ORDMA_REFUSED_CROSSING) {
        /* No error: the peer's own dial is about to arrive. */
        peer_close(peer, "simultaneous connects");
        reconnect_connect_failed(peer->fsm, time_msec(), 0);
        if (peer->id.wanted) {
            atomic_store_relaxed(peer->id.wanted, true);
        }
        return;
    }
    if (refusal == ORDMA_REFUSED_MTU) {
        lower_mtu(peer, session->links[0].conn->path_mtu);
    }
    reason = xasprintf("rejected by peer: %s",
                       ordma_refusal_to_string(refusal));
    session_failed(session, reason);
    free(reason);
}

static const struct ordma_session_ops session_ops = {
    .up = session_up,
    .failed = session_failed,
    .refused = session_refused,
};

/* Requests. */

/* Returns true if our dial, which is under way, beats the request 'conn' of
 * the peer. */
static bool
dial_wins_crossing(const struct ordma_peer *peer,
                   const struct ordma_conn *conn)
    OVS_REQUIRES(ordma_mutex)
{
    return (peer->session && peer->session->state < ORDMA_SESSION_UP
            && peer->session->dialed
            && time_msec() < peer->yield_at
            && memcmp(&conn->local, &conn->remote, sizeof conn->local) < 0);
}

/* Returns true if 'peer' has a session with a port other than that which says
 * 'hello'. */
static bool
is_busy(const struct ordma_peer *peer, const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex)
{
    return (peer_is_up(peer)
            && !(ordma_key_equals(&peer->session->theirs.in_key,
                                  &hello->in_key)
                 && ordma_key_equals(&peer->session->theirs.out_key,
                                     &hello->out_key)));
}

/* Begins a session for a request, which says 'hello'.  While another
 * one is UP, it is to be the successor of that: a request is no proof that the
 * peer has started again, because anyone can write its address on one.  Only
 * who receives our answers can bring a session UP. */
static struct ordma_session *
begin_passive(struct ordma_peer *peer, const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session
        = ordma_session_create_passive(peer->port, hello, &session_ops, peer);

    if (peer_is_up(peer)) {
        close_successor(peer, "there is a newer one");
        peer->successor = session;
        peer->successor_deadline = time_msec() + SUCCESSOR_TIMEOUT;
    } else {
        peer_close(peer, "peer started again");
        peer_begin(peer);
        peer->session = session;
        peer->port->changed(peer->port);
    }
    return session;
}

enum ordma_refusal
ordma_peer_request(struct ordma_peer *peer, struct ordma_conn *conn,
                   const struct ordma_hello *hello)
{
    struct ordma_session *session = (peer->successor ? peer->successor
                                     : peer->session);

    if (hello->lane) {
        if (!session || !ordma_session_wants(session, hello)) {
            return ORDMA_REFUSED_SESSION;
        }
    } else if (dial_wins_crossing(peer, conn)) {
        return ORDMA_REFUSED_CROSSING;
    } else if (is_busy(peer, hello)) {
        return ORDMA_REFUSED_BUSY;
    } else if (peer_max_mtu(peer) && conn->path_mtu > peer_max_mtu(peer)) {
        return ORDMA_REFUSED_MTU;
    } else {
        session = begin_passive(peer, hello);
    }
    return (ordma_session_accept(session, conn, hello)
            ? ORDMA_REFUSED_NONE : ORDMA_REFUSED_RESOURCE);
}

/* Periodic work. */

/* Gives the successor of 'peer' up if it does not come up. */
static void
successor_run(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    if (peer->successor) {
        ordma_session_run(peer->successor);
    }
    if (peer->successor && time_msec() >= peer->successor_deadline) {
        session_failed(peer->successor,
                       ordma_session_waits_for(peer->successor));
    }
}

/* Tells 'peer->fsm' whether anything was received lately. */
static void
peer_note_activity(struct ordma_peer *peer, long long int now)
    OVS_REQUIRES(ordma_mutex)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < peer->session->n_lanes; i++) {
        n += atomic_count_get(&peer->session->links[i].lane->n_rx_messages);
    }
    if (n != peer->n_rx_messages) {
        peer->n_rx_messages = n;
        reconnect_activity(peer->fsm, now);
    }
    reconnect_receive_attempted(peer->fsm, now);
}

/* Returns false if 'peer' is on demand and nobody has wanted it since the last
 * call. */
static bool
peer_is_wanted(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    return !peer->id.wanted || atomic_exchange(peer->id.wanted, false);
}

static void
peer_dial(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    peer_close(peer, "dialing again");
    peer_begin(peer);
    peer->yield_at = (time_msec() + CROSSING_TIMEOUT
                      + random_range(CROSSING_TIMEOUT));
    ordma_session_dial(peer->port, &peer->id.remote, &peer->id.local,
                       peer_max_mtu(peer), &session_ops, peer,
                       &peer->session);
    peer->port->changed(peer->port);
}

/* Dials, or says why not. */
static void
peer_connect(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    if (!peer_is_wanted(peer)) {
        reconnect_disable(peer->fsm, time_msec());
    } else if (peer->port->error) {
        peer_fail(peer, peer->port->error);
    } else {
        peer_dial(peer);
    }
}

static void
peer_run(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    long long int now = time_msec();

    if (peer->session) {
        ordma_session_run(peer->session);
    }
    if (peer_is_up(peer)) {
        peer_note_activity(peer, now);
    }
    successor_run(peer);

    switch (reconnect_run(peer->fsm, now)) {
    case RECONNECT_CONNECT:
        peer_connect(peer);
        break;

    case RECONNECT_DISCONNECT:
        session_failed(peer->session, reconnect_is_connected(peer->fsm)
                       ? "peer does not answer probes"
                       : ordma_session_waits_for(peer->session));
        break;

    case RECONNECT_PROBE:
        ordma_session_ping(peer->session);
        break;

    default:
        break;
    }
}

void
ordma_peers_run(void)
{
    struct ordma_peer *peer;

    LIST_FOR_EACH (peer, node, &peers) {
        peer_run(peer);
    }
    ordma_sessions_run();
}

void
ordma_peers_wait(void)
{
    struct ordma_peer *peer;

    LIST_FOR_EACH (peer, node, &peers) {
        reconnect_wait(peer->fsm, time_msec());
        if (peer->successor) {
            poll_timer_wait_until(peer->successor_deadline);
        }
    }
    ordma_sessions_wait();
}

/* Life cycle. */

/* Returns what to call a peer of 'port' in logs, for the caller to free. */
static char *
make_name(const struct ordma_port *port, const struct ordma_peer_id *id)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&ds, port->name);
    if (id->wanted) {
        ds_put_cstr(&ds, " (");
        ipv6_format_mapped(&id->remote, &ds);
        ds_put_char(&ds, ')');
    }
    return ds_steal_cstr(&ds);
}

struct ordma_peer *
ordma_peer_create(struct ordma_port *port, const struct ordma_peer_id *id)
{
    struct ordma_peer *peer = xzalloc(sizeof *peer);

    peer->port = port;
    peer->id = *id;
    peer->name = make_name(port, id);
    peer->fsm = reconnect_create(time_msec());
    reconnect_set_name(peer->fsm, peer->name);
    reconnect_set_quiet(peer->fsm, true);
    reconnect_set_backoff(peer->fsm, MIN_BACKOFF, MAX_BACKOFF);
    reconnect_set_probe_interval(peer->fsm, PROBE_INTERVAL);
    reconnect_enable(peer->fsm, time_msec());
    ovs_list_push_back(&peers, &peer->node);
    return peer;
}

void
ordma_peer_destroy(struct ordma_peer *peer, const char *reason)
{
    if (peer) {
        peer_close(peer, reason);
        ovs_list_remove(&peer->node);
        reconnect_destroy(peer->fsm);
        free(peer->last_error);
        free(peer->name);
        free(peer);
    }
}

void
ordma_peer_reconnect(struct ordma_peer *peer)
{
    peer_close(peer, "asked to reconnect");
    peer->has_failed = false;
    if (peer->id.wanted) {
        atomic_store_relaxed(peer->id.wanted, true);
    }
    reconnect_disable(peer->fsm, time_msec());
    reconnect_enable(peer->fsm, time_msec());
}

/* State. */

enum ordma_peer_state
ordma_peer_get_state(const struct ordma_peer *peer)
{
    return (peer_is_up(peer) ? ORDMA_PEER_UP
            : peer->session ? ORDMA_PEER_CONNECTING
            : !reconnect_is_enabled(peer->fsm) ? ORDMA_PEER_IDLE
            : peer->has_failed ? ORDMA_PEER_BACKOFF
            : ORDMA_PEER_CONNECTING);
}

void
ordma_peer_get_info(const struct ordma_peer *peer,
                    struct ordma_peer_info *info)
{
    *info = (struct ordma_peer_info) {
        .state = ordma_peer_get_state(peer),
        .session = peer->session,
        .n_connects = peer->n_connects,
        .last_error = peer->last_error,
        .last_error_time = peer->last_error_time,
    };
}

bool
ordma_peer_has_dialed(const struct ordma_peer *peer)
{
    return peer_is_up(peer) && peer->session->dialed;
}

uint64_t
ordma_peer_n_messages(const struct ordma_peer *peer)
{
    uint64_t n = 0;

    if (peer_is_up(peer)) {
        for (unsigned int i = 0; i < peer->session->n_lanes; i++) {
            n += ordma_lane_n_messages(peer->session->links[i].lane);
        }
    }
    return n;
}

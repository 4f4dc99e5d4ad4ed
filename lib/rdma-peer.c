/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * One end's view of the other: its session, when to dial and to give up. */

#include <config.h>

#include "rdma-peer-private.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "rdma-lane.h"
#include "rdma-listener.h"
#include "rdma-pool.h"
#include "rdma-stats.h"
#include "seq.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_peer);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* All times in ms. */
#define MIN_BACKOFF 1000
#define MAX_BACKOFF 8000
#define PROBE_INTERVAL 5000
#define SUCCESSOR_TIMEOUT 8000

struct ovs_list ordma_peers OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&ordma_peers);

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
        ordma_session_close(peer->successor, peer->config.slot);
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
        bool was_up = session->state == ORDMA_SESSION_UP;

        peer->session = NULL;
        ordma_session_close(session, peer->config.slot);
        if (was_up) {
            VLOG_INFO("%s: disconnected (%s)", peer->name, reason);
            ordma_stats_add(peer->config.stats, ORDMA_DISCONNECTS, 1);
        }
        peer->config.changed(peer->config.aux);
    }
}

void
ordma_peer_close(struct ordma_peer *peer, const char *reason)
{
    close_successor(peer, reason);
    close_session(peer, reason);
}

void
ordma_peer_fail(struct ordma_peer *peer, const char *reason)
{
    peer_set_error(peer, reason);
    close_session(peer, reason);
    if (peer->successor) {
        ordma_peer_succeed(peer);
    } else if (!reconnect_is_connected(peer->fsm)) {
        peer->has_failed = true;
        reconnect_connect_failed(peer->fsm, time_msec(), 0);
    } else if (peer->config.wanted) {
        reconnect_disable(peer->fsm, time_msec());
    } else {
        peer->has_failed = true;
        reconnect_disconnected(peer->fsm, time_msec(), 0);
    }
    peer->config.changed(peer->config.aux);
}

void
ordma_peer_begin(struct ordma_peer *peer)
{
    peer->has_failed = false;
    reconnect_enable(peer->fsm, time_msec());
    reconnect_connecting(peer->fsm, time_msec());
}

void
ordma_peer_accept(struct ordma_peer *peer, struct ordma_session *session)
{
    if (ordma_peer_is_up(peer)) {
        close_successor(peer, "there is a newer one");
        peer->successor = session;
        peer->successor_deadline = time_msec() + SUCCESSOR_TIMEOUT;
    } else {
        ordma_peer_close(peer, "peer started again");
        ordma_peer_begin(peer);
        peer->session = session;
        peer->config.changed(peer->config.aux);
    }
}

void
ordma_peer_succeed(struct ordma_peer *peer)
{
    close_session(peer, "peer started again");
    ordma_peer_begin(peer);
    peer->session = peer->successor;
    peer->successor = NULL;
    peer->config.changed(peer->config.aux);
}

void
ordma_peer_session_failed(struct ordma_session *session, const char *reason)
{
    struct ordma_peer *peer = session->peer;

    if (session == peer->successor) {
        close_successor(peer, reason);
    } else {
        ordma_peer_fail(peer, reason);
    }
}

/* Events. */

static void
handle_event(const struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_link *link = event->conn->aux;

    if (event->type == ORDMA_EV_REQUEST) {
        ordma_accept_request(event);
        return;
    }
    if (!link->session->peer) {
        return;                 /* The session is closed already. */
    }

    switch (event->type) {
    case ORDMA_EV_RESOLVED:
        ordma_handshake_resolved(link);
        break;

    case ORDMA_EV_ESTABLISHED:
        if (link->session->dialed) {
            ordma_handshake_accepted(link, event);
        } else {
            ordma_handshake_established(link);
        }
        break;

    case ORDMA_EV_REJECTED:
        ordma_handshake_rejected(link, event);
        break;

    case ORDMA_EV_FAILED:
    case ORDMA_EV_DISCONNECTED:
        ordma_peer_session_failed(link->session, event->reason);
        break;

    case ORDMA_EV_REQUEST:
    default:
        OVS_NOT_REACHED();
    }
}

/* Returns why a lane of 'session' has failed, or null. */
static const char *
session_failure(const struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        const struct ordma_lane *lane = session->links[i].lane;

        if (lane && ordma_lane_failure(lane)) {
            return ordma_lane_failure(lane);
        }
    }
    return NULL;
}

/* Gives the successor of 'peer' up if it does not come up. */
static void
successor_run(struct ordma_peer *peer, long long int now)
    OVS_REQUIRES(ordma_mutex)
{
    if (peer->successor) {
        const char *failure = session_failure(peer->successor);

        if (failure || now >= peer->successor_deadline) {
            close_successor(peer, failure ? failure : "it timed out");
        }
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

/* Returns the port that has the same identity as 'peer' and was there before,
 * or null.  The peer could not tell them apart. */
static const struct ordma_peer *
find_twin(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_peer *other;

    LIST_FOR_EACH (other, node, &ordma_peers) {
        const struct ordma_peer_config *a = &other->config;
        const struct ordma_peer_config *b = &peer->config;

        if (other == peer) {
            break;
        }
        if (a->wanted && !b->wanted) {
            continue;           /* It will have to give way. */
        }
        if (a->provider == b->provider && a->dst_port == b->dst_port
            && ipv6_addr_equals(&a->remote, &b->remote)
            && ipv6_addr_equals(&a->local, &b->local)
            && ordma_key_equals(&a->in_key, &b->in_key)) {
            return other;
        }
    }
    return NULL;
}

/* Returns false if 'peer' is on demand and nobody has wanted it since the last
 * call. */
static bool
peer_is_wanted(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    return (!peer->config.wanted
            || atomic_exchange(peer->config.wanted, false));
}

/* Dials, or says why not. */
static void
peer_connect(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_peer *twin = find_twin(peer);

    if (!peer_is_wanted(peer)) {
        reconnect_disable(peer->fsm, time_msec());
    } else if (twin) {
        char *reason = xasprintf("port %s has the same remote_ip, local_ip, "
                                 "dst_port and in_key, change one of them",
                                 twin->name);
        ordma_peer_fail(peer, reason);
        free(reason);
    } else if (!ordma_listener_is_open(peer->config.provider,
                                       peer->config.dst_port)) {
        ordma_peer_fail(peer, ordma_listener_error(peer->config.provider,
                                             peer->config.dst_port));
    } else {
        ordma_handshake_dial(peer);
    }
}

static void
peer_run(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    long long int now = time_msec();

    if (peer->session && session_failure(peer->session)) {
        ordma_peer_fail(peer, session_failure(peer->session));
    }
    if (peer->session && peer->session->state == ORDMA_SESSION_UP) {
        peer_note_activity(peer, now);
    }
    successor_run(peer, now);

    switch (reconnect_run(peer->fsm, now)) {
    case RECONNECT_CONNECT:
        peer_connect(peer);
        break;

    case RECONNECT_DISCONNECT:
        ordma_peer_fail(peer, reconnect_is_connected(peer->fsm)
                        ? "peer does not answer probes"
                        : "connection attempt timed out");
        break;

    case RECONNECT_PROBE:
        for (unsigned int i = 0; i < peer->session->n_lanes; i++) {
            ordma_lane_ping(peer->session->links[i].lane);
        }
        break;

    default:
        break;
    }
}

void
ordma_peers_run(void)
{
    struct ordma_peer *peer;

    ordma_listeners_run();
    for (size_t i = 0; ordma_providers[i]; i++) {
        struct ordma_event event;

        ordma_providers[i]->run();
        while (ordma_providers[i]->next_event(&event)) {
            handle_event(&event);
        }
    }
    LIST_FOR_EACH (peer, node, &ordma_peers) {
        peer_run(peer);
    }
    ordma_sessions_run();
}

void
ordma_peers_wait(void)
{
    struct ordma_peer *peer;

    for (size_t i = 0; ordma_providers[i]; i++) {
        ordma_providers[i]->wait();
    }
    LIST_FOR_EACH (peer, node, &ordma_peers) {
        reconnect_wait(peer->fsm, time_msec());
        if (peer->successor) {
            poll_timer_wait_until(peer->successor_deadline);
        }
    }
    ordma_listeners_wait();
    ordma_sessions_wait();
}

/* Life cycle. */

/* Returns what to call a peer with 'config' of 'port' in logs, for the caller
 * to free. */
static char *
make_name(const char *port, const struct ordma_peer_config *config)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&ds, port);
    if (config->wanted) {
        ds_put_cstr(&ds, " (");
        ipv6_format_mapped(&config->remote, &ds);
        ds_put_char(&ds, ')');
    }
    return ds_steal_cstr(&ds);
}

struct ordma_peer *
ordma_peer_create(const char *name, const struct ordma_peer_config *config)
{
    struct ordma_peer *peer = xzalloc(sizeof *peer);

    peer->name = make_name(name, config);
    peer->config = *config;
    peer->rdma_dev = nullable_xstrdup(config->rdma_dev);
    peer->config.rdma_dev = peer->rdma_dev;
    peer->n_lanes = config->n_rxq;
    ordma_pool_ref(config->rx_pool);
    ordma_pool_ref(config->tx_pool);

    peer->fsm = reconnect_create(time_msec());
    reconnect_set_name(peer->fsm, peer->name);
    reconnect_set_quiet(peer->fsm, true);
    reconnect_set_backoff(peer->fsm, MIN_BACKOFF, MAX_BACKOFF);
    reconnect_set_probe_interval(peer->fsm, PROBE_INTERVAL);
    reconnect_enable(peer->fsm, time_msec());

    ordma_listener_ref(config->provider, config->dst_port);
    ovs_list_push_back(&ordma_peers, &peer->node);
    return peer;
}

void
ordma_peer_destroy(struct ordma_peer *peer, const char *reason)
{
    if (peer) {
        ordma_peer_close(peer, reason);
        ovs_list_remove(&peer->node);
        ordma_listener_unref(peer->config.provider, peer->config.dst_port);
        ordma_pool_unref(peer->config.rx_pool);
        ordma_pool_unref(peer->config.tx_pool);
        reconnect_destroy(peer->fsm);
        free(peer->last_error);
        free(peer->rdma_dev);
        free(peer->name);
        free(peer);
    }
}

void
ordma_peer_reconnect(struct ordma_peer *peer)
{
    ordma_peer_close(peer, "asked to reconnect");
    peer->has_failed = false;
    if (peer->config.wanted) {
        atomic_store_relaxed(peer->config.wanted, true);
    }
    reconnect_disable(peer->fsm, time_msec());
    reconnect_enable(peer->fsm, time_msec());
}

/* State. */

enum ordma_peer_state
ordma_peer_get_state(const struct ordma_peer *peer)
{
    return (ordma_peer_is_up(peer) ? ORDMA_PEER_UP
            : peer->session ? ORDMA_PEER_CONNECTING
            : !reconnect_is_enabled(peer->fsm) ? ORDMA_PEER_IDLE
            : peer->has_failed ? ORDMA_PEER_BACKOFF
            : ORDMA_PEER_CONNECTING);
}

bool
ordma_peer_is_up(const struct ordma_peer *peer)
{
    return peer->session && peer->session->state == ORDMA_SESSION_UP;
}

bool
ordma_peer_has_dialed(const struct ordma_peer *peer)
{
    return ordma_peer_is_up(peer) && peer->session->dialed;
}

uint64_t
ordma_peer_n_messages(const struct ordma_peer *peer)
{
    uint64_t n = 0;

    if (ordma_peer_is_up(peer)) {
        for (unsigned int i = 0; i < peer->session->n_lanes; i++) {
            n += ordma_lane_n_messages(peer->session->links[i].lane);
        }
    }
    return n;
}

const struct ordma_dev *
ordma_peer_get_dev(const struct ordma_peer *peer)
{
    return (ordma_peer_is_up(peer) ? peer->session->links[0].conn->dev : NULL);
}

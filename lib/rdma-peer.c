/* SPDX-License-Identifier: Apache-2.0
 *
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */

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
#include "smap.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_peer);

/* All times in ms. */
#define MIN_BACKOFF 1000
#define MAX_BACKOFF 8000
#define PROBE_INTERVAL 5000

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

void
ordma_peer_close(struct ordma_peer *peer, const char *reason)
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
ordma_peer_fail(struct ordma_peer *peer, const char *reason)
{
    peer_set_error(peer, reason);
    ordma_peer_close(peer, reason);
    if (reconnect_is_connected(peer->fsm)) {
        reconnect_disconnected(peer->fsm, time_msec(), 0);
    } else {
        reconnect_connect_failed(peer->fsm, time_msec(), 0);
    }
    peer->config.changed(peer->config.aux);
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
        ordma_peer_fail(link->session->peer, event->reason);
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
        if (a->provider == b->provider && a->dst_port == b->dst_port
            && ipv6_addr_equals(&a->remote, &b->remote)
            && ipv6_addr_equals(&a->local, &b->local)
            && ordma_key_equals(&a->in_key, &b->in_key)) {
            return other;
        }
    }
    return NULL;
}

/* Dials, or says why not. */
static void
peer_connect(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_peer *twin = find_twin(peer);

    if (twin) {
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
    }
    ordma_listeners_wait();
    ordma_sessions_wait();
}

/* Life cycle. */

struct ordma_peer *
ordma_peer_create(const char *name, const struct ordma_peer_config *config)
{
    struct ordma_peer *peer = xzalloc(sizeof *peer);

    peer->name = xstrdup(name);
    peer->config = *config;
    peer->rdma_dev = nullable_xstrdup(config->rdma_dev);
    peer->config.rdma_dev = peer->rdma_dev;
    peer->n_lanes = config->n_rxq;
    ordma_pool_ref(config->rx_pool);
    ordma_pool_ref(config->tx_pool);

    peer->fsm = reconnect_create(time_msec());
    reconnect_set_name(peer->fsm, name);
    reconnect_set_quiet(peer->fsm, true);
    reconnect_set_backoff(peer->fsm, MIN_BACKOFF, MAX_BACKOFF);
    reconnect_set_probe_interval(peer->fsm, PROBE_INTERVAL);
    reconnect_enable(peer->fsm, time_msec());

    ordma_listener_ref(config->provider, config->dst_port);
    ovs_list_push_back(&ordma_peers, &peer->node);
    return peer;
}

void
ordma_peer_destroy(struct ordma_peer *peer)
{
    if (peer) {
        ordma_peer_close(peer, "port changed or deleted");
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
    reconnect_disable(peer->fsm, time_msec());
    reconnect_enable(peer->fsm, time_msec());
}

/* For people. */

bool
ordma_peer_is_up(const struct ordma_peer *peer)
{
    return peer->session && peer->session->state == ORDMA_SESSION_UP;
}

const struct ordma_dev *
ordma_peer_get_dev(const struct ordma_peer *peer)
{
    return (ordma_peer_is_up(peer) ? peer->session->links[0].conn->dev : NULL);
}

static const char *
peer_state(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    return (ordma_peer_is_up(peer) ? "up"
            : !peer->session ? "backoff"
            : peer->session->dialed ? "dialing" : "accepting");
}

static void
smap_add_addr(struct smap *smap, const char *key, const struct in6_addr *addr)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ipv6_format_mapped(addr, &ds);
    smap_add(smap, key, ds_cstr(&ds));
    ds_destroy(&ds);
}

void
ordma_peer_get_status(const struct ordma_peer *peer, struct smap *smap)
{
    const struct ordma_session *session = peer->session;

    smap_add(smap, "state", peer_state(peer));
    smap_add(smap, "provider", peer->config.provider->name);
    smap_add_addr(smap, "peer", &peer->config.remote);
    if (ordma_peer_is_up(peer)) {
        const struct ordma_conn *conn = session->links[0].conn;

        smap_add(smap, "device", conn->dev->name);
        smap_add_addr(smap, "source_ip", &conn->local);
        smap_add_ipv6(smap, "gid", &CONST_CAST(struct ordma_conn *,
                                               conn)->gid);
        smap_add_format(smap, "path_mtu", "%d", conn->path_mtu);
        smap_add_format(smap, "lanes", "%u", session->n_lanes);
    }
    if (peer->last_error) {
        char *when = xastrftime_msec("%Y-%m-%d %H:%M:%S.###",
                                     peer->last_error_time, true);

        smap_add(smap, "last_error", peer->last_error);
        smap_add_nocopy(smap, xstrdup("last_error_time"), when);
    }
}

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

#include "rdma-peer.h"

#include <errno.h>
#include <string.h>

#include "coverage.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "random.h"
#include "rdma-lane.h"
#include "rdma-listener.h"
#include "rdma-msg.h"
#include "rdma-pool.h"
#include "rdma-stats.h"
#include "reconnect.h"
#include "seq.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_peer);

COVERAGE_DEFINE(rdma_request_refused);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* All times in ms. */
#define MIN_BACKOFF 1000
#define MAX_BACKOFF 8000
#define PROBE_INTERVAL 5000
#define CROSSING_TIMEOUT 1000   /* Age at which our dial yields, at least. */

struct ordma_peer {
    struct ovs_list node;           /* In 'peers'. */
    char *name;                     /* The port's. */
    struct ordma_peer_config config;
    char *rdma_dev;                 /* Backs 'config.rdma_dev'. */
    struct reconnect *fsm;          /* When to dial, probe and give up. */
    struct ordma_session *session;  /* In SETUP or UP, or null. */
    long long int yield_at;         /* When our dial yields to the peer's. */
    unsigned int n_lanes;           /* Of the last session, or 0. */
    unsigned int n_rx_messages;     /* As last seen, for 'fsm'. */
    char *last_error;               /* Or null. */
    long long int last_error_time;  /* Wall clock, ms. */
};

static struct ovs_list peers OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&peers);

static void peer_dial_lane(struct ordma_peer *, unsigned int lane)
    OVS_REQUIRES(ordma_mutex);

static void
put_addr(struct ds *ds, const struct in6_addr *addr)
{
    ipv6_format_mapped(addr, ds);
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

/* Closes the session of 'peer', if any, because of 'reason'. */
static void
peer_close(struct ordma_peer *peer, const char *reason)
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

/* Closes the session of 'peer' because of 'reason', an error that people
 * should see, and lets it try again after a while. */
static void
peer_fail(struct ordma_peer *peer, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    peer_set_error(peer, reason);
    peer_close(peer, reason);
    if (reconnect_is_connected(peer->fsm)) {
        reconnect_disconnected(peer->fsm, time_msec(), 0);
    } else {
        reconnect_connect_failed(peer->fsm, time_msec(), 0);
    }
    peer->config.changed(peer->config.aux);
}

/* Sessions that come up. */

static struct ordma_hello
peer_hello(const struct ordma_peer *peer, const struct ordma_session *session,
           unsigned int lane)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_peer_config *config = &peer->config;

    return (struct ordma_hello) {
        .features = config->features,
        .max_msg = config->rx_pool->data_len,
        .credits = ordma_lane_initial_credits(session->links[lane].lane),
        .n_lanes = config->n_rxq,
        .lane = lane,
        .session = session->id,
        .in_key = config->in_key,
        .out_key = config->out_key,
    };
}

/* Returns how many DATA messages to have buffers for on a lane.  The lanes
 * share the port's buffers; there are more lanes than receive queues if the
 * peer has more. */
static unsigned int
lane_depth(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_peer_config *config = &peer->config;

    return MAX(config->n_rxq * config->n_rxq_desc / peer->n_lanes, 1);
}

/* Notes that the peer has 'theirs' lanes.  Returns false if the session has
 * been created with a smaller number in mind. */
static bool
set_n_lanes(struct ordma_peer *peer, unsigned int theirs)
    OVS_REQUIRES(ordma_mutex)
{
    unsigned int assumed = peer->n_lanes;

    peer->n_lanes = MAX(peer->config.n_rxq, theirs);
    return peer->n_lanes <= assumed;
}

/* Gives lane 'lane' of the session of 'peer' a queue pair on 'conn'. */
static int
peer_add_lane(struct ordma_peer *peer, unsigned int lane,
              struct ordma_conn *conn)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_lane_params params = {
        .conn = conn,
        .rx_pool = peer->config.rx_pool,
        .tx_pool = peer->config.tx_pool,
        .n_recv = lane_depth(peer),
        .n_send = peer->config.n_txq_desc,
        .ttl = peer->config.ttl,
    };

    return ordma_session_add_lane(peer->session, lane, &params);
}

static void
peer_up(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = peer->session;
    const struct ordma_conn *conn = session->links[0].conn;
    struct ds remote = DS_EMPTY_INITIALIZER;

    session->local = conn->local;
    session->remote = conn->remote;
    session->max_msg = session->theirs.max_msg;
    session->in_key = peer->config.in_key;
    ordma_session_publish(session, peer->config.slot);

    put_addr(&remote, &session->remote);
    VLOG_INFO("%s: connected to %s through %s, %u lane%s, path MTU %d",
              peer->name, ds_cstr(&remote), conn->dev->name, session->n_lanes,
              session->n_lanes == 1 ? "" : "s", conn->path_mtu);
    ds_destroy(&remote);
    if (session->max_msg < ORDMA_MSG_MAX_OVERHEAD + peer->config.max_frame) {
        VLOG_WARN("%s: the peer takes messages of %"PRIu32" bytes only, set "
                  "the same mtu_request on both ends",
                  peer->name, session->max_msg);
    }
    ordma_stats_add(peer->config.stats, ORDMA_CONNECTS, 1);
    peer->n_rx_messages = 0;
    reconnect_connected(peer->fsm, time_msec());
    peer->config.changed(peer->config.aux);
}

/* Notes that 'link' is established. */
static void
link_established(struct ordma_link *link)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = link->session;

    link->established = true;
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        if (!session->links[i].established) {
            return;
        }
    }
    peer_up(session->peer);
}

/* Returns ORDMA_REFUSED_NONE if a port with 'config' can work with a peer that
 * says 'hello', otherwise why not. */
static enum ordma_refusal
check_hello(const struct ordma_peer_config *config,
            const struct ordma_hello *hello)
{
    if (!ordma_keys_match(&config->in_key, &hello->out_key)
        || !ordma_keys_match(&hello->in_key, &config->out_key)) {
        return ORDMA_REFUSED_KEY;
    }
    if (hello->features != config->features
        || hello->max_msg < ORDMA_MSG_MAX_OVERHEAD + ORDMA_MIN_FRAME_LEN) {
        return ORDMA_REFUSED_FEATURES;
    }
    return ORDMA_REFUSED_NONE;
}

/* The active side. */

static void
peer_dial(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    uint64_t id = (uint64_t) random_uint32() << 32 | random_uint32() | 1;

    reconnect_connecting(peer->fsm, time_msec());
    peer->yield_at = (time_msec() + CROSSING_TIMEOUT
                      + random_range(CROSSING_TIMEOUT));
    peer->session = ordma_session_create(peer, id, true, peer->config.stats);
    peer->config.changed(peer->config.aux);
    peer_dial_lane(peer, 0);
}

static void
peer_dial_lane(struct ordma_peer *peer, unsigned int lane)
{
    struct ordma_link *link = &peer->session->links[lane];
    struct ordma_dial dial = {
        .remote = peer->config.remote,
        .local = peer->config.local,
        .port = peer->config.dst_port,
        .tos = peer->config.tos,
    };
    int error = peer->config.provider->dial(&dial, link, &link->conn);

    if (error) {
        char *reason = xasprintf(
            "cannot dial remote_ip (%s)%s", ovs_strerror(error),
            error == ENODEV || error == ENOENT
            ? ": no RDMA support is loaded, try \"modprobe rdma_ucm\"" : "");

        peer_fail(peer, reason);
        free(reason);
    }
}

/* Returns true if 'peer' may use the device of 'conn'. */
static bool
is_right_dev(const struct ordma_peer *peer, const struct ordma_conn *conn)
    OVS_REQUIRES(ordma_mutex)
{
    return (!peer->config.rdma_dev
            || !strcmp(peer->config.rdma_dev, conn->dev->name));
}

static void
handle_resolved(struct ordma_link *link)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = link->session;
    struct ordma_peer *peer = session->peer;
    unsigned int lane = link - session->links;
    uint8_t private_data[ORDMA_HELLO_LEN];
    struct ordma_hello hello;
    int error;

    if (!is_right_dev(peer, link->conn)) {
        char *reason = xasprintf("remote_ip is reached through RDMA device "
                                 "%s, not rdma-dev=%s",
                                 link->conn->dev->name, peer->config.rdma_dev);
        peer_fail(peer, reason);
        free(reason);
        return;
    }

    error = peer_add_lane(peer, lane, link->conn);
    if (!error) {
        hello = peer_hello(peer, session, lane);
        ordma_hello_put(private_data, &hello);
        error = link->conn->provider->connect(link->conn, private_data,
                                              sizeof private_data);
    }
    if (error) {
        char *reason = xasprintf("cannot set up a queue pair on %s (%s), "
                                 "see the log", link->conn->dev->name,
                                 ovs_strerror(error));
        peer_fail(peer, reason);
        free(reason);
    }
}

/* The peer has accepted 'link', which we dialed. */
static void
handle_accepted(struct ordma_link *link, const struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = link->session;
    struct ordma_peer *peer = session->peer;
    struct ordma_hello theirs;

    if (!ordma_hello_parse(event->private_data, event->private_data_len,
                           &theirs)
        || theirs.session != session->id
        || theirs.lane != link - session->links
        || check_hello(&peer->config, &theirs)) {
        peer_fail(peer, "peer accepted, but its answer makes no sense");
        return;
    }

    ordma_lane_start(link->lane, theirs.credits);
    if (theirs.lane == 0) {
        if (!set_n_lanes(peer, theirs.n_lanes)) {
            /* Lane 0 has too large a share of the buffers. */
            peer_close(peer, "peer has more lanes");
            peer_dial(peer);
            return;
        }
        session->theirs = theirs;
        session->n_lanes = peer->n_lanes;
        for (unsigned int i = 1; i < session->n_lanes; i++) {
            peer_dial_lane(peer, i);
            if (peer->session != session) {
                return;         /* It has failed. */
            }
        }
    }
    link_established(link);
}

static void
handle_rejected(struct ordma_link *link, const struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_peer *peer = link->session->peer;
    enum ordma_refusal refusal = ordma_refusal_parse(event->private_data,
                                                     event->private_data_len);

    if (refusal == ORDMA_REFUSED_NONE) {
        peer_fail(peer, event->reason);
    } else if (refusal == ORDMA_REFUSED_CROSSING) {
        /* No error: the peer's own dial is about to arrive. */
        peer_close(peer, "dials crossed");
        reconnect_connect_failed(peer->fsm, time_msec(), 0);
    } else {
        char *reason = xasprintf("rejected by peer: %s",
                                 ordma_refusal_to_string(refusal));
        peer_fail(peer, reason);
        free(reason);
    }
}

/* The passive side. */

/* Returns how well a port with 'config', which takes 'hello', fits it. */
static int
match_score(const struct ordma_peer_config *config,
            const struct ordma_hello *hello)
{
    return (2 * ordma_key_equals(&config->in_key, &hello->out_key)
            + 2 * ordma_key_equals(&config->out_key, &hello->in_key)
            + ipv6_addr_is_set(&config->local));
}

/* Finds the peer that wants the connection request 'conn' with 'hello', the
 * one that fits best.  If there is none, returns null and the reason in
 * '*refusal'. */
static struct ordma_peer *
find_peer(const struct ordma_conn *conn, const struct ordma_hello *hello,
          enum ordma_refusal *refusal)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_peer *peer, *best = NULL;

    *refusal = ORDMA_REFUSED_NO_PORT;
    LIST_FOR_EACH (peer, node, &peers) {
        const struct ordma_peer_config *config = &peer->config;

        if (config->provider != conn->provider
            || config->dst_port != conn->dst_port
            || !ipv6_addr_equals(&config->remote, &conn->remote)
            || (ipv6_addr_is_set(&config->local)
                && !ipv6_addr_equals(&config->local, &conn->local))
            || !is_right_dev(peer, conn)) {
            continue;
        }
        if (check_hello(config, hello)) {
            *refusal = check_hello(config, hello);
        } else if (!best || match_score(config, hello)
                            > match_score(&best->config, hello)) {
            best = peer;
        }
    }
    return best;
}

/* Returns true if our dial, which is under way, beats the request 'conn' of
 * the peer. */
static bool
dial_wins_crossing(const struct ordma_peer *peer,
                   const struct ordma_conn *conn)
    OVS_REQUIRES(ordma_mutex)
{
    return (peer->session && peer->session->state == ORDMA_SESSION_SETUP
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
    const struct ordma_session *session = peer->session;

    return (session && session->state == ORDMA_SESSION_UP
            && !(ordma_key_equals(&session->theirs.in_key, &hello->in_key)
                 && ordma_key_equals(&session->theirs.out_key,
                                     &hello->out_key)));
}

/* Makes 'peer' ready for the request 'conn', which says 'hello'. */
static enum ordma_refusal
admit(struct ordma_peer *peer, const struct ordma_conn *conn,
      const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = peer->session;

    if (hello->lane) {
        return (session && session->state == ORDMA_SESSION_SETUP
                && !session->dialed && session->id == hello->session
                && hello->lane < session->n_lanes
                && !session->links[hello->lane].conn
                ? ORDMA_REFUSED_NONE : ORDMA_REFUSED_SESSION);
    }
    if (dial_wins_crossing(peer, conn)) {
        return ORDMA_REFUSED_CROSSING;
    }
    if (is_busy(peer, hello)) {
        return ORDMA_REFUSED_BUSY;
    }

    peer_close(peer, "peer started again");
    reconnect_connecting(peer->fsm, time_msec());
    session = ordma_session_create(peer, hello->session, false,
                                   peer->config.stats);
    set_n_lanes(peer, hello->n_lanes);
    session->theirs = *hello;
    session->n_lanes = peer->n_lanes;
    peer->session = session;
    peer->config.changed(peer->config.aux);
    return ORDMA_REFUSED_NONE;
}

/* Accepts 'conn' as the lane that 'hello' says. */
static int
peer_accept(struct ordma_peer *peer, struct ordma_conn *conn,
            const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex)
{
    uint8_t private_data[ORDMA_HELLO_LEN];
    struct ordma_hello ours;
    int error;

    error = peer_add_lane(peer, hello->lane, conn);
    if (error) {
        return error;
    }
    ordma_lane_start(peer->session->links[hello->lane].lane, hello->credits);
    ours = peer_hello(peer, peer->session, hello->lane);
    ordma_hello_put(private_data, &ours);
    if (conn->provider->accept(conn, private_data, sizeof private_data)) {
        /* The lane owns 'conn': it goes with the session. */
        peer_fail(peer, "cannot accept a connection");
    }
    return 0;
}

static void
refuse(struct ordma_conn *conn, enum ordma_refusal refusal)
    OVS_REQUIRES(ordma_mutex)
{
    uint8_t private_data[ORDMA_REFUSAL_LEN];

    COVERAGE_INC(rdma_request_refused);
    if (refusal != ORDMA_REFUSED_CROSSING && !VLOG_DROP_INFO(&rl)) {
        struct ds remote = DS_EMPTY_INITIALIZER;

        put_addr(&remote, &conn->remote);
        VLOG_INFO("rejected a connection from %s, telling it: %s",
                  ds_cstr(&remote), ordma_refusal_to_string(refusal));
        ds_destroy(&remote);
    }
    ordma_refusal_put(private_data, refusal);
    conn->provider->reject(conn, private_data, sizeof private_data);
}

static void
handle_request(const struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_conn *conn = event->conn;
    enum ordma_refusal refusal;
    struct ordma_hello hello;
    struct ordma_peer *peer;

    if (!ordma_hello_parse(event->private_data, event->private_data_len,
                           &hello)) {
        refuse(conn, ORDMA_REFUSED_HELLO);
        return;
    }
    peer = find_peer(conn, &hello, &refusal);
    if (peer) {
        int error;

        refusal = admit(peer, conn, &hello);
        error = refusal ? 0 : peer_accept(peer, conn, &hello);
        if (error) {
            peer_fail(peer, error == ENOTCONN
                            ? "peer hung up while connecting"
                            : "out of resources for a connection, see the "
                              "log");
            refusal = ORDMA_REFUSED_RESOURCE;
        }
        if (refusal && refusal != ORDMA_REFUSED_CROSSING) {
            ordma_stats_add(peer->config.stats, ORDMA_REJECTED_REQUESTS, 1);
        }
    }
    if (refusal) {
        refuse(conn, refusal);
    }
}

/* Events. */

static void
handle_event(const struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_link *link = event->conn->aux;

    if (event->type == ORDMA_EV_REQUEST) {
        handle_request(event);
        return;
    }
    if (!link->session->peer) {
        return;                 /* The session is closed already. */
    }

    switch (event->type) {
    case ORDMA_EV_RESOLVED:
        handle_resolved(link);
        break;

    case ORDMA_EV_ESTABLISHED:
        if (link->session->dialed) {
            handle_accepted(link, event);
        } else {
            link_established(link);
        }
        break;

    case ORDMA_EV_REJECTED:
        handle_rejected(link, event);
        break;

    case ORDMA_EV_FAILED:
    case ORDMA_EV_DISCONNECTED:
        peer_fail(link->session->peer, event->reason);
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

    LIST_FOR_EACH (other, node, &peers) {
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
        peer_fail(peer, reason);
        free(reason);
    } else if (!ordma_listener_is_open(peer->config.provider,
                                       peer->config.dst_port)) {
        peer_fail(peer, ordma_listener_error(peer->config.provider,
                                             peer->config.dst_port));
    } else {
        peer_dial(peer);
    }
}

static void
peer_run(struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    long long int now = time_msec();

    if (peer->session && session_failure(peer->session)) {
        peer_fail(peer, session_failure(peer->session));
    }
    if (peer->session && peer->session->state == ORDMA_SESSION_UP) {
        peer_note_activity(peer, now);
    }

    switch (reconnect_run(peer->fsm, now)) {
    case RECONNECT_CONNECT:
        peer_connect(peer);
        break;

    case RECONNECT_DISCONNECT:
        peer_fail(peer, reconnect_is_connected(peer->fsm)
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
    LIST_FOR_EACH (peer, node, &peers) {
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
    LIST_FOR_EACH (peer, node, &peers) {
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
    ovs_list_push_back(&peers, &peer->node);
    return peer;
}

void
ordma_peer_destroy(struct ordma_peer *peer)
{
    if (peer) {
        peer_close(peer, "port changed or deleted");
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
    peer_close(peer, "asked to reconnect");
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

    put_addr(&ds, addr);
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

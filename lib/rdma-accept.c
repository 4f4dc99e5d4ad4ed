/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Connection requests: which port and peer one is for. */

#include <config.h>

#include "rdma-peer-private.h"

#include <errno.h>
#include <string.h>

#include "coverage.h"
#include "openvswitch/vlog.h"
#include "rdma-lane.h"
#include "rdma-stats.h"
#include "timeval.h"

VLOG_DEFINE_THIS_MODULE(rdma_accept);

COVERAGE_DEFINE(rdma_request_refused);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

static struct ovs_list acceptors OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&acceptors);

void
ordma_acceptor_add(struct ordma_acceptor *acceptor)
{
    ovs_list_push_back(&acceptors, &acceptor->node);
}

void
ordma_acceptor_remove(struct ordma_acceptor *acceptor)
{
    ovs_list_remove(&acceptor->node);
}

/* Returns true if 'config' has one remote address rather than any. */
static bool
has_fixed_remote(const struct ordma_peer_config *config)
{
    return ipv6_addr_is_set(&config->remote) && !config->wanted;
}

/* Returns how well a port with 'config', which takes 'hello', fits it. */
static int
match_score(const struct ordma_peer_config *config,
            const struct ordma_hello *hello)
{
    return (4 * ordma_key_equals(&config->in_key, &hello->out_key)
            + 4 * ordma_key_equals(&config->out_key, &hello->in_key)
            + 2 * has_fixed_remote(config)
            + ipv6_addr_is_set(&config->local));
}

/* Returns true if 'a' is all zeros, which means any address, or equal to
 * 'b'. */
static bool
addr_matches(const struct in6_addr *a, const struct in6_addr *b)
{
    return !ipv6_addr_is_set(a) || ipv6_addr_equals(a, b);
}

/* Returns true if a port with 'config' fits the request 'conn' with 'hello'
 * better than one with 'best', which may be null.  Stores in '*refusal' why
 * not, if that is due to what 'hello' says. */
static bool
is_better(const struct ordma_peer_config *config,
          const struct ordma_peer_config *best,
          const struct ordma_conn *conn, const struct ordma_hello *hello,
          enum ordma_refusal *refusal)
    OVS_REQUIRES(ordma_mutex)
{
    if (config->provider != conn->provider
        || config->dst_port != conn->dst_port
        || !addr_matches(&config->remote, &conn->remote)
        || !addr_matches(&config->local, &conn->local)
        || !ordma_handshake_is_right_dev(config, conn)) {
        return false;
    }
    if (ordma_handshake_check(config, hello)) {
        *refusal = ordma_handshake_check(config, hello);
        return false;
    }
    return !best || match_score(config, hello) > match_score(best, hello);
}

/* Finds the peer that wants the connection request 'conn' with 'hello', the
 * one that fits best, or has a port create it.  If there is none, returns null
 * and the reason in '*refusal'. */
static struct ordma_peer *
find_peer(const struct ordma_conn *conn, const struct ordma_hello *hello,
          enum ordma_refusal *refusal)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_peer_config *config = NULL;
    struct ordma_acceptor *acceptor, *best_acceptor = NULL;
    struct ordma_peer *peer, *best = NULL;

    *refusal = ORDMA_REFUSED_NO_PORT;
    LIST_FOR_EACH (peer, node, &ordma_peers) {
        if (is_better(&peer->config, config, conn, hello, refusal)) {
            best = peer;
            config = &peer->config;
        }
    }
    LIST_FOR_EACH (acceptor, node, &acceptors) {
        if (is_better(&acceptor->config, config, conn, hello, refusal)) {
            best_acceptor = acceptor;
            config = &acceptor->config;
        }
    }
    if (best_acceptor) {
        *refusal = ORDMA_REFUSED_PEERS;
        best = best_acceptor->create(best_acceptor, &conn->remote,
                                     &conn->local);
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

/* Finds or creates the session of 'peer' for the request 'conn', which says
 * 'hello', and stores it in '*sessionp'. */
static enum ordma_refusal
admit(struct ordma_peer *peer, const struct ordma_conn *conn,
      const struct ordma_hello *hello, struct ordma_session **sessionp)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session;

    if (hello->lane) {
        session = peer->successor ? peer->successor : peer->session;
        *sessionp = session;
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

    session = ordma_session_create(peer, hello->session, false,
                                   peer->config.stats);
    ordma_handshake_set_n_lanes(peer, hello->n_lanes);
    session->theirs = *hello;
    session->n_lanes = peer->n_lanes;
    ordma_peer_accept(peer, session);
    *sessionp = session;
    return ORDMA_REFUSED_NONE;
}

/* Accepts 'conn' as the lane of 'session' that 'hello' says.  Returns 0, or a
 * positive errno value after ending the session. */
static int
accept_lane(struct ordma_session *session, struct ordma_conn *conn,
            const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex)
{
    uint8_t private_data[ORDMA_HELLO_LEN];
    struct ordma_hello ours;
    int error;

    error = ordma_handshake_add_lane(session, hello->lane, conn);
    if (error) {
        ordma_peer_session_failed(session, error == ENOTCONN
                                  ? "peer hung up while connecting"
                                  : "out of resources for a connection, see "
                                    "the log");
        return error;
    }
    ordma_lane_start(session->links[hello->lane].lane, hello->credits);
    ours = ordma_handshake_hello(session->peer, session, hello->lane);
    ordma_hello_put(private_data, &ours);
    if (conn->provider->accept(conn, private_data, sizeof private_data)) {
        /* The lane owns 'conn': it goes with the session. */
        ordma_peer_session_failed(session, "cannot accept a connection");
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

        ipv6_format_mapped(&conn->remote, &remote);
        VLOG_INFO("rejected a connection from %s, telling it: %s",
                  ds_cstr(&remote), ordma_refusal_to_string(refusal));
        ds_destroy(&remote);
    }
    ordma_refusal_put(private_data, refusal);
    conn->provider->reject(conn, private_data, sizeof private_data);
}

void
ordma_accept_request(const struct ordma_event *event)
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
        struct ordma_session *session;

        refusal = admit(peer, conn, &hello, &session);
        if (!refusal && accept_lane(session, conn, &hello)) {
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

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * How two ends agree on a session and bring up its lanes. */

#include <config.h>

#include "rdma-peer-private.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/vlog.h"
#include "random.h"
#include "rdma-lane.h"
#include "rdma-msg.h"
#include "rdma-pool.h"
#include "rdma-stats.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_handshake);

#define CROSSING_TIMEOUT 1000   /* Age at which our dial yields, at least, in
                                 * ms. */

static void peer_dial_lane(struct ordma_peer *, unsigned int lane)
    OVS_REQUIRES(ordma_mutex);

struct ordma_hello
ordma_handshake_hello(const struct ordma_peer *peer,
                      const struct ordma_session *session, unsigned int lane)
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

/* Returns how many DATA messages to have buffers for on a lane.  The lanes of
 * all peers share the port's buffers; there are more lanes than receive queues
 * if the peer has more. */
static unsigned int
lane_depth(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_peer_config *config = &peer->config;

    return MAX(config->n_rxq * config->n_rxq_desc
               / (config->max_peers * peer->n_lanes), 1);
}

bool
ordma_handshake_set_n_lanes(struct ordma_peer *peer, unsigned int theirs)
{
    unsigned int assumed = peer->n_lanes;

    peer->n_lanes = MAX(peer->config.n_rxq, theirs);
    return peer->n_lanes <= assumed;
}

int
ordma_handshake_add_lane(struct ordma_session *session, unsigned int lane,
                         struct ordma_conn *conn)
{
    const struct ordma_peer *peer = session->peer;
    const struct ordma_peer_config *config = &peer->config;
    struct ordma_lane_params params = {
        .conn = conn,
        .rx_pool = config->rx_pool,
        .tx_pool = config->tx_pool,
        .n_recv = lane_depth(peer),
        .n_shared = config->max_peers > 1 ? config->n_rxq_desc : 0,
        .rxq = lane % config->n_rxq,
        .n_send = config->n_txq_desc,
        .ttl = config->ttl,
    };

    return ordma_session_add_lane(session, lane, &params);
}

static void
peer_up(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_peer *peer = session->peer;
    const struct ordma_conn *conn = session->links[0].conn;
    struct ds remote = DS_EMPTY_INITIALIZER;

    if (session == peer->successor) {
        ordma_peer_succeed(peer);
    }
    session->local = conn->local;
    session->remote = conn->remote;
    session->max_msg = session->theirs.max_msg;
    session->in_key = peer->config.in_key;
    ordma_session_publish(session, peer->config.slot);

    ipv6_format_mapped(&session->remote, &remote);
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
    peer->n_connects++;
    peer->n_rx_messages = 0;
    reconnect_connected(peer->fsm, time_msec());
    peer->config.changed(peer->config.aux);
}

void
ordma_handshake_established(struct ordma_link *link)
{
    struct ordma_session *session = link->session;

    link->established = true;
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        if (!session->links[i].established) {
            return;
        }
    }
    peer_up(session);
}

enum ordma_refusal
ordma_handshake_check(const struct ordma_peer_config *config,
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

void
ordma_handshake_dial(struct ordma_peer *peer)
{
    uint64_t id = (uint64_t) random_uint32() << 32 | random_uint32() | 1;

    ordma_peer_begin(peer);
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

        ordma_peer_fail(peer, reason);
        free(reason);
    }
}

bool
ordma_handshake_is_right_dev(const struct ordma_peer_config *config,
                             const struct ordma_conn *conn)
{
    return (!config->rdma_dev
            || !strcmp(config->rdma_dev, conn->dev->name));
}

void
ordma_handshake_resolved(struct ordma_link *link)
{
    struct ordma_session *session = link->session;
    struct ordma_peer *peer = session->peer;
    unsigned int lane = link - session->links;
    uint8_t private_data[ORDMA_HELLO_LEN];
    struct ordma_hello hello;
    int error;

    if (!ordma_handshake_is_right_dev(&peer->config, link->conn)) {
        char *reason = xasprintf("remote_ip is reached through RDMA device "
                                 "%s, not rdma-dev=%s",
                                 link->conn->dev->name, peer->config.rdma_dev);
        ordma_peer_fail(peer, reason);
        free(reason);
        return;
    }

    error = ordma_handshake_add_lane(session, lane, link->conn);
    if (!error) {
        hello = ordma_handshake_hello(peer, session, lane);
        ordma_hello_put(private_data, &hello);
        error = link->conn->provider->connect(link->conn, private_data,
                                              sizeof private_data);
    }
    if (error) {
        char *reason = xasprintf("cannot set up a queue pair on %s (%s), "
                                 "see the log", link->conn->dev->name,
                                 ovs_strerror(error));
        ordma_peer_fail(peer, reason);
        free(reason);
    }
}

void
ordma_handshake_accepted(struct ordma_link *link,
                         const struct ordma_event *event)
{
    struct ordma_session *session = link->session;
    struct ordma_peer *peer = session->peer;
    struct ordma_hello theirs;

    if (!ordma_hello_parse(event->private_data, event->private_data_len,
                           &theirs)
        || theirs.session != session->id
        || theirs.lane != link - session->links
        || ordma_handshake_check(&peer->config, &theirs)) {
        ordma_peer_fail(peer,
                        "peer accepted, but its answer makes no sense");
        return;
    }

    ordma_lane_start(link->lane, theirs.credits);
    if (theirs.lane == 0) {
        if (!ordma_handshake_set_n_lanes(peer, theirs.n_lanes)) {
            /* Lane 0 has too large a share of the buffers. */
            ordma_peer_close(peer, "peer has more lanes");
            ordma_handshake_dial(peer);
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
    ordma_handshake_established(link);
}

void
ordma_handshake_rejected(struct ordma_link *link,
                         const struct ordma_event *event)
{
    struct ordma_peer *peer = link->session->peer;
    enum ordma_refusal refusal = ordma_refusal_parse(event->private_data,
                                                     event->private_data_len);

    if (refusal == ORDMA_REFUSED_NONE) {
        ordma_peer_fail(peer, event->reason);
    } else if (refusal == ORDMA_REFUSED_CROSSING) {
        /* No error: the peer's own dial is about to arrive. */
        ordma_peer_close(peer, "dials crossed");
        reconnect_connect_failed(peer->fsm, time_msec(), 0);
        if (peer->config.wanted) {
            atomic_store_relaxed(peer->config.wanted, true);
        }
    } else {
        char *reason = xasprintf("rejected by peer: %s",
                                 ordma_refusal_to_string(refusal));
        ordma_peer_fail(peer, reason);
        free(reason);
    }
}

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What people see of a peer. */

#include <config.h>

#include "rdma-peer-private.h"

#include "rdma-lane.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"

static const char *
peer_state(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    return (ordma_peer_is_up(peer) ? "up"
            : !peer->session ? "backoff"
            : peer->session->dialed ? "dialing" : "accepting");
}

/* Returns when the last error of 'peer' was, for the caller to free. */
static char *
last_error_time(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex)
{
    return xastrftime_msec("%Y-%m-%d %H:%M:%S.###", peer->last_error_time,
                           true);
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
        smap_add(smap, "last_error", peer->last_error);
        smap_add_nocopy(smap, xstrdup("last_error_time"),
                        last_error_time(peer));
    }
}

/* For ovs-appctl. */

/* Appends the counts in 'info' to 'ds'. */
static void
put_info(struct ds *ds, const struct ordma_lane_info *info)
{
    ds_put_format(ds, " credits=%"PRIu32" peer_credits=%"PRIu32
                  " queued=%"PRIu32"/%"PRIu32" tx_messages=%"PRIu64
                  " tx_frames=%"PRIu64" tx_bytes=%"PRIu64
                  " tx_frames_per_message=%.1f tx_drops=%"PRIu64
                  " rx_messages=%"PRIu64" rx_frames=%"PRIu64
                  " rx_bytes=%"PRIu64,
                  info->tx_credits, info->rx_credits,
                  info->n_queued, info->n_send, info->tx_messages,
                  info->tx_frames, info->tx_bytes,
                  (double) info->tx_frames / MAX(info->tx_messages, 1),
                  info->tx_drops, info->rx_messages, info->rx_frames,
                  info->rx_bytes);
    if (info->rtt) {
        ds_put_format(ds, " rtt_us=%lld", info->rtt);
    }
}

void
ordma_peer_show(const struct ordma_peer *peer, const char *port,
                struct ds *ds)
{
    const struct ordma_session *session = peer->session;

    ds_put_format(ds, "%s ", port);
    ipv6_format_mapped(&peer->config.remote, ds);
    ds_put_format(ds, " state=%s provider=%s connects=%u", peer_state(peer),
                  peer->config.provider->name, peer->n_connects);
    if (ordma_peer_is_up(peer)) {
        struct ordma_lane_info info = { .rtt = 0 };

        for (unsigned int i = 0; i < session->n_lanes; i++) {
            ordma_lane_add_info(session->links[i].lane, &info);
        }
        ds_put_format(ds, " lanes=%u", session->n_lanes);
        put_info(ds, &info);
    }
    if (peer->last_error) {
        char *when = last_error_time(peer);

        ds_put_format(ds, " last_error=\"%s\" last_error_time=\"%s\"",
                      peer->last_error, when);
        free(when);
    }
    ds_put_char(ds, '\n');
}

void
ordma_peer_show_qps(const struct ordma_peer *peer, const char *port,
                    struct ds *ds)
{
    const struct ordma_session *session = peer->session;

    if (!ordma_peer_is_up(peer)) {
        return;
    }
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        const struct ordma_conn *conn = session->links[i].conn;
        struct ordma_lane_info info = { .rtt = 0 };

        ordma_lane_add_info(session->links[i].lane, &info);
        ds_put_format(ds, "%s ", port);
        ipv6_format_mapped(&peer->config.remote, ds);
        ds_put_format(ds, " lane=%u device=%s qpn=0x%06"PRIx32
                      " peer_qpn=0x%06"PRIx32" path_mtu=%d", i,
                      conn->dev->name, conn->qpn, conn->peer_qpn,
                      conn->path_mtu);
        put_info(ds, &info);
        ds_put_char(ds, '\n');
    }
}

const struct in6_addr *
ordma_peer_get_remote(const struct ordma_peer *peer)
{
    return &peer->config.remote;
}

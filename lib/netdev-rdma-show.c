/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What people see of ports and their peers: status and ovs-appctl. */

#include <config.h>

#include "netdev-rdma-private.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "rdma-lane.h"
#include "rdma-pool.h"
#include "smap.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

/* Status. */

static const char *
state_to_string(const struct ordma_peer_info *info)
    OVS_REQUIRES(ordma_mutex)
{
    return (info->state == ORDMA_PEER_UP ? "up"
            : !info->session ? "backoff"
            : info->session->state == ORDMA_SESSION_PROBE ? "probing"
            : info->session->dialed ? "dialing" : "accepting");
}

/* Returns when the last error was, for the caller to free. */
static char *
last_error_time(const struct ordma_peer_info *info)
{
    return xastrftime_msec("%Y-%m-%d %H:%M:%S.###", info->last_error_time,
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

/* Adds the state of 'peer', the only one of its port, to 'smap'. */
static void
add_peer_status(const struct ordma_peer *peer, const struct ordma_port *port,
                struct smap *smap)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_peer_info info;

    ordma_peer_get_info(peer, &info);
    smap_add(smap, "state", state_to_string(&info));
    smap_add_addr(smap, "peer", &port->remote);
    if (info.state == ORDMA_PEER_UP) {
        struct ordma_conn *conn = info.session->links[0].conn;

        smap_add(smap, "device", conn->dev_name);
        smap_add_addr(smap, "source_ip", &conn->local);
        smap_add_ipv6(smap, "gid", &conn->gid);
        smap_add_format(smap, "path_mtu", "%d", conn->path_mtu);
        smap_add_format(smap, "lanes", "%u", info.session->n_lanes);
    }
    if (info.last_error) {
        smap_add(smap, "last_error", info.last_error);
        smap_add_nocopy(smap, xstrdup("last_error_time"),
                        last_error_time(&info));
    }
}

/* Adds the state of 'peers', which can be many, to 'smap'. */
static void
add_peers_status(const struct netdev_rdma_peers *peers, struct smap *smap)
    OVS_REQUIRES(ordma_mutex)
{
    const struct netdev_rdma_dest *dest;
    unsigned int n_up = 0;

    LIST_FOR_EACH (dest, list_node, &peers->dests) {
        n_up += ordma_peer_get_state(dest->peer) == ORDMA_PEER_UP;
    }
    smap_add_format(smap, "peers", "%"PRIuSIZE, peers->n_dests);
    smap_add_format(smap, "peers_up", "%u", n_up);
    smap_add(smap, "state", peers->port.error ? "down" : "up");
    if (peers->port.error) {
        smap_add(smap, "last_error", peers->port.error);
    }
}

/* Tells people if 'pool' is smaller than it should be. */
static void
add_pool_status(const char *key, const struct ordma_pool *pool,
                struct smap *smap)
{
    if (pool && pool->n < pool->n_wanted) {
        smap_add_format(smap, key, "%u of %u, raise "
                        "other_config:dpdk-socket-mem or the number of "
                        "hugepages", pool->n, pool->n_wanted);
    }
}

void
netdev_rdma_add_status(const struct netdev_rdma *dev, struct smap *smap)
{
    const struct ordma_peer *only = netdev_rdma_peers_only(&dev->peers);

    if (!dev->peers.in_use) {
        smap_add(smap, "state", "unconfigured");
        return;
    }
    smap_add(smap, "provider", dev->peers.port.provider->name);
    smap_add(smap, "provider_reason", dev->provider_reason);
    if (only) {
        add_peer_status(only, &dev->peers.port, smap);
    } else {
        add_peers_status(&dev->peers, smap);
    }
    add_pool_status("rx_buffers", dev->pools.rx, smap);
    add_pool_status("tx_buffers", dev->pools.tx, smap);
}

/* The commands of ovs-appctl. */

/* netdev-rdma/show. */

static void
show_port(struct netdev_rdma *dev, struct ds *ds)
    OVS_REQUIRES(ordma_mutex)
{
    struct smap status = SMAP_INITIALIZER(&status);
    const struct smap_node **nodes;

    netdev_rdma_add_status(dev, &status);
    ds_put_format(ds, "%s:\n", netdev_get_name(&dev->up));
    nodes = smap_sort(&status);
    for (size_t i = 0; i < smap_count(&status); i++) {
        ds_put_format(ds, "  %s: %s\n", nodes[i]->key, nodes[i]->value);
    }
    free(nodes);
    smap_destroy(&status);
}

static void
show_counters(struct netdev_rdma *dev, struct ds *ds)
    OVS_REQUIRES(ordma_mutex)
{
    uint64_t totals[ORDMA_N_COUNTERS];

    netdev_rdma_sum_counters(dev, totals);
    ds_put_format(ds, "  rx_packets: %"PRIu64"\n  rx_bytes: %"PRIu64"\n"
                  "  tx_packets: %"PRIu64"\n  tx_bytes: %"PRIu64"\n",
                  totals[ORDMA_RX_PACKETS], totals[ORDMA_RX_BYTES],
                  totals[ORDMA_TX_PACKETS], totals[ORDMA_TX_BYTES]);
    for (int i = ORDMA_N_BASIC_COUNTERS; i < ORDMA_N_COUNTERS; i++) {
        char name[NETDEV_CUSTOM_STATS_NAME_SIZE];

        if (totals[i]) {
            netdev_rdma_counter_name(i, name);
            ds_put_format(ds, "  %s: %"PRIu64"\n", name, totals[i]);
        }
    }
}

/* Replies with what is in 'ds', which this destroys, if the port that the
 * command names was 'found'. */
static void
reply(struct unixctl_conn *conn, bool found, struct ds *ds)
{
    if (found) {
        unixctl_command_reply(conn, ds_cstr(ds));
    } else {
        unixctl_command_reply_error(conn, "no such rdma port");
    }
    ds_destroy(ds);
}

static void
netdev_rdma_unixctl_show(struct unixctl_conn *conn, int argc,
                         const char *argv[], void *aux OVS_UNUSED)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct netdev_rdma *dev;
    bool found = argc < 2;

    ovs_mutex_lock(&ordma_mutex);
    LIST_FOR_EACH (dev, node, &netdev_rdma_list) {
        if (argc < 2 || !strcmp(argv[1], netdev_get_name(&dev->up))) {
            show_port(dev, &ds);
            show_counters(dev, &ds);
            found = true;
        }
    }
    ovs_mutex_unlock(&ordma_mutex);
    reply(conn, found, &ds);
}

/* netdev-rdma/peers and netdev-rdma/qp. */

/* Appends the counts in 'info' to 'ds'. */
static void
put_lane_info(struct ds *ds, const struct ordma_lane_info *info)
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

/* How to show 'dest', a peer of 'dev' in the state 'info'. */
typedef void show_func(const struct netdev_rdma *dev,
                       const struct netdev_rdma_dest *dest,
                       const struct ordma_peer_info *info, struct ds *);

static void
put_peer_name(struct ds *ds, const struct netdev_rdma *dev,
              const struct netdev_rdma_dest *dest)
{
    ds_put_format(ds, "%s ", netdev_get_name(&dev->up));
    ipv6_format_mapped(&dest->id.remote, ds);
}

/* Appends a line about 'dest' to 'ds'. */
static void
show_peer(const struct netdev_rdma *dev, const struct netdev_rdma_dest *dest,
          const struct ordma_peer_info *info, struct ds *ds)
    OVS_REQUIRES(ordma_mutex)
{
    put_peer_name(ds, dev, dest);
    ds_put_format(ds, " state=%s provider=%s connects=%u",
                  state_to_string(info), dev->peers.port.provider->name,
                  info->n_connects);
    if (info->state == ORDMA_PEER_UP) {
        struct ordma_lane_info sum = { .rtt = 0 };

        for (unsigned int i = 0; i < info->session->n_lanes; i++) {
            ordma_lane_add_info(info->session->links[i].lane, &sum);
        }
        ds_put_format(ds, " lanes=%u", info->session->n_lanes);
        put_lane_info(ds, &sum);
    }
    if (info->last_error) {
        char *when = last_error_time(info);

        ds_put_format(ds, " last_error=\"%s\" last_error_time=\"%s\"",
                      info->last_error, when);
        free(when);
    }
    ds_put_char(ds, '\n');
}

/* Appends a line about each queue pair of 'dest' to 'ds'. */
static void
show_qps(const struct netdev_rdma *dev, const struct netdev_rdma_dest *dest,
         const struct ordma_peer_info *info, struct ds *ds)
    OVS_REQUIRES(ordma_mutex)
{
    if (info->state != ORDMA_PEER_UP) {
        return;
    }
    for (unsigned int i = 0; i < info->session->n_lanes; i++) {
        const struct ordma_link *link = &info->session->links[i];
        struct ordma_lane_info lane = { .rtt = 0 };

        ordma_lane_add_info(link->lane, &lane);
        put_peer_name(ds, dev, dest);
        ds_put_format(ds, " lane=%u device=%s qpn=0x%06"PRIx32
                      " peer_qpn=0x%06"PRIx32" path_mtu=%d", i,
                      link->conn->dev_name, link->conn->qpn,
                      link->conn->peer_qpn, link->conn->path_mtu);
        put_lane_info(ds, &lane);
        ds_put_char(ds, '\n');
    }
}

/* Calls 'show' for each peer of 'dev'. */
static void
show_peers(const struct netdev_rdma *dev, show_func *show, struct ds *ds)
    OVS_REQUIRES(ordma_mutex)
{
    const struct netdev_rdma_dest *dest;

    LIST_FOR_EACH (dest, list_node, &dev->peers.dests) {
        struct ordma_peer_info info;

        ordma_peer_get_info(dest->peer, &info);
        show(dev, dest, &info, ds);
    }
}

static void
netdev_rdma_unixctl_peers(struct unixctl_conn *conn, int argc,
                          const char *argv[], void *show)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct netdev_rdma *dev;
    bool found = argc < 2;

    ovs_mutex_lock(&ordma_mutex);
    LIST_FOR_EACH (dev, node, &netdev_rdma_list) {
        if (argc < 2 || !strcmp(argv[1], netdev_get_name(&dev->up))) {
            show_peers(dev, show, &ds);
            found = true;
        }
    }
    ovs_mutex_unlock(&ordma_mutex);
    reply(conn, found, &ds);
}

/* netdev-rdma/reconnect. */

/* Reconnects the peers of 'dev' at 'addr', or all if that is null.  Returns
 * how many. */
static int
reconnect_peers(struct netdev_rdma *dev, const struct in6_addr *addr)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_dest *dest;
    int n = 0;

    LIST_FOR_EACH (dest, list_node, &dev->peers.dests) {
        if (!addr || ipv6_addr_equals(addr, &dest->id.remote)) {
            ordma_peer_reconnect(dest->peer);
            n++;
        }
    }
    return n;
}

static void
netdev_rdma_unixctl_reconnect(struct unixctl_conn *conn, int argc,
                              const char *argv[], void *aux OVS_UNUSED)
{
    struct netdev_rdma *dev;
    struct in6_addr addr;
    bool found = false;
    int n = 0;

    if (argc > 2 && !ipv6_parse(argv[2], &addr)) {
        ovs_be32 ip;

        if (!ip_parse(argv[2], &ip)) {
            unixctl_command_reply_error(conn, "not an IP address");
            return;
        }
        in6_addr_set_mapped_ipv4(&addr, ip);
    }

    ovs_mutex_lock(&ordma_mutex);
    LIST_FOR_EACH (dev, node, &netdev_rdma_list) {
        if (!strcmp(argv[1], netdev_get_name(&dev->up))) {
            n = reconnect_peers(dev, argc > 2 ? &addr : NULL);
            found = true;
        }
    }
    ovs_mutex_unlock(&ordma_mutex);

    if (!found) {
        unixctl_command_reply_error(conn, "no such rdma port");
    } else if (argc > 2 && !n) {
        unixctl_command_reply_error(conn, "no such peer");
    } else {
        unixctl_command_reply(conn, NULL);
    }
}

int
netdev_rdma_show_init(void)
{
    unixctl_command_register("netdev-rdma/peers", "[port]", 0, 1,
                             netdev_rdma_unixctl_peers, show_peer);
    unixctl_command_register("netdev-rdma/qp", "[port]", 0, 1,
                             netdev_rdma_unixctl_peers, show_qps);
    unixctl_command_register("netdev-rdma/reconnect", "port [peer]", 1, 2,
                             netdev_rdma_unixctl_reconnect, NULL);
    unixctl_command_register("netdev-rdma/show", "[port]", 0, 1,
                             netdev_rdma_unixctl_show, NULL);
    return 0;
}

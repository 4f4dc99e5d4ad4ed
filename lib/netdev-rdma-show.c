/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The commands of ovs-appctl about ports and their peers. */

#include <config.h>

#include "netdev-rdma-private.h"
#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "smap.h"
#include "unixctl.h"
#include "util.h"

/* The commands of ovs-appctl. */

/* netdev-rdma/show. */

static void
show_port(struct netdev_rdma *dev, struct ds *ds)
    OVS_REQUIRES(ordma_mutex)
{
    struct smap status = SMAP_INITIALIZER(&status);
    const struct smap_node **nodes;

    netdev_rdma_get_status__(dev, &status);
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

typedef void peer_func(const struct ordma_peer *, const char *port,
                       struct ds *);

/* Calls 'show' for each peer of 'dev'. */
static void
show_peers(struct netdev_rdma *dev, peer_func *show, struct ds *ds)
    OVS_REQUIRES(ordma_mutex)
{
    const struct netdev_rdma_dests *dests = netdev_rdma_mesh_dests(&dev->mesh);
    const char *port = netdev_get_name(&dev->up);

    if (dev->peer) {
        show(dev->peer, port, ds);
    }
    for (size_t i = 0; dests && i < dests->n; i++) {
        show(dests->dests[i]->peer, port, ds);
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
    const struct netdev_rdma_dests *dests = netdev_rdma_mesh_dests(&dev->mesh);
    int n = 0;

    if (dev->peer
        && (!addr || ipv6_addr_equals(addr,
                                      ordma_peer_get_remote(dev->peer)))) {
        ordma_peer_reconnect(dev->peer);
        n++;
    }
    for (size_t i = 0; dests && i < dests->n; i++) {
        if (!addr || ipv6_addr_equals(addr, &dests->dests[i]->remote)) {
            ordma_peer_reconnect(dests->dests[i]->peer);
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
                             netdev_rdma_unixctl_peers, ordma_peer_show);
    unixctl_command_register("netdev-rdma/qp", "[port]", 0, 1,
                             netdev_rdma_unixctl_peers, ordma_peer_show_qps);
    unixctl_command_register("netdev-rdma/reconnect", "port [peer]", 1, 2,
                             netdev_rdma_unixctl_reconnect, NULL);
    unixctl_command_register("netdev-rdma/show", "[port]", 0, 1,
                             netdev_rdma_unixctl_show, NULL);
    return 0;
}

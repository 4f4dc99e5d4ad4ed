/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * A tunnel netdev for tests, polled by PMD threads, without a network. */

/* "dummy-pmd-tunnel": a tunnel netdev that is polled by PMD threads and needs
 * neither hardware nor a network.  What is sent on a port comes out of the
 * port that options:peer names, with its tunnel metadata.
 *
 * It exists to test the changes to OVS that make such a class possible. */

#include <config.h>

#include <errno.h>
#include <sched.h>

#include "dp-packet.h"
#include "netdev-provider.h"
#include "openvswitch/shash.h"
#include "ovs-rcu.h"
#include "packets.h"
#include "smap.h"
#include "util.h"

#define QUEUE_LEN 64

/* One mutex guards all mutable state: speed is no aim here. */
static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct shash ports OVS_GUARDED_BY(mutex) = SHASH_INITIALIZER(&ports);

struct tunnel_port {
    struct netdev up;
    OVSRCU_TYPE(struct netdev_tunnel_config *) config;

    struct smap options OVS_GUARDED_BY(mutex);
    struct eth_addr mac OVS_GUARDED_BY(mutex);
    enum netdev_flags flags OVS_GUARDED_BY(mutex);
    struct netdev_stats stats OVS_GUARDED_BY(mutex);

    /* Packets that the peer has sent and nobody has received. */
    struct dp_packet *queue[QUEUE_LEN] OVS_GUARDED_BY(mutex);
    size_t n_queued OVS_GUARDED_BY(mutex);
};

static struct tunnel_port *
tunnel_port_cast(const struct netdev *netdev)
{
    return CONTAINER_OF(netdev, struct tunnel_port, up);
}

/* Life cycle. */

static struct netdev *
tunnel_alloc(void)
{
    struct tunnel_port *port = xzalloc_cacheline(sizeof *port);

    return &port->up;
}

static int
tunnel_construct(struct netdev *netdev)
{
    struct tunnel_port *port = tunnel_port_cast(netdev);

    ovsrcu_init(&port->config, xzalloc(sizeof(struct netdev_tunnel_config)));
    ovs_mutex_lock(&mutex);
    smap_init(&port->options);
    eth_addr_random(&port->mac);
    shash_add_once(&ports, netdev_get_name(netdev), port);
    ovs_mutex_unlock(&mutex);
    return 0;
}

static void
tunnel_destruct(struct netdev *netdev)
{
    struct tunnel_port *port = tunnel_port_cast(netdev);

    ovs_mutex_lock(&mutex);
    shash_find_and_delete(&ports, netdev_get_name(netdev));
    while (port->n_queued) {
        dp_packet_delete(port->queue[--port->n_queued]);
    }
    smap_destroy(&port->options);
    ovs_mutex_unlock(&mutex);
    ovsrcu_postpone(free, ovsrcu_get_protected(struct netdev_tunnel_config *,
                                               &port->config));
}

static void
tunnel_dealloc(struct netdev *netdev)
{
    free_cacheline(tunnel_port_cast(netdev));
}

/* Configuration. */

static void
parse_ip(const struct smap *args, const char *key, struct in6_addr *addr,
         bool *flow)
{
    const char *value = smap_get_def(args, key, "");

    ovs_be32 ip4;

    *flow = !strcmp(value, "flow");
    if (ip_parse(value, &ip4)) {
        *addr = in6_addr_mapped_ipv4(ip4);
    }
}

static int
tunnel_set_config(struct netdev *netdev, const struct smap *args,
                  char **errp OVS_UNUSED)
{
    struct tunnel_port *port = tunnel_port_cast(netdev);
    struct netdev_tunnel_config *config = xzalloc(sizeof *config);
    const char *key = smap_get_def(args, "key", "");

    parse_ip(args, "remote_ip", &config->ipv6_dst, &config->ip_dst_flow);
    parse_ip(args, "local_ip", &config->ipv6_src, &config->ip_src_flow);
    config->ttl = 64;
    config->in_key_present = config->out_key_present = *key != '\0';
    config->in_key_flow = config->out_key_flow = !strcmp(key, "flow");
    if (*key && !config->in_key_flow) {
        config->in_key = config->out_key = htonll(strtoull(key, NULL, 0));
    }

    ovs_mutex_lock(&mutex);
    smap_destroy(&port->options);
    smap_clone(&port->options, args);
    ovs_mutex_unlock(&mutex);

    struct netdev_tunnel_config *old
        = ovsrcu_get_protected(struct netdev_tunnel_config *, &port->config);
    if (memcmp(old, config, sizeof *config)) {
        ovsrcu_set(&port->config, config);
        ovsrcu_postpone(free, old);
        netdev_change_seq_changed(netdev);
    } else {
        free(config);
    }
    return 0;
}

static int
tunnel_get_config(const struct netdev *netdev, struct smap *args)
{
    struct tunnel_port *port = tunnel_port_cast(netdev);
    struct smap_node *node;

    ovs_mutex_lock(&mutex);
    SMAP_FOR_EACH (node, &port->options) {
        smap_add(args, node->key, node->value);
    }
    ovs_mutex_unlock(&mutex);
    return 0;
}

static const struct netdev_tunnel_config *
tunnel_get_tunnel_config(const struct netdev *netdev)
{
    return ovsrcu_get(struct netdev_tunnel_config *,
                      &tunnel_port_cast(netdev)->config);
}

static int
tunnel_get_numa_id(const struct netdev *netdev OVS_UNUSED)
{
    return 0;
}

static int
tunnel_set_etheraddr(struct netdev *netdev, const struct eth_addr mac)
{
    ovs_mutex_lock(&mutex);
    tunnel_port_cast(netdev)->mac = mac;
    ovs_mutex_unlock(&mutex);
    netdev_change_seq_changed(netdev);
    return 0;
}

static int
tunnel_get_etheraddr(const struct netdev *netdev, struct eth_addr *mac)
{
    ovs_mutex_lock(&mutex);
    *mac = tunnel_port_cast(netdev)->mac;
    ovs_mutex_unlock(&mutex);
    return 0;
}

static int
tunnel_get_stats(const struct netdev *netdev, struct netdev_stats *stats)
{
    ovs_mutex_lock(&mutex);
    *stats = tunnel_port_cast(netdev)->stats;
    ovs_mutex_unlock(&mutex);
    return 0;
}

static int
tunnel_update_flags(struct netdev *netdev, enum netdev_flags off,
                    enum netdev_flags on, enum netdev_flags *old_flags)
{
    struct tunnel_port *port = tunnel_port_cast(netdev);

    if ((off | on) & ~(NETDEV_UP | NETDEV_PROMISC)) {
        return EINVAL;
    }

    ovs_mutex_lock(&mutex);
    *old_flags = port->flags;
    port->flags = (port->flags & ~off) | on;
    bool changed = port->flags != *old_flags;
    ovs_mutex_unlock(&mutex);
    if (changed) {
        netdev_change_seq_changed(netdev);
    }
    return 0;
}

/* Packets. */

static bool
tunnel_queue(struct tunnel_port *peer, const struct dp_packet *packet)
    OVS_REQUIRES(mutex)
{
    if (!peer || peer->n_queued >= QUEUE_LEN
        || !flow_tnl_dst_is_set(&packet->md.tunnel)) {
        return false;
    }

    struct dp_packet *copy = dp_packet_clone_data(dp_packet_data(packet),
                                                  dp_packet_size(packet));
    pkt_metadata_init_tnl(&copy->md);
    copy->md.tunnel = packet->md.tunnel;
    peer->queue[peer->n_queued++] = copy;
    return true;
}

static int
tunnel_send(struct netdev *netdev, int qid OVS_UNUSED,
            struct dp_packet_batch *batch, bool concurrent_txq OVS_UNUSED)
{
    struct tunnel_port *port = tunnel_port_cast(netdev);
    struct dp_packet *packet;

    ovs_mutex_lock(&mutex);
    const char *peer = smap_get_def(&port->options, "peer", "");
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        if (tunnel_queue(shash_find_data(&ports, peer), packet)) {
            port->stats.tx_packets++;
            port->stats.tx_bytes += dp_packet_size(packet);
        } else {
            port->stats.tx_dropped++;
        }
    }
    ovs_mutex_unlock(&mutex);

    dp_packet_delete_batch(batch, true);
    return 0;
}

static struct netdev_rxq *
tunnel_rxq_alloc(void)
{
    return xzalloc(sizeof(struct netdev_rxq));
}

static int
tunnel_rxq_construct(struct netdev_rxq *rxq OVS_UNUSED)
{
    return 0;
}

static void
tunnel_rxq_destruct(struct netdev_rxq *rxq OVS_UNUSED)
{
}

static void
tunnel_rxq_dealloc(struct netdev_rxq *rxq)
{
    free(rxq);
}

static int
tunnel_rxq_recv(struct netdev_rxq *rxq, struct dp_packet_batch *batch,
                int *qfill)
{
    struct tunnel_port *port = tunnel_port_cast(rxq->netdev);
    size_t n = 0;

    ovs_mutex_lock(&mutex);
    while (n < port->n_queued && n < NETDEV_MAX_BURST) {
        struct dp_packet *packet = port->queue[n++];

        port->stats.rx_packets++;
        port->stats.rx_bytes += dp_packet_size(packet);
        dp_packet_batch_add(batch, packet);
    }
    port->n_queued -= n;
    memmove(port->queue, port->queue + n,
            port->n_queued * sizeof *port->queue);
    ovs_mutex_unlock(&mutex);

    if (!n) {
        sched_yield();          /* Be kind to test machines with few CPUs. */
        return EAGAIN;
    }
    dp_packet_batch_init_packet_fields(batch);
    if (qfill) {
        *qfill = -ENOTSUP;
    }
    return 0;
}

static const struct netdev_class dummy_pmd_tunnel_class = {
    .type = "dummy-pmd-tunnel",
    .is_pmd = true,
    .alloc = tunnel_alloc,
    .construct = tunnel_construct,
    .destruct = tunnel_destruct,
    .dealloc = tunnel_dealloc,
    .set_config = tunnel_set_config,
    .get_config = tunnel_get_config,
    .get_tunnel_config = tunnel_get_tunnel_config,
    .get_numa_id = tunnel_get_numa_id,
    .set_etheraddr = tunnel_set_etheraddr,
    .get_etheraddr = tunnel_get_etheraddr,
    .get_stats = tunnel_get_stats,
    .update_flags = tunnel_update_flags,
    .send = tunnel_send,
    .rxq_alloc = tunnel_rxq_alloc,
    .rxq_construct = tunnel_rxq_construct,
    .rxq_destruct = tunnel_rxq_destruct,
    .rxq_dealloc = tunnel_rxq_dealloc,
    .rxq_recv = tunnel_rxq_recv,
};

OVS_CONSTRUCTOR(register_dummy_pmd_tunnel)
{
    netdev_register_provider(&dummy_pmd_tunnel_class);
}

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The netdev class "rdma": life cycle, queues and statistics. */

#include <config.h>

#include <ctype.h>
#include <errno.h>

#include "dpdk.h"
#include "netdev-rdma-private.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-numa.h"
#include "ovs-thread.h"
#include "rdma-accept.h"
#include "rdma-compat.h"
#include "rdma-mem.h"
#include "rdma-pool.h"
#include "seq.h"
#include "smap.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_rdma);

struct ovs_list netdev_rdma_list OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&netdev_rdma_list);

/* ordma_seq() as of the last netdev_rdma_run(). */
static uint64_t last_seqno OVS_GUARDED_BY(ordma_mutex);

/* Connections. */

static void
set_carrier(struct netdev_rdma *dev, bool carrier)
    OVS_REQUIRES(ordma_mutex)
{
    dev->carrier_resets += carrier != dev->carrier;
    dev->carrier = carrier;
}

/* Called when a peer of 'port' changes. */
static void
peer_changed(struct ordma_port *port)
    OVS_REQUIRES(ordma_mutex)
{
    CONTAINER_OF(port, struct netdev_rdma, peers.port)->changed = true;
}

/* Has 'dev' follow the NUMA node of the device that its one peer, if it has
 * one, is connected through. */
static void
follow_numa_node(struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_peer *only = netdev_rdma_peers_only(&dev->peers);
    struct ordma_peer_info info = { .session = NULL };
    int numa_id;

    if (only) {
        ordma_peer_get_info(only, &info);
    }
    if (info.session && info.state == ORDMA_PEER_UP) {
        numa_id = info.session->links[0].conn->numa_id;
        if (numa_id != OVS_NUMA_UNSPEC && numa_id != dev->want.numa_id) {
            dev->want.numa_id = numa_id;
            netdev_request_reconfigure(&dev->up);
        }
    }
}

static struct ordma_key
make_key(bool flow, ovs_be64 key)
{
    return (struct ordma_key) {
        .mode = flow ? ORDMA_KEY_FLOW : ORDMA_KEY_FIXED,
        .key = flow ? 0 : key,
    };
}

/* Returns the provider that 'dev' should use now, and stores in '*reason'
 * static text that says why. */
static const struct ordma_provider *
choose_provider(const struct netdev_rdma *dev, const char **reason)
    OVS_REQUIRES(ordma_mutex)
{
    const struct netdev_tunnel_config *tnl
        = ovsrcu_get(struct netdev_tunnel_config *, &dev->tnl_config);

    if (dev->options.provider) {
        *reason = "options:provider asks for it";
        return dev->options.provider;
    }
    return ordma_provider_choose(&tnl->ipv6_dst, &tnl->ipv6_src,
                                 (dev->options.rdma_dev[0]
                                  ? dev->options.rdma_dev : NULL),
                                 reason);
}

/* Stops polling what belongs to the peers that 'dev' had. */
static void
release_cqs(struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex)
{
    for (int i = 0; i < dev->have.n_rxq; i++) {
        ovsrcu_set(&dev->rxqs[i].cq, NULL);
    }
    if (dev->cqs) {
        ordma_cqs_unref(dev->cqs);
        dev->cqs = NULL;
    }
}

/* Gives 'dev' completion queues of 'provider', which PMD threads poll from now
 * on.  Returns 0 or a positive errno value. */
static int
create_cqs(struct netdev_rdma *dev, const struct ordma_provider *provider)
    OVS_REQUIRES(ordma_mutex)
{
    int error = ordma_cqs_create(provider, dev->have.n_rxq, &dev->cqs);

    if (error) {
        VLOG_ERR("%s: cannot create completion queues (%s)",
                 netdev_get_name(&dev->up), ovs_strerror(error));
        return error;
    }
    for (int i = 0; i < dev->have.n_rxq; i++) {
        ovsrcu_set(&dev->rxqs[i].cq, dev->cqs->cqs[i]);
    }
    return 0;
}

/* Fills in what sessions of 'dev' have in common. */
static void
fill_port(struct netdev_rdma *dev, const struct ordma_provider *provider)
    OVS_REQUIRES(ordma_mutex)
{
    const struct netdev_tunnel_config *tnl
        = ovsrcu_get(struct netdev_tunnel_config *, &dev->tnl_config);

    dev->peers.port = (struct ordma_port) {
        .name = netdev_get_name(&dev->up),
        .provider = provider,
        .remote = tnl->ipv6_dst,
        .local = tnl->ipv6_src,
        .dst_port = tnl->dst_port,
        .rdma_dev = dev->options.rdma_dev[0] ? dev->options.rdma_dev : NULL,
        .features = dev->has_offload ? ORDMA_FEATURE_OFFLOAD : 0,
        .in_key = make_key(tnl->in_key_flow, tnl->in_key),
        .out_key = make_key(tnl->out_key_flow, tnl->out_key),
        .n_rxq = dev->have.n_rxq,
        .n_rxq_desc = dev->have.n_rxq_desc,
        .n_recv = dev->have.n_rxq_desc,
        .n_send = dev->have.n_txq_desc,
        .max_frame = dev->max_frame,
        .rx_pool = dev->pools.rx,
        .tx_pool = dev->pools.tx,
        .cqs = dev->cqs,
        .stats = &dev->stats,
        .changed = peer_changed,
    };
    dev->peers.src_flow = tnl->ip_src_flow;
    netdev_rdma_update(dev);
}

void
netdev_rdma_update(struct netdev_rdma *dev)
{
    const struct netdev_tunnel_config *tnl
        = ovsrcu_get(struct netdev_tunnel_config *, &dev->tnl_config);

    dev->peers.port.tos = tnl->tos;
    dev->peers.port.ttl = tnl->ttl;
    dev->peers.max_peers = dev->max_peers;
    dev->peers.idle_timeout = dev->idle_timeout * 1000LL;
}

static void
netdev_rdma_stop(struct netdev_rdma *dev, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    netdev_rdma_peers_stop(dev, reason);
    release_cqs(dev);
    set_carrier(dev, false);
}

void
netdev_rdma_restart(struct netdev_rdma *dev)
{
    const struct netdev_tunnel_config *tnl
        = ovsrcu_get(struct netdev_tunnel_config *, &dev->tnl_config);
    const struct ordma_provider *provider;

    netdev_rdma_stop(dev, "port changed");
    if (!dev->rxqs || (!tnl->ip_dst_flow
                       && !ipv6_addr_is_set(&tnl->ipv6_dst))) {
        return;
    }
    provider = choose_provider(dev, &dev->provider_reason);
    if (!create_cqs(dev, provider)) {
        fill_port(dev, provider);
        netdev_rdma_peers_start(dev);
    }
    dev->changed = true;
}

/* Periodic work. */

/* Has 'dev' change to another provider, if that is the right one by now: an
 * address or an RDMA device may have come or gone. */
static void
recheck_provider(struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex)
{
    const char *reason;

    if (dev->peers.in_use && !dev->options.provider
        && choose_provider(dev, &reason) != dev->peers.port.provider) {
        netdev_rdma_restart(dev);
    }
}

/* Does what a change of a peer of 'dev' gives reason for. */
static void
update_state(struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex)
{
    dev->changed = false;
    set_carrier(dev, netdev_rdma_peers_carrier(&dev->peers));
    if (dev->carrier) {
        follow_numa_node(dev);
    } else {
        recheck_provider(dev);
    }
    netdev_change_seq_changed(&dev->up);
}

static void
netdev_rdma_run(const struct netdev_class *class OVS_UNUSED)
{
    struct netdev_rdma *dev;

    ovs_mutex_lock(&ordma_mutex);
    last_seqno = seq_read(ordma_seq());
    ordma_accept_run();
    LIST_FOR_EACH (dev, node, &netdev_rdma_list) {
        netdev_rdma_peers_run(dev);
        if (dev->changed) {
            update_state(dev);
        }
    }
    ovs_mutex_unlock(&ordma_mutex);
    ordma_mem_run();
    ordma_pools_run();
}

static void
netdev_rdma_wait(const struct netdev_class *class OVS_UNUSED)
{
    struct netdev_rdma *dev;

    ovs_mutex_lock(&ordma_mutex);
    seq_wait(ordma_seq(), last_seqno);
    ordma_accept_wait();
    LIST_FOR_EACH (dev, node, &netdev_rdma_list) {
        netdev_rdma_peers_wait(dev);
    }
    ovs_mutex_unlock(&ordma_mutex);
    ordma_pools_wait();
}

/* Life cycle. */

static struct netdev *
netdev_rdma_alloc(void)
{
    struct netdev_rdma *dev = xzalloc_cacheline(sizeof *dev);

    return &dev->up;
}

static int
netdev_rdma_construct(struct netdev *netdev)
{
    struct netdev_rdma *dev = CONTAINER_OF(netdev, struct netdev_rdma, up);

    ovsrcu_init(&dev->session, NULL);
    netdev_rdma_peers_init(dev);
    ovsrcu_init(&dev->tnl_config,
                xzalloc(sizeof(struct netdev_tunnel_config)));
    atomic_init(&dev->is_up, true);
    dev->has_offload = userspace_tso_enabled();
    if (dev->has_offload) {
        ordma_netdev_take_offloads(netdev);
    }

    ovs_mutex_lock(&ordma_mutex);
    eth_addr_random(&dev->mac);
    dev->want = (struct netdev_rdma_params) {
        .n_rxq = 1,
        .n_txq = 1,
        .n_rxq_desc = NETDEV_RDMA_DEFAULT_RXQ_DESC,
        .n_txq_desc = NETDEV_RDMA_DEFAULT_DESC,
        .mtu = NETDEV_RDMA_DEFAULT_MTU,
    };
    ovs_list_push_back(&netdev_rdma_list, &dev->node);
    ovs_mutex_unlock(&ordma_mutex);

    netdev_request_reconfigure(netdev);
    return 0;
}

static struct netdev_rdma_queue *
queues_create(int n)
{
    struct netdev_rdma_queue *queues = xzalloc_cacheline(n * sizeof *queues);

    for (int i = 0; i < n; i++) {
        ovs_spin_init(&queues[i].lock);
    }
    return queues;
}

/* Frees the 'n' 'queues', whose counts 'stats' takes over. */
static void
queues_destroy(struct netdev_rdma_queue *queues, int n,
               struct ordma_stats *stats)
{
    for (int i = 0; i < n; i++) {
        ordma_stats_merge(stats, &queues[i].stats);
        ovs_spin_destroy(&queues[i].lock);
    }
    free_cacheline(queues);
}

static void
netdev_rdma_destruct(struct netdev *netdev)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);

    ovs_mutex_lock(&ordma_mutex);
    ovs_list_remove(&dev->node);
    netdev_rdma_stop(dev, "port deleted");
    netdev_rdma_peers_destroy(dev);
    ordma_sessions_orphan(&dev->stats);
    queues_destroy(dev->rxqs, dev->have.n_rxq, &dev->stats);
    queues_destroy(dev->txqs, dev->have.n_txq, &dev->stats);
    ovs_mutex_unlock(&ordma_mutex);

    netdev_rdma_pools_unref(&dev->pools);
    ovsrcu_postpone(free, ovsrcu_get_protected(struct netdev_tunnel_config *,
                                               &dev->tnl_config));
}

static void
netdev_rdma_dealloc(struct netdev *netdev)
{
    free_cacheline(CONTAINER_OF(netdev, struct netdev_rdma, up));
}

/* Configuration. */

static const struct netdev_tunnel_config *
netdev_rdma_get_tunnel_config(const struct netdev *netdev)
{
    return ovsrcu_get(struct netdev_tunnel_config *,
                      &netdev_rdma_cast(netdev)->tnl_config);
}

static int
netdev_rdma_get_numa_id(const struct netdev *netdev)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);
    int numa_id;

    ovs_mutex_lock(&ordma_mutex);
    numa_id = dev->want.numa_id;
    ovs_mutex_unlock(&ordma_mutex);
    return numa_id;
}

static int
netdev_rdma_set_tx_multiq(struct netdev *netdev, unsigned int n_txq)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);

    ovs_mutex_lock(&ordma_mutex);
    if (dev->want.n_txq != n_txq) {
        dev->want.n_txq = n_txq;
        netdev_request_reconfigure(netdev);
    }
    ovs_mutex_unlock(&ordma_mutex);
    return 0;
}

static int
netdev_rdma_get_mtu(const struct netdev *netdev, int *mtup)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);

    ovs_mutex_lock(&ordma_mutex);
    *mtup = dev->want.mtu;
    ovs_mutex_unlock(&ordma_mutex);
    return 0;
}

static int
netdev_rdma_set_mtu(struct netdev *netdev, int mtu)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);

    if (mtu < NETDEV_RDMA_MIN_MTU || mtu > NETDEV_RDMA_MAX_MTU) {
        VLOG_WARN("%s: mtu_request=%d is not a number from %d to %d",
                  netdev_get_name(netdev), mtu, NETDEV_RDMA_MIN_MTU,
                  NETDEV_RDMA_MAX_MTU);
        return EINVAL;
    }
    ovs_mutex_lock(&ordma_mutex);
    if (dev->want.mtu != mtu) {
        dev->want.mtu = mtu;
        netdev_request_reconfigure(netdev);
    }
    ovs_mutex_unlock(&ordma_mutex);
    return 0;
}

/* Gives 'dev' 'n' new transmit queues. */
static void
renew_txqs(struct netdev_rdma *dev, int n)
    OVS_REQUIRES(ordma_mutex)
{
    queues_destroy(dev->txqs, dev->have.n_txq, &dev->stats);
    dev->txqs = queues_create(n);
    dev->have.n_txq = n;
    dev->up.n_txq = n;
}

/* Makes 'want' what is in force in 'dev', with 'pools'. */
static void
apply_params(struct netdev_rdma *dev, const struct netdev_rdma_params *want,
             const struct netdev_rdma_pools *pools)
    OVS_REQUIRES(ordma_mutex)
{
    netdev_rdma_stop(dev, "port changed");
    queues_destroy(dev->rxqs, dev->have.n_rxq, &dev->stats);
    netdev_rdma_pools_unref(&dev->pools);

    dev->have = *want;
    dev->rxqs = queues_create(want->n_rxq);
    dev->pools = *pools;
    dev->max_frame = want->mtu + NETDEV_RDMA_L2_LEN;
    dev->max_tso_frame = (dev->has_offload ? dev->pools.big->data_len
                          : dev->max_frame);
    dev->up.n_rxq = want->n_rxq;
    netdev_rdma_restart(dev);
    netdev_change_seq_changed(&dev->up);
}

/* Without memory for what is wanted, a port that works goes on as it is: if
 * this failed, OVS would delete the port.  A change of the number of threads
 * that send needs no other queue pairs. */
static int
netdev_rdma_reconfigure(struct netdev *netdev)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);
    struct netdev_rdma_pools pools;
    struct netdev_rdma_params want;
    char *error = NULL;

    ovs_mutex_lock(&ordma_mutex);
    if (!dev->txqs || dev->want.n_txq != dev->have.n_txq) {
        renew_txqs(dev, dev->want.n_txq);
    }
    want = dev->want;
    if (!dev->rxqs || memcmp(&want, &dev->have, sizeof want)) {
        error = netdev_rdma_pools_get(&want, dev->has_offload, &pools);
        if (!error) {
            apply_params(dev, &want, &pools);
        } else {
            VLOG_WARN("%s: %s", netdev_get_name(netdev), error);
            dev->want = dev->have;
        }
    }
    ovs_mutex_unlock(&ordma_mutex);
    free(error);
    return dev->rxqs ? 0 : ENOMEM;
}

static int
netdev_rdma_set_etheraddr(struct netdev *netdev, const struct eth_addr mac)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);

    ovs_mutex_lock(&ordma_mutex);
    if (!eth_addr_equals(dev->mac, mac)) {
        dev->mac = mac;
        netdev_change_seq_changed(netdev);
    }
    ovs_mutex_unlock(&ordma_mutex);
    return 0;
}

static int
netdev_rdma_get_etheraddr(const struct netdev *netdev, struct eth_addr *mac)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);

    ovs_mutex_lock(&ordma_mutex);
    *mac = dev->mac;
    ovs_mutex_unlock(&ordma_mutex);
    return 0;
}

/* Can be called from a signal handler. */
static int
netdev_rdma_update_flags(struct netdev *netdev, enum netdev_flags off,
                         enum netdev_flags on, enum netdev_flags *old_flags)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);
    bool was_up = netdev_rdma_is_up(dev);
    bool is_up = was_up;

    if ((off | on) & ~(NETDEV_UP | NETDEV_PROMISC)) {
        return EOPNOTSUPP;
    }
    if (off & NETDEV_UP) {
        is_up = false;
    }
    if (on & NETDEV_UP) {
        is_up = true;
    }
    *old_flags = NETDEV_PROMISC | (was_up ? NETDEV_UP : 0);
    if (is_up != was_up) {
        atomic_store_relaxed(&dev->is_up, is_up);
        netdev_change_seq_changed(netdev);
    }
    return 0;
}

/* State and statistics. */

static int
netdev_rdma_get_carrier(const struct netdev *netdev, bool *carrier)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);

    ovs_mutex_lock(&ordma_mutex);
    *carrier = dev->carrier;
    ovs_mutex_unlock(&ordma_mutex);
    return 0;
}

static long long int
netdev_rdma_get_carrier_resets(const struct netdev *netdev)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);
    long long int resets;

    ovs_mutex_lock(&ordma_mutex);
    resets = dev->carrier_resets;
    ovs_mutex_unlock(&ordma_mutex);
    return resets;
}

static int
netdev_rdma_get_status(const struct netdev *netdev, struct smap *smap)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);
    const char *device;

    ovs_mutex_lock(&ordma_mutex);
    netdev_rdma_add_status(dev, smap);
    device = smap_get(smap, "device");
    if (device) {
        smap_add(smap, "tunnel_egress_iface", device);
        smap_add(smap, "tunnel_egress_iface_carrier", "up");
    }
    ovs_mutex_unlock(&ordma_mutex);
    return 0;
}

void
netdev_rdma_sum_counters(struct netdev_rdma *dev,
                         uint64_t totals[ORDMA_N_COUNTERS])
{
    memset(totals, 0, ORDMA_N_COUNTERS * sizeof *totals);
    ordma_stats_sum(totals, &dev->stats);
    for (int i = 0; i < dev->have.n_rxq; i++) {
        ordma_stats_sum(totals, &dev->rxqs[i].stats);
    }
    for (int i = 0; i < dev->have.n_txq; i++) {
        ordma_stats_sum(totals, &dev->txqs[i].stats);
    }
}

static int
netdev_rdma_get_stats(const struct netdev *netdev, struct netdev_stats *stats)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);
    uint64_t totals[ORDMA_N_COUNTERS];

    ovs_mutex_lock(&ordma_mutex);
    netdev_rdma_sum_counters(dev, totals);
    ovs_mutex_unlock(&ordma_mutex);

    /* What is not set below is not supported. */
    memset(stats, 0xff, sizeof *stats);
    stats->rx_packets = totals[ORDMA_RX_PACKETS];
    stats->tx_packets = totals[ORDMA_TX_PACKETS];
    stats->rx_bytes = totals[ORDMA_RX_BYTES];
    stats->tx_bytes = totals[ORDMA_TX_BYTES];
    stats->rx_errors = totals[ORDMA_RX_MALFORMED_MESSAGES];
    stats->tx_errors = totals[ORDMA_TX_FLUSHED_DROPS];
#define ORDMA_COUNTER(NAME) + totals[ORDMA_##NAME]
    stats->rx_dropped = 0 ORDMA_RX_DROPS;
    stats->tx_dropped = 0 ORDMA_TX_DROPS;
#undef ORDMA_COUNTER
    return 0;
}

void
netdev_rdma_counter_name(enum ordma_counter counter,
                         char name[NETDEV_CUSTOM_STATS_NAME_SIZE])
{
    static const char *const names[] = {
#define ORDMA_COUNTER(NAME) [ORDMA_##NAME] = #NAME,
        ORDMA_TX_DROPS
        ORDMA_TX_LOST
        ORDMA_RX_DROPS
        ORDMA_OTHER_COUNTERS
#undef ORDMA_COUNTER
    };

    ovs_strlcpy(name, names[counter], NETDEV_CUSTOM_STATS_NAME_SIZE);
    for (char *p = name; *p; p++) {
        *p = tolower((unsigned char) *p);
    }
}

static int
netdev_rdma_get_custom_stats(const struct netdev *netdev,
                             struct netdev_custom_stats *custom)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);
    uint64_t totals[ORDMA_N_COUNTERS];

    ovs_mutex_lock(&ordma_mutex);
    netdev_rdma_sum_counters(dev, totals);
    ovs_mutex_unlock(&ordma_mutex);

    custom->size = ORDMA_N_COUNTERS - ORDMA_N_BASIC_COUNTERS;
    custom->counters = xcalloc(custom->size, sizeof *custom->counters);
    for (int i = 0; i < custom->size; i++) {
        netdev_rdma_counter_name(ORDMA_N_BASIC_COUNTERS + i,
                                 custom->counters[i].name);
        custom->counters[i].value = totals[ORDMA_N_BASIC_COUNTERS + i];
    }
    return 0;
}

/* Receive queues. */

static struct netdev_rxq *
netdev_rdma_rxq_alloc(void)
{
    struct netdev_rdma_rxq *rxq = xzalloc_cacheline(sizeof *rxq);

    return &rxq->up;
}

static int
netdev_rdma_rxq_construct(struct netdev_rxq *rxq_)
{
    struct netdev_rdma_rxq *rxq = netdev_rdma_rxq_cast(rxq_);
    struct netdev_rdma *dev = netdev_rdma_cast(rxq_->netdev);

    rxq->stats = &dev->rxqs[rxq_->queue_id].stats;
    return 0;
}

static void
netdev_rdma_rxq_destruct(struct netdev_rxq *rxq)
{
    netdev_rdma_rxq_purge(netdev_rdma_rxq_cast(rxq));
}

static void
netdev_rdma_rxq_dealloc(struct netdev_rxq *rxq)
{
    free_cacheline(netdev_rdma_rxq_cast(rxq));
}

const struct netdev_class netdev_rdma_class = {
    .type = "rdma",
    .is_pmd = true,
    .init = netdev_rdma_show_init,
    .run = netdev_rdma_run,
    .wait = netdev_rdma_wait,
    .alloc = netdev_rdma_alloc,
    .construct = netdev_rdma_construct,
    .destruct = netdev_rdma_destruct,
    .dealloc = netdev_rdma_dealloc,
    .get_config = netdev_rdma_get_config,
    .set_config = netdev_rdma_set_config,
    .get_tunnel_config = netdev_rdma_get_tunnel_config,
    .get_numa_id = netdev_rdma_get_numa_id,
    .set_tx_multiq = netdev_rdma_set_tx_multiq,
    .send = netdev_rdma_send,
    .set_etheraddr = netdev_rdma_set_etheraddr,
    .get_etheraddr = netdev_rdma_get_etheraddr,
    .get_mtu = netdev_rdma_get_mtu,
    .set_mtu = netdev_rdma_set_mtu,
    .get_carrier = netdev_rdma_get_carrier,
    .get_carrier_resets = netdev_rdma_get_carrier_resets,
    .get_stats = netdev_rdma_get_stats,
    .get_custom_stats = netdev_rdma_get_custom_stats,
    .get_status = netdev_rdma_get_status,
    .update_flags = netdev_rdma_update_flags,
    .reconfigure = netdev_rdma_reconfigure,
    .rxq_alloc = netdev_rdma_rxq_alloc,
    .rxq_construct = netdev_rdma_rxq_construct,
    .rxq_destruct = netdev_rdma_rxq_destruct,
    .rxq_dealloc = netdev_rdma_rxq_dealloc,
    .rxq_recv = netdev_rdma_rxq_recv,
};

/* Registers the class before main(): that needs no change to OVS, and pulls
 * nothing into programs that this object is not linked into. */
OVS_CONSTRUCTOR(netdev_rdma_register)
{
    netdev_register_provider(&netdev_rdma_class);
}

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Devices of the soft provider: local addresses. */

#include <config.h>

#include "rdma-soft-private.h"

#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "ovs-numa.h"
#include "packets.h"
#include "rdma-random.h"
#include "socket-util.h"
#include "sset.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_soft_dev);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* The headers that Linux's connection manager takes into account for RoCE,
 * those of the longest packet of all. */
#define MTU_OVERHEAD 96

/* The GUID of a device says that it takes UDP checksums by beginning with
 * these 24 bits, which no vendor has because the "local" bit is set.  The
 * others are random, so that a restarted daemon is another device. */
#define GUID_PREFIX UINT64_C(0x024f56)
#define GUID_RANDOM_BITS 40

struct ovs_list soft_devs = OVS_LIST_INITIALIZER(&soft_devs);

/* Ports being listened to, of any device. */
static ovs_be16 soft_ports[ROCE_ENDPOINT_N_SERVICES]
    OVS_GUARDED_BY(ordma_mutex);
static unsigned int n_soft_ports OVS_GUARDED_BY(ordma_mutex);

int
soft_path_mtu(int ip_mtu)
{
    int mtu = ROCE_MAX_MTU;

    while (mtu >= ROCE_MIN_MTU && mtu + MTU_OVERHEAD > ip_mtu) {
        mtu /= 2;
    }
    return mtu >= ROCE_MIN_MTU ? mtu : 0;
}

bool
soft_guid_takes_checksum(uint64_t guid)
{
    return guid >> GUID_RANDOM_BITS == GUID_PREFIX;
}

/* Devices. */

void
soft_dev_flush(struct soft_dev *dev)
{
    const struct roce_wire_class *class = dev->wire->class;
    struct roce_endpoint_tx out;

    while (roce_endpoint_output(&dev->ep, &out)) {
        struct roce_path_config config = { .dst = out.flow.dst };
        struct roce_path path;

        if (!class->path_open(dev->wire, &config, &path)) {
            class->send_batch(&path, &out.tx, 1);
            class->path_close(&path);
        }
    }
}

static void
soft_dev_close(struct soft_dev *dev)
    OVS_REQUIRES(ordma_mutex)
{
    VLOG_INFO("%s: closing soft device", dev->up.name);
    ovs_list_remove(&dev->node);
    ordma_dev_uninit(&dev->up);
    dev->wire->class->close(dev->wire);
    for (unsigned int i = 0; i < ROCE_WIRE_N_DATA; i++) {
        ovs_spin_destroy(&dev->rxqs[i].lock);
    }
    free_cacheline(dev);
}

static void
init_endpoint(struct soft_dev *dev, int mtu)
    OVS_REQUIRES(ordma_mutex)
{
    struct roce_endpoint_config config = {
        .random = ordma_random_bytes,
        .max_mtu = mtu,
        .max_half_open = SOFT_MAX_HALF_OPEN,
        .req_rate = SOFT_REQ_RATE,
        .req_burst = SOFT_REQ_BURST,
        .qps = dev->qps,
        .cms = dev->cms,
        .n_qps = SOFT_N_QPS,
        .n_cms = SOFT_N_CMS,
    };

    ordma_random_bytes(&config.guid, sizeof config.guid);
    config.guid = (GUID_PREFIX << GUID_RANDOM_BITS
                   | config.guid >> (64 - GUID_RANDOM_BITS));
    roce_endpoint_init(&dev->ep, &config);
    for (unsigned int i = 0; i < n_soft_ports; i++) {
        roce_endpoint_listen(&dev->ep, soft_service_id(soft_ports[i]));
    }
}

static int
soft_dev_open(const struct in6_addr *ip, struct soft_dev **devp)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_dev *dev = xzalloc_cacheline(sizeof *dev);
    char name[IF_NAMESIZE];
    int error, mtu;

    error = roce_udp_class.open(ip, &dev->wire);
    if (error) {
        goto err_free;
    }
    mtu = dev->wire->class->mtu(dev->wire, name);
    error = ordma_dev_init(&dev->up, &ordma_soft_provider,
                           name[0] ? name : "soft", OVS_NUMA_UNSPEC);
    if (error) {
        goto err_close;
    }
    for (unsigned int i = 0; i < ROCE_WIRE_N_DATA; i++) {
        ovs_spin_init(&dev->rxqs[i].lock);
    }
    init_endpoint(dev, soft_path_mtu(mtu));
    ovs_list_push_back(&soft_devs, &dev->node);
    VLOG_INFO("%s: opened soft device", dev->up.name);
    *devp = dev;
    return 0;

err_close:
    dev->wire->class->close(dev->wire);
err_free:
    free_cacheline(dev);
    return error;
}

void
soft_dev_close_unused(struct soft_dev *dev)
{
    if (!dev->n_conns && !n_soft_ports
        && roce_endpoint_deadline(&dev->ep) == LLONG_MAX) {
        soft_dev_close(dev);
    }
}

/* The MTU of a device can change. */
int
soft_dev_get(const struct in6_addr *ip, struct soft_dev **devp)
{
    char name[IF_NAMESIZE];
    struct soft_dev *dev;

    LIST_FOR_EACH (dev, node, &soft_devs) {
        if (ipv6_addr_equals(&dev->wire->ip, ip)) {
            int mtu = dev->wire->class->mtu(dev->wire, name);

            dev->ep.config.max_mtu = soft_path_mtu(mtu);
            *devp = dev;
            return 0;
        }
    }
    return soft_dev_open(ip, devp);
}

const char *
soft_dev_strerror(int error)
{
    switch (error) {
    case 0:
        return NULL;
    case EADDRINUSE:
        return "UDP port 4791 is taken, most likely by rdma_rxe: set "
               "options:provider=verbs or unload that module";
    case EADDRNOTAVAIL:
        return "local_ip is not an address of this host";
    default:
        VLOG_WARN_RL(&rl, "cannot open a soft device (%s)",
                     ovs_strerror(error));
        return "cannot open a soft device, see the log";
    }
}

void
soft_enumerate(struct sset *names)
{
    struct if_nameindex *ifs = if_nameindex();

    for (size_t i = 0; ifs && ifs[i].if_index; i++) {
        sset_add(names, ifs[i].if_name);
    }
    if (ifs) {
        if_freenameindex(ifs);
    }
}

/* Any address of this host will do. */
bool
soft_has_addr(const struct in6_addr *ip OVS_UNUSED)
{
    return true;
}

/* All of the process's memory can be read and written. */

int
soft_reg_mr(struct ordma_dev *dev OVS_UNUSED, void *addr OVS_UNUSED,
            size_t len OVS_UNUSED, struct ordma_mr **mrp)
{
    static struct ordma_mr mr = { .lkey = 1 };

    *mrp = &mr;
    return 0;
}

void
soft_dereg_mr(struct ordma_dev *dev OVS_UNUSED, struct ordma_mr *mr OVS_UNUSED)
{
}

/* For people. */

static void
show_drops(struct ds *ds, const char *name, uint64_t n)
{
    if (n) {
        ds_put_format(ds, "  dropped, %s: %"PRIu64"\n", name, n);
    }
}

/* What was dropped, wherever it arrived. */
struct drops {
    uint64_t refused[ROCE_PARSE_N];
    uint64_t dropped[ROCE_DROP_N];
    uint64_t no_room;
};

static void
add_drops(struct drops *drops, const uint64_t refused[ROCE_PARSE_N],
          const uint64_t dropped[ROCE_DROP_N])
{
    for (int i = 0; i < ROCE_PARSE_N; i++) {
        drops->refused[i] += refused[i];
    }
    for (int i = 0; i < ROCE_DROP_N; i++) {
        drops->dropped[i] += dropped[i];
    }
}

static void
get_drops(struct soft_dev *dev, struct drops *drops)
    OVS_REQUIRES(ordma_mutex)
{
    memset(drops, 0, sizeof *drops);
    add_drops(drops, dev->ep.n_refused, dev->ep.n_dropped);
    for (unsigned int i = 0; i < ROCE_WIRE_N_DATA; i++) {
        struct soft_rxq *rxq = &dev->rxqs[i];

        ovs_spin_lock(&rxq->lock);
        add_drops(drops, rxq->n_refused, rxq->n_dropped);
        drops->no_room += dev->wire->n_overflows[i];
        ovs_spin_unlock(&rxq->lock);
    }
}

static void
show_dev(struct soft_dev *dev, struct ds *ds)
    OVS_REQUIRES(ordma_mutex)
{
    struct drops drops;

    ds_put_format(ds, "%s ", dev->up.name);
    ipv6_format_mapped(&dev->wire->ip, ds);
    ds_put_format(ds, " (%s):\n  connections: %u\n", dev->wire->class->name,
                  dev->n_conns);
    get_drops(dev, &drops);
    for (int i = 0; i < ROCE_PARSE_N; i++) {
        show_drops(ds, roce_parse_result_to_string(i), drops.refused[i]);
    }
    for (int i = 0; i < ROCE_DROP_N; i++) {
        show_drops(ds, roce_drop_to_string(i), drops.dropped[i]);
    }
    show_drops(ds, "no room for data", drops.no_room);
    show_drops(ds, "no room for management datagrams",
               dev->wire->n_overflows[ROCE_WIRE_MAD]);
}

static void
show_conn(struct soft_conn *conn, struct ds *ds)
    OVS_REQUIRES(ordma_mutex)
{
    struct roce_qp_stats s;

    if (!conn->up.qpn) {
        return;
    }
    ovs_spin_lock(&conn->lock);
    s = conn->qp.stats;
    ovs_spin_unlock(&conn->lock);
    ds_put_format(ds, "  QP %06"PRIx32" to ", conn->up.qpn);
    ipv6_format_mapped(&conn->up.remote, ds);
    ds_put_format(ds, " QP %06"PRIx32": sent %"PRIu64" replies %"PRIu64
                  " unsent %"PRIu64", received %"PRIu64" replies %"PRIu64
                  " duplicates %"PRIu64" gaps %"PRIu64" dropped %"PRIu64
                  ", timeouts %"PRIu64" naks %"PRIu64" not ready %"PRIu64"\n",
                  conn->up.peer_qpn, s.tx_packets, s.tx_replies,
                  conn->path.n_unsent, s.rx_requests, s.rx_replies,
                  s.rx_duplicates, s.rx_gaps, s.rx_dropped, s.timeouts,
                  s.rx_naks, s.rx_not_ready);
}

static void
soft_unixctl_show(struct unixctl_conn *unixctl, int argc OVS_UNUSED,
                  const char *argv[] OVS_UNUSED, void *aux OVS_UNUSED)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct soft_dev *dev;

    ovs_mutex_lock(&ordma_mutex);
    LIST_FOR_EACH (dev, node, &soft_devs) {
        struct soft_conn *conn;

        show_dev(dev, &ds);
        LIST_FOR_EACH (conn, node, &soft_conns) {
            if (conn->up.dev == &dev->up) {
                show_conn(conn, &ds);
            }
        }
    }
    ovs_mutex_unlock(&ordma_mutex);
    unixctl_command_reply(unixctl, ds_cstr(&ds));
    ds_destroy(&ds);
}

/* Listeners. */

int
soft_listen(ovs_be16 port)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;
    struct soft_dev *dev;

    if (ovsthread_once_start(&once)) {
        unixctl_command_register("rdma-soft/show", "", 0, 0,
                                 soft_unixctl_show, NULL);
        ovsthread_once_done(&once);
    }
    if (n_soft_ports >= ARRAY_SIZE(soft_ports)) {
        return ENOSPC;
    }
    soft_ports[n_soft_ports++] = port;
    LIST_FOR_EACH (dev, node, &soft_devs) {
        roce_endpoint_listen(&dev->ep, soft_service_id(port));
    }
    return 0;
}

/* Returns true if 'ip' is an address at which peers on other hosts can find
 * this one. */
static bool
is_global(const struct in6_addr *ip)
{
    return (IN6_IS_ADDR_V4MAPPED(ip)
            ? (ntohl(in6_addr_get_mapped_ipv4(ip)) >> 24) != IN_LOOPBACKNET
            : !in6_is_lla(CONST_CAST(struct in6_addr *, ip))
              && !IN6_IS_ADDR_LOOPBACK(ip));
}

/* Opens the devices for those of 'ifaddrs' at which peers can find this host.
 * Returns null if there is one, otherwise text that says why not. */
static const char *
open_all(const struct ifaddrs *ifaddrs)
    OVS_REQUIRES(ordma_mutex)
{
    const char *reason = "this host has no address that peers could use";
    bool opened = false;

    for (const struct ifaddrs *i = ifaddrs; i; i = i->ifa_next) {
        if (i->ifa_addr && (i->ifa_addr->sa_family == AF_INET
                            || i->ifa_addr->sa_family == AF_INET6)) {
            const struct sockaddr_storage *ss
                = ALIGNED_CAST(const struct sockaddr_storage *, i->ifa_addr);
            struct in6_addr ip = ss_get_address(ss);

            if (is_global(&ip)) {
                struct soft_dev *dev;
                int error = soft_dev_get(&ip, &dev);

                opened |= !error;
                reason = error ? soft_dev_strerror(error) : reason;
            }
        }
    }
    return opened ? NULL : reason;
}

const char *
soft_listen_at(const struct in6_addr *local)
{
    struct ifaddrs *ifaddrs;
    struct soft_dev *dev;
    const char *reason;

    if (ipv6_addr_is_set(local)) {
        return soft_dev_strerror(soft_dev_get(local, &dev));
    }
    if (getifaddrs(&ifaddrs)) {
        VLOG_WARN_RL(&rl, "getifaddrs failed (%s)", ovs_strerror(errno));
        return "cannot get the addresses of this host, see the log";
    }
    reason = open_all(ifaddrs);
    freeifaddrs(ifaddrs);
    return reason;
}

void
soft_unlisten(ovs_be16 port)
{
    struct soft_dev *dev;

    for (unsigned int i = 0; i < n_soft_ports; i++) {
        if (soft_ports[i] == port) {
            soft_ports[i] = soft_ports[--n_soft_ports];
            break;
        }
    }
    LIST_FOR_EACH (dev, node, &soft_devs) {
        roce_endpoint_unlisten(&dev->ep, soft_service_id(port));
    }
}

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The device of the soft provider: UDP port 4791. */

#include <config.h>

#include "rdma-soft-private.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "rdma-random.h"
#include "socket-util.h"
#include "sset.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_soft_dev);

/* The headers that Linux's connection manager takes into account for RoCE,
 * those of the longest packet of all. */
#define MTU_OVERHEAD 96

/* The GUID of a device says that it takes UDP checksums by beginning with
 * these 24 bits, which no vendor has because the "local" bit is set.  The
 * others are random, so that a restarted daemon is another device. */
#define GUID_PREFIX UINT64_C(0x024f56)
#define GUID_RANDOM_BITS 40

struct soft_dev *soft_dev;

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
    struct roce_gsi_tx out;

    while (roce_gsi_output(&dev->gsi, &out)) {
        struct roce_path_config config = {
            .src = out.flow.src,
            .dst = out.flow.dst,
        };
        struct roce_path path;

        if (!class->path_open(dev->wire, &config, &path)) {
            class->send_batch(&path, &out.tx, 1);
            if (path.error) {
                soft_handle_unsent(&out.flow, path.error);
            }
            class->path_close(&path);
        }
    }
}

static void
init_gsi(struct soft_dev *dev)
    OVS_REQUIRES(ordma_mutex)
{
    struct roce_gsi_config config = {
        .max_mtu = ROCE_MAX_MTU,
        .max_conns = ROCE_MAX_QPS,
        .max_half_open = SOFT_MAX_HALF_OPEN,
        .req_rate = SOFT_REQ_RATE,
        .req_burst = SOFT_REQ_BURST,
        .random = ordma_random_bytes,
    };

    ordma_random_bytes(&config.guid, sizeof config.guid);
    config.guid = (GUID_PREFIX << GUID_RANDOM_BITS
                   | config.guid >> (64 - GUID_RANDOM_BITS));
    roce_gsi_init(&dev->gsi, &config);
}

static int
soft_dev_open(void)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_dev *dev = xzalloc_cacheline(sizeof *dev);
    int error = roce_udp_class.open(&dev->wire);

    if (error) {
        goto err_free;
    }
    error = ordma_dev_init(&dev->up, &ordma_soft_provider, "soft");
    if (error) {
        goto err_close;
    }
    for (unsigned int i = 0; i < ROCE_WIRE_N_DATA; i++) {
        ovs_spin_init(&dev->rxqs[i].lock);
    }
    init_gsi(dev);
    roce_qpns_init(&dev->qpns);
    soft_dev = dev;
    VLOG_INFO("opened UDP port %d", ROCE_UDP_PORT);
    return 0;

err_close:
    dev->wire->class->close(dev->wire);
err_free:
    free_cacheline(dev);
    return error;
}

void
soft_dev_close_unused(void)
{
    struct soft_dev *dev = soft_dev;

    if (!dev || dev->n_ports || dev->n_conns
        || roce_gsi_deadline(&dev->gsi) != LLONG_MAX) {
        return;
    }
    VLOG_INFO("closing UDP port %d", ROCE_UDP_PORT);
    soft_dev = NULL;
    ordma_dev_uninit(&dev->up);
    dev->wire->class->close(dev->wire);
    roce_gsi_destroy(&dev->gsi);
    roce_qpns_destroy(&dev->qpns);
    for (unsigned int i = 0; i < ROCE_WIRE_N_DATA; i++) {
        ovs_spin_destroy(&dev->rxqs[i].lock);
    }
    free_cacheline(dev);
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

static void
add_drops(struct roce_drops *sum, const struct roce_drops *drops)
{
    for (int i = 0; i < ROCE_PARSE_N; i++) {
        sum->refused[i] += drops->refused[i];
    }
    for (int i = 0; i < ROCE_DROP_N; i++) {
        sum->dropped[i] += drops->dropped[i];
    }
}

/* Stores what 'dev' has dropped into '*sum', wherever it arrived, and returns
 * how much there was no room for. */
static uint64_t
get_drops(struct soft_dev *dev, struct roce_drops *sum)
    OVS_REQUIRES(ordma_mutex)
{
    uint64_t no_room = 0;

    *sum = dev->gsi.drops;
    for (unsigned int i = 0; i < ROCE_WIRE_N_DATA; i++) {
        struct soft_rxq *rxq = &dev->rxqs[i];

        ovs_spin_lock(&rxq->lock);
        add_drops(sum, &rxq->drops);
        no_room += dev->wire->n_overflows[i];
        ovs_spin_unlock(&rxq->lock);
    }
    return no_room;
}

static void
show_dev(struct soft_dev *dev, struct ds *ds)
    OVS_REQUIRES(ordma_mutex)
{
    struct roce_drops drops;
    uint64_t no_room = get_drops(dev, &drops);

    ds_put_format(ds, "%s port %d:\n  connections: %u\n",
                  dev->wire->class->name, ROCE_UDP_PORT, dev->n_conns);
    for (int i = 0; i < ROCE_PARSE_N; i++) {
        show_drops(ds, roce_parse_result_to_string(i), drops.refused[i]);
    }
    for (int i = 0; i < ROCE_DROP_N; i++) {
        show_drops(ds, roce_drop_to_string(i), drops.dropped[i]);
    }
    show_drops(ds, "no room for data", no_room);
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
    ds_put_format(ds, "  %s ", conn->up.dev_name);
    ipv6_format_mapped(&conn->up.local, ds);
    ds_put_format(ds, " QP %06"PRIx32" to ", conn->up.qpn);
    ipv6_format_mapped(&conn->up.remote, ds);
    ds_put_format(ds, " QP %06"PRIx32": sent %"PRIu64" replies %"PRIu64
                  " unsent %"PRIu64", received %"PRIu64" replies %"PRIu64
                  " duplicates %"PRIu64" gaps %"PRIu64" ghosts %"PRIu64
                  " dropped %"PRIu64" without buffer %"PRIu64
                  ", timeouts %"PRIu64" naks %"PRIu64" not ready %"PRIu64
                  " congested %"PRIu64"\n",
                  conn->up.peer_qpn, s.tx_packets, s.tx_replies,
                  conn->path.n_unsent, s.rx_requests, s.rx_replies,
                  s.rx_duplicates, s.rx_gaps, s.rx_ghosts, s.rx_dropped,
                  s.tx_not_ready, s.timeouts, s.rx_naks, s.rx_not_ready,
                  s.rx_cnps);
}

static void
soft_unixctl_show(struct unixctl_conn *unixctl, int argc OVS_UNUSED,
                  const char *argv[] OVS_UNUSED, void *aux OVS_UNUSED)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ovs_mutex_lock(&ordma_mutex);
    if (soft_dev) {
        struct soft_conn *conn;

        show_dev(soft_dev, &ds);
        LIST_FOR_EACH (conn, node, &soft_conns) {
            show_conn(conn, &ds);
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
    int error = soft_dev ? 0 : soft_dev_open();

    if (ovsthread_once_start(&once)) {
        unixctl_command_register("rdma-soft/show", "", 0, 0,
                                 soft_unixctl_show, NULL);
        ovsthread_once_done(&once);
    }
    if (!error) {
        error = roce_gsi_listen(&soft_dev->gsi, soft_service_id(port));
    }
    if (!error) {
        soft_dev->n_ports++;
    }
    return error;
}

void
soft_unlisten(ovs_be16 port)
{
    roce_gsi_unlisten(&soft_dev->gsi, soft_service_id(port));
    soft_dev->n_ports--;
}

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

#include "rdma-soft-private.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <string.h>

#include "coverage.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-numa.h"
#include "packets.h"
#include "random.h"
#include "rdma-route.h"
#include "sset.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_soft);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* What the main thread does for the soft provider: devices, connections and
 * their manager.  See rdma-soft-private.h for the whole. */

/* Encodings as in rdma-verbs.c. */
#define RNR_TIMER_640_US 12
#define ACK_TIMEOUT_67_MS 14
#define RETRY_COUNT 7
#define RNR_RETRY_FOREVER 7

/* The headers that Linux's connection manager takes into account for RoCE,
 * those of the longest packet of all. */
#define MTU_OVERHEAD 96

/* The GUID of a device says that it takes UDP checksums by beginning with
 * these 24 bits, which no vendor has because the "local" bit is set.  The
 * others are random, so that a restarted daemon is another device. */
#define GUID_PREFIX UINT64_C(0x024f56)
#define GUID_RANDOM_BITS 40

struct soft_event {
    struct ovs_list node;       /* In 'soft_events'. */
    struct ordma_event up;
};

static struct ovs_list soft_devs OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&soft_devs);
static struct ovs_list soft_conns OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&soft_conns);
static struct ovs_list soft_events OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&soft_events);

/* Ports being listened to, of any device. */
static ovs_be16 soft_ports[ROCE_ENDPOINT_N_SERVICES]
    OVS_GUARDED_BY(ordma_mutex);
static unsigned int n_soft_ports OVS_GUARDED_BY(ordma_mutex);

static uint64_t
service_id(ovs_be16 port)
{
    return ROCE_CM_SERVICE_TCP + ntohs(port);
}

/* Returns the greatest path MTU on a way for IP packets of 'ip_mtu' bytes, 0
 * if it is too narrow. */
static int
roce_mtu(int ip_mtu)
{
    int mtu = ROCE_MAX_MTU;

    while (mtu + MTU_OVERHEAD > ip_mtu) {
        mtu /= 2;
    }
    return mtu >= ROCE_MIN_MTU ? mtu : 0;
}

/* Events. */

/* Queues an event of 'type' for 'conn'.  'mad' is where its private data comes
 * from, or null. */
static void
push_event(struct soft_conn *conn, enum ordma_event_type type,
           const char *reason, const struct roce_mad *mad)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_event *event = xzalloc(sizeof *event);

    event->up.type = type;
    event->up.conn = &conn->up;
    event->up.reason = reason;
    if (mad) {
        event->up.private_data_len = MIN(mad->private_len,
                                         sizeof event->up.private_data);
        memcpy(event->up.private_data, mad->private_data,
               event->up.private_data_len);
    }
    ovs_list_push_back(&soft_events, &event->node);
}

/* Forgets the events of 'conn'. */
static void
purge_events(const struct soft_conn *conn)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_event *event;

    LIST_FOR_EACH_SAFE (event, node, &soft_events) {
        if (event->up.conn == &conn->up) {
            ovs_list_remove(&event->node);
            free(event);
        }
    }
}

static bool
soft_next_event(struct ordma_event *up)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_event *event;

    if (ovs_list_is_empty(&soft_events)) {
        return false;
    }
    event = CONTAINER_OF(ovs_list_pop_front(&soft_events), struct soft_event,
                         node);
    *up = event->up;
    free(event);
    return true;
}

/* Devices. */

/* Sends the MADs that 'dev' has to send.  What cannot be sent now will be
 * repeated. */
static void
soft_dev_flush(struct soft_dev *dev)
    OVS_REQUIRES(ordma_mutex)
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
    ovs_spin_destroy(&dev->rx_lock);
    free_cacheline(dev);
}

static void
init_endpoint(struct soft_dev *dev, int mtu)
    OVS_REQUIRES(ordma_mutex)
{
    struct roce_endpoint_config config = {
        .guid = (GUID_PREFIX << GUID_RANDOM_BITS
                 | random_uint64() >> (64 - GUID_RANDOM_BITS)),
        .secret = random_uint32(),
        .max_mtu = mtu,
        .max_half_open = SOFT_MAX_HALF_OPEN,
        .req_rate = SOFT_REQ_RATE,
        .req_burst = SOFT_REQ_BURST,
        .qps = dev->qps,
        .cms = dev->cms,
        .n_qps = SOFT_N_QPS,
        .n_cms = SOFT_N_CMS,
    };

    roce_endpoint_init(&dev->ep, &config);
    for (unsigned int i = 0; i < n_soft_ports; i++) {
        roce_endpoint_listen(&dev->ep, service_id(soft_ports[i]));
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
    ovs_spin_init(&dev->rx_lock);
    init_endpoint(dev, roce_mtu(mtu));
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

/* Finds or opens the device for the local address 'ip', and makes sure that it
 * knows its MTU, which can change. */
static int
soft_dev_get(const struct in6_addr *ip, struct soft_dev **devp)
    OVS_REQUIRES(ordma_mutex)
{
    char name[IF_NAMESIZE];
    struct soft_dev *dev;

    LIST_FOR_EACH (dev, node, &soft_devs) {
        if (ipv6_addr_equals(&dev->wire->ip, ip)) {
            int mtu = dev->wire->class->mtu(dev->wire, name);

            dev->ep.config.max_mtu = roce_mtu(mtu);
            *devp = dev;
            return 0;
        }
    }
    return soft_dev_open(ip, devp);
}

static void
soft_enumerate(struct sset *names)
    OVS_REQUIRES(ordma_mutex)
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
static bool
soft_has_addr(const struct in6_addr *ip OVS_UNUSED)
    OVS_REQUIRES(ordma_mutex)
{
    return true;
}

/* All of the process's memory can be read and written. */

static int
soft_reg_mr(struct ordma_dev *dev OVS_UNUSED, void *addr OVS_UNUSED,
            size_t len OVS_UNUSED, struct ordma_mr **mrp)
{
    static struct ordma_mr mr = { .lkey = 1 };

    *mrp = &mr;
    return 0;
}

static void
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
show_dev(struct soft_dev *dev, struct ds *ds)
    OVS_REQUIRES(ordma_mutex)
{
    ds_put_format(ds, "%s ", dev->up.name);
    ipv6_format_mapped(&dev->wire->ip, ds);
    ds_put_format(ds, " (%s):\n  connections: %u\n", dev->wire->class->name,
                  dev->n_conns);
    ovs_spin_lock(&dev->rx_lock);
    for (int i = 0; i < ROCE_PARSE_N; i++) {
        show_drops(ds, roce_parse_result_to_string(i),
                   dev->n_refused[i] + dev->ep.n_refused[i]);
    }
    for (int i = 0; i < ROCE_DROP_N; i++) {
        show_drops(ds, roce_drop_to_string(i),
                   dev->n_dropped[i] + dev->ep.n_dropped[i]);
    }
    show_drops(ds, "no room for data",
               dev->wire->n_overflows[ROCE_WIRE_DATA]);
    show_drops(ds, "no room for management datagrams",
               dev->wire->n_overflows[ROCE_WIRE_MAD]);
    ovs_spin_unlock(&dev->rx_lock);
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

static int
soft_listen(ovs_be16 port)
    OVS_REQUIRES(ordma_mutex)
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
        roce_endpoint_listen(&dev->ep, service_id(port));
    }
    return 0;
}

static void
soft_unlisten(ovs_be16 port)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_dev *dev;

    for (unsigned int i = 0; i < n_soft_ports; i++) {
        if (soft_ports[i] == port) {
            soft_ports[i] = soft_ports[--n_soft_ports];
            break;
        }
    }
    LIST_FOR_EACH (dev, node, &soft_devs) {
        roce_endpoint_unlisten(&dev->ep, service_id(port));
    }
}

/* Connections: creation and destruction. */

static struct soft_conn *
soft_conn_create(void)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = xzalloc_cacheline(sizeof *conn);

    conn->up.provider = &ordma_soft_provider;
    ovs_spin_init(&conn->lock);
    ovs_spin_init(&conn->tx_lock);
    ovs_list_push_back(&soft_conns, &conn->node);
    return conn;
}

static void
soft_conn_set_dev(struct soft_conn *conn, struct soft_dev *dev)
    OVS_REQUIRES(ordma_mutex)
{
    dev->n_conns++;
    conn->up.dev = &dev->up;
    conn->up.local = dev->wire->ip;
    conn->up.gid = dev->wire->ip;
}

/* Connects 'conn' with 'cm'. */
static void
soft_conn_set_cm(struct soft_conn *conn, struct roce_cm *cm)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_dev *dev = soft_dev_cast(conn->up.dev);

    conn->cm = cm;
    dev->cm_conns[cm - dev->cms] = conn;
}

static void
soft_conn_unset_cm(struct soft_conn *conn)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_dev *dev = soft_dev_cast(conn->up.dev);

    if (conn->cm) {
        dev->cm_conns[conn->cm - dev->cms] = NULL;
        conn->cm = NULL;
    }
}

static void
soft_conn_set_unconfirmed(struct soft_conn *conn, bool unconfirmed)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_dev *dev = soft_dev_cast(conn->up.dev);

    dev->n_unconfirmed += unconfirmed - conn->unconfirmed;
    conn->unconfirmed = unconfirmed;
}

/* Has packets for 'conn' go to it, or no longer. */
static void
soft_conn_set_receiving(struct soft_conn *conn, bool receiving)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_dev *dev = soft_dev_cast(conn->up.dev);

    ovs_spin_lock(&dev->rx_lock);
    dev->conns[conn->up.qpn % SOFT_N_QPS] = receiving ? conn : NULL;
    ovs_spin_unlock(&dev->rx_lock);
}

static void
soft_disconnect(struct ordma_conn *conn_)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = soft_conn_cast(conn_);

    if (conn->recv_slots) {
        ovs_spin_lock(&conn->lock);
        roce_qp_stop(&conn->qp, ROCE_STOPPED);
        ovs_spin_unlock(&conn->lock);
    }
    if (conn->cm) {
        roce_cm_disconnect(conn->cm, time_usec());
        soft_dev_flush(soft_dev_cast(conn_->dev));
    }
}

static void
soft_destroy(struct ordma_conn *conn_)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = soft_conn_cast(conn_);
    struct soft_dev *dev = soft_dev_cast(conn_->dev);

    /* Phase 1: the connection manager sees to the rest alone, and no event
     * refers to 'conn'. */
    soft_disconnect(conn_);
    purge_events(conn);
    ovs_list_remove(&conn->node);
    if (conn_->dev) {
        soft_conn_unset_cm(conn);
        soft_conn_set_unconfirmed(conn, false);
        dev->n_conns--;
    }

    /* Phase 2: no thread that polls another connection finds 'conn'. */
    if (conn_->qpn) {
        soft_conn_set_receiving(conn, false);
        roce_endpoint_free_qpn(&dev->ep, conn_->qpn);
    }

    /* Phase 3: nobody knows 'conn'. */
    if (conn->is_bound) {
        dev->wire->class->path_close(&conn->path);
    }
    ovs_spin_destroy(&conn->lock);
    ovs_spin_destroy(&conn->tx_lock);
    free(conn->send_slots);
    free(conn->recv_slots);
    free_cacheline(conn);
}

/* Dialing. */

/* Finds the device for 'dial'.  Returns null, or static text if there is
 * none. */
static const char *
resolve(const struct ordma_dial *dial, struct soft_dev **devp)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_route route;
    int error;

    error = ordma_route_lookup(&dial->remote, &dial->local, &route);
    if (error) {
        VLOG_DBG_RL(&rl, "no route (%s)", ovs_strerror(error));
        return (error == EADDRNOTAVAIL
                ? "local_ip is not an address of this host"
                : "no route to remote_ip");
    }
    error = soft_dev_get(&route.src, devp);
    if (error == EADDRINUSE) {
        return "UDP port 4791 is taken, most likely by rdma_rxe: set "
               "options:provider=verbs or unload that module";
    } else if (error) {
        VLOG_WARN_RL(&rl, "cannot open a soft device (%s)",
                     ovs_strerror(error));
        return "cannot open a soft device, see the log";
    }
    return NULL;
}

static int
soft_dial(const struct ordma_dial *dial, void *aux, struct ordma_conn **connp)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = soft_conn_create();
    struct soft_dev *dev;
    const char *error;

    conn->up.aux = aux;
    conn->up.remote = dial->remote;
    conn->up.dst_port = dial->port;
    conn->tos = dial->tos;
    error = resolve(dial, &dev);
    if (error) {
        push_event(conn, ORDMA_EV_FAILED, error, NULL);
    } else {
        soft_conn_set_dev(conn, dev);
        push_event(conn, ORDMA_EV_RESOLVED, NULL, NULL);
    }
    *connp = &conn->up;
    return 0;
}

/* Queue pairs. */

/* What both sides tell the peer. */
static struct roce_cm_side
soft_conn_side(const struct soft_conn *conn)
{
    return (struct roce_cm_side) {
        .qpn = conn->up.qpn,
        .recv_psn = random_uint32() & ROCE_PSN_MASK,
        .traffic_class = conn->tos,
        .ack_timeout = ACK_TIMEOUT_67_MS,
        .retry_count = RETRY_COUNT,
        .rnr_retry = RNR_RETRY_FOREVER,
    };
}

/* Initializes the queue pair of 'conn' as '*config' says, keeping the receives
 * that were posted to it. */
static int
init_qp(struct soft_conn *conn, struct roce_qp_config *config)
    OVS_REQUIRES(conn->lock)
{
    uint32_t n_posted = conn->qp.resp.posted;
    int error;

    config->min_rnr_timer = RNR_TIMER_640_US;
    config->max_packets = SOFT_MAX_PACKETS;
    config->max_bytes = SOFT_MAX_BYTES;
    config->send_slots = conn->send_slots;
    config->recv_slots = conn->recv_slots;
    config->n_send_slots = conn->n_send_slots;
    config->n_recv_slots = conn->n_recv_slots;
    error = roce_qp_init(&conn->qp, config);
    for (uint32_t i = 0; i < n_posted && !error; i++) {
        struct roce_recv_slot slot = conn->recv_slots[i];

        error = roce_qp_post_recv(&conn->qp, slot.data, slot.size, slot.wr_id);
    }
    return error;
}

static int
soft_create_qp(struct ordma_conn *conn_, const struct ordma_qp_cap *cap)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = soft_conn_cast(conn_);
    struct roce_qp_config config = { .mtu = ROCE_MIN_MTU };
    int error;

    conn_->qpn = roce_endpoint_alloc_qpn(&soft_dev_cast(conn_->dev)->ep);
    if (!conn_->qpn) {
        VLOG_WARN_RL(&rl, "%s: more than %d queue pairs", conn_->dev->name,
                     SOFT_N_QPS);
        return ENOSPC;
    }
    conn->ttl = cap->ttl;
    conn->n_send_slots = ROUND_UP_POW2(cap->n_send);
    conn->n_recv_slots = ROUND_UP_POW2(cap->n_recv);
    conn->send_slots = xcalloc(conn->n_send_slots, sizeof *conn->send_slots);
    conn->recv_slots = xcalloc(conn->n_recv_slots, sizeof *conn->recv_slots);

    /* It takes receives.  The rest follows when the peer is known. */
    ovs_spin_lock(&conn->lock);
    error = init_qp(conn, &config);
    ovs_spin_unlock(&conn->lock);
    return error;
}

/* Makes the queue pair of 'conn' ready for its peer, which is known from the
 * connection manager. */
static int
soft_conn_bind(struct soft_conn *conn)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_dev *dev = soft_dev_cast(conn->up.dev);
    struct roce_qp_config config;
    struct roce_path_config path;
    int error;

    memset(&config, 0, sizeof config);
    roce_cm_get_qp_config(conn->cm, &config);
    path = (struct roce_path_config) {
        .dst = conn->up.remote,
        .tos = conn->tos,
        .ttl = conn->ttl,
        .sport = roce_flow_sport(config.local_qpn, config.remote_qpn),
        .takes_checksum = (conn->cm->remote_guid >> GUID_RANDOM_BITS
                           == GUID_PREFIX),
    };
    error = dev->wire->class->path_open(dev->wire, &path, &conn->path);
    if (error) {
        goto out;
    }

    ovs_spin_lock(&conn->lock);
    error = init_qp(conn, &config);
    conn->is_bound = !error;
    ovs_spin_unlock(&conn->lock);
    if (error) {
        dev->wire->class->path_close(&conn->path);
        goto out;
    }
    conn->up.peer_qpn = config.remote_qpn;
    conn->up.path_mtu = config.mtu;
    soft_conn_set_receiving(conn, true);

out:
    if (error) {
        VLOG_WARN_RL(&rl, "%s: cannot set up a queue pair (%s)",
                     dev->up.name, ovs_strerror(error));
    }
    return error;
}

static int
soft_connect(struct ordma_conn *conn_, const void *private_data, size_t len)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = soft_conn_cast(conn_);
    struct soft_dev *dev = soft_dev_cast(conn_->dev);
    struct roce_cm_side side = soft_conn_side(conn);
    struct roce_cm_target target = {
        .local_ip = conn_->local,
        .remote_ip = conn_->remote,
        .service_id = service_id(conn_->dst_port),
        .src_port = random_range(16384) + 49152,
    };
    struct ordma_route route;
    struct roce_cm *cm;
    int error;

    error = ordma_route_lookup(&conn_->remote, &conn_->local, &route);
    if (error) {
        return error;
    }
    side.mtu = roce_mtu(route.mtu);
    if (!side.mtu) {
        VLOG_WARN_RL(&rl, "%s: MTU %d is too small for RoCEv2",
                     conn_->dev->name, route.mtu);
        return EMSGSIZE;
    }
    error = roce_endpoint_connect(&dev->ep, &target, &side, private_data, len,
                                  time_usec(), &cm);
    if (!error) {
        soft_conn_set_cm(conn, cm);
        soft_dev_flush(dev);
    }
    return error;
}

static int
soft_accept(struct ordma_conn *conn_, const void *private_data, size_t len)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = soft_conn_cast(conn_);
    struct soft_dev *dev = soft_dev_cast(conn_->dev);
    struct roce_cm_side side = soft_conn_side(conn);
    int error;

    if (!conn->cm) {
        return ENOTCONN;
    }
    error = roce_cm_accept(conn->cm, &side, private_data, len, time_usec());
    if (!error) {
        error = soft_conn_bind(conn);
    }
    if (!error) {
        soft_conn_set_unconfirmed(conn, true);
        soft_dev_flush(dev);
    }
    return error;
}

static void
soft_reject(struct ordma_conn *conn_, const void *private_data, size_t len)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = soft_conn_cast(conn_);

    if (conn->cm) {
        roce_cm_reject(conn->cm, ROCE_REJ_CONSUMER, private_data, len,
                       time_usec());
    }
    soft_destroy(conn_);
}

/* Events of the connection manager. */

/* Returns text for why the peer has rejected. */
static const char *
reject_text(uint16_t reason)
{
    switch (reason) {
    case ROCE_REJ_BAD_SERVICE:
        return "nothing listens on dst_port at the peer";
    case ROCE_REJ_STALE:
        return "peer still knows an earlier connection";
    case ROCE_REJ_CONSUMER:
        return "rejected by peer";
    case ROCE_REJ_BAD_MTU:
        return "rejected by peer: its MTU is smaller";
    default:
        return "rejected by peer's connection manager";
    }
}

static void
handle_requested(struct soft_dev *dev, struct roce_cm *cm,
                 const struct roce_mad *mad)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = soft_conn_create();

    soft_conn_set_dev(conn, dev);
    soft_conn_set_cm(conn, cm);
    conn->up.remote = cm->remote_ip;
    conn->up.dst_port = htons(cm->service_id);
    conn->tos = cm->remote.traffic_class;
    push_event(conn, ORDMA_EV_REQUEST, NULL, mad);
}

static void
handle_connected(struct soft_conn *conn, const struct roce_mad *mad)
    OVS_REQUIRES(ordma_mutex)
{
    if (!conn->cm->is_active) {
        soft_conn_set_unconfirmed(conn, false);
        push_event(conn, ORDMA_EV_ESTABLISHED, NULL, NULL);
    } else if (soft_conn_bind(conn)) {
        push_event(conn, ORDMA_EV_FAILED,
                   "cannot establish connection, see the log", NULL);
    } else {
        push_event(conn, ORDMA_EV_ESTABLISHED, NULL, mad);
    }
}

static void
handle_cm_event(struct soft_dev *dev, const struct roce_endpoint_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = (event->cm ? dev->cm_conns[event->cm - dev->cms]
                              : NULL);

    if (event->type == ROCE_CM_REQUESTED) {
        handle_requested(dev, event->cm, &event->mad);
        return;
    } else if (!conn) {
        return;
    }

    switch (event->type) {
    case ROCE_CM_CONNECTED:
        handle_connected(conn, &event->mad);
        break;

    case ROCE_CM_REJECTED:
        push_event(conn, ORDMA_EV_REJECTED, reject_text(conn->cm->reason),
                   &event->mad);
        break;

    case ROCE_CM_UNREACHABLE:
        push_event(conn, ORDMA_EV_FAILED, "peer does not answer", NULL);
        break;

    case ROCE_CM_DISCONNECTED:
        push_event(conn, ORDMA_EV_DISCONNECTED, "peer disconnected", NULL);
        break;

    case ROCE_CM_EXPIRED:
        soft_conn_unset_cm(conn);
        break;

    case ROCE_CM_NONE:
    case ROCE_CM_REQUESTED:
    case ROCE_CM_N_EVENTS:
    default:
        break;
    }
}

/* Periodic work. */

static void
receive_mads(struct soft_dev *dev, long long int now)
    OVS_REQUIRES(ordma_mutex)
{
    struct roce_rx rxs[ROCE_WIRE_MAX_RX];
    int n, n_total = 0;

    do {
        n = dev->wire->class->recv_batch(dev->wire, ROCE_WIRE_MAD, rxs,
                                         ROCE_WIRE_MAX_RX);
        for (int i = 0; i < n; i++) {
            struct roce_endpoint_event event;

            roce_endpoint_input(&dev->ep, &rxs[i].flow, rxs[i].data,
                                rxs[i].len, now, &event);
            handle_cm_event(dev, &event);
        }
        n_total += n;
    } while (n == ROCE_WIRE_MAX_RX && n_total < SOFT_MADS_PER_RUN);
}

static void
run_timers(struct soft_dev *dev, long long int now)
    OVS_REQUIRES(ordma_mutex)
{
    struct roce_endpoint_event event;

    do {
        roce_endpoint_run(&dev->ep, now, &event);
        handle_cm_event(dev, &event);
    } while (event.type != ROCE_CM_NONE);
}

/* Establishes connections that peers already use. */
static void
confirm_conns(struct soft_dev *dev, long long int now)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn;

    soft_dev_receive(dev, now);
    LIST_FOR_EACH (conn, node, &soft_conns) {
        bool is_alive;

        atomic_read_relaxed(&conn->is_alive, &is_alive);
        if (conn->up.dev == &dev->up && conn->unconfirmed && is_alive
            && conn->cm
            && roce_cm_establish(conn->cm, now) == ROCE_CM_CONNECTED) {
            handle_connected(conn, NULL);
            soft_conn_transmit(conn, now);
        }
    }
}

static void
soft_run(void)
    OVS_REQUIRES(ordma_mutex)
{
    long long int now = time_usec();
    struct soft_dev *dev;

    LIST_FOR_EACH_SAFE (dev, node, &soft_devs) {
        receive_mads(dev, now);
        run_timers(dev, now);
        if (dev->n_unconfirmed) {
            confirm_conns(dev, now);
        }
        soft_dev_flush(dev);
        if (!dev->n_conns && !n_soft_ports
            && roce_endpoint_deadline(&dev->ep) == LLONG_MAX) {
            soft_dev_close(dev);
        }
    }
}

static void
soft_wait(void)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_dev *dev;

    LIST_FOR_EACH (dev, node, &soft_devs) {
        long long int deadline = roce_endpoint_deadline(&dev->ep);

        dev->wire->class->recv_wait(dev->wire, ROCE_WIRE_MAD);
        if (dev->n_unconfirmed) {
            dev->wire->class->recv_wait(dev->wire, ROCE_WIRE_DATA);
        }
        if (deadline == LLONG_MIN) {
            poll_immediate_wake();
        } else if (deadline != LLONG_MAX) {
            poll_timer_wait_until(deadline / 1000 + 1);
        }
    }
    if (!ovs_list_is_empty(&soft_events)) {
        poll_immediate_wake();
    }
}

const struct ordma_provider ordma_soft_provider = {
    .name = "soft",
    .run = soft_run,
    .wait = soft_wait,
    .next_event = soft_next_event,
    .enumerate = soft_enumerate,
    .has_addr = soft_has_addr,
    .listen = soft_listen,
    .unlisten = soft_unlisten,
    .dial = soft_dial,
    .create_qp = soft_create_qp,
    .connect = soft_connect,
    .accept = soft_accept,
    .reject = soft_reject,
    .disconnect = soft_disconnect,
    .destroy = soft_destroy,
    .reg_mr = soft_reg_mr,
    .dereg_mr = soft_dereg_mr,
    .post_send = soft_post_send,
    .post_recv = soft_post_recv,
    .poll = soft_poll,
};

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Connections of the soft provider, which speaks RoCEv2 without a device. */

#include <config.h>

#include "rdma-soft-private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "rdma-random.h"
#include "rdma-route.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_soft);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

struct ovs_list soft_conns = OVS_LIST_INITIALIZER(&soft_conns);

/* Encodings as in rdma-verbs.c. */
#define RNR_TIMER_640_US 12
#define ACK_TIMEOUT_67_MS 14
#define RETRY_COUNT 7
#define RNR_RETRY_FOREVER 7

/* Connections: creation and destruction. */

struct soft_conn *
soft_conn_create(void)
{
    struct soft_conn *conn = xzalloc_cacheline(sizeof *conn);

    conn->up.provider = &ordma_soft_provider;
    ovs_spin_init(&conn->lock);
    ovs_spin_init(&conn->tx_lock);
    ovs_list_init(&conn->cq_node);
    ovs_list_push_back(&soft_conns, &conn->node);
    return conn;
}

void
soft_conn_set_dev(struct soft_conn *conn, struct soft_dev *dev)
{
    dev->n_conns++;
    conn->up.dev = &dev->up;
    conn->up.local = dev->wire->ip;
    conn->up.gid = dev->wire->ip;
}

void
soft_conn_set_cm(struct soft_conn *conn, struct roce_cm *cm)
{
    struct soft_dev *dev = soft_dev_cast(conn->up.dev);

    conn->cm = cm;
    dev->cm_conns[cm - dev->cms] = conn;
}

void
soft_conn_unset_cm(struct soft_conn *conn)
{
    struct soft_dev *dev = soft_dev_cast(conn->up.dev);

    if (conn->cm) {
        dev->cm_conns[conn->cm - dev->cms] = NULL;
        conn->cm = NULL;
    }
}

static void
soft_disconnect(struct ordma_conn *conn_)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = soft_conn_cast(conn_);

    if (conn->cq) {
        soft_leave_cq(conn);
    }
    if (conn->recv_slots) {
        ovs_spin_lock(&conn->lock);
        roce_qp_stop(&conn->qp, ROCE_STOPPED);
        soft_conn_unlock(conn);
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
    soft_purge_events(conn);
    ovs_list_remove(&conn->node);
    if (conn_->dev) {
        soft_conn_unset_cm(conn);
        dev->n_conns--;
    }

    /* Phase 2: no thread that polls another connection finds 'conn'. */
    if (conn_->qpn) {
        soft_dev_set_conn(dev, conn_->qpn, NULL);
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
    return soft_dev_strerror(soft_dev_get(&route.src, devp));
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
    conn->max_mtu = dial->max_mtu;
    error = resolve(dial, &dev);
    if (error) {
        soft_push_event(conn, ORDMA_EV_FAILED, error, NULL);
    } else {
        soft_conn_set_dev(conn, dev);
        soft_push_event(conn, ORDMA_EV_RESOLVED, NULL, NULL);
    }
    *connp = &conn->up;
    return 0;
}

/* Queue pairs. */

/* What both sides tell the peer. */
static struct roce_cm_side
soft_conn_side(const struct soft_conn *conn)
{
    uint32_t psn;

    ordma_random_bytes(&psn, sizeof psn);
    return (struct roce_cm_side) {
        .qpn = conn->up.qpn,
        .recv_psn = psn & ROCE_PSN_MASK,
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
    conn->srq = cap->srq;
    conn->cq = cap->cq;
    conn->n_send_slots = ROUND_UP_POW2(cap->n_send);
    conn->n_recv_slots = ROUND_UP_POW2(cap->n_recv);
    conn->send_slots = xcalloc(conn->n_send_slots, sizeof *conn->send_slots);
    conn->recv_slots = xcalloc(conn->n_recv_slots, sizeof *conn->recv_slots);

    /* It takes receives.  The rest follows when the peer is known. */
    ovs_spin_lock(&conn->lock);
    error = init_qp(conn, &config);
    soft_conn_unlock(conn);
    return error;
}

int
soft_conn_bind(struct soft_conn *conn)
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
        .takes_checksum = soft_guid_takes_checksum(conn->cm->remote_guid),
    };
    error = dev->wire->class->path_open(dev->wire, &path, &conn->path);
    if (error) {
        goto out;
    }

    ovs_spin_lock(&conn->lock);
    error = init_qp(conn, &config);
    conn->is_bound = !error;
    soft_conn_unlock(conn);
    if (error) {
        dev->wire->class->path_close(&conn->path);
        goto out;
    }
    conn->up.peer_qpn = config.remote_qpn;
    conn->up.path_mtu = config.mtu;
    conn->up.train_len = path.takes_checksum ? config.mtu : 0;
    soft_dev_set_conn(dev, conn->up.qpn, conn);

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
        .service_id = soft_service_id(conn_->dst_port),
    };
    struct ordma_route route;
    struct roce_cm *cm;
    int error;

    ordma_random_bytes(&target.src_port, sizeof target.src_port);
    target.src_port |= 0xc000;  /* A dynamic port. */

    error = ordma_route_lookup(&conn_->remote, &conn_->local, &route);
    if (error) {
        return error;
    }
    side.mtu = soft_path_mtu(route.mtu);
    if (conn->max_mtu) {
        side.mtu = MIN(side.mtu, conn->max_mtu);
    }
    conn_->path_mtu = side.mtu;
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
            soft_handle_cm_event(dev, &event);
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
        soft_handle_cm_event(dev, &event);
    } while (event.type != ROCE_CM_NONE);
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
        soft_dev_flush(dev);
        soft_dev_close_unused(dev);
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
        if (deadline == LLONG_MIN) {
            poll_immediate_wake();
        } else if (deadline != LLONG_MAX) {
            poll_timer_wait_until(deadline / 1000 + 1);
        }
    }
    soft_events_wait();
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
    .listen_at = soft_listen_at,
    .dial = soft_dial,
    .create_qp = soft_create_qp,
    .connect = soft_connect,
    .accept = soft_accept,
    .reject = soft_reject,
    .disconnect = soft_disconnect,
    .destroy = soft_destroy,
    .reg_mr = soft_reg_mr,
    .dereg_mr = soft_dereg_mr,
    .create_cq = soft_create_cq,
    .destroy_cq = soft_destroy_cq,
    .join_cq = soft_join_cq,
    .create_srq = soft_create_srq,
    .srq_serves_all_devs = true,
    .destroy_srq = soft_destroy_srq,
    .post_send = soft_post_send,
    .post_recv = soft_post_recv,
    .post_srq_recv = soft_post_srq_recv,
    .transmit = soft_transmit,
    .poll = soft_poll,
    .poll_cq = soft_poll_cq,
};

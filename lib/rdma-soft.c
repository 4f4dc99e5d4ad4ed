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
#include "packets.h"
#include "rdma-random.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_soft);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

struct ovs_list soft_conns = OVS_LIST_INITIALIZER(&soft_conns);

/* Events. */

struct soft_event {
    struct ovs_list node;       /* In 'soft_events'. */
    struct ordma_event up;
};

static struct ovs_list soft_events OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&soft_events);

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

/* Connections: creation and destruction. */

struct soft_conn *
soft_conn_create(void)
{
    struct soft_conn *conn = xzalloc_cacheline(sizeof *conn);

    conn->up.provider = &ordma_soft_provider;
    ovs_spin_init(&conn->lock);
    ovs_spin_init(&conn->tx_lock);
    ovs_list_init(&conn->cq_node);
    conn->route_seq = ordma_route_seq();
    ovs_list_push_back(&soft_conns, &conn->node);
    return conn;
}

/* Notes that packets of 'conn' take 'route'.  Returns true if that is through
 * another interface than before. */
static bool
set_route(struct soft_conn *conn, const struct ordma_route *route)
    OVS_REQUIRES(ordma_mutex)
{
    conn->route = *route;
    if (!strcmp(conn->up.dev_name, route->dev_name)) {
        return false;
    }
    ovs_strzcpy(conn->up.dev_name, route->dev_name, sizeof conn->up.dev_name);
    conn->up.numa_id = ordma_read_numa_id("net", route->dev_name);
    return true;
}

/* Has 'conn', which has a remote address, use the device and the route from
 * 'local', from any address if that is all zeros.  Returns 0 or an error of
 * ordma_route_lookup(). */
static int
set_dev(struct soft_conn *conn, const struct in6_addr *local)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_route route;
    int error = ordma_route_lookup(&conn->up.remote, local, &route);

    if (!error) {
        soft_dev->n_conns++;
        conn->up.dev = &soft_dev->up;
        conn->up.local = conn->up.gid = route.src;
        set_route(conn, &route);
    }
    return error;
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
        struct soft_dev *dev = soft_dev_cast(conn_->dev);

        roce_gsi_disconnect(&dev->gsi, conn->cm, time_usec());
        conn->cm = NULL;
        soft_dev_flush(dev);
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
        dev->n_conns--;
    }

    /* Phase 2: no thread that polls another connection finds 'conn'. */
    if (conn_->qpn) {
        soft_conn_remove_qpn(conn);
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

static int
soft_dial(const struct ordma_dial *dial, void *aux, struct ordma_conn **connp)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = soft_conn_create();
    int error;

    conn->up.aux = aux;
    conn->up.remote = dial->remote;
    conn->up.dst_port = dial->port;
    conn->tos = dial->tos;
    conn->max_mtu = dial->max_mtu;
    error = set_dev(conn, &dial->local);
    if (error) {
        VLOG_DBG_RL(&rl, "no route (%s)", ovs_strerror(error));
        push_event(conn, ORDMA_EV_FAILED,
                   ordma_route_strerror(error, &dial->local), NULL);
    } else {
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
    uint32_t psn;

    ordma_random_bytes(&psn, sizeof psn);
    return (struct roce_cm_side) {
        .qpn = conn->up.qpn,
        .recv_psn = psn & ROCE_PSN_MASK,
        .traffic_class = conn->tos,
        .ack_timeout = ORDMA_ACK_TIMEOUT_67_MS,
        .retry_count = ORDMA_RETRY_COUNT,
        .rnr_retry = ORDMA_RNR_RETRY_FOREVER,
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

    config->min_rnr_timer = ORDMA_RNR_TIMER_640_US;
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

    conn->tos = cap->tos;
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
    if (!error) {
        soft_conn_add_qpn(conn);
        if (!conn_->qpn) {
            VLOG_WARN_RL(&rl, "%s: more than %d queue pairs", conn_->dev->name,
                         ROCE_MAX_QPS);
            error = ENOSPC;
        }
    }
    return error;
}

/* Makes the queue pair of 'conn' ready for its peer, which is known from the
 * connection manager. */
static int
bind_qp(struct soft_conn *conn)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_dev *dev = soft_dev_cast(conn->up.dev);
    struct roce_qp_config config;
    struct roce_path_config path;
    int error;

    memset(&config, 0, sizeof config);
    roce_cm_get_qp_config(conn->cm, &config);
    path = (struct roce_path_config) {
        .src = conn->up.local,
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

out:
    if (error) {
        VLOG_WARN_RL(&rl, "%s: cannot set up a queue pair (%s)",
                     conn->up.dev_name, ovs_strerror(error));
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
    int error;

    ordma_random_bytes(&target.src_port, sizeof target.src_port);
    target.src_port |= 0xc000;  /* A dynamic port. */

    side.mtu = soft_path_mtu(conn->route.mtu);
    if (conn->max_mtu) {
        side.mtu = MIN(side.mtu, conn->max_mtu);
    }
    conn_->path_mtu = side.mtu;
    if (!side.mtu) {
        VLOG_WARN_RL(&rl, "%s: MTU %d is too small for RoCEv2",
                     conn_->dev_name, conn->route.mtu);
        return EMSGSIZE;
    }
    error = roce_gsi_connect(&dev->gsi, &target, &side, private_data, len,
                             time_usec(), &conn->cm);
    if (!error) {
        conn->cm->aux = conn;
        conn->private_len = len;
        memmove(conn->private_data, private_data, len);
        soft_dev_flush(dev);
    }
    return error;
}

/* Asks the peer of 'conn', which has sent 'rej' because of the path MTU, again
 * with one that it takes.  Returns false if that is impossible. */
static bool
connect_narrower(struct soft_conn *conn, const struct roce_mad *rej)
    OVS_REQUIRES(ordma_mutex)
{
    int mtu = 128 << MIN(rej->info[0], 5);

    if (!rej->info_len || mtu < ROCE_MIN_MTU || mtu >= conn->up.path_mtu) {
        return false;
    }
    conn->max_mtu = mtu;
    return !soft_connect(&conn->up, conn->private_data, conn->private_len);
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
    error = roce_gsi_accept(&dev->gsi, conn->cm, &side, private_data, len,
                            time_usec());
    if (!error) {
        error = bind_qp(conn);
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
        roce_gsi_reject(&soft_dev_cast(conn_->dev)->gsi, conn->cm,
                        ROCE_REJ_CONSUMER, private_data, len, time_usec());
        conn->cm = NULL;
    }
    soft_destroy(conn_);
}

/* What happens to MADs on their way. */

const char soft_firewall_text[]
    = "this host's firewall refuses to send to UDP port 4791 of the peer";

static bool
is_connecting_to(const struct soft_conn *conn, const struct in6_addr *remote)
    OVS_REQUIRES(ordma_mutex)
{
    return (conn->cm && (conn->cm->state == ROCE_CM_REQ_SENT
                         || conn->cm->state == ROCE_CM_REP_SENT)
            && ipv6_addr_equals(&conn->up.remote, remote));
}

void
soft_handle_unsent(const struct roce_flow *flow, int error)
{
    struct soft_conn *conn;

    LIST_FOR_EACH (conn, node, &soft_conns) {
        if (error == EPERM && is_connecting_to(conn, &flow->dst)) {
            push_event(conn, ORDMA_EV_FAILED, soft_firewall_text, NULL);
        }
    }
}

/* Handles that a packet along 'flow' had a bad ICRC.  Strangers must not fill
 * the log. */
static void
handle_altered(const struct roce_flow *flow)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn;

    LIST_FOR_EACH (conn, node, &soft_conns) {
        if (is_connecting_to(conn, &flow->src)) {
            char *remote = ordma_addr_format(&flow->src);

            VLOG_WARN_RL(&rl, "packets from %s are altered on the way (NAT?): "
                         "their invariant CRC is wrong", remote);
            free(remote);
            return;
        }
    }
}

/* What the connection manager reports. */

/* Rejects the request that 'conn' is for, because of 'reason'. */
static void
turn_down(struct soft_conn *conn, struct roce_cm *cm, uint16_t reason)
    OVS_REQUIRES(ordma_mutex)
{
    roce_gsi_reject(&soft_dev->gsi, cm, reason, NULL, 0, time_usec());
    ordma_soft_provider.destroy(&conn->up);
}

static void
handle_requested(struct roce_cm *cm, const struct roce_mad *mad)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = soft_conn_create();
    int mtu;

    conn->up.remote = cm->remote_ip;
    conn->up.dst_port = htons(cm->service_id);
    conn->up.path_mtu = cm->remote.mtu;
    if (set_dev(conn, &cm->local_ip)) {
        /* Not an address to send from, or to, whatever the request says. */
        turn_down(conn, cm, ROCE_REJ_BAD_GID);
        return;
    }
    mtu = soft_path_mtu(conn->route.mtu);
    if (cm->remote.mtu > mtu) {
        cm->local.mtu = MAX(mtu, ROCE_MIN_MTU);
        turn_down(conn, cm, ROCE_REJ_BAD_MTU);
        return;
    }
    conn->cm = cm;
    cm->aux = conn;
    push_event(conn, ORDMA_EV_REQUEST, NULL, mad);
}

/* Notes that 'conn' is connected.  'mad' is what the peer says about it. */
static void
handle_connected(struct soft_conn *conn, const struct roce_mad *mad)
    OVS_REQUIRES(ordma_mutex)
{
    if (!conn->cm->is_active) {
        push_event(conn, ORDMA_EV_ESTABLISHED, NULL, NULL);
    } else if (bind_qp(conn)) {
        push_event(conn, ORDMA_EV_FAILED,
                   "cannot establish connection, see the log", NULL);
    } else {
        push_event(conn, ORDMA_EV_ESTABLISHED, NULL, mad);
    }
}

/* Handles 'event', which ends the connection 'conn'. */
static void
handle_end(struct soft_conn *conn, const struct roce_gsi_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    conn->cm = NULL;
    if (event->type == ROCE_CM_REJECTED) {
        if (event->reason == ROCE_REJ_BAD_MTU
            && connect_narrower(conn, &event->mad)) {
            return;
        }
        push_event(conn, ORDMA_EV_REJECTED, ordma_rej_text(event->reason),
                   &event->mad);
    } else if (event->type == ROCE_CM_UNREACHABLE) {
        push_event(conn, ORDMA_EV_FAILED, "peer does not answer", NULL);
    } else {
        push_event(conn, ORDMA_EV_DISCONNECTED, "peer disconnected", NULL);
    }
}

static void
handle_cm_event(const struct roce_gsi_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct soft_conn *conn = event->aux;

    if (event->type == ROCE_CM_REQUESTED) {
        handle_requested(event->cm, &event->mad);
    } else if (!conn || event->type == ROCE_CM_NONE) {
        return;
    } else if (event->type == ROCE_CM_CONNECTED) {
        handle_connected(conn, &event->mad);
    } else {
        handle_end(conn, event);
    }
}

/* Periodic work. */

static void
receive_mads(struct soft_dev *dev, long long int now)
    OVS_REQUIRES(ordma_mutex)
{
    const uint64_t *n_altered = &dev->gsi.drops.dropped[ROCE_DROP_ICRC];
    uint64_t n_known = *n_altered;
    struct roce_rx rxs[ROCE_WIRE_MAX_RX];
    int n, n_total = 0;

    do {
        n = dev->wire->class->recv_batch(dev->wire, ROCE_WIRE_MAD, rxs,
                                         ROCE_WIRE_MAX_RX);
        for (int i = 0; i < n; i++) {
            struct roce_gsi_event event;

            roce_gsi_input(&dev->gsi, &rxs[i].flow, rxs[i].data, rxs[i].len,
                           now, &event);
            if (*n_altered != n_known) {
                n_known = *n_altered;
                handle_altered(&rxs[i].flow);
            }
            handle_cm_event(&event);
        }
        n_total += n;
    } while (n == ROCE_WIRE_MAX_RX && n_total < SOFT_MADS_PER_RUN);
}

static void
run_timers(struct soft_dev *dev, long long int now)
    OVS_REQUIRES(ordma_mutex)
{
    struct roce_gsi_event event;

    do {
        roce_gsi_run(&dev->gsi, now, &event);
        handle_cm_event(&event);
    } while (event.type != ROCE_CM_NONE);
}

/* Looks up the route of 'conn' again. */
static void
reroute(struct soft_conn *conn)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_route route;
    int error = ordma_route_lookup(&conn->up.remote, &conn->up.local, &route);

    if (error == EADDRNOTAVAIL) {
        push_event(conn, ORDMA_EV_FAILED,
                   "the local address is no longer on this host", NULL);
    } else if (error) {
        /* A route that comes back soon does no harm.  If it does not, the peer
         * does not answer. */
    } else if (soft_path_mtu(route.configured_mtu) < conn->up.path_mtu) {
        push_event(conn, ORDMA_EV_FAILED,
                   "the route's MTU has become smaller", NULL);
    } else if (set_route(conn, &route)) {
        push_event(conn, ORDMA_EV_MOVED, NULL, NULL);
    }
}

/* Looks up routes that may have changed, as many as one run has time for.  The
 * list of connections is in the order in which that was done last. */
static void
run_routes(struct soft_dev *dev)
    OVS_REQUIRES(ordma_mutex)
{
    uint64_t seq = ordma_route_seq();

    for (int i = 0; dev->route_seq != seq && i < SOFT_ROUTES_PER_RUN; i++) {
        struct soft_conn *conn = (ovs_list_is_empty(&soft_conns) ? NULL
                                  : CONTAINER_OF(ovs_list_front(&soft_conns),
                                                 struct soft_conn, node));

        if (!conn || conn->route_seq == seq) {
            dev->route_seq = seq;
            return;
        }
        ovs_list_remove(&conn->node);
        ovs_list_push_back(&soft_conns, &conn->node);
        conn->route_seq = seq;
        if (conn->up.dev) {
            reroute(conn);
        }
    }
}

static void
soft_run(void)
    OVS_REQUIRES(ordma_mutex)
{
    long long int now = time_usec();
    struct soft_dev *dev = soft_dev;

    if (!dev) {
        return;
    }
    receive_mads(dev, now);
    run_timers(dev, now);
    run_routes(dev);
    soft_dev_flush(dev);
    soft_dev_close_unused();
}

static void
soft_wait(void)
    OVS_REQUIRES(ordma_mutex)
{
    long long int deadline;

    if (!ovs_list_is_empty(&soft_events)) {
        poll_immediate_wake();
    }
    if (!soft_dev) {
        return;
    }
    soft_dev->wire->class->recv_wait(soft_dev->wire, ROCE_WIRE_MAD);
    deadline = roce_gsi_deadline(&soft_dev->gsi);
    if (deadline == LLONG_MIN || soft_dev->route_seq != ordma_route_seq()) {
        poll_immediate_wake();
    } else if (deadline != LLONG_MAX) {
        poll_timer_wait_until(deadline / 1000 + 1);
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

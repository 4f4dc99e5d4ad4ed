/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Connections of the verbs provider: libibverbs and librdmacm. */

#include <config.h>

#include "rdma-verbs.h"

#include <errno.h>

#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "packets.h"
#include "rdma-addr.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_verbs);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

#define LISTEN_BACKLOG 128

struct ordma_verbs_listener {
    struct ovs_list node;           /* In 'ordma_verbs_listeners'. */
    struct rdma_cm_id *id;
    ovs_be16 port;
};

struct ovs_list ordma_verbs_conns OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&ordma_verbs_conns);
struct rdma_event_channel *ordma_verbs_channel OVS_GUARDED_BY(ordma_mutex);
static struct ovs_list ordma_verbs_listeners OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&ordma_verbs_listeners);

/* Event channel and listeners. */

static int
ordma_verbs_open_channel(void)
    OVS_REQUIRES(ordma_mutex)
{
    int error;

    if (ordma_verbs_channel) {
        return 0;
    }
    ordma_verbs_channel = rdma_create_event_channel();
    if (!ordma_verbs_channel) {
        return errno ? errno : ENODEV;
    }
    error = set_nonblocking(ordma_verbs_channel->fd);
    if (error) {
        rdma_destroy_event_channel(ordma_verbs_channel);
        ordma_verbs_channel = NULL;
    }
    return error;
}

static int
listen_on(struct rdma_cm_id *id, const struct in6_addr *any, ovs_be16 port)
{
    struct sockaddr_storage ss;

    ordma_make_sockaddr(any, port, &ss);
    return (rdma_bind_addr(id, ALIGNED_CAST(struct sockaddr *, &ss))
            || rdma_listen(id, LISTEN_BACKLOG)
            ? errno : 0);
}

static int
ordma_verbs_listen(ovs_be16 port)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_listener *listener;
    struct rdma_cm_id *id;
    int error;

    error = ordma_verbs_open_channel();
    if (error) {
        return error;
    }
    if (rdma_create_id(ordma_verbs_channel, &id, NULL, RDMA_PS_TCP)) {
        return errno;
    }
    /* The IPv6 wildcard takes IPv4 as well. */
    error = listen_on(id, &in6addr_any, port);
    if (error) {
        rdma_destroy_id(id);
        return error;
    }

    listener = xmalloc(sizeof *listener);
    listener->id = id;
    listener->port = port;
    ovs_list_push_back(&ordma_verbs_listeners, &listener->node);
    return 0;
}

static void
ordma_verbs_unlisten(ovs_be16 port)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_listener *listener;

    LIST_FOR_EACH_SAFE (listener, node, &ordma_verbs_listeners) {
        if (listener->port == port) {
            ovs_list_remove(&listener->node);
            rdma_destroy_id(listener->id);
            free(listener);
        }
    }
}
/* Connections: creation and destruction. */

struct ordma_verbs_conn *
ordma_verbs_conn_create(void)
{
    struct ordma_verbs_conn *conn = xzalloc_cacheline(sizeof *conn);

    conn->up.provider = &ordma_verbs_provider;
    ovs_list_push_back(&ordma_verbs_conns, &conn->node);
    return conn;
}

static void
ordma_verbs_destroy(struct ordma_conn *conn_)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_conn *conn = ordma_verbs_conn_cast(conn_);

    ovs_list_remove(&conn->node);
    if (conn->qp) {
        ibv_destroy_qp(conn->qp);
    }
    ordma_verbs_cq_uninit(conn);
    if (conn->id) {
        rdma_destroy_id(conn->id);
    }
    if (conn->up.dev) {
        ordma_verbs_dev_unref(ordma_verbs_dev_cast(conn->up.dev));
    }
    free_cacheline(conn);
}

/* Sets options of 'id' that must be set before it sends a REQ.  They are not
 * vital, so that a kernel without one of them is no reason to fail. */
static void
ordma_verbs_set_options(struct rdma_cm_id *id, uint8_t tos)
{
    uint8_t ack_timeout = ORDMA_ACK_TIMEOUT_67_MS;

    if (rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS,
                        &tos, sizeof tos)) {
        VLOG_WARN_RL(&rl, "cannot set type of service (%s)",
                     ovs_strerror(errno));
    }
    if (rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT,
                        &ack_timeout, sizeof ack_timeout)) {
        VLOG_INFO_ONCE("cannot set the ACK timeout (%s): failures will take "
                       "longer to notice", ovs_strerror(errno));
    }
}

static int
ordma_verbs_dial(const struct ordma_dial *dial, void *aux,
                 struct ordma_conn **connp)
    OVS_REQUIRES(ordma_mutex)
{
    struct sockaddr_storage src, dst;
    struct ordma_verbs_conn *conn;
    int error;

    error = ordma_verbs_open_channel();
    if (error) {
        return error;
    }

    conn = ordma_verbs_conn_create();
    conn->up.aux = aux;
    conn->up.remote = dial->remote;
    conn->up.dst_port = dial->port;
    if (rdma_create_id(ordma_verbs_channel, &conn->id, conn, RDMA_PS_TCP)) {
        error = errno;
        conn->id = NULL;
        goto error;
    }
    ordma_verbs_set_options(conn->id, dial->tos);

    ordma_make_sockaddr(&dial->remote, dial->port, &dst);
    ordma_make_sockaddr(&dial->local, 0, &src);
    if (rdma_resolve_addr(conn->id,
                          ipv6_addr_is_set(&dial->local)
                          ? ALIGNED_CAST(struct sockaddr *, &src) : NULL,
                          ALIGNED_CAST(struct sockaddr *, &dst),
                          RESOLVE_TIMEOUT_MS)) {
        error = errno;
        goto error;
    }
    *connp = &conn->up;
    return 0;

error:
    ordma_verbs_destroy(&conn->up);
    return error;
}
/* Queue pairs. */

/* Moves the queue pair of 'conn' to 'state' with the attributes that the
 * connection manager knows. */
int
ordma_verbs_modify_qp(struct ordma_verbs_conn *conn, enum ibv_qp_state state)
{
    struct ibv_qp_attr attr = { .qp_state = state };
    union ibv_gid gid;
    int mask;

    if (rdma_init_qp_attr(conn->id, &attr, &mask)) {
        /* The peer closed it while its request waited for us. */
        return errno == EINVAL ? ENOTCONN : errno;
    }
    if (state == IBV_QPS_RTR) {
        attr.min_rnr_timer = ORDMA_RNR_TIMER_640_US;
        mask |= IBV_QP_MIN_RNR_TIMER;

        conn->up.path_mtu = 128 << attr.path_mtu;
        conn->up.peer_qpn = attr.dest_qp_num;
        if (!ibv_query_gid(conn->id->verbs, attr.ah_attr.port_num,
                           attr.ah_attr.grh.sgid_index, &gid)) {
            memcpy(&conn->up.gid, &gid, sizeof conn->up.gid);
        }
    }
    return ibv_modify_qp(conn->qp, &attr, mask);
}

static int
ordma_verbs_check_cap(const struct ordma_verbs_dev *dev,
                      const struct ordma_qp_cap *cap)
{
    unsigned int n_recv = cap->srq ? 0 : cap->n_recv;

    if (cap->n_send > dev->attr.max_qp_wr || n_recv > dev->attr.max_qp_wr
        || cap->n_send + cap->n_recv > dev->attr.max_cqe) {
        VLOG_WARN_RL(&rl, "%s: device takes %d work requests and %d "
                     "completions, less than n_txq_desc=%u and n_rxq_desc=%u "
                     "need", dev->up.name, dev->attr.max_qp_wr,
                     dev->attr.max_cqe, cap->n_send, cap->n_recv);
        return EINVAL;
    }
    return 0;
}

static int
ordma_verbs_create_qp(struct ordma_conn *conn_, const struct ordma_qp_cap *cap)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_conn *conn = ordma_verbs_conn_cast(conn_);
    struct ordma_verbs_dev *dev = ordma_verbs_dev_cast(conn_->dev);
    struct ibv_qp_init_attr attr;
    int error;

    error = ordma_verbs_check_cap(dev, cap);
    if (error) {
        return error;
    }
    error = ordma_verbs_cq_init(conn, cap->cq, cap->n_send + cap->n_recv);
    if (error) {
        return error;
    }

    attr = (struct ibv_qp_init_attr) {
        .qp_context = conn,
        .send_cq = conn->cq,
        .recv_cq = conn->cq,
        .srq = cap->srq ? ordma_verbs_srq_cast(cap->srq)->srq : NULL,
        .cap = {
            .max_send_wr = cap->n_send,
            .max_recv_wr = cap->srq ? 0 : cap->n_recv,
            .max_send_sge = 1,
            .max_recv_sge = cap->srq ? 0 : 1,
            .max_inline_data = cap->max_inline,
        },
        .qp_type = IBV_QPT_RC,
    };
    conn->qp = ibv_create_qp(dev->pd, &attr);
    if (!conn->qp && cap->max_inline) {
        attr.cap.max_inline_data = 0;
        conn->qp = ibv_create_qp(dev->pd, &attr);
    }
    if (!conn->qp) {
        return errno;
    }
    conn_->max_inline = MIN(attr.cap.max_inline_data, cap->max_inline);
    conn_->qpn = conn->qp->qp_num;
    error = ordma_verbs_modify_qp(conn, IBV_QPS_INIT);
    if (error) {
        ibv_destroy_qp(conn->qp);   /* Does not refer to 'srq' any more. */
        conn->qp = NULL;
    }
    return error;
}

static int
ordma_verbs_create_srq(struct ordma_dev *dev_, unsigned int n,
                       struct ordma_srq **srqp)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_dev *dev = ordma_verbs_dev_cast(dev_);
    struct ibv_srq_init_attr attr = {
        .attr = { .max_wr = n, .max_sge = 1 },
    };
    struct ibv_srq *ibv_srq;
    struct ordma_verbs_srq *srq;

    if (n > dev->attr.max_srq_wr) {
        return dev->attr.max_srq ? EINVAL : EOPNOTSUPP;
    }
    ibv_srq = ibv_create_srq(dev->pd, &attr);
    if (!ibv_srq) {
        return errno;
    }
    srq = xmalloc(sizeof *srq);
    srq->up.provider = &ordma_verbs_provider;
    srq->dev = dev;
    srq->srq = ibv_srq;
    dev->n_users++;
    *srqp = &srq->up;
    return 0;
}

static void
ordma_verbs_destroy_srq(struct ordma_srq *srq_)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_srq *srq = ordma_verbs_srq_cast(srq_);

    ibv_destroy_srq(srq->srq);
    ordma_verbs_dev_unref(srq->dev);
    free(srq);
}

static int
ordma_verbs_connect(struct ordma_conn *conn_, const void *private_data,
                    size_t len)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_conn *conn = ordma_verbs_conn_cast(conn_);
    struct rdma_conn_param param = {
        .private_data = private_data,
        .private_data_len = len,
        .retry_count = ORDMA_RETRY_COUNT,
        .rnr_retry_count = ORDMA_RNR_RETRY_FOREVER,
        .srq = conn->qp->srq != NULL,
        .qp_num = conn->qp->qp_num,
    };

    return rdma_connect(conn->id, &param) ? errno : 0;
}

static int
ordma_verbs_accept(struct ordma_conn *conn_, const void *private_data,
                   size_t len)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_conn *conn = ordma_verbs_conn_cast(conn_);
    struct rdma_conn_param param = {
        .private_data = private_data,
        .private_data_len = len,
        .rnr_retry_count = ORDMA_RNR_RETRY_FOREVER,
        .srq = conn->qp->srq != NULL,
        .qp_num = conn->qp->qp_num,
    };
    int error;

    error = ordma_verbs_modify_qp(conn, IBV_QPS_RTR);
    if (!error) {
        error = ordma_verbs_modify_qp(conn, IBV_QPS_RTS);
    }
    return error ? error : rdma_accept(conn->id, &param) ? errno : 0;
}

static void
ordma_verbs_reject(struct ordma_conn *conn_, const void *private_data,
                   size_t len)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_conn *conn = ordma_verbs_conn_cast(conn_);

    /* An error means that the peer has closed it. */
    rdma_reject(conn->id, private_data, len);
    ordma_verbs_destroy(conn_);
}

static void
ordma_verbs_disconnect(struct ordma_conn *conn_)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_conn *conn = ordma_verbs_conn_cast(conn_);
    struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };

    ordma_verbs_leave_cq(conn);
    /* Errors mean that there is nothing to disconnect or flush. */
    if (conn->qp) {
        ibv_modify_qp(conn->qp, &attr, IBV_QP_STATE);
    }
    rdma_disconnect(conn->id);
}
/* Data functions. */

static int
ordma_verbs_post_send(struct ordma_conn *conn_,
                      const struct ordma_send_wr wrs[], int n)
{
    struct ordma_verbs_conn *conn = ordma_verbs_conn_cast(conn_);
    struct ibv_send_wr ibv_wrs[ORDMA_MAX_BURST], *bad;
    struct ibv_sge sges[ORDMA_MAX_BURST];

    for (int i = 0; i < n; i++) {
        const struct ordma_send_wr *wr = &wrs[i];
        unsigned int flags = 0;

        flags |= wr->flags & ORDMA_SEND_SIGNALED ? IBV_SEND_SIGNALED : 0;
        flags |= wr->flags & ORDMA_SEND_INLINE ? IBV_SEND_INLINE : 0;
        sges[i].addr = (uintptr_t) wr->addr;
        sges[i].length = wr->len;
        sges[i].lkey = wr->lkey;
        ibv_wrs[i].wr_id = wr->wr_id;
        ibv_wrs[i].next = i + 1 < n ? &ibv_wrs[i + 1] : NULL;
        ibv_wrs[i].sg_list = &sges[i];
        ibv_wrs[i].num_sge = 1;
        ibv_wrs[i].opcode = IBV_WR_SEND;
        ibv_wrs[i].send_flags = flags;
    }
    return (OVS_LIKELY(!ibv_post_send(conn->qp, ibv_wrs, &bad))
            ? n : bad - ibv_wrs);
}

/* Translates the 'n' requests 'wrs' to a list in 'ibv_wrs', which refers to
 * 'sges'. */
static void
make_recv_wrs(const struct ordma_recv_wr wrs[], int n,
              struct ibv_recv_wr ibv_wrs[], struct ibv_sge sges[])
{
    for (int i = 0; i < n; i++) {
        const struct ordma_recv_wr *wr = &wrs[i];

        sges[i].addr = (uintptr_t) wr->addr;
        sges[i].length = wr->len;
        sges[i].lkey = wr->lkey;
        ibv_wrs[i].wr_id = wr->wr_id;
        ibv_wrs[i].next = i + 1 < n ? &ibv_wrs[i + 1] : NULL;
        ibv_wrs[i].sg_list = &sges[i];
        ibv_wrs[i].num_sge = 1;
    }
}

static int
ordma_verbs_post_recv(struct ordma_conn *conn_,
                      const struct ordma_recv_wr wrs[], int n)
{
    struct ordma_verbs_conn *conn = ordma_verbs_conn_cast(conn_);
    struct ibv_recv_wr ibv_wrs[ORDMA_MAX_BURST], *bad;
    struct ibv_sge sges[ORDMA_MAX_BURST];

    make_recv_wrs(wrs, n, ibv_wrs, sges);
    return (OVS_LIKELY(!ibv_post_recv(conn->qp, ibv_wrs, &bad))
            ? n : bad - ibv_wrs);
}

static int
ordma_verbs_post_srq_recv(struct ordma_srq *srq_,
                          const struct ordma_recv_wr wrs[], int n)
{
    struct ordma_verbs_srq *srq = ordma_verbs_srq_cast(srq_);
    struct ibv_recv_wr ibv_wrs[ORDMA_MAX_BURST], *bad;
    struct ibv_sge sges[ORDMA_MAX_BURST];

    make_recv_wrs(wrs, n, ibv_wrs, sges);
    return (OVS_LIKELY(!ibv_post_srq_recv(srq->srq, ibv_wrs, &bad))
            ? n : bad - ibv_wrs);
}

static int
ordma_verbs_poll(struct ordma_conn *conn_, struct ordma_wc wcs[], int n)
{
    struct ordma_verbs_conn *conn = ordma_verbs_conn_cast(conn_);
    struct ibv_wc ibv_wcs[ORDMA_MAX_BURST];

    n = ibv_poll_cq(conn->cq, n, ibv_wcs);
    for (int i = 0; i < n; i++) {
        wcs[i].wr_id = ibv_wcs[i].wr_id;
        wcs[i].byte_len = ibv_wcs[i].byte_len;
        wcs[i].error = (OVS_LIKELY(ibv_wcs[i].status == IBV_WC_SUCCESS)
                        ? NULL : ibv_wc_status_str(ibv_wcs[i].status));
    }
    conn->n_empty = n > 0 ? 0 : conn->n_empty + 1;
    return MAX(n, 0);
}

const struct ordma_provider ordma_verbs_provider = {
    .name = "verbs",
    .run = ordma_verbs_run,
    .wait = ordma_verbs_wait,
    .next_event = ordma_verbs_next_event,
    .enumerate = ordma_verbs_enumerate,
    .has_addr = ordma_verbs_has_addr,
    .listen = ordma_verbs_listen,
    .unlisten = ordma_verbs_unlisten,
    .dial = ordma_verbs_dial,
    .create_qp = ordma_verbs_create_qp,
    .connect = ordma_verbs_connect,
    .accept = ordma_verbs_accept,
    .reject = ordma_verbs_reject,
    .disconnect = ordma_verbs_disconnect,
    .destroy = ordma_verbs_destroy,
    .reg_mr = ordma_verbs_reg_mr,
    .dereg_mr = ordma_verbs_dereg_mr,
    .create_srq = ordma_verbs_create_srq,
    .destroy_srq = ordma_verbs_destroy_srq,
    .create_cq = ordma_verbs_create_cq,
    .destroy_cq = ordma_verbs_destroy_cq,
    .join_cq = ordma_verbs_join_cq,
    .post_send = ordma_verbs_post_send,
    .post_recv = ordma_verbs_post_recv,
    .post_srq_recv = ordma_verbs_post_srq_recv,
    .poll = ordma_verbs_poll,
    .poll_cq = ordma_verbs_poll_cq,
};

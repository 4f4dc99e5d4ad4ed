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

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <stdio.h>
#include <stdlib.h>

#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-numa.h"
#include "ovs-thread.h"
#include "packets.h"
#include "rdma-provider.h"
#include "socket-util.h"
#include "sset.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_verbs);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* The verbs provider: queue pairs of libibverbs, connections of librdmacm.
 *
 * The queue pairs are created here and not by librdmacm, which therefore
 * leaves their state changes to us: that is the only way to set the RNR timer
 * before the first frame can arrive, and it keeps the protection domain
 * independent of librdmacm's idea of which devices are in use.
 *
 * The event channel and every device's asynchronous event file descriptor are
 * nonblocking and watched by the main loop. */

/* InfiniBand encodings (InfiniBand Architecture Specification, volume 1,
 * sections 9.7.5.2.8 and 11.6.2). */
#define RNR_TIMER_640_US 12     /* librdmacm would leave it at 655 ms. */
#define ACK_TIMEOUT_67_MS 14
#define RETRY_COUNT 7
#define RNR_RETRY_FOREVER 7     /* Probes notice a peer that never receives. */

#define RESOLVE_TIMEOUT_MS 2000
#define LISTEN_BACKLOG 128

struct verbs_dev {
    struct ordma_dev up;
    struct ovs_list node;           /* In 'verbs_devs'. */
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_device_attr attr;
    unsigned int n_conns;           /* Connections that use the device. */
    bool gone;                      /* Removed; free it with its last conn. */
};

struct verbs_conn {
    struct ordma_conn up;
    struct ovs_list node;           /* In 'verbs_conns'. */
    struct rdma_cm_id *id;
    struct ibv_cq *cq;
    struct ibv_qp *qp;
    const char *failure;            /* Reason not yet reported, or null. */
};

struct verbs_listener {
    struct ovs_list node;           /* In 'verbs_listeners'. */
    struct rdma_cm_id *id;
    ovs_be16 port;
};

struct verbs_mr {
    struct ordma_mr up;
    struct ibv_mr *mr;
};

static struct rdma_event_channel *channel OVS_GUARDED_BY(ordma_mutex);
static struct ovs_list verbs_devs OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&verbs_devs);
static struct ovs_list verbs_conns OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&verbs_conns);
static struct ovs_list verbs_listeners OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&verbs_listeners);

/* Set when some connection has a 'failure' to report. */
static bool have_failures OVS_GUARDED_BY(ordma_mutex);

static struct verbs_dev *
verbs_dev_cast(const struct ordma_dev *dev)
{
    return CONTAINER_OF(dev, struct verbs_dev, up);
}

static struct verbs_conn *
verbs_conn_cast(const struct ordma_conn *conn)
{
    return CONTAINER_OF(conn, struct verbs_conn, up);
}

/* Addresses. */

static socklen_t
make_sockaddr(const struct in6_addr *addr, ovs_be16 port,
              struct sockaddr_storage *ss)
{
    ovs_be32 ip = in6_addr_get_mapped_ipv4(addr);

    memset(ss, 0, sizeof *ss);
    if (ip) {
        struct sockaddr_in *sin = ALIGNED_CAST(struct sockaddr_in *, ss);

        sin->sin_family = AF_INET;
        sin->sin_addr.s_addr = ip;
        sin->sin_port = port;
        return sizeof *sin;
    } else {
        struct sockaddr_in6 *sin6 = ALIGNED_CAST(struct sockaddr_in6 *, ss);

        sin6->sin6_family = AF_INET6;
        sin6->sin6_addr = *addr;
        sin6->sin6_port = port;
        return sizeof *sin6;
    }
}

static struct in6_addr
sockaddr_to_in6(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *sin
            = ALIGNED_CAST(const struct sockaddr_in *, sa);

        return in6_addr_mapped_ipv4(sin->sin_addr.s_addr);
    } else {
        const struct sockaddr_in6 *sin6
            = ALIGNED_CAST(const struct sockaddr_in6 *, sa);

        return sin6->sin6_addr;
    }
}

/* Devices. */

static int
read_numa_id(const char *name)
{
    char *path = xasprintf("/sys/class/infiniband/%s/device/numa_node", name);
    FILE *stream = fopen(path, "r");
    int numa_id = OVS_NUMA_UNSPEC;

    if (stream) {
        if (fscanf(stream, "%d", &numa_id) != 1 || numa_id < 0) {
            numa_id = OVS_NUMA_UNSPEC;
        }
        fclose(stream);
    }
    free(path);
    return numa_id;
}

/* Makes librdmacm close devices that were removed.  It does so only when asked
 * for the list of devices, and only if that is not empty: a driver that waits
 * for its users (such as rdma_rxe) cannot remove the last device of a system
 * before this process ends. */
static void
verbs_sync_librdmacm(void)
{
    struct ibv_context **list = rdma_get_devices(NULL);

    if (list) {
        rdma_free_devices(list);
    }
}

static void
verbs_dev_close(struct verbs_dev *dev)
    OVS_REQUIRES(ordma_mutex)
{
    VLOG_INFO("%s: closing device", dev->up.name);
    ovs_list_remove(&dev->node);
    ordma_dev_uninit(&dev->up);
    ibv_dealloc_pd(dev->pd);
    ibv_close_device(dev->context);
    free(dev);
    verbs_sync_librdmacm();
}

static int
verbs_dev_open(struct ibv_device *device, struct verbs_dev **devp)
    OVS_REQUIRES(ordma_mutex)
{
    const char *name = ibv_get_device_name(device);
    struct verbs_dev *dev = xzalloc(sizeof *dev);
    int error;

    dev->context = ibv_open_device(device);
    if (!dev->context) {
        error = errno ? errno : ENODEV;
        goto err_free;
    }
    error = ibv_query_device(dev->context, &dev->attr);
    if (error) {
        goto err_close;
    }
    error = set_nonblocking(dev->context->async_fd);
    if (error) {
        goto err_close;
    }
    dev->pd = ibv_alloc_pd(dev->context);
    if (!dev->pd) {
        error = errno;
        goto err_close;
    }
    error = ordma_dev_init(&dev->up, &ordma_verbs_provider, name,
                           read_numa_id(name));
    if (error) {
        goto err_dealloc_pd;
    }

    ovs_list_push_back(&verbs_devs, &dev->node);
    VLOG_INFO("%s: opened device", name);
    *devp = dev;
    return 0;

err_dealloc_pd:
    ibv_dealloc_pd(dev->pd);
err_close:
    ibv_close_device(dev->context);
err_free:
    VLOG_WARN("%s: cannot open device (%s)", name, ovs_strerror(error));
    free(dev);
    return error;
}

/* Binds 'conn' to the device that librdmacm chose for it. */
static int
verbs_conn_set_dev(struct verbs_conn *conn)
    OVS_REQUIRES(ordma_mutex)
{
    const char *name = ibv_get_device_name(conn->id->verbs->device);
    struct verbs_dev *dev;
    int error;

    LIST_FOR_EACH (dev, node, &verbs_devs) {
        if (!dev->gone && !strcmp(dev->up.name, name)) {
            goto found;
        }
    }
    error = verbs_dev_open(conn->id->verbs->device, &dev);
    if (error) {
        return error;
    }

found:
    dev->n_conns++;
    conn->up.dev = &dev->up;
    conn->up.local = sockaddr_to_in6(rdma_get_local_addr(conn->id));
    return 0;
}

static void
verbs_dev_unref(struct verbs_dev *dev)
    OVS_REQUIRES(ordma_mutex)
{
    if (!--dev->n_conns && dev->gone) {
        verbs_dev_close(dev);
    }
}

static void
verbs_enumerate(struct sset *names)
    OVS_REQUIRES(ordma_mutex)
{
    struct ibv_device **list = ibv_get_device_list(NULL);

    for (size_t i = 0; list && list[i]; i++) {
        sset_add(names, ibv_get_device_name(list[i]));
    }
    if (list) {
        ibv_free_device_list(list);
    }
}

/* The kernel lists the GIDs of all ports, which are IP addresses on RoCE.  That
 * includes devices that could not be opened. */
static bool
verbs_has_addr(const struct in6_addr *ip)
    OVS_REQUIRES(ordma_mutex)
{
    bool found = false;
    glob_t files;

    if (glob("/sys/class/infiniband/*/ports/*/gids/*", GLOB_NOSORT, NULL,
             &files)) {
        return false;
    }
    for (size_t i = 0; i < files.gl_pathc && !found; i++) {
        FILE *stream = fopen(files.gl_pathv[i], "r");
        char line[INET6_ADDRSTRLEN];
        struct in6_addr gid;

        if (stream) {
            found = (fscanf(stream, "%45s", line) == 1
                     && inet_pton(AF_INET6, line, &gid) == 1
                     && ipv6_addr_equals(&gid, ip));
            fclose(stream);
        }
    }
    globfree(&files);
    return found;
}

/* Memory regions. */

static int
verbs_reg_mr(struct ordma_dev *dev_, void *addr, size_t len,
             struct ordma_mr **mrp)
{
    struct verbs_dev *dev = verbs_dev_cast(dev_);
    struct ibv_mr *ibv_mr = ibv_reg_mr(dev->pd, addr, len,
                                       IBV_ACCESS_LOCAL_WRITE);
    struct verbs_mr *mr;

    if (!ibv_mr) {
        return errno;
    }
    mr = xmalloc(sizeof *mr);
    mr->mr = ibv_mr;
    mr->up.lkey = ibv_mr->lkey;
    *mrp = &mr->up;
    return 0;
}

static void
verbs_dereg_mr(struct ordma_dev *dev OVS_UNUSED, struct ordma_mr *mr_)
{
    struct verbs_mr *mr = CONTAINER_OF(mr_, struct verbs_mr, up);

    ibv_dereg_mr(mr->mr);
    free(mr);
}

/* Event channel and listeners. */

static int
verbs_open_channel(void)
    OVS_REQUIRES(ordma_mutex)
{
    int error;

    if (channel) {
        return 0;
    }
    channel = rdma_create_event_channel();
    if (!channel) {
        return errno ? errno : ENODEV;
    }
    error = set_nonblocking(channel->fd);
    if (error) {
        rdma_destroy_event_channel(channel);
        channel = NULL;
    }
    return error;
}

static int
listen_on(struct rdma_cm_id *id, const struct in6_addr *any, ovs_be16 port)
{
    struct sockaddr_storage ss;

    make_sockaddr(any, port, &ss);
    return (rdma_bind_addr(id, ALIGNED_CAST(struct sockaddr *, &ss))
            || rdma_listen(id, LISTEN_BACKLOG)
            ? errno : 0);
}

static int
verbs_listen(ovs_be16 port)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_listener *listener;
    struct rdma_cm_id *id;
    int error;

    error = verbs_open_channel();
    if (error) {
        return error;
    }
    if (rdma_create_id(channel, &id, NULL, RDMA_PS_TCP)) {
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
    ovs_list_push_back(&verbs_listeners, &listener->node);
    return 0;
}

static void
verbs_unlisten(ovs_be16 port)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_listener *listener;

    LIST_FOR_EACH_SAFE (listener, node, &verbs_listeners) {
        if (listener->port == port) {
            ovs_list_remove(&listener->node);
            rdma_destroy_id(listener->id);
            free(listener);
        }
    }
}

/* Connections: creation and destruction. */

static struct verbs_conn *
verbs_conn_create(void)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn = xzalloc(sizeof *conn);

    conn->up.provider = &ordma_verbs_provider;
    ovs_list_push_back(&verbs_conns, &conn->node);
    return conn;
}

static void
verbs_destroy(struct ordma_conn *conn_)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn = verbs_conn_cast(conn_);

    ovs_list_remove(&conn->node);
    if (conn->qp) {
        ibv_destroy_qp(conn->qp);
    }
    if (conn->cq) {
        ibv_destroy_cq(conn->cq);
    }
    if (conn->id) {
        rdma_destroy_id(conn->id);
    }
    if (conn->up.dev) {
        verbs_dev_unref(verbs_dev_cast(conn->up.dev));
    }
    free(conn);
}

/* Sets options of 'id' that must be set before it sends a REQ.  They are not
 * vital, so that a kernel without one of them is no reason to fail. */
static void
verbs_set_options(struct rdma_cm_id *id, uint8_t tos)
{
    uint8_t ack_timeout = ACK_TIMEOUT_67_MS;

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
verbs_dial(const struct ordma_dial *dial, void *aux,
           struct ordma_conn **connp)
    OVS_REQUIRES(ordma_mutex)
{
    struct sockaddr_storage src, dst;
    struct verbs_conn *conn;
    int error;

    error = verbs_open_channel();
    if (error) {
        return error;
    }

    conn = verbs_conn_create();
    conn->up.aux = aux;
    conn->up.remote = dial->remote;
    conn->up.dst_port = dial->port;
    if (rdma_create_id(channel, &conn->id, conn, RDMA_PS_TCP)) {
        error = errno;
        conn->id = NULL;
        goto error;
    }
    verbs_set_options(conn->id, dial->tos);

    make_sockaddr(&dial->remote, dial->port, &dst);
    make_sockaddr(&dial->local, 0, &src);
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
    verbs_destroy(&conn->up);
    return error;
}

/* Queue pairs. */

/* Moves the queue pair of 'conn' to 'state' with the attributes that the
 * connection manager knows. */
static int
verbs_modify_qp(struct verbs_conn *conn, enum ibv_qp_state state)
{
    struct ibv_qp_attr attr = { .qp_state = state };
    union ibv_gid gid;
    int mask;

    if (rdma_init_qp_attr(conn->id, &attr, &mask)) {
        /* The peer has hung up while its request waited for us. */
        return errno == EINVAL ? ENOTCONN : errno;
    }
    if (state == IBV_QPS_RTR) {
        attr.min_rnr_timer = RNR_TIMER_640_US;
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
verbs_check_cap(const struct verbs_dev *dev, const struct ordma_qp_cap *cap)
{
    if (cap->n_send > dev->attr.max_qp_wr || cap->n_recv > dev->attr.max_qp_wr
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
verbs_create_qp(struct ordma_conn *conn_, const struct ordma_qp_cap *cap)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn = verbs_conn_cast(conn_);
    struct verbs_dev *dev = verbs_dev_cast(conn_->dev);
    struct ibv_qp_init_attr attr;
    int error;

    error = verbs_check_cap(dev, cap);
    if (error) {
        return error;
    }
    conn->cq = ibv_create_cq(dev->context, cap->n_send + cap->n_recv,
                             NULL, NULL, 0);
    if (!conn->cq) {
        return errno;
    }

    attr = (struct ibv_qp_init_attr) {
        .qp_context = conn,
        .send_cq = conn->cq,
        .recv_cq = conn->cq,
        .cap = {
            .max_send_wr = cap->n_send,
            .max_recv_wr = cap->n_recv,
            .max_send_sge = 1,
            .max_recv_sge = 1,
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
    return verbs_modify_qp(conn, IBV_QPS_INIT);
}

static int
verbs_connect(struct ordma_conn *conn_, const void *private_data, size_t len)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn = verbs_conn_cast(conn_);
    struct rdma_conn_param param = {
        .private_data = private_data,
        .private_data_len = len,
        .retry_count = RETRY_COUNT,
        .rnr_retry_count = RNR_RETRY_FOREVER,
        .qp_num = conn->qp->qp_num,
    };

    return rdma_connect(conn->id, &param) ? errno : 0;
}

static int
verbs_accept(struct ordma_conn *conn_, const void *private_data, size_t len)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn = verbs_conn_cast(conn_);
    struct rdma_conn_param param = {
        .private_data = private_data,
        .private_data_len = len,
        .rnr_retry_count = RNR_RETRY_FOREVER,
        .qp_num = conn->qp->qp_num,
    };
    int error;

    error = verbs_modify_qp(conn, IBV_QPS_RTR);
    if (!error) {
        error = verbs_modify_qp(conn, IBV_QPS_RTS);
    }
    return error ? error : rdma_accept(conn->id, &param) ? errno : 0;
}

static void
verbs_reject(struct ordma_conn *conn_, const void *private_data, size_t len)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn = verbs_conn_cast(conn_);

    /* An error means that the peer has hung up. */
    rdma_reject(conn->id, private_data, len);
    verbs_destroy(conn_);
}

static void
verbs_disconnect(struct ordma_conn *conn_)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn = verbs_conn_cast(conn_);
    struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };

    /* Errors mean that there is nothing to disconnect or flush. */
    if (conn->qp) {
        ibv_modify_qp(conn->qp, &attr, IBV_QP_STATE);
    }
    rdma_disconnect(conn->id);
}

/* Events. */

/* Remembers that 'conn' has failed because of 'reason', static text. */
static void
verbs_conn_fail(struct verbs_conn *conn, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    if (!conn->failure) {
        conn->failure = reason;
        have_failures = true;
    }
}

static void
verbs_dev_fail(struct verbs_dev *dev, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn;

    LIST_FOR_EACH (conn, node, &verbs_conns) {
        if (conn->up.dev == &dev->up) {
            verbs_conn_fail(conn, reason);
        }
    }
}

/* Handles an asynchronous event about a queue pair or one of its queues. */
static void
verbs_qp_event(struct verbs_conn *conn, enum ibv_event_type type)
    OVS_REQUIRES(ordma_mutex)
{
    if (type == IBV_EVENT_COMM_EST) {
        /* A frame overtook the RTU: make librdmacm send ESTABLISHED. */
        rdma_notify(conn->id, type);
    } else {
        verbs_conn_fail(conn, ibv_event_type_str(type));
    }
}

static struct verbs_conn *
verbs_conn_from_cq(const struct ibv_cq *cq)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn;

    LIST_FOR_EACH (conn, node, &verbs_conns) {
        if (conn->cq == cq) {
            return conn;
        }
    }
    return NULL;
}

static void
verbs_async_event(struct verbs_dev *dev, const struct ibv_async_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    enum ibv_event_type type = event->event_type;
    const char *text = ibv_event_type_str(type);
    struct verbs_conn *conn;

    switch (type) {
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
    case IBV_EVENT_PATH_MIG_ERR:
    case IBV_EVENT_COMM_EST:
        verbs_qp_event(event->element.qp->qp_context, type);
        break;

    case IBV_EVENT_CQ_ERR:
        conn = verbs_conn_from_cq(event->element.cq);
        if (conn) {
            verbs_qp_event(conn, type);
        }
        break;

    case IBV_EVENT_DEVICE_FATAL:
        VLOG_WARN("%s: %s", dev->up.name, text);
        dev->gone = true;
        verbs_dev_fail(dev, text);
        break;

    case IBV_EVENT_PORT_ERR:
    case IBV_EVENT_PORT_ACTIVE:
    case IBV_EVENT_LID_CHANGE:
    case IBV_EVENT_PKEY_CHANGE:
    case IBV_EVENT_SM_CHANGE:
    case IBV_EVENT_GID_CHANGE:
    case IBV_EVENT_CLIENT_REREGISTER:
        /* Connections that this breaks fail by themselves. */
        VLOG_INFO_RL(&rl, "%s: %s on port %d",
                     dev->up.name, text, event->element.port_num);
        break;

    case IBV_EVENT_SQ_DRAINED:
    case IBV_EVENT_PATH_MIG:
    case IBV_EVENT_QP_LAST_WQE_REACHED:
    case IBV_EVENT_SRQ_ERR:
    case IBV_EVENT_SRQ_LIMIT_REACHED:
    case IBV_EVENT_WQ_FATAL:
    default:
        VLOG_DBG_RL(&rl, "%s: %s", dev->up.name, text);
        break;
    }
}

static void
verbs_run(void)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_dev *dev;

    LIST_FOR_EACH_SAFE (dev, node, &verbs_devs) {
        struct ibv_async_event event;

        while (!ibv_get_async_event(dev->context, &event)) {
            verbs_async_event(dev, &event);
            ibv_ack_async_event(&event);
        }
        if (dev->gone && !dev->n_conns) {
            verbs_dev_close(dev);
        }
    }
}

static void
verbs_wait(void)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_dev *dev;

    LIST_FOR_EACH (dev, node, &verbs_devs) {
        poll_fd_wait(dev->context->async_fd, POLLIN);
    }
    if (channel) {
        poll_fd_wait(channel->fd, POLLIN);
    }
    if (have_failures) {
        poll_immediate_wake();
    }
}

/* Reports one failure that was noticed outside the event channel, if any. */
static bool
verbs_next_failure(struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn;

    if (!have_failures) {
        return false;
    }
    LIST_FOR_EACH (conn, node, &verbs_conns) {
        if (conn->failure && conn->up.aux) {
            event->type = ORDMA_EV_FAILED;
            event->conn = &conn->up;
            event->reason = conn->failure;
            conn->failure = NULL;
            return true;
        }
    }
    have_failures = false;
    return false;
}

static enum ordma_event_type
verbs_fail_event(struct ordma_event *event, const char *reason)
{
    event->reason = reason;
    return ORDMA_EV_FAILED;
}

/* The address is resolved: finds the device, goes on with the route. */
static bool
verbs_addr_resolved(struct verbs_conn *conn, struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    if (verbs_conn_set_dev(conn)
        || rdma_resolve_route(conn->id, RESOLVE_TIMEOUT_MS)) {
        event->type = verbs_fail_event(event, "cannot use the RDMA device, "
                                       "see the log");
        return true;
    }
    return false;
}

static bool
verbs_connect_response(struct verbs_conn *conn, struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    int error = verbs_modify_qp(conn, IBV_QPS_RTR);

    if (!error) {
        error = verbs_modify_qp(conn, IBV_QPS_RTS);
    }
    if (!error && rdma_establish(conn->id)) {
        error = errno;
    }
    if (error) {
        VLOG_INFO_RL(&rl, "%s: cannot establish connection (%s)",
                     conn->up.dev->name, ovs_strerror(error));
        event->type = verbs_fail_event(event, "peer hung up while "
                                       "connecting");
    } else {
        event->type = ORDMA_EV_ESTABLISHED;
    }
    return true;
}

static bool
verbs_connect_request(struct rdma_cm_id *id, struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn = verbs_conn_create();

    conn->id = id;
    id->context = conn;
    conn->up.remote = sockaddr_to_in6(rdma_get_peer_addr(id));
    conn->up.dst_port = rdma_get_src_port(id);
    if (verbs_conn_set_dev(conn)) {
        verbs_reject(&conn->up, NULL, 0);
        return false;
    }
    event->type = ORDMA_EV_REQUEST;
    event->conn = &conn->up;
    return true;
}

static bool
verbs_device_removal(struct rdma_cm_id *id, struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn = id->context;

    if (!conn) {
        return false;           /* A listener survives without devices. */
    }
    if (conn->up.dev) {
        verbs_dev_cast(conn->up.dev)->gone = true;
    }
    event->type = verbs_fail_event(event, "RDMA device was removed");
    return true;
}

/* Translates 'cm_event' to '*event'.  Returns false if it is of no interest to
 * the user of the provider. */
static bool
verbs_translate(const struct rdma_cm_event *cm_event,
                struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct verbs_conn *conn = cm_event->id->context;

    event->conn = conn ? &conn->up : NULL;
    event->reason = rdma_event_str(cm_event->event);
    event->private_data_len = MIN(cm_event->param.conn.private_data_len,
                                  sizeof event->private_data);
    if (event->private_data_len) {
        memcpy(event->private_data, cm_event->param.conn.private_data,
               event->private_data_len);
    }

    switch (cm_event->event) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
        return verbs_addr_resolved(conn, event);

    case RDMA_CM_EVENT_ROUTE_RESOLVED:
        event->type = ORDMA_EV_RESOLVED;
        return true;

    case RDMA_CM_EVENT_CONNECT_REQUEST:
        return verbs_connect_request(cm_event->id, event);

    case RDMA_CM_EVENT_CONNECT_RESPONSE:
        return verbs_connect_response(conn, event);

    case RDMA_CM_EVENT_ESTABLISHED:
        event->type = ORDMA_EV_ESTABLISHED;
        return true;

    case RDMA_CM_EVENT_REJECTED:
        event->type = ORDMA_EV_REJECTED;
        return true;

    case RDMA_CM_EVENT_DISCONNECTED:
        event->type = ORDMA_EV_DISCONNECTED;
        event->reason = "peer disconnected";
        return true;

    case RDMA_CM_EVENT_ADDR_ERROR:
        event->type = verbs_fail_event(event, "no RDMA device or neighbor "
                                       "reaches the address");
        return true;

    case RDMA_CM_EVENT_ROUTE_ERROR:
    case RDMA_CM_EVENT_CONNECT_ERROR:
        event->type = ORDMA_EV_FAILED;
        return true;

    case RDMA_CM_EVENT_UNREACHABLE:
        event->type = verbs_fail_event(event, "peer does not answer");
        return true;

    case RDMA_CM_EVENT_DEVICE_REMOVAL:
        return verbs_device_removal(cm_event->id, event);

    case RDMA_CM_EVENT_ADDR_CHANGE:
        event->type = verbs_fail_event(event, "address moved to another "
                                       "RDMA device");
        return conn != NULL;

    case RDMA_CM_EVENT_TIMEWAIT_EXIT:
    case RDMA_CM_EVENT_MULTICAST_JOIN:
    case RDMA_CM_EVENT_MULTICAST_ERROR:
    default:
        VLOG_DBG_RL(&rl, "%s ignored", event->reason);
        return false;
    }
}

/* A REJ for a service ID on which nobody listens, and why the kernel itself
 * rejects, come as a status and without private data. */
static const char *
reject_reason(const struct rdma_cm_event *cm_event)
{
    enum { REJ_INVALID_SERVICE_ID = 8, REJ_STALE_CONN = 10,
           REJ_CONSUMER_DEFINED = 28 };

    switch (cm_event->status) {
    case REJ_INVALID_SERVICE_ID:
        return "nothing listens on dst_port at the peer";
    case REJ_STALE_CONN:
        return "peer still knows an earlier connection";
    case REJ_CONSUMER_DEFINED:
        return "rejected by peer";
    default:
        return "rejected by peer's connection manager";
    }
}

static bool
verbs_next_event(struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct rdma_cm_event *cm_event;
    bool interesting = false;

    if (verbs_next_failure(event)) {
        return true;
    }
    while (channel && !interesting && !rdma_get_cm_event(channel, &cm_event)) {
        interesting = verbs_translate(cm_event, event);
        if (interesting && event->type == ORDMA_EV_REJECTED) {
            event->reason = reject_reason(cm_event);
        }
        rdma_ack_cm_event(cm_event);
    }
    return interesting;
}

/* Data functions. */

static int
verbs_post_send(struct ordma_conn *conn_, const struct ordma_send_wr wrs[],
                int n)
{
    struct verbs_conn *conn = verbs_conn_cast(conn_);
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

static int
verbs_post_recv(struct ordma_conn *conn_, const struct ordma_recv_wr wrs[],
                int n)
{
    struct verbs_conn *conn = verbs_conn_cast(conn_);
    struct ibv_recv_wr ibv_wrs[ORDMA_MAX_BURST], *bad;
    struct ibv_sge sges[ORDMA_MAX_BURST];

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
    return (OVS_LIKELY(!ibv_post_recv(conn->qp, ibv_wrs, &bad))
            ? n : bad - ibv_wrs);
}

static int
verbs_poll(struct ordma_conn *conn_, struct ordma_wc wcs[], int n)
{
    struct verbs_conn *conn = verbs_conn_cast(conn_);
    struct ibv_wc ibv_wcs[ORDMA_MAX_BURST];

    n = ibv_poll_cq(conn->cq, n, ibv_wcs);
    for (int i = 0; i < n; i++) {
        wcs[i].wr_id = ibv_wcs[i].wr_id;
        wcs[i].byte_len = ibv_wcs[i].byte_len;
        wcs[i].error = (OVS_LIKELY(ibv_wcs[i].status == IBV_WC_SUCCESS)
                        ? NULL : ibv_wc_status_str(ibv_wcs[i].status));
    }
    return MAX(n, 0);
}

const struct ordma_provider ordma_verbs_provider = {
    .name = "verbs",
    .run = verbs_run,
    .wait = verbs_wait,
    .next_event = verbs_next_event,
    .enumerate = verbs_enumerate,
    .has_addr = verbs_has_addr,
    .listen = verbs_listen,
    .unlisten = verbs_unlisten,
    .dial = verbs_dial,
    .create_qp = verbs_create_qp,
    .connect = verbs_connect,
    .accept = verbs_accept,
    .reject = verbs_reject,
    .disconnect = verbs_disconnect,
    .destroy = verbs_destroy,
    .reg_mr = verbs_reg_mr,
    .dereg_mr = verbs_dereg_mr,
    .post_send = verbs_post_send,
    .post_recv = verbs_post_recv,
    .poll = verbs_poll,
};

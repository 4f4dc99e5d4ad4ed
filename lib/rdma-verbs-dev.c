/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Devices of the verbs provider. */

#include <config.h>

#include "rdma-verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "packets.h"
#include "rdma-addr.h"
#include "socket-util.h"
#include "sset.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_verbs_dev);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

struct ovs_list ordma_verbs_devs OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&ordma_verbs_devs);

/* Set when some connection has a 'failure' to report. */
static bool have_failures OVS_GUARDED_BY(ordma_mutex);

/* Makes librdmacm close devices that were removed.  It does so only when asked
 * for the list of devices, and only if that is not empty: a driver that waits
 * for its users (such as rdma_rxe) cannot remove the last device of a system
 * before this process ends. */
static void
ordma_verbs_sync_librdmacm(void)
{
    struct ibv_context **list = rdma_get_devices(NULL);

    if (list) {
        rdma_free_devices(list);
    }
}

static void
ordma_verbs_dev_close(struct ordma_verbs_dev *dev)
    OVS_REQUIRES(ordma_mutex)
{
    VLOG_INFO("%s: closing device", dev->up.name);
    ovs_list_remove(&dev->node);
    ordma_dev_uninit(&dev->up);
    ibv_dealloc_pd(dev->pd);
    ibv_close_device(dev->context);
    free(dev);
    ordma_verbs_sync_librdmacm();
}

static int
ordma_verbs_dev_open(struct ibv_device *device, struct ordma_verbs_dev **devp)
    OVS_REQUIRES(ordma_mutex)
{
    const char *name = ibv_get_device_name(device);
    struct ordma_verbs_dev *dev = xzalloc(sizeof *dev);
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
    error = ordma_dev_init(&dev->up, &ordma_verbs_provider, name);
    if (error) {
        goto err_dealloc_pd;
    }

    ovs_list_push_back(&ordma_verbs_devs, &dev->node);
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
int
ordma_verbs_conn_set_dev(struct ordma_verbs_conn *conn)
{
    const char *name = ibv_get_device_name(conn->id->verbs->device);
    struct ordma_verbs_dev *dev;
    int error;

    LIST_FOR_EACH (dev, node, &ordma_verbs_devs) {
        if (!dev->gone && !strcmp(dev->up.name, name)) {
            goto found;
        }
    }
    error = ordma_verbs_dev_open(conn->id->verbs->device, &dev);
    if (error) {
        return error;
    }

found:
    dev->n_users++;
    conn->up.dev = &dev->up;
    conn->up.local = sa_get_address(rdma_get_local_addr(conn->id));
    ovs_strzcpy(conn->up.dev_name, name, sizeof conn->up.dev_name);
    conn->up.numa_id = ordma_read_numa_id("infiniband", name);
    return 0;
}

void
ordma_verbs_dev_unref(struct ordma_verbs_dev *dev)
{
    if (!--dev->n_users && dev->gone) {
        ordma_verbs_dev_close(dev);
    }
}

void
ordma_verbs_enumerate(struct sset *names)
{
    struct ibv_device **list = ibv_get_device_list(NULL);

    for (size_t i = 0; list && list[i]; i++) {
        sset_add(names, ibv_get_device_name(list[i]));
    }
    if (list) {
        ibv_free_device_list(list);
    }
}

/* The kernel lists the GIDs of all ports, which are IP addresses on RoCE.
 * That includes devices that could not be opened. */
bool
ordma_verbs_has_addr(const struct in6_addr *ip)
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

int
ordma_verbs_reg_mr(struct ordma_dev *dev_, void *addr, size_t len,
                   struct ordma_mr **mrp)
{
    struct ordma_verbs_dev *dev = ordma_verbs_dev_cast(dev_);
    struct ibv_mr *ibv_mr = ibv_reg_mr(dev->pd, addr, len,
                                       IBV_ACCESS_LOCAL_WRITE);
    struct ordma_verbs_mr *mr;

    if (!ibv_mr) {
        return errno;
    }
    mr = xmalloc(sizeof *mr);
    mr->mr = ibv_mr;
    mr->up.lkey = ibv_mr->lkey;
    *mrp = &mr->up;
    return 0;
}

void
ordma_verbs_dereg_mr(struct ordma_dev *dev OVS_UNUSED, struct ordma_mr *mr_)
{
    struct ordma_verbs_mr *mr = CONTAINER_OF(mr_, struct ordma_verbs_mr, up);

    ibv_dereg_mr(mr->mr);
    free(mr);
}
/* Events. */

/* Remembers that 'conn' has failed because of 'reason', static text. */
static void
ordma_verbs_conn_fail(struct ordma_verbs_conn *conn, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    if (!conn->failure) {
        conn->failure = reason;
        have_failures = true;
    }
}

static void
ordma_verbs_dev_fail(struct ordma_verbs_dev *dev, const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_conn *conn;

    LIST_FOR_EACH (conn, node, &ordma_verbs_conns) {
        if (conn->up.dev == &dev->up) {
            ordma_verbs_conn_fail(conn, reason);
        }
    }
}

/* Handles an asynchronous event about a queue pair or one of its queues. */
static void
ordma_verbs_qp_event(struct ordma_verbs_conn *conn, enum ibv_event_type type)
    OVS_REQUIRES(ordma_mutex)
{
    if (type == IBV_EVENT_COMM_EST) {
        /* A frame overtook the RTU: make librdmacm send ESTABLISHED. */
        rdma_notify(conn->id, type);
    } else {
        ordma_verbs_conn_fail(conn, ibv_event_type_str(type));
    }
}

static struct ordma_verbs_conn *
ordma_verbs_conn_from_cq(const struct ibv_cq *cq)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_conn *conn;

    LIST_FOR_EACH (conn, node, &ordma_verbs_conns) {
        if (conn->cq == cq) {
            return conn;
        }
    }
    return NULL;
}

static void
ordma_verbs_async_event(struct ordma_verbs_dev *dev,
                        const struct ibv_async_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    enum ibv_event_type type = event->event_type;
    const char *text = ibv_event_type_str(type);
    struct ordma_verbs_conn *conn;

    switch (type) {
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
    case IBV_EVENT_PATH_MIG_ERR:
    case IBV_EVENT_COMM_EST:
        ordma_verbs_qp_event(event->element.qp->qp_context, type);
        break;

    case IBV_EVENT_CQ_ERR:
        conn = ordma_verbs_conn_from_cq(event->element.cq);
        if (conn) {
            ordma_verbs_qp_event(conn, type);
        }
        break;

    case IBV_EVENT_SRQ_ERR:
        VLOG_WARN_RL(&rl, "%s: %s", dev->up.name, text);
        ordma_verbs_dev_fail(dev, text);
        break;

    case IBV_EVENT_DEVICE_FATAL:
        VLOG_WARN("%s: %s", dev->up.name, text);
        dev->gone = true;
        ordma_verbs_dev_fail(dev, text);
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
    case IBV_EVENT_SRQ_LIMIT_REACHED:
    case IBV_EVENT_WQ_FATAL:
    default:
        VLOG_DBG_RL(&rl, "%s: %s", dev->up.name, text);
        break;
    }
}

void
ordma_verbs_run(void)
{
    struct ordma_verbs_dev *dev;

    LIST_FOR_EACH_SAFE (dev, node, &ordma_verbs_devs) {
        struct ibv_async_event event;

        while (!ibv_get_async_event(dev->context, &event)) {
            ordma_verbs_async_event(dev, &event);
            ibv_ack_async_event(&event);
        }
        if (dev->gone && !dev->n_users) {
            ordma_verbs_dev_close(dev);
        }
    }
}

void
ordma_verbs_wait(void)
{
    struct ordma_verbs_dev *dev;

    LIST_FOR_EACH (dev, node, &ordma_verbs_devs) {
        poll_fd_wait(dev->context->async_fd, POLLIN);
    }
    if (ordma_verbs_channel) {
        poll_fd_wait(ordma_verbs_channel->fd, POLLIN);
    }
    if (have_failures) {
        poll_immediate_wake();
    }
}
/* Reports one failure that was noticed outside the event channel, if any. */
bool
ordma_verbs_next_failure(struct ordma_event *event)
{
    struct ordma_verbs_conn *conn;

    if (!have_failures) {
        return false;
    }
    LIST_FOR_EACH (conn, node, &ordma_verbs_conns) {
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

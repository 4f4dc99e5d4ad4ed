/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Events of librdmacm and libibverbs for the verbs provider. */

#include <config.h>

#include "rdma-verbs.h"

#include <errno.h>

#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_verbs_event);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* Makes '*event' say that its connection has failed because of 'reason'. */
static bool
ordma_verbs_fail(struct ordma_event *event, const char *reason)
{
    event->type = ORDMA_EV_FAILED;
    event->reason = reason;
    return true;
}

/* The address is resolved: finds the device, goes on with the route. */
static bool
ordma_verbs_addr_resolved(struct ordma_verbs_conn *conn,
                          struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    if (ordma_verbs_conn_set_dev(conn)
        || rdma_resolve_route(conn->id, RESOLVE_TIMEOUT_MS)) {
        return ordma_verbs_fail(event, "cannot use the RDMA device, see the "
                                "log");
    }
    return false;
}

static bool
ordma_verbs_connect_response(struct ordma_verbs_conn *conn,
                             struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    int error = ordma_verbs_modify_qp(conn, IBV_QPS_RTR);

    if (!error) {
        error = ordma_verbs_modify_qp(conn, IBV_QPS_RTS);
    }
    if (!error && rdma_establish(conn->id)) {
        error = errno;
    }
    if (error) {
        VLOG_INFO_RL(&rl, "%s: cannot establish connection (%s)",
                     conn->up.dev_name, ovs_strerror(error));
        return ordma_verbs_fail(event, "peer closed the connection while "
                                "connecting");
    }
    event->type = ORDMA_EV_ESTABLISHED;
    return true;
}

static bool
ordma_verbs_connect_request(struct rdma_cm_id *id, struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_conn *conn = ordma_verbs_conn_create();

    conn->id = id;
    id->context = conn;
    conn->up.remote = sa_get_address(rdma_get_peer_addr(id));
    conn->up.dst_port = rdma_get_src_port(id);
    if (ordma_verbs_conn_set_dev(conn)) {
        ordma_verbs_provider.reject(&conn->up, NULL, 0);
        return false;
    }
    event->type = ORDMA_EV_REQUEST;
    event->conn = &conn->up;
    return true;
}

static bool
ordma_verbs_device_removal(struct rdma_cm_id *id, struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_conn *conn = id->context;

    if (!conn) {
        return false;           /* A listener survives without devices. */
    }
    if (conn->up.dev) {
        ordma_verbs_dev_cast(conn->up.dev)->gone = true;
    }
    return ordma_verbs_fail(event, "RDMA device was removed");
}

/* Copies to '*event' what all events of the event channel have. */
static void
ordma_verbs_copy_event(const struct rdma_cm_event *cm_event,
                       struct ordma_event *event)
{
    struct ordma_verbs_conn *conn = cm_event->id->context;

    event->conn = conn ? &conn->up : NULL;
    event->reason = rdma_event_str(cm_event->event);
    event->private_data_len = MIN(cm_event->param.conn.private_data_len,
                                  sizeof event->private_data);
    if (event->private_data_len) {
        memcpy(event->private_data, cm_event->param.conn.private_data,
               event->private_data_len);
    }
}

/* Translates 'cm_event' to '*event'.  Returns false if it is of no interest to
 * the user of the provider. */
static bool
ordma_verbs_translate(const struct rdma_cm_event *cm_event,
                      struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_verbs_conn *conn = cm_event->id->context;

    ordma_verbs_copy_event(cm_event, event);
    switch (cm_event->event) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
        return ordma_verbs_addr_resolved(conn, event);

    case RDMA_CM_EVENT_ROUTE_RESOLVED:
        event->type = ORDMA_EV_RESOLVED;
        return true;

    case RDMA_CM_EVENT_CONNECT_REQUEST:
        return ordma_verbs_connect_request(cm_event->id, event);

    case RDMA_CM_EVENT_CONNECT_RESPONSE:
        return ordma_verbs_connect_response(conn, event);

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
        return ordma_verbs_fail(event, "no RDMA device or neighbor reaches "
                                "the address");

    case RDMA_CM_EVENT_ROUTE_ERROR:
    case RDMA_CM_EVENT_CONNECT_ERROR:
        event->type = ORDMA_EV_FAILED;
        return true;

    case RDMA_CM_EVENT_UNREACHABLE:
        return ordma_verbs_fail(event, "peer does not answer");

    case RDMA_CM_EVENT_DEVICE_REMOVAL:
        return ordma_verbs_device_removal(cm_event->id, event);

    case RDMA_CM_EVENT_ADDR_CHANGE:
        return conn && ordma_verbs_fail(event, "address moved to another "
                                               "RDMA device");

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
bool
ordma_verbs_next_event(struct ordma_event *event)
{
    struct rdma_cm_event *cm_event;
    bool interesting = false;

    if (ordma_verbs_next_failure(event)) {
        return true;
    }
    while (ordma_verbs_channel && !interesting
           && !rdma_get_cm_event(ordma_verbs_channel, &cm_event)) {
        interesting = ordma_verbs_translate(cm_event, event);
        if (interesting && event->type == ORDMA_EV_REJECTED) {
            event->reason = ordma_rej_text(cm_event->status);
        }
        rdma_ack_cm_event(cm_event);
    }
    return interesting;
}

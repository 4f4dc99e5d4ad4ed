/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What the soft provider tells its user. */

#include <config.h>

#include "rdma-soft-private.h"

#include <string.h>

#include "openvswitch/poll-loop.h"
#include "util.h"

/* What the soft provider tells its user, and how it comes from what the
 * connection manager says. */

struct soft_event {
    struct ovs_list node;       /* In 'soft_events'. */
    struct ordma_event up;
};

static struct ovs_list soft_events OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&soft_events);

void
soft_push_event(struct soft_conn *conn, enum ordma_event_type type,
                const char *reason, const struct roce_mad *mad)
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

void
soft_purge_events(const struct soft_conn *conn)
{
    struct soft_event *event;

    LIST_FOR_EACH_SAFE (event, node, &soft_events) {
        if (event->up.conn == &conn->up) {
            ovs_list_remove(&event->node);
            free(event);
        }
    }
}

bool
soft_next_event(struct ordma_event *up)
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

void
soft_events_wait(void)
{
    if (!ovs_list_is_empty(&soft_events)) {
        poll_immediate_wake();
    }
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
    conn->up.path_mtu = cm->remote.mtu;
    conn->up.dst_port = htons(cm->service_id);
    conn->tos = cm->remote.traffic_class;
    soft_push_event(conn, ORDMA_EV_REQUEST, NULL, mad);
}

/* Notes that 'conn' is connected.  'mad' is what the peer says about it. */
static void
handle_connected(struct soft_conn *conn, const struct roce_mad *mad)
    OVS_REQUIRES(ordma_mutex)
{
    if (!conn->cm->is_active) {
        soft_push_event(conn, ORDMA_EV_ESTABLISHED, NULL, NULL);
    } else if (soft_conn_bind(conn)) {
        soft_push_event(conn, ORDMA_EV_FAILED,
                        "cannot establish connection, see the log", NULL);
    } else {
        soft_push_event(conn, ORDMA_EV_ESTABLISHED, NULL, mad);
    }
}

void
soft_handle_cm_event(struct soft_dev *dev,
                     const struct roce_endpoint_event *event)
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
        soft_push_event(conn, ORDMA_EV_REJECTED,
                        reject_text(conn->cm->reason), &event->mad);
        break;

    case ROCE_CM_UNREACHABLE:
        soft_push_event(conn, ORDMA_EV_FAILED, "peer does not answer", NULL);
        break;

    case ROCE_CM_DISCONNECTED:
        soft_push_event(conn, ORDMA_EV_DISCONNECTED, "peer disconnected",
                        NULL);
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

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What the files of the verbs provider share. */

#ifndef RDMA_VERBS_H
#define RDMA_VERBS_H 1

/* What the files of the verbs provider share.  Nothing else includes this, or
 * a header of rdma-core. */

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "openvswitch/list.h"
#include "rdma-provider.h"
#include "util.h"

/* The verbs provider: queue pairs of libibverbs, connections of librdmacm.
 *
 * The queue pairs are created here and not by librdmacm, which therefore
 * leaves their state changes to us: that is the only way to set the RNR timer
 * before the first frame can arrive, and it keeps the protection domain
 * independent of librdmacm's idea of which devices are in use.
 *
 * rdma-verbs.c has connections and queue pairs, rdma-verbs-cq.c what polls
 * them, rdma-verbs-dev.c devices and their events, rdma-verbs-event.c the
 * events of connections.
 *
 * The event channel and every device's asynchronous event file descriptor are
 * nonblocking and watched by the main loop. */

#define RESOLVE_TIMEOUT_MS 2000

struct ordma_verbs_dev {
    struct ordma_dev up;
    struct ovs_list node;           /* In 'ordma_verbs_devs'. */
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_device_attr attr;
    unsigned int n_users;           /* Connections, shared receive queues. */
    bool gone;                      /* Removed; free it with its last user. */
};

struct ordma_verbs_conn {
    struct ordma_conn up;
    struct ovs_list node;           /* In 'ordma_verbs_conns'. */
    struct rdma_cm_id *id;
    struct ibv_cq *cq;
    struct ibv_qp *qp;
    const char *failure;            /* Reason not yet reported, or null. */

    /* For rdma-verbs-cq.c. */
    struct ordma_verbs_cq *group;   /* What it is polled with, or null. */
    struct cq_channel *channel;     /* Where 'cq' notifies us, or null. */
    struct ovs_list cq_node;        /* In the list of 'group', if 'in_cq'. */
    bool in_cq;

    /* The poller's, off the lines that others read. */
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE) unsigned int n_empty;
                                    /* Polls in a row that found nothing. */
    unsigned int cq_index;
    bool is_armed;                  /* 'cq' is to notify us. */
};

struct ordma_verbs_srq {
    struct ordma_srq up;
    struct ordma_verbs_dev *dev;
    struct ibv_srq *srq;
};

struct ordma_verbs_mr {
    struct ordma_mr up;
    struct ibv_mr *mr;
};

/* All that there are. */
extern struct ovs_list ordma_verbs_devs OVS_GUARDED_BY(ordma_mutex);
extern struct ovs_list ordma_verbs_conns OVS_GUARDED_BY(ordma_mutex);

/* Where the events of all connections arrive, or null. */
extern struct rdma_event_channel *ordma_verbs_channel
    OVS_GUARDED_BY(ordma_mutex);

static inline struct ordma_verbs_dev *
ordma_verbs_dev_cast(const struct ordma_dev *dev)
{
    return CONTAINER_OF(dev, struct ordma_verbs_dev, up);
}

static inline struct ordma_verbs_srq *
ordma_verbs_srq_cast(const struct ordma_srq *srq)
{
    return CONTAINER_OF(srq, struct ordma_verbs_srq, up);
}

static inline struct ordma_verbs_conn *
ordma_verbs_conn_cast(const struct ordma_conn *conn)
{
    return CONTAINER_OF(conn, struct ordma_verbs_conn, up);
}

/* rdma-verbs.c. */

struct ordma_verbs_conn *ordma_verbs_conn_create(void)
    OVS_REQUIRES(ordma_mutex);

/* Moves the queue pair of 'conn' to 'state' with the attributes that the
 * connection manager knows.  Returns ENOTCONN if the peer has closed it. */
int ordma_verbs_modify_qp(struct ordma_verbs_conn *conn,
                          enum ibv_qp_state state)
    OVS_REQUIRES(ordma_mutex);

/* rdma-verbs-dev.c: members of ordma_verbs_provider, and what the other files
 * need. */

void ordma_verbs_run(void) OVS_REQUIRES(ordma_mutex);
void ordma_verbs_wait(void) OVS_REQUIRES(ordma_mutex);
void ordma_verbs_enumerate(struct sset *names) OVS_REQUIRES(ordma_mutex);
bool ordma_verbs_has_addr(const struct in6_addr *ip) OVS_REQUIRES(ordma_mutex);
int ordma_verbs_reg_mr(struct ordma_dev *, void *addr, size_t len,
                       struct ordma_mr **);
void ordma_verbs_dereg_mr(struct ordma_dev *, struct ordma_mr *);

/* Binds 'conn' to the device that librdmacm chose for it. */
int ordma_verbs_conn_set_dev(struct ordma_verbs_conn *conn)
    OVS_REQUIRES(ordma_mutex);

/* Drops a user's reference to 'dev'. */
void ordma_verbs_dev_unref(struct ordma_verbs_dev *dev)
    OVS_REQUIRES(ordma_mutex);

/* Reports, as ORDMA_EV_FAILED, one failure that a device has noticed.  Returns
 * false if there is none. */
bool ordma_verbs_next_failure(struct ordma_event *) OVS_REQUIRES(ordma_mutex);

/* rdma-verbs-cq.c: members of ordma_verbs_provider, and what the other files
 * need. */

int ordma_verbs_create_cq(struct ordma_cq **) OVS_REQUIRES(ordma_mutex);
void ordma_verbs_destroy_cq(struct ordma_cq *) OVS_REQUIRES(ordma_mutex);
void ordma_verbs_join_cq(struct ordma_conn *) OVS_REQUIRES(ordma_mutex);
struct ordma_conn *ordma_verbs_poll_cq(struct ordma_cq *);

/* Takes 'conn' out of its completion queue, if it is in one. */
void ordma_verbs_leave_cq(struct ordma_verbs_conn *conn)
    OVS_REQUIRES(ordma_mutex);

/* Creates 'conn->cq', for 'n' completions, to be polled with 'cq' unless that
 * is null. */
int ordma_verbs_cq_init(struct ordma_verbs_conn *conn, struct ordma_cq *cq,
                        unsigned int n) OVS_REQUIRES(ordma_mutex);

/* Destroys 'conn->cq', which no queue pair uses any more, if there is one. */
void ordma_verbs_cq_uninit(struct ordma_verbs_conn *conn)
    OVS_REQUIRES(ordma_mutex);

/* rdma-verbs-event.c. */

bool ordma_verbs_next_event(struct ordma_event *) OVS_REQUIRES(ordma_mutex);

#endif /* rdma-verbs.h */

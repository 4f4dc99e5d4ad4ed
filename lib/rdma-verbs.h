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

/* The verbs provider: queue pairs of libibverbs, connections of librdmacm.
 *
 * The queue pairs are created here and not by librdmacm, which therefore
 * leaves their state changes to us: that is the only way to set the RNR timer
 * before the first frame can arrive, and it keeps the protection domain
 * independent of librdmacm's idea of which devices are in use.
 *
 * rdma-verbs.c has connections and queue pairs, rdma-verbs-dev.c devices and
 * their events, rdma-verbs-event.c the events of connections.
 *
 * The event channel and every device's asynchronous event file descriptor are
 * nonblocking and watched by the main loop. */

#define RESOLVE_TIMEOUT_MS 2000

struct verbs_dev {
    struct ordma_dev up;
    struct ovs_list node;           /* In 'verbs_devs'. */
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_device_attr attr;
    unsigned int n_users;           /* Connections, shared receive queues. */
    bool gone;                      /* Removed; free it with its last user. */
};

struct verbs_conn {
    struct ordma_conn up;
    struct ovs_list node;           /* In 'verbs_conns'. */
    struct rdma_cm_id *id;
    struct ibv_cq *cq;
    struct ibv_qp *qp;
    const char *failure;            /* Reason not yet reported, or null. */
};

struct verbs_srq {
    struct ordma_srq up;
    struct verbs_dev *dev;
    struct ibv_srq *srq;
};

struct verbs_mr {
    struct ordma_mr up;
    struct ibv_mr *mr;
};

/* All that there are. */
extern struct ovs_list verbs_devs OVS_GUARDED_BY(ordma_mutex);
extern struct ovs_list verbs_conns OVS_GUARDED_BY(ordma_mutex);

/* Where the events of all connections arrive, or null. */
extern struct rdma_event_channel *verbs_channel OVS_GUARDED_BY(ordma_mutex);

static inline struct verbs_dev *
verbs_dev_cast(const struct ordma_dev *dev)
{
    return CONTAINER_OF(dev, struct verbs_dev, up);
}

static inline struct verbs_srq *
verbs_srq_cast(const struct ordma_srq *srq)
{
    return CONTAINER_OF(srq, struct verbs_srq, up);
}

static inline struct verbs_conn *
verbs_conn_cast(const struct ordma_conn *conn)
{
    return CONTAINER_OF(conn, struct verbs_conn, up);
}

/* rdma-verbs.c. */

struct verbs_conn *verbs_conn_create(void) OVS_REQUIRES(ordma_mutex);

/* Moves the queue pair of 'conn' to 'state' with the attributes that the
 * connection manager knows.  Returns ENOTCONN if the peer has hung up. */
int verbs_modify_qp(struct verbs_conn *conn, enum ibv_qp_state state)
    OVS_REQUIRES(ordma_mutex);

/* rdma-verbs-dev.c: members of ordma_verbs_provider, and what the other files
 * need. */

void verbs_run(void) OVS_REQUIRES(ordma_mutex);
void verbs_wait(void) OVS_REQUIRES(ordma_mutex);
void verbs_enumerate(struct sset *names) OVS_REQUIRES(ordma_mutex);
bool verbs_has_addr(const struct in6_addr *ip) OVS_REQUIRES(ordma_mutex);
int verbs_reg_mr(struct ordma_dev *, void *addr, size_t len,
                 struct ordma_mr **);
void verbs_dereg_mr(struct ordma_dev *, struct ordma_mr *);

/* Binds 'conn' to the device that librdmacm chose for it. */
int verbs_conn_set_dev(struct verbs_conn *conn) OVS_REQUIRES(ordma_mutex);

/* Drops a user's reference to 'dev'. */
void verbs_dev_unref(struct verbs_dev *dev) OVS_REQUIRES(ordma_mutex);

/* Reports, as ORDMA_EV_FAILED, one failure that a device has noticed.  Returns
 * false if there is none. */
bool verbs_next_failure(struct ordma_event *) OVS_REQUIRES(ordma_mutex);

/* rdma-verbs-event.c. */

bool verbs_next_event(struct ordma_event *) OVS_REQUIRES(ordma_mutex);

#endif /* rdma-verbs.h */

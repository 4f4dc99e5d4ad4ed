/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What the files of the netdev class "rdma" share. */

#ifndef NETDEV_RDMA_PRIVATE_H
#define NETDEV_RDMA_PRIVATE_H 1

#include "dp-packet.h"
#include "netdev-provider.h"
#include "netdev-rdma-peers.h"
#include "ovs-rcu.h"
#include "rdma-msg.h"
#include "rdma-peer.h"
#include "rdma-session.h"
#include "rdma-stats.h"
#include "userspace-tso.h"

/* The netdev class "rdma"
 * =======================
 *
 * A tunnel class that PMD threads poll.  See Documentation/topics/rdma/.
 *
 * Files: netdev-rdma.c has the class and the control path,
 * netdev-rdma-config.c the options, netdev-rdma-pools.c the buffers,
 * netdev-rdma-peers.c the peers, netdev-rdma-tx.c and netdev-rdma-rx.c what
 * PMD threads run.
 *
 * Threads
 * =======
 *
 * Main       Configuration, connections, statistics; under 'ordma_mutex'.
 *            A netdev can also be destructed by another thread that drops the
 *            last reference.
 *
 * PMD        netdev_rdma_rxq_recv(), one thread for each receive queue;
 *            netdev_rdma_send(), each with a queue ID of its own.
 *
 * Others     netdev_rdma_send() with queue ID 0, one at a time.
 *
 * Lock order: netdev_mutex, then 'ordma_mutex', then the locks of the modules
 * below (leaves). */

#define NETDEV_RDMA_DEFAULT_PORT 6081
#define NETDEV_RDMA_DEFAULT_MTU 1500
#define NETDEV_RDMA_DEFAULT_DESC 2048
#define NETDEV_RDMA_DEFAULT_RXQ_DESC \
    (userspace_tso_enabled() ? 1024 : NETDEV_RDMA_DEFAULT_DESC)
#define NETDEV_RDMA_DEFAULT_TTL 64
#define NETDEV_RDMA_DEFAULT_PEERS 256
#define NETDEV_RDMA_DEFAULT_IDLE_TIMEOUT 300    /* In seconds. */

/* A message of one record must fit into an mbuf, whose size is a uint16_t. */
#define NETDEV_RDMA_MIN_MTU 68
#define NETDEV_RDMA_MAX_MTU 65000

/* Ethernet header and two VLAN tags: what a frame can have beyond the MTU. */
#define NETDEV_RDMA_L2_LEN (ETH_HEADER_LEN + 2 * VLAN_HEADER_LEN)

/* Shorter frames from registered memory are copied, because that is cheaper
 * than a work request for each. */
#define NETDEV_RDMA_COPY_BREAK 512

/* Options that are not in struct netdev_tunnel_config and take effect by
 * connecting again. */
struct netdev_rdma_options {
    const struct ordma_provider *provider; /* Null for "auto". */
    char rdma_dev[64];          /* Empty for any. */
};

/* Parameters that PMD threads depend on: netdev_rdma_reconfigure() makes what
 * is wanted to what is in force. */
struct netdev_rdma_params {
    int n_rxq, n_txq;
    int n_rxq_desc, n_txq_desc;
    int mtu;
    int numa_id;
};

/* What outlives a send or receive queue: counters, written by the thread that
 * has the queue, and who that is, which hardly ever changes. */
struct netdev_rdma_queue {
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE) struct ordma_stats stats;
    struct ovs_spin lock;       /* Send queues: taken if the ID is shared. */

    /* Receive queues: ID of the thread that polls, at first that of the main
     * thread, read by those that send; what it polls, or null. */
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE) atomic_uint poller;
    OVSRCU_TYPE(struct ordma_cq *) cq;
};

/* Memory for what a port receives and sends. */
struct netdev_rdma_pools {
    struct ordma_pool *rx;      /* Messages received. */
    struct ordma_pool *tx;      /* Messages to send, frames copied. */
    struct ordma_pool *big;     /* What is too long for 'tx'; the same pool
                                 * unless the port has offloads. */
};

struct netdev_rdma {
    struct netdev up;

    /* Read by PMD threads, changed by the main thread. */
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE)
    ordma_session_slot session; /* With a fixed remote_ip: session that is up,
                                 * or null. */
    atomic_bool is_up;          /* NETDEV_UP. */
    OVSRCU_TYPE(struct netdev_tunnel_config *) tnl_config;

    /* Changed by netdev_rdma_reconfigure() only, while no PMD thread uses the
     * port. */
    struct netdev_rdma_queue *txqs; /* By queue ID, have.n_txq of them. */
    struct netdev_rdma_queue *rxqs; /* Likewise, have.n_rxq. */
    struct netdev_rdma_pools pools;
    uint32_t max_frame;         /* Longest frame, Ethernet header included. */
    uint32_t max_tso_frame;     /* Longest frame yet to be cut to segments. */
    bool has_offload;           /* Is userspace-tso-enable set? */

    struct netdev_rdma_peers peers;

    /* The main thread's. */
    struct ovs_list node OVS_GUARDED;   /* In 'netdev_rdma_list'. */
    struct netdev_rdma_params want OVS_GUARDED_BY(ordma_mutex);
    struct netdev_rdma_params have OVS_GUARDED_BY(ordma_mutex);
    struct netdev_rdma_options options OVS_GUARDED_BY(ordma_mutex);
    int max_peers OVS_GUARDED_BY(ordma_mutex);
    int idle_timeout OVS_GUARDED_BY(ordma_mutex);   /* In seconds. */
    struct ordma_cqs *cqs OVS_GUARDED_BY(ordma_mutex);
    const char *provider_reason OVS_GUARDED_BY(ordma_mutex);
    bool changed OVS_GUARDED_BY(ordma_mutex);   /* Has a peer changed? */
    struct ordma_stats stats OVS_GUARDED_BY(ordma_mutex);
    struct eth_addr mac OVS_GUARDED_BY(ordma_mutex);
    unsigned int carrier_resets OVS_GUARDED_BY(ordma_mutex);
    bool carrier OVS_GUARDED_BY(ordma_mutex);
};

/* Receive queue.  Owned by the PMD thread that polls it. */
struct netdev_rdma_rxq {
    struct netdev_rxq up;
    struct ordma_stats *stats;  /* In 'rxqs' of the port. */

    /* Messages of 'link' that do not fit into the last batch returned.  Its
     * lane is held while there are any, see ordma_lane_hold(). */
    const struct ordma_link *link;
    int n_msgs;                 /* In 'msgs'. */
    int next_msg;               /* First element of 'msgs' still ours. */
    bool in_msg;                /* 'cursor' walks over msgs[next_msg]. */
    bool in_round;              /* poll_cq() has not come to an end. */
    struct ordma_cursor cursor;
    struct rte_mbuf *msgs[ORDMA_MAX_BURST];
};

extern const struct netdev_class netdev_rdma_class;

/* All the ports, as "struct netdev_rdma"s. */
extern struct ovs_list netdev_rdma_list OVS_GUARDED_BY(ordma_mutex);

static inline struct netdev_rdma *
netdev_rdma_cast(const struct netdev *netdev)
{
    ovs_assert(netdev->netdev_class == &netdev_rdma_class);
    return CONTAINER_OF(netdev, struct netdev_rdma, up);
}

static inline struct netdev_rdma_rxq *
netdev_rdma_rxq_cast(const struct netdev_rxq *rxq)
{
    return CONTAINER_OF(rxq, struct netdev_rdma_rxq, up);
}

static inline struct ordma_session *
netdev_rdma_session(const struct netdev_rdma *dev)
{
    return ovsrcu_get(struct ordma_session *,
                      &CONST_CAST(struct netdev_rdma *, dev)->session);
}

static inline bool
netdev_rdma_is_up(const struct netdev_rdma *dev)
{
    bool is_up;

    atomic_read_relaxed(&CONST_CAST(struct netdev_rdma *, dev)->is_up,
                        &is_up);
    return is_up;
}

/* Returns the longest frame that 'dev' takes from a bridge or from its peer,
 * yet to be cut to segments if 'tso' is true. */
static inline uint32_t
netdev_rdma_max_frame(const struct netdev_rdma *dev, bool tso)
{
    return tso ? dev->max_tso_frame : dev->max_frame;
}

/* Members of the class that are not in netdev-rdma.c. */
int netdev_rdma_set_config(struct netdev *, const struct smap *args,
                           char **errp);
int netdev_rdma_get_config(const struct netdev *, struct smap *args);
int netdev_rdma_send(struct netdev *, int qid, struct dp_packet_batch *,
                     bool concurrent_txq);
int netdev_rdma_rxq_recv(struct netdev_rxq *, struct dp_packet_batch *,
                         int *qfill);

/* Sends the 'n' frames 'packets', which transmit queue 'qid' has, to 'session'
 * or drops them, and counts that to 'stats', which the caller writes. */
void netdev_rdma_send_to_session(struct netdev_rdma *dev,
                                 struct ordma_stats *stats, unsigned int qid,
                                 const struct ordma_session *session,
                                 struct dp_packet *packets[],
                                 unsigned int n);

/* Drops what 'rxq' has not delivered yet.  No PMD thread polls it. */
void netdev_rdma_rxq_purge(struct netdev_rdma_rxq *rxq);

/* Registers the commands of ovs-appctl. */
int netdev_rdma_show_init(void);

/* Adds the state of 'dev' to 'smap', as for the status column. */
void netdev_rdma_add_status(const struct netdev_rdma *dev, struct smap *smap)
    OVS_REQUIRES(ordma_mutex);

/* Stores in 'totals' what all the queues of 'dev' have counted. */
void netdev_rdma_sum_counters(struct netdev_rdma *dev,
                              uint64_t totals[ORDMA_N_COUNTERS])
    OVS_REQUIRES(ordma_mutex);

/* Stores in 'name' what people call 'counter', a custom statistic. */
void netdev_rdma_counter_name(enum ordma_counter counter,
                              char name[NETDEV_CUSTOM_STATS_NAME_SIZE]);

/* Makes 'dev' connect anew, with the options and parameters in force. */
void netdev_rdma_restart(struct netdev_rdma *dev) OVS_REQUIRES(ordma_mutex);

/* Has sessions to come, and what is independent of sessions, follow the
 * options of 'dev' that need no reconnecting: tos, ttl, max_peers,
 * idle_timeout. */
void netdev_rdma_update(struct netdev_rdma *dev) OVS_REQUIRES(ordma_mutex);

/* Finds or creates the pools for 'params', in '*pools'.  Returns null, or an
 * error for the caller to free if there is no memory. */
char *netdev_rdma_pools_get(const struct netdev_rdma_params *params,
                            bool has_offload, struct netdev_rdma_pools *pools);
void netdev_rdma_pools_unref(struct netdev_rdma_pools *pools);

#endif /* netdev-rdma-private.h */

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The peers of a port, as PMD threads and the main thread see them. */

#ifndef NETDEV_RDMA_PEERS_H
#define NETDEV_RDMA_PEERS_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "cmap.h"
#include "openvswitch/list.h"
#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "rdma-peer.h"
#include "rdma-session.h"

struct dp_packet;
struct netdev_rdma;
struct ordma_stats;
struct rte_ring;

/* The peers of a port
 * ===================
 *
 * A port with a fixed remote_ip has one peer, from start to stop.  PMD threads
 * send to the session in its slot, and drop what they have to send while there
 * is none.
 *
 * A port with remote_ip=flow has a peer for each address that flows send to,
 * or that connects to it.  A peer comes with the first frame or request and
 * goes when it has lost its connection, when connecting has failed and no more
 * frames come, or when it has been idle for long.  PMD threads look peers up
 * by address, without a lock.  Frames for a peer that is not up go through a
 * queue to the main thread, which creates and connects the peer and holds the
 * frames until it is up.  The queue and what is held are bounded; frames
 * beyond that are dropped and counted.  While a peer waits for another
 * attempt, PMD threads drop the frames for it.
 *
 * To receive, PMD threads poll completion queues, which tell them which
 * connections have something, whatever the number of peers. */

/* What can be under way to a peer that is one of many, and the reverse, at
 * most: such a peer is to cost little memory. */
#define NETDEV_RDMA_PEERS_N_SEND 128
#define NETDEV_RDMA_PEERS_N_RECV 64

/* Frames held for a peer and for a port. */
#define NETDEV_RDMA_PEERS_MAX_HELD 64
#define NETDEV_RDMA_PEERS_MAX_TOTAL 1024

/* One peer. */
struct netdev_rdma_dest {
    /* For any thread, with remote_ip=flow. */
    struct cmap_node node;          /* In 'by_addr', by 'id.remote'. */
    struct ordma_peer_id id;
    ordma_session_slot session;     /* Session that is up, or null. */
    atomic_bool hold;               /* To be queued while not up? */
    atomic_bool wanted;             /* See struct ordma_peer_id. */

    /* The main thread's. */
    struct ovs_list list_node;      /* In 'dests'. */
    struct ordma_peer *peer;
    struct dp_packet **held;        /* 'n_held' of them, or null. */
    unsigned int n_held;
    uint64_t n_messages;            /* As of the last sweep. */
    long long int last_used;        /* When 'n_messages' changed, msec. */
};

struct netdev_rdma_peers {
    /* For any thread. */
    atomic_bool flow;               /* In use, with remote_ip=flow? */
    atomic_bool full;               /* As many peers as there may be. */
    atomic_bool woken;              /* Does main thread know of 'queue'? */
    struct cmap by_addr;            /* "struct netdev_rdma_dest"s. */
    struct rte_ring *queue;         /* "struct dp_packet"s for main thread. */

    /* The main thread's. */
    bool in_use;
    struct ordma_port port;         /* What they have in common. */
    struct ovs_list dests;          /* "struct netdev_rdma_dest"s. */
    size_t n_dests;
    bool src_flow;                  /* local_ip=flow. */
    unsigned int max_peers;
    long long int idle_timeout;     /* In msec. */
    unsigned int n_held;            /* Of all peers. */
    long long int next_sweep;       /* When to look for idle peers, msec. */
};

/* Initializes the peers of 'dev', out of use.  They may be destroyed when no
 * PMD thread uses the port. */
void netdev_rdma_peers_init(struct netdev_rdma *dev);
void netdev_rdma_peers_destroy(struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex);

/* Begin and end to have peers as 'dev->peers.port' says, to any address if its
 * 'remote' is all zeros.  Ending is possible at any time and destroys all
 * peers. */
void netdev_rdma_peers_start(struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex);
void netdev_rdma_peers_stop(struct netdev_rdma *dev, const char *reason)
    OVS_REQUIRES(ordma_mutex);

/* Do the periodic work of the peers of 'dev'. */
void netdev_rdma_peers_run(struct netdev_rdma *dev) OVS_REQUIRES(ordma_mutex);
void netdev_rdma_peers_wait(struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex);

/* Returns true if frames can flow to the one peer, or if peers can be
 * connected to. */
bool netdev_rdma_peers_carrier(const struct netdev_rdma_peers *)
    OVS_REQUIRES(ordma_mutex);

/* Returns the one peer of a port with a fixed remote_ip, otherwise null. */
const struct ordma_peer *netdev_rdma_peers_only(
    const struct netdev_rdma_peers *) OVS_REQUIRES(ordma_mutex);

/* Returns true if frames may be for any of many peers.  Any thread. */
static inline bool
netdev_rdma_peers_are_many(const struct netdev_rdma_peers *peers)
{
    bool flow;

    atomic_read_relaxed(&CONST_CAST(struct netdev_rdma_peers *, peers)->flow,
                        &flow);
    return flow;
}

/* Finds the peer at 'remote', as seen from 'local' unless that is all zeros.
 * Returns null if there is none.  Any thread. */
struct netdev_rdma_dest *netdev_rdma_peers_find(
    const struct netdev_rdma_peers *, const struct in6_addr *remote,
    const struct in6_addr *local);

/* Queues the 'n' frames 'packets', which go to the same peer, 'dest' or, if
 * that is null, an unknown one, until the peer is up, or drops them and counts
 * that to 'stats'.  Any thread. */
void netdev_rdma_peers_hold(struct netdev_rdma_peers *,
                            struct netdev_rdma_dest *dest,
                            struct ordma_stats *stats,
                            struct dp_packet *packets[], unsigned int n);

#endif /* netdev-rdma-peers.h */

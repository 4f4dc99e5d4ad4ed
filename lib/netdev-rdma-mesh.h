/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The peers of a port, as PMD threads and the main thread see them. */

#ifndef NETDEV_RDMA_MESH_H
#define NETDEV_RDMA_MESH_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "cmap.h"
#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "rdma-peer.h"
#include "rdma-session.h"

struct dp_packet;
struct netdev_rdma;
struct rte_ring;
struct smap;

/* The peers of a port with remote_ip=flow
 * =======================================
 *
 * Such a port has a peer for each address that flows send to, or that connects
 * to it.  A peer comes with the first frame or request and goes when it has
 * lost its connection, when connecting has failed and no more frames come, or
 * when it has been idle for long.
 *
 * PMD threads look peers up by address, without a lock.  Frames for a peer
 * that is not up go through a queue to the main thread, which creates and
 * connects the peer and holds the frames until it is up.  The queue and what
 * is held are bounded; frames beyond that are dropped and counted.  While a
 * peer waits for another attempt, PMD threads drop the frames for it.
 *
 * The peers share the port's buffers for reception, see rdma-rq.h. */

/* Send queue entries of a lane. */
#define NETDEV_RDMA_MESH_N_SEND 256

/* Frames held for a peer and for a port. */
#define NETDEV_RDMA_MESH_MAX_HELD 64
#define NETDEV_RDMA_MESH_MAX_TOTAL 1024

/* One peer. */
struct netdev_rdma_dest {
    /* For any thread. */
    struct cmap_node node;          /* In 'by_addr', by 'remote'. */
    struct in6_addr remote;         /* Address (IPv4: mapped). */
    struct in6_addr local;          /* Ours, or all zeros for any. */
    ordma_session_slot session;     /* Session that is up, or null. */
    atomic_bool hold;               /* To be queued while not up? */
    atomic_bool wanted;             /* See struct ordma_peer_config. */

    /* The main thread's. */
    struct ordma_peer *peer;
    struct dp_packet *held[NETDEV_RDMA_MESH_MAX_HELD];
    unsigned int n_held;
    uint64_t n_messages;            /* As of the last sweep. */
    long long int last_used;        /* When 'n_messages' changed, msec. */
};

/* All the peers, as receive queues poll them.  Immutable. */
struct netdev_rdma_dests {
    size_t n;
    struct netdev_rdma_dest *dests[];
};

struct netdev_rdma_mesh {
    /* For any thread. */
    OVSRCU_TYPE(struct netdev_rdma_dests *) dests; /* Null: not in use. */
    struct cmap by_addr;
    struct rte_ring *queue;         /* "struct dp_packet"s for main thread. */
    atomic_bool woken;              /* Does main thread know of 'queue'? */
    atomic_bool full;               /* As many peers as there may be. */

    /* The main thread's. */
    struct ordma_acceptor acceptor; /* Has the configuration of peers. */
    bool src_flow;                  /* local_ip=flow. */
    unsigned int max_peers;
    long long int idle_timeout;     /* In msec. */
    unsigned int n_held;            /* Of all peers. */
    const char *listen_error;       /* Why peers cannot find us, or null. */
    long long int next_sweep;       /* When to look for idle peers, msec. */
};

/* Initializes the mesh of 'dev', out of use.  It may be destroyed when no PMD
 * thread uses the port. */
void netdev_rdma_mesh_init(struct netdev_rdma *dev);
void netdev_rdma_mesh_destroy(struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex);

/* Begin and end to use the mesh of 'dev', with peers as 'config' says.  Ending
 * is possible at any time and destroys all peers. */
void netdev_rdma_mesh_start(struct netdev_rdma *dev,
                            const struct ordma_peer_config *config)
    OVS_REQUIRES(ordma_mutex);
void netdev_rdma_mesh_stop(struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex);

/* Do the periodic work of the mesh of 'dev'. */
void netdev_rdma_mesh_run(struct netdev_rdma *dev) OVS_REQUIRES(ordma_mutex);
void netdev_rdma_mesh_wait(struct netdev_rdma *dev) OVS_REQUIRES(ordma_mutex);

/* Returns true if peers can be connected to. */
bool netdev_rdma_mesh_is_open(const struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex);

/* Adds the state of the mesh of 'dev' to 'smap', as for the status column. */
void netdev_rdma_mesh_get_status(const struct netdev_rdma *dev,
                                 struct smap *smap)
    OVS_REQUIRES(ordma_mutex);

/* Returns the peers of 'mesh', or null if it is not in use.  Any thread. */
static inline const struct netdev_rdma_dests *
netdev_rdma_mesh_dests(const struct netdev_rdma_mesh *mesh)
{
    return ovsrcu_get(struct netdev_rdma_dests *,
                      &CONST_CAST(struct netdev_rdma_mesh *, mesh)->dests);
}

/* Finds the peer at 'remote', as seen from 'local' unless that is all zeros.
 * Returns null if there is none.  Any thread. */
struct netdev_rdma_dest *netdev_rdma_mesh_find(
    const struct netdev_rdma_mesh *mesh, const struct in6_addr *remote,
    const struct in6_addr *local);

/* Queues the 'n' frames 'packets', which go to the same peer, 'dest' or, if
 * that is null, an unknown one, until the peer is up, or drops them and counts
 * that to 'stats'.  Any thread. */
void netdev_rdma_mesh_hold(struct netdev_rdma_mesh *mesh,
                           struct netdev_rdma_dest *dest,
                           struct ordma_stats *stats,
                           struct dp_packet *packets[], unsigned int n);

#endif /* netdev-rdma-mesh.h */

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * One end's view of the other. */

#ifndef RDMA_PEER_H
#define RDMA_PEER_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "rdma-hello.h"
#include "openvswitch/list.h"
#include "ovs-atomic.h"
#include "rdma-provider.h"
#include "rdma-session.h"

struct ds;
struct ordma_pool;
struct ordma_stats;
struct smap;

/* Peers
 * =====
 *
 * A peer is the other end of a port.  It keeps one session with it (see
 * rdma-session.h): dials, accepts what the peer dials, notices failures, and
 * starts again for ever, with back-off.
 *
 * A peer on demand, one of many that a port has, dials only when it is wanted,
 * and goes idle when it has lost its connection or could not get one.
 *
 * Both ends dial.  When their dials cross, that of the side with the lower IP
 * address wins, unless it is older than a second: then the peer has not got it
 * and would otherwise wait for ever.
 *
 * Everything here runs in the main thread under 'ordma_mutex'; nothing waits.
 */

struct ordma_peer_config {
    const struct ordma_provider *provider;
    struct in6_addr remote;         /* The peer (IPv4: mapped). */
    struct in6_addr local;          /* Our address, or all zeros. */
    ovs_be16 dst_port;              /* Connection manager port, both ends. */
    uint8_t tos;                    /* Traffic class of the connections. */
    uint8_t ttl;                    /* Of the packets that we send. */
    const char *rdma_dev;           /* Device to use, or null for any. */
    uint32_t features;              /* ORDMA_FEATURE_*. */
    struct ordma_key in_key, out_key;

    unsigned int n_rxq;             /* Lanes that we want. */
    unsigned int n_rxq_desc;        /* Receive buffers of a receive queue. */
    unsigned int max_peers;         /* Peers that share these, or 1. */
    unsigned int n_txq_desc;        /* Send queue entries of a lane. */
    uint32_t max_frame;             /* Longest frame that the port sends. */
    struct ordma_pool *rx_pool;     /* Of messages received. */
    struct ordma_pool *tx_pool;     /* Of messages sent. */

    /* Where PMD threads find the session that is up, or null. */
    ordma_session_slot *slot;

    /* Null for a peer that dials by itself.  Otherwise the peer is on demand:
     * any thread sets this to make it dial.  The peer clears it. */
    atomic_bool *wanted;

    struct ordma_stats *stats;      /* Written under 'ordma_mutex'. */

    /* Called when carrier or status change.  The argument is 'aux'. */
    void (*changed)(void *aux);
    void *aux;
};

/* Starts to connect to the peer that 'config' describes, on behalf of the port
 * 'name'.  The peer copies 'config' and refers to its pools. */
struct ordma_peer *ordma_peer_create(const char *name,
                                     const struct ordma_peer_config *config)
    OVS_REQUIRES(ordma_mutex);

/* Disconnects 'peer', which may be null, because of 'reason', and empties its
 * slot.  What its session still has in queues is counted to 'config->stats'
 * later, unless ordma_sessions_orphan() is called. */
void ordma_peer_destroy(struct ordma_peer *peer, const char *reason)
    OVS_REQUIRES(ordma_mutex);

/* Drops the session of 'peer', if any, and dials at once. */
void ordma_peer_reconnect(struct ordma_peer *peer) OVS_REQUIRES(ordma_mutex);

enum ordma_peer_state {
    ORDMA_PEER_IDLE,            /* Neither connected nor wanted. */
    ORDMA_PEER_BACKOFF,         /* Could not connect, will try again. */
    ORDMA_PEER_CONNECTING,      /* Will be up or fail soon. */
    ORDMA_PEER_UP,              /* Frames can flow. */
};

enum ordma_peer_state ordma_peer_get_state(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex);

/* Returns true if frames can flow. */
bool ordma_peer_is_up(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex);

/* Returns true if 'peer' is up and we have dialed it, not it us. */
bool ordma_peer_has_dialed(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex);

/* Returns a number that changes when 'peer' sends or receives frames. */
uint64_t ordma_peer_n_messages(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex);

/* Adds the state of 'peer' to 'smap', as for the status column. */
void ordma_peer_get_status(const struct ordma_peer *peer, struct smap *smap)
    OVS_REQUIRES(ordma_mutex);

/* Appends a line about 'peer' of 'port', or one about each of its queue pairs,
 * to 'ds'. */
void ordma_peer_show(const struct ordma_peer *peer, const char *port,
                     struct ds *ds) OVS_REQUIRES(ordma_mutex);
void ordma_peer_show_qps(const struct ordma_peer *peer, const char *port,
                         struct ds *ds) OVS_REQUIRES(ordma_mutex);

/* Returns the address of 'peer' (IPv4: mapped). */
const struct in6_addr *ordma_peer_get_remote(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex);

/* Returns the device of the session that is up, or null. */
const struct ordma_dev *ordma_peer_get_dev(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex);

/* An acceptor takes connection requests from peers that are not known yet, on
 * behalf of a port with any number of them. */
struct ordma_acceptor {
    struct ovs_list node;
    struct ordma_peer_config config;    /* Without 'remote' and 'slot'. */

    /* Creates a peer on demand for a request from 'remote' to 'local'.
     * Returns null if the port has as many peers as it may have. */
    struct ordma_peer *(*create)(struct ordma_acceptor *,
                                 const struct in6_addr *remote,
                                 const struct in6_addr *local);
};

/* Begin and end to use 'acceptor'. */
void ordma_acceptor_add(struct ordma_acceptor *acceptor)
    OVS_REQUIRES(ordma_mutex);
void ordma_acceptor_remove(struct ordma_acceptor *acceptor)
    OVS_REQUIRES(ordma_mutex);

/* Do the periodic work of all peers and providers. */
void ordma_peers_run(void) OVS_REQUIRES(ordma_mutex);
void ordma_peers_wait(void) OVS_REQUIRES(ordma_mutex);

#endif /* rdma-peer.h */

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * One end's view of the other. */

#ifndef RDMA_PEER_H
#define RDMA_PEER_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/list.h"
#include "ovs-atomic.h"
#include "rdma-session.h"

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
 * When packets as long as the path MTU are lost and shorter ones are not, the
 * next session's are half as long.
 *
 * Everything here runs in the main thread under 'ordma_mutex'; nothing waits.
 */

struct ordma_peer;

/* Who a peer is. */
struct ordma_peer_id {
    struct in6_addr remote;         /* Its address (IPv4: mapped). */
    struct in6_addr local;          /* Ours, or all zeros for any. */

    /* Where PMD threads find the session that is up, or null. */
    ordma_session_slot *slot;

    /* Null for a peer that dials by itself.  Otherwise the peer is on demand:
     * any thread sets this to make it dial.  The peer clears it. */
    atomic_bool *wanted;
};

/* Creates a peer of 'port', which outlives it, and starts to connect. */
struct ordma_peer *ordma_peer_create(struct ordma_port *port,
                                     const struct ordma_peer_id *id)
    OVS_REQUIRES(ordma_mutex);

/* Disconnects 'peer', which may be null, because of 'reason', and empties its
 * slot.  What its session still has in queues is counted to 'port->stats'
 * later, unless ordma_sessions_orphan() is called. */
void ordma_peer_destroy(struct ordma_peer *peer, const char *reason)
    OVS_REQUIRES(ordma_mutex);

/* Drops the session of 'peer', if any, and dials at once. */
void ordma_peer_reconnect(struct ordma_peer *peer) OVS_REQUIRES(ordma_mutex);

/* Accepts the request 'conn' of 'peer', which says 'hello', or returns why
 * not, in which case 'conn' is still the caller's. */
enum ordma_refusal ordma_peer_request(struct ordma_peer *peer,
                                      struct ordma_conn *conn,
                                      const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex);

enum ordma_peer_state {
    ORDMA_PEER_IDLE,            /* Neither connected nor wanted. */
    ORDMA_PEER_BACKOFF,         /* Could not connect, will try again. */
    ORDMA_PEER_CONNECTING,      /* Will be up or fail soon. */
    ORDMA_PEER_UP,              /* Frames can flow. */
};

/* The state of a peer.  The pointers are valid until 'ordma_mutex' is
 * unlocked. */
struct ordma_peer_info {
    enum ordma_peer_state state;
    const struct ordma_session *session;    /* Any but closed, or null. */
    unsigned int n_connects;        /* Sessions that came up. */
    const char *last_error;         /* Or null. */
    long long int last_error_time;  /* Wall clock, ms. */
};

void ordma_peer_get_info(const struct ordma_peer *peer,
                         struct ordma_peer_info *info)
    OVS_REQUIRES(ordma_mutex);

enum ordma_peer_state ordma_peer_get_state(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex);

/* Returns true if 'peer' is up and we have dialed it, not it us. */
bool ordma_peer_has_dialed(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex);

/* Returns a number that changes when 'peer' sends or receives frames. */
uint64_t ordma_peer_n_messages(const struct ordma_peer *peer)
    OVS_REQUIRES(ordma_mutex);

/* Do the periodic work of all peers. */
void ordma_peers_run(void) OVS_REQUIRES(ordma_mutex);
void ordma_peers_wait(void) OVS_REQUIRES(ordma_mutex);

#endif /* rdma-peer.h */

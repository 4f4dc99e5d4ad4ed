/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What the files of peers share. */

#ifndef RDMA_PEER_PRIVATE_H
#define RDMA_PEER_PRIVATE_H 1

#include "openvswitch/dynamic-string.h"
#include "openvswitch/list.h"
#include "packets.h"
#include "rdma-peer.h"
#include "reconnect.h"

/* What the files of peers share:
 *
 *     rdma-peer.c       Life, reconnection, state.
 *     rdma-handshake.c  Hellos and lanes; the side that dials.
 *     rdma-accept.c     The side that is dialed.
 *     rdma-show.c       What people see of it.
 *
 * All of it is the main thread's, under 'ordma_mutex'. */

struct ordma_peer {
    struct ovs_list node;           /* In 'ordma_peers'. */
    char *name;                     /* For logs. */
    struct ordma_peer_config config;
    char *rdma_dev;                 /* Backs 'config.rdma_dev'. */
    struct reconnect *fsm;          /* When to dial, probe and give up. */
    struct ordma_session *session;  /* In SETUP or UP, or null. */
    struct ordma_session *successor; /* In SETUP, to replace 'session', which
                                      * is UP, when it is UP itself.  Or
                                      * null. */
    long long int successor_deadline; /* When to give that up. */
    long long int yield_at;         /* When our dial yields to the peer's. */
    bool has_failed;                /* Waits for the next attempt. */
    unsigned int n_lanes;           /* Of the last session, or 0. */
    unsigned int n_connects;        /* Sessions that came up. */
    unsigned int n_rx_messages;     /* As last seen, for 'fsm'. */
    char *last_error;               /* Or null. */
    long long int last_error_time;  /* Wall clock, ms. */
};

extern struct ovs_list ordma_peers OVS_GUARDED_BY(ordma_mutex);

/* Closes the session of 'peer', if any, because of 'reason'. */
void ordma_peer_close(struct ordma_peer *peer, const char *reason)
    OVS_REQUIRES(ordma_mutex);

/* Closes the session of 'peer' because of 'reason', an error that people
 * should see, and lets it try again after a while.  A peer on demand that was
 * up goes idle. */
void ordma_peer_fail(struct ordma_peer *peer, const char *reason)
    OVS_REQUIRES(ordma_mutex);

/* Notes that a new session is about to be set up. */
void ordma_peer_begin(struct ordma_peer *) OVS_REQUIRES(ordma_mutex);

/* Makes 'session', which is in SETUP and which the peer has dialed, the
 * session of 'peer' or, while that is UP, its successor.
 *
 * A request is no proof that the peer has started again: anyone can write its
 * address on one.  Only who receives our answers can bring a session UP. */
void ordma_peer_accept(struct ordma_peer *peer,
                       struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex);

/* Makes the successor the session of 'peer'. */
void ordma_peer_succeed(struct ordma_peer *) OVS_REQUIRES(ordma_mutex);

/* Ends 'session' of some peer, because of 'reason'. */
void ordma_peer_session_failed(struct ordma_session *session,
                               const char *reason)
    OVS_REQUIRES(ordma_mutex);

/* Both sides. */

/* Returns what 'peer' says on lane 'lane' of 'session', whose buffers are
 * posted. */
struct ordma_hello ordma_handshake_hello(const struct ordma_peer *peer,
                                         const struct ordma_session *session,
                                         unsigned int lane)
    OVS_REQUIRES(ordma_mutex);

/* Returns ORDMA_REFUSED_NONE if a port with 'config' can work with a peer that
 * says 'hello', otherwise why not. */
enum ordma_refusal ordma_handshake_check(const struct ordma_peer_config *,
                                         const struct ordma_hello *hello);

/* Returns true if 'config' allows the device of 'conn'. */
bool ordma_handshake_is_right_dev(const struct ordma_peer_config *config,
                                  const struct ordma_conn *conn);

/* Notes that the peer has 'theirs' lanes.  Returns false if the session has
 * been created with a smaller number in mind. */
bool ordma_handshake_set_n_lanes(struct ordma_peer *peer, unsigned int theirs)
    OVS_REQUIRES(ordma_mutex);

/* Gives lane 'lane' of 'session' a queue pair on 'conn'.  Returns 0, or a
 * positive errno value and 'conn' is still the caller's. */
int ordma_handshake_add_lane(struct ordma_session *session, unsigned int lane,
                             struct ordma_conn *conn)
    OVS_REQUIRES(ordma_mutex);

/* Notes that 'link' is established. */
void ordma_handshake_established(struct ordma_link *link)
    OVS_REQUIRES(ordma_mutex);

/* The side that dials. */

void ordma_handshake_dial(struct ordma_peer *) OVS_REQUIRES(ordma_mutex);

/* Handle events of 'link', which we have dialed. */
void ordma_handshake_resolved(struct ordma_link *link)
    OVS_REQUIRES(ordma_mutex);
void ordma_handshake_accepted(struct ordma_link *link,
                              const struct ordma_event *)
    OVS_REQUIRES(ordma_mutex);
void ordma_handshake_rejected(struct ordma_link *link,
                              const struct ordma_event *)
    OVS_REQUIRES(ordma_mutex);

/* The side that is dialed. */

/* Handles the request 'event'. */
void ordma_accept_request(const struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex);

#endif /* rdma-peer-private.h */

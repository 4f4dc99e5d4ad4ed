/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Queue pair 1: connection management, and what strangers may take up. */

#ifndef ROCE_GSI_H
#define ROCE_GSI_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heap.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "roce-cm.h"
#include "roce-demux.h"
#include "roce-mad.h"
#include "roce-packet.h"

/* The general service interface
 * =============================
 *
 * A struct roce_gsi is queue pair 1, to which management datagrams (MADs) go:
 * it knows which connections there are, hands each MAD to the one that it is
 * for, and admits requests for new ones.  It is pure: it has no socket, clock,
 * lock or source of random numbers of its own.  Its memory is in proportion to
 * the connections that there are, and whatever happens takes a time that does
 * not depend on their number, or on its logarithm only.
 *
 *
 * Bounds
 * ------
 *
 * Anyone can send us requests, with any source address, so what they take up
 * is limited.  A peer is known, as opposed to a stranger, while we dial it or
 * have a connection with it that has been confirmed: nobody gets there who
 * does not receive what we send to that address.
 *
 *    - Requests of strangers are admitted at 'req_rate' per second, in bursts
 *      of 'req_burst', per group of source addresses.  There are
 *      ROCE_GSI_N_GROUPS groups, and which addresses share one is secret.
 *      Each known peer has a rate of its own, ROCE_GSI_KNOWN_FACTOR times
 *      that.  This does not concern repetitions and other messages.
 *
 *    - A request that is refused takes no room.  For those that are not
 *      confirmed yet there is a limit: 'max_half_open' for all strangers
 *      together, a quarter of that for each of them and four times that for
 *      each known peer.  At the limit, a new one takes the place of the oldest: a
 *      peer that waits for nothing but our answer has confirmed by then, and
 *      those that never will are no obstacle.
 *
 *    - Of the 'max_conns' connections, a quarter is for those that we dial.
 *      Of the rest, an address may have half as many as are free: however many
 *      addresses take what they can get, the next one finds room as well.
 *
 *    - Answers to messages that belong to no connection wait in a ring of
 *      ROCE_GSI_N_REPLIES, and when that is full they are dropped.
 *
 * Whatever is dropped is counted by reason.  Identifiers of connections are
 * random, and each is tied to an address, so that it takes more than a lucky
 * guess to forge a message that matters.
 *
 *
 * Usage
 * -----
 *
 *    - Give each UDP payload to roce_gsi_input(), and handle the event that
 *      comes of it, if any.
 *
 *    - When the time that roce_gsi_deadline() returns has come, call
 *      roce_gsi_run() until it returns ROCE_CM_NONE, handling each event.
 *
 *    - After that and after any call about a connection, send what
 *      roce_gsi_output() returns.
 *
 * A struct roce_cm that roce_gsi_connect() or an event REQUESTED brings up
 * remains valid until an event that ends it, or until the caller rejects or
 * disconnects it: from then on, the GSI sees to the rest alone.
 *
 *
 * Thread-safety
 * -------------
 *
 * None: one thread at a time. */

#define ROCE_GSI_N_GROUPS 64
#define ROCE_GSI_N_REPLIES 32
#define ROCE_GSI_N_SERVICES 16
#define ROCE_GSI_KNOWN_FACTOR 32

/* A MAD and where to send it.  'tx.payload' is 'mad'.  The source port in
 * 'flow' is a proposal: the ICRC, which is not in place yet, must cover that
 * of the datagram. */
struct roce_gsi_tx {
    struct roce_flow flow;
    struct roce_tx tx;
    uint8_t mad[ROCE_MAD_LEN];
};

struct roce_gsi_config {
    uint64_t guid;              /* Random. */
    uint16_t max_mtu;           /* That we accept. */
    uint32_t max_conns;
    uint32_t max_half_open;
    uint32_t req_rate;
    uint32_t req_burst;

    /* Fills in bytes that are hard to guess. */
    void (*random)(void *, size_t n);
};

/* Limits a rate of requests. */
struct roce_bucket {
    uint64_t tokens;            /* In millionths. */
    long long int filled;       /* When. */
};

struct roce_gsi {
    struct roce_gsi_config config;
    uint32_t secret;            /* Which group a source is in. */
    uint32_t mad_psn;
    uint64_t services[ROCE_GSI_N_SERVICES];     /* 0 if free. */

    /* Connections: struct roce_gsi_conn. */
    struct hmap by_id;          /* All, by our identifier. */
    struct hmap by_peer_id;     /* Passive: by peer and its identifier. */
    struct hmap by_peer_qpn;    /* Passive: by peer and its queue pair. */
    struct heap timers;         /* All, by deadline. */
    struct ovs_list pending;    /* Those that have something to send. */
    uint32_t n_passive;

    struct hmap sources;        /* struct roce_gsi_source. */
    struct ovs_list strangers;  /* Half open, of strangers, oldest first. */
    uint32_t n_strangers;       /* Length of that list. */
    struct roce_bucket buckets[ROCE_GSI_N_GROUPS];

    /* Ring, indexed modulo its size. */
    struct roce_mad_reply {
        struct roce_flow flow;
        uint8_t mad[ROCE_MAD_LEN];
    } replies[ROCE_GSI_N_REPLIES];
    uint32_t n_replies, n_replied;

    struct roce_drops drops;
};

/* What has come of a packet or of time. */
struct roce_gsi_event {
    enum roce_cm_event type;
    void *aux;                  /* Of the connection. */
    struct roce_cm *cm;         /* If REQUESTED or CONNECTED. */
    uint16_t reason;            /* If REJECTED: enum roce_rej_reason. */
    struct roce_mad mad;        /* If a message caused it. */
};

void roce_gsi_init(struct roce_gsi *, const struct roce_gsi_config *);
void roce_gsi_destroy(struct roce_gsi *);

int roce_gsi_listen(struct roce_gsi *, uint64_t service_id);
void roce_gsi_unlisten(struct roce_gsi *, uint64_t service_id);

int roce_gsi_connect(struct roce_gsi *, struct roce_cm_target *,
                     const struct roce_cm_side *,
                     const void *private_data, size_t private_len,
                     long long int now, struct roce_cm **);
int roce_gsi_accept(struct roce_gsi *, struct roce_cm *,
                    const struct roce_cm_side *,
                    const void *private_data, size_t private_len,
                    long long int now);
void roce_gsi_reject(struct roce_gsi *, struct roce_cm *, uint16_t reason,
                     const void *private_data, size_t private_len,
                     long long int now);
void roce_gsi_disconnect(struct roce_gsi *, struct roce_cm *,
                         long long int now);

void roce_gsi_input(struct roce_gsi *, const struct roce_flow *,
                    const void *udp_payload, size_t len, long long int now,
                    struct roce_gsi_event *);
void roce_gsi_run(struct roce_gsi *, long long int now,
                  struct roce_gsi_event *);
bool roce_gsi_output(struct roce_gsi *, struct roce_gsi_tx *);
long long int roce_gsi_deadline(const struct roce_gsi *);

#endif /* roce-gsi.h */

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Whose a RoCEv2 packet is, and what strangers may take up. */

#ifndef ROCE_ENDPOINT_H
#define ROCE_ENDPOINT_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "roce-cm.h"
#include "roce-mad.h"
#include "roce-packet.h"
#include "roce-qp.h"

/* RoCEv2 endpoint
 * ===============
 *
 * A struct roce_endpoint is all that answers to one UDP port 4791: it knows
 * which queue pairs and which connections there are and hands each packet to
 * the one that it is for.  Like what it consists of, it is pure: it has no
 * socket, clock, lock or memory of its own.
 *
 *
 * Bounds
 * ------
 *
 * Anyone can send us packets, so what a stranger can use up is limited:
 *
 *    - Tables do not grow.  Their memory is the caller's, and each packet
 *      finds its queue pair or connection by an index within its number, in
 *      constant time.
 *
 *    - Of the connection table, at most 'max_half_open' entries may be taken
 *      by requests that have not come to a connection, or have been a short
 *      time ago, and by any one address at most half as many.  The others are
 *      there for us to connect and for connections.
 *
 *    - Requests, which take a look at the whole table, are admitted at
 *      'req_rate' per second, in bursts of 'req_burst', per group of source
 *      addresses.  There are ROCE_ENDPOINT_N_GROUPS groups, and which
 *      addresses share one is secret.  This does not concern any other packet.
 *
 *    - Answers to messages that belong to no connection wait in a ring of
 *      ROCE_ENDPOINT_N_REPLIES, and when that is full they are dropped.
 *
 * Whatever is dropped is counted by reason.  Numbers of queue pairs and
 * connections are hard to guess, and each is tied to an address, so that it
 * takes more than a lucky guess to forge a packet that matters.
 *
 *
 * Usage
 * -----
 *
 *    - Give each UDP payload to roce_endpoint_input(), and handle the event
 *      that comes of it, if any.  What the queue pair that it names has to
 *      send, and its completions, are between the caller and that queue pair.
 *
 *    - When the time that roce_endpoint_deadline() returns has come, call
 *      roce_endpoint_run() until it returns ROCE_CM_NONE, handling each event.
 *
 *    - After that and after any call about a connection, send what
 *      roce_endpoint_output() returns.
 *
 * A struct roce_cm that an event or roce_endpoint_connect() brings up remains
 * valid until ROCE_CM_EXPIRED.
 *
 *
 * Thread-safety
 * -------------
 *
 * None: one thread at a time. */

#define ROCE_ENDPOINT_N_GROUPS 64
#define ROCE_ENDPOINT_N_REPLIES 32
#define ROCE_ENDPOINT_N_SERVICES 16

/* Why packets are dropped, beyond enum roce_parse_result. */
#define ROCE_DROPS                                              \
    ROCE_DROP(ICRC, "bad ICRC")                                 \
    ROCE_DROP(UNKNOWN_QP, "unknown queue pair")                 \
    ROCE_DROP(UNREADY_QP, "not for the queue pair now")         \
    ROCE_DROP(NOT_MAD, "not a management datagram")             \
    ROCE_DROP(BAD_MAD, "bad management datagram")               \
    ROCE_DROP(UNKNOWN_ID, "unknown connection")                 \
    ROCE_DROP(RATE, "too many requests")                        \
    ROCE_DROP(HALF_OPEN, "too many pending connections")        \
    ROCE_DROP(NO_REPLY, "too many replies pending")

enum roce_drop {
#define ROCE_DROP(NAME, TEXT) ROCE_DROP_##NAME,
    ROCE_DROPS
#undef ROCE_DROP
    ROCE_DROP_N
};

const char *roce_drop_to_string(enum roce_drop);

/* Opaque: the caller only allocates it. */
struct roce_endpoint_qp {
    uint32_t qpn;               /* 0 if free. */
    struct roce_qp *qp;         /* Null until bound. */
    struct roce_cm *cm;
};

/* A MAD and where to send it.  'tx.payload' is 'mad'.  The source port in
 * 'flow' is a proposal: the ICRC, which is not in place yet, must cover that
 * of the datagram. */
struct roce_endpoint_tx {
    struct roce_flow flow;
    struct roce_tx tx;
    uint8_t mad[ROCE_MAD_LEN];
};

struct roce_endpoint_config {
    uint64_t guid;              /* Random. */
    void (*random)(void *, size_t n);   /* Fills in bytes hard to guess. */
    uint16_t max_mtu;           /* That we accept. */
    uint32_t max_half_open;
    uint32_t req_rate;
    uint32_t req_burst;

    /* Tables.  Both sizes are powers of 2. */
    struct roce_endpoint_qp *qps;
    struct roce_cm *cms;
    uint32_t n_qps;
    uint32_t n_cms;
};

/* Limits the rate of requests from a group of source addresses. */
struct roce_bucket {
    uint64_t tokens;            /* In millionths. */
    long long int filled;       /* When. */
};

struct roce_endpoint {
    struct roce_endpoint_config config;
    uint32_t secret;            /* Which group a source is in. */
    uint32_t n_cms;             /* All connections from here on are idle. */
    uint32_t mad_psn;

    uint64_t services[ROCE_ENDPOINT_N_SERVICES]; /* 0 if free. */
    struct roce_bucket buckets[ROCE_ENDPOINT_N_GROUPS];

    /* Ring, indexed modulo its size. */
    struct roce_mad_reply {
        struct roce_flow flow;
        uint8_t mad[ROCE_MAD_LEN];
    } replies[ROCE_ENDPOINT_N_REPLIES];
    uint32_t n_replies, n_replied;

    uint64_t n_refused[ROCE_PARSE_N]; /* By the packet parser. */
    uint64_t n_dropped[ROCE_DROP_N];
};

/* What has come of a packet or of time. */
struct roce_endpoint_event {
    struct roce_qp *qp;         /* That took the packet, if nonnull. */

    enum roce_cm_event type;
    struct roce_cm *cm;         /* If 'type' is not ROCE_CM_NONE. */
    struct roce_mad mad;        /* Likewise, if a message caused it. */
};

void roce_endpoint_init(struct roce_endpoint *,
                        const struct roce_endpoint_config *);

uint32_t roce_endpoint_alloc_qpn(struct roce_endpoint *);
void roce_endpoint_bind_qp(struct roce_endpoint *, uint32_t qpn,
                           struct roce_qp *, struct roce_cm *);
void roce_endpoint_free_qpn(struct roce_endpoint *, uint32_t qpn);

int roce_endpoint_listen(struct roce_endpoint *, uint64_t service_id);
void roce_endpoint_unlisten(struct roce_endpoint *, uint64_t service_id);
int roce_endpoint_connect(struct roce_endpoint *, struct roce_cm_target *,
                          const struct roce_cm_side *,
                          const void *private_data, size_t private_len,
                          long long int now, struct roce_cm **);

void roce_endpoint_input(struct roce_endpoint *, const struct roce_flow *,
                         const void *udp_payload, size_t len,
                         long long int now, struct roce_endpoint_event *);
void roce_endpoint_run(struct roce_endpoint *, long long int now,
                       struct roce_endpoint_event *);
bool roce_endpoint_output(struct roce_endpoint *, struct roce_endpoint_tx *);
long long int roce_endpoint_deadline(const struct roce_endpoint *);

#endif /* roce-endpoint.h */

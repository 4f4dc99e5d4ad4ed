/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What two ends tell each other while connecting. */

#ifndef RDMA_HELLO_H
#define RDMA_HELLO_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/types.h"

/* What two switches tell each other while they connect
 * ====================================================
 *
 * The private data of the connection manager's messages: a "hello" in REQ and
 * in REP, a "refusal" in REJ.  Documentation/topics/rdma/wire.rst is the
 * specification.
 *
 * A session is a set of queue pairs, the lanes, between one port and its peer.
 * Each lane has a connection of its own and says hello on its own; a session
 * number ties the lanes together.
 *
 * Thread-safety
 * =============
 *
 * The functions are pure, and the parsers trust nothing in their input. */

/* All the private data that a REQ can carry (InfiniBand Architecture
 * Specification, annex A11). */
#define ORDMA_HELLO_LEN 56
#define ORDMA_REFUSAL_LEN 8

/* The most lanes that two ports can have between them. */
#define ORDMA_MAX_LANES 64

/* Bits of ordma_hello's 'features'. */
enum ordma_feature {
    /* Frames may have ORDMA_REC_PARTIAL, ORDMA_REC_L4_GOOD and 'gso_size', and
     * be as long as 'max_msg' allows if they have the last. */
    ORDMA_FEATURE_OFFLOAD = 1 << 0,
};

/* How a port treats the keys of one direction. */
enum ordma_key_mode {
    ORDMA_KEY_FIXED,            /* Frames carry the key configured, or 0. */
    ORDMA_KEY_FLOW,             /* Frames carry any key. */
    ORDMA_N_KEY_MODES
};

struct ordma_key {
    enum ordma_key_mode mode;
    ovs_be64 key;               /* 0 unless mode is ORDMA_KEY_FIXED. */
};

struct ordma_hello {
    uint32_t features;          /* ORDMA_FEATURE_*: both sides must agree. */
    uint32_t max_msg;           /* Longest message sender receives, bytes. */
    uint16_t credits;           /* DATA messages its receiver may send. */
    uint8_t n_lanes;            /* Lanes of the sender, 1...ORDMA_MAX_LANES. */
    uint8_t lane;               /* This connection's lane. */
    uint64_t session;           /* Random number chosen by the side that dialed
                                 * lane 0; never 0. */
    struct ordma_key in_key;    /* Keys that the sender receives. */
    struct ordma_key out_key;   /* Keys that the sender sends. */
};

/* Reasons to reject a REQ.  The text completes "rejected by peer: ". */
#define ORDMA_REFUSALS                                                  \
    ORDMA_REFUSAL(NONE,     "no reason given")                          \
    ORDMA_REFUSAL(HELLO,    "it speaks another protocol or version")    \
    ORDMA_REFUSAL(NO_PORT,  "it has no rdma port with this remote_ip")  \
    ORDMA_REFUSAL(KEY,      "its ports for this remote_ip have other keys") \
    ORDMA_REFUSAL(CROSSING, "it is dialing at the same time")           \
    ORDMA_REFUSAL(FEATURES, "its offload settings differ "              \
                            "(other_config:userspace-tso-enable)")      \
    ORDMA_REFUSAL(SESSION,  "it has ended that session")                \
    ORDMA_REFUSAL(BUSY,     "its port is connected to another port")    \
    ORDMA_REFUSAL(RESOURCE, "it is out of resources, see its log")      \
    ORDMA_REFUSAL(PEERS,    "its port has max_peers peers already")     \
    ORDMA_REFUSAL(MTU,      "packets as long as the path MTU get lost")

enum ordma_refusal {
#define ORDMA_REFUSAL(NAME, TEXT) ORDMA_REFUSED_##NAME,
    ORDMA_REFUSALS
#undef ORDMA_REFUSAL
    ORDMA_N_REFUSALS
};

/* Returns a sentence part that explains 'refusal', for logs and status. */
const char *ordma_refusal_to_string(enum ordma_refusal refusal);

/* Writes 'hello' as ORDMA_HELLO_LEN bytes to 'dst'. */
void ordma_hello_put(void *dst, const struct ordma_hello *hello);

/* Parses the 'len' bytes at 'data', which can be more than a hello because
 * the connection manager pads private data, into '*hello'.  Returns false,
 * '*hello' being indeterminate, if they are not a valid hello. */
bool ordma_hello_parse(const void *data, size_t len,
                       struct ordma_hello *hello);

/* Writes 'refusal' as ORDMA_REFUSAL_LEN bytes to 'dst'. */
void ordma_refusal_put(void *dst, enum ordma_refusal refusal);

/* Returns the reason in the 'len' bytes at 'data', ORDMA_REFUSED_NONE if there
 * is none or one that this version does not know. */
enum ordma_refusal ordma_refusal_parse(const void *data, size_t len);

/* Returns true if a port that receives the keys 'in' can understand a port
 * that sends the keys 'out'.  Only two fixed and different keys cannot. */
static inline bool
ordma_keys_match(const struct ordma_key *in, const struct ordma_key *out)
{
    return (in->mode == ORDMA_KEY_FLOW || out->mode == ORDMA_KEY_FLOW
            || in->key == out->key);
}

static inline bool
ordma_key_equals(const struct ordma_key *a, const struct ordma_key *b)
{
    return a->mode == b->mode && a->key == b->key;
}

#endif /* rdma-hello.h */

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Whose a RoCEv2 packet is. */

#ifndef ROCE_DEMUX_H
#define ROCE_DEMUX_H 1

#include <stddef.h>
#include <stdint.h>

#include "roce-icrc.h"
#include "roce-packet.h"

/* Demultiplexing
 * ==============
 *
 * A struct roce_qpns is the table of queue pair numbers in use, and
 * roce_demux() finds in it whose a packet is.  A number is the index of its
 * slot in its lower bits and random for the rest, so that a look at one slot
 * tells.  The table grows with the queue pairs that there are: it has at least
 * twice as many slots, so that a random number finds one soon.
 *
 * Thread-safety: any number of threads may look numbers up while none adds or
 * removes one. */

#define ROCE_MAX_QPS 16384

struct roce_qpns {
    struct roce_qpn_slot {
        uint32_t qpn;           /* 0 if free. */
        void *owner;
    } *slots;
    uint32_t mask;              /* Number of slots, a power of 2, minus 1. */
    uint32_t n;                 /* Slots in use. */
    uint32_t n_added;           /* Ever. */
};

void roce_qpns_init(struct roce_qpns *);
void roce_qpns_destroy(struct roce_qpns *);
uint32_t roce_qpns_add(struct roce_qpns *, void *owner,
                       void (*random)(void *, size_t n));
void roce_qpns_remove(struct roce_qpns *, uint32_t qpn);

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
    ROCE_DROP(SHARE, "too many connections")                    \
    ROCE_DROP(NO_REPLY, "too many replies pending")

enum roce_drop {
#define ROCE_DROP(NAME, TEXT) ROCE_DROP_##NAME,
    ROCE_DROPS
#undef ROCE_DROP
    ROCE_DROP_N
};

const char *roce_drop_to_string(enum roce_drop);

/* Packets dropped, by reason. */
struct roce_drops {
    uint64_t refused[ROCE_PARSE_N]; /* By the parser. */
    uint64_t dropped[ROCE_DROP_N];
};

void *roce_demux(const struct roce_qpns *, struct roce_icrc_flow *,
                 const void *udp_payload, size_t len, struct roce_packet *,
                 struct roce_drops *);

#endif /* roce-demux.h */

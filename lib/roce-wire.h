/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * How RoCEv2 packets get to the network and from it. */

#ifndef ROCE_WIRE_H
#define ROCE_WIRE_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "openvswitch/types.h"
#include "roce-icrc.h"
#include "roce-packet.h"

/* Wires
 * =====
 *
 * A wire carries RoCEv2 packets between all the IP addresses of this host and
 * the peers that it has routes to.  It knows about IP and UDP, which the
 * packets of roce-packet.h are the payload of, and about the ICRC, because
 * that covers the IP header, and only the wire knows what that will be.
 *
 *     struct roce_wire_class   an implementation.
 *     struct roce_wire         UDP port 4791 of this host.
 *     struct roce_path         from one of its addresses to a peer.
 *
 * A wire has several receive queues: one for MADs and several for everything
 * else, so that a flood of the one kind of packets costs the other kind
 * nothing and that threads which serve different queue pairs can receive at
 * the same time.
 *
 * Errors are positive errno values, 0 is success.  No function blocks.
 *
 * Thread-safety: one thread at a time may receive from a queue, and one may
 * send to a path.  open(), close(), path_open() and path_close() are for one
 * thread. */

#define ROCE_WIRE_N_DATA 4      /* Queues for data: a power of 2. */

/* Receive queues: what is for queue pair 1, and what is for the others, by
 * roce_wire_data_queue(). */
enum {
    ROCE_WIRE_MAD = ROCE_WIRE_N_DATA,
    ROCE_WIRE_N_QUEUES
};

/* Returns the receive queue for packets to queue pair 'qpn', which is not that
 * of MADs.  Packets too short to tell are in queue 0. */
static inline unsigned int
roce_wire_data_queue(uint32_t qpn)
{
    return qpn % ROCE_WIRE_N_DATA;
}

/* Packets received one after the other along 'flow', whose 'dst' is the local
 * address that the peer has sent them to: each has 'segment_len' bytes of
 * 'data', but the last may have less. */
struct roce_rx {
    struct roce_flow flow;
    const uint8_t *data;
    size_t len;
    size_t segment_len;         /* At least 1. */
};

#define ROCE_WIRE_MAX_RX 8

struct udp_sender;

struct roce_wire {
    const struct roce_wire_class *class;

    /* Packets that the system has dropped because a queue was full.  Written
     * by the thread that receives from the queue. */
    uint32_t n_overflows[ROCE_WIRE_N_QUEUES];
};

/* What path_open() wants to know. */
struct roce_path_config {
    struct in6_addr src;        /* Own address. */
    struct in6_addr dst;        /* The peer's, of the same family. */
    uint8_t tos;
    uint8_t ttl;                /* 0 for the system's. */

    /* UDP source port wanted, 0 for that of the wire.  What the path gets is
     * another one, but it varies with this. */
    ovs_be16 sport;

    /* Does the peer accept packets with a UDP checksum, as one has to be if
     * someone else is to cut a message into packets? */
    bool takes_checksum;
};

/* What a datagram's control data needs at most, for its source address, type
 * of service and time to live. */
#define ROCE_PATH_CONTROL_LEN (CMSG_SPACE(sizeof(struct in6_pktinfo)) \
                               + 2 * CMSG_SPACE(sizeof(int)))

/* Initialized by path_open(), private to the wire after that. */
struct roce_path {
    struct roce_wire *wire;
    struct roce_icrc_flow icrc;
    struct sockaddr_storage dst;
    socklen_t dst_len;
    int fd;
    struct udp_sender *sender;  /* Null for the wire's own port. */
    bool segments;              /* Send several packets as one? */
    union {
        struct cmsghdr align;
        uint8_t space[ROCE_PATH_CONTROL_LEN];
    } control;
    size_t control_len;

    /* Written by the thread that sends. */
    uint64_t n_unsent;          /* Packets that the system did not take. */
    int error;                  /* Why, unless others have been sent since. */
};

struct roce_wire_class {
    const char *name;

    /* Opens a wire.  Returns 0 and the wire in '*wirep', or EADDRINUSE if
     * someone else receives RoCEv2 on this host. */
    int (*open)(struct roce_wire **wirep);
    void (*close)(struct roce_wire *);

    /* Moves up to 'n' trains of packets, at most ROCE_WIRE_MAX_RX, to 'rxs'
     * and returns how many.  Their data stays until the next call for the same
     * queue. */
    int (*recv_batch)(struct roce_wire *, unsigned int queue,
                      struct roce_rx *rxs, int n);

    /* Arranges for poll_block() to wake up when 'queue' has something. */
    void (*recv_wait)(struct roce_wire *, unsigned int queue);

    /* Prepares for sending as '*config' says.  Returns 0 and initializes
     * '*path', or returns an error. */
    int (*path_open)(struct roce_wire *, const struct roce_path_config *,
                     struct roce_path *path);
    void (*path_close)(struct roce_path *);

    /* Seals and sends the 'n' packets 'txs'.  Returns how many are done with:
     * either sent or, if another try is useless, dropped and counted.
     * Less than 'n' means that there is no room now. */
    int (*send_batch)(struct roce_path *, struct roce_tx *txs, int n);
};

extern const struct roce_wire_class roce_udp_class;

#endif /* roce-wire.h */

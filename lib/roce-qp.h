/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * A RoCEv2 queue pair with reliable connected service. */

#ifndef ROCE_QP_H
#define ROCE_QP_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/types.h"
#include "roce-packet.h"

/* Reliable connections over RoCEv2
 * ================================
 *
 * A struct roce_qp is one end of a reliable connection (RC) that carries SEND
 * messages both ways.  It is a pure state machine: packets, work requests and
 * the time go in, packets and completions come out.  It has no socket, clock,
 * lock or memory of its own: the caller supplies the rings for work requests,
 * and time is an argument, in microseconds since any fixed moment.
 *
 *
 * Usage
 * -----
 *
 * After roce_qp_init(), post messages with roce_qp_post_send() and buffers
 * for messages with roce_qp_post_recv().  Then, for ever:
 *
 *    - Give each packet that arrives to roce_qp_input().
 *
 *    - Once per batch of them, after posting and when the time that
 *      roce_qp_deadline() returns has come, call roce_qp_output() until it
 *      has nothing more, and send what it returns.  When that is done, call
 *      roce_qp_sent().
 *
 *    - Collect completions with roce_qp_poll().
 *
 * A posted message is sent from where it is, and a received packet is copied
 * once, straight to its place in the posted buffer.  So memory that has been
 * posted belongs to the queue pair until its completion has been polled.
 * Packets that roce_qp_output() returned point to posted memory, and until
 * roce_qp_sent() is called, a send that one of them belongs to does not
 * complete, whatever the peer says, except when the queue pair ends: after
 * that, they must be sent or forgotten before the next roce_qp_poll().
 *
 * Queue pairs can share buffers: ask roce_qp_needs_recv() about each packet
 * first, and post one to this queue pair if it says so.
 *
 *
 * Requester
 * ---------
 *
 * The send ring has five indices that only grow:
 *
 *       polled <= done <= next <= seen <= posted
 *
 *          |        |       |       |       |
 *     ..free..|.to poll.|.in flight.|.to send again.|.not yet sent.|..free..
 *
 * Each packet has a sequence number (PSN), and una_psn <= next_psn <= max_psn
 * are the first one not yet acknowledged, the next one to send, and the first
 * one never sent.  Acknowledgments are cumulative.  When the peer reports a
 * gap or a receiver that is not ready, or when nothing is heard from it for
 * too long, then 'next' goes back to 'done', and everything from there is
 * sent again (go-back-N).  Nothing is queued twice, so no amount of negative
 * acknowledgments takes memory, and a repeated one for the same PSN does
 * nothing.  A peer that says that it is not ready for ROCE_MAX_STALL, and
 * takes nothing meanwhile, fails the queue pair, however many retries it has
 * asked for: it must not keep memory for ever.
 *
 * The caller may still have to send packets from held_psn on, which is max_psn
 * if it has none and less if some of them are sent again.  A reply that tells
 * of packets behind that waits for roce_qp_sent(): the peer may have got them
 * from another thread's hand, or it may be lying.
 *
 * An acknowledgment is asked for in the last packet of every message, in the
 * last one that the window admits, and every now and then in between.
 *
 *
 * Responder
 * ---------
 *
 * Only the packet with the expected PSN is taken.  A later one tells of a gap,
 * which is reported once; an earlier one is a duplicate, whose acknowledgment
 * must have been lost.  Whatever there is to reply is only noted, and
 * roce_qp_output() makes at most one packet out of it: an acknowledgment of
 * all that a batch has brought, or the negative one that covers as much.
 *
 *
 * Completions
 * -----------
 *
 * There is no completion queue that could overflow: a work request keeps its
 * slot of the ring until its completion has been polled.
 *
 *
 * Errors and teardown
 * -------------------
 *
 * A queue pair ends once and for all when the peer does not answer, refuses a
 * message or breaks the protocol, and when roce_qp_stop() is called.  It does
 * so in three phases: it takes no packet and no receive from then on, and no
 * send other than to flush it; its timer stops; all work requests complete,
 * the one at fault with the reason and the others as flushed.  After the last
 * completion is polled, nothing refers to posted memory any longer.  A
 * negative acknowledgment that tells the peer why may still be waiting for
 * roce_qp_output().
 *
 *
 * Thread-safety
 * -------------
 *
 * None: one thread at a time. */

/* Longest message. */
#define ROCE_MAX_MESSAGE (8 * 1024 * 1024)

/* How a work request or a queue pair fared. */
#define ROCE_STATUSES                                                   \
    ROCE_STATUS(OK, "ok")                                               \
    ROCE_STATUS(FLUSHED, "flushed")                                     \
    ROCE_STATUS(STOPPED, "stopped")                                     \
    ROCE_STATUS(NO_ACK, "peer does not acknowledge")                    \
    ROCE_STATUS(NOT_READY, "peer has no receive buffers")               \
    ROCE_STATUS(REMOTE_INVALID, "peer calls a request invalid")         \
    ROCE_STATUS(REMOTE_ACCESS, "peer denies access")                    \
    ROCE_STATUS(REMOTE_OPERATION, "peer failed to serve a request")     \
    ROCE_STATUS(LOCAL_LENGTH, "message longer than receive buffer")     \
    ROCE_STATUS(BAD_OPCODE, "peer sent an unsupported request")         \
    ROCE_STATUS(BAD_SEQUENCE, "peer interleaved messages")              \
    ROCE_STATUS(BAD_LENGTH, "peer sent a packet of wrong length")

enum roce_status {
#define ROCE_STATUS(NAME, TEXT) ROCE_##NAME,
    ROCE_STATUSES
#undef ROCE_STATUS
    ROCE_N_STATUSES
};

const char *roce_status_to_string(enum roce_status);

/* A work request in its ring.  Opaque: the caller only allocates it. */
struct roce_send_slot {
    const uint8_t *data;
    uint32_t len;
    uint32_t start;             /* Position in the stream of bytes. */
    uint64_t wr_id;
    uint32_t first_psn;         /* Valid once in flight. */
    uint8_t status;             /* enum roce_status. */
    bool signalled;
};

struct roce_recv_slot {
    uint8_t *data;
    uint32_t size;
    uint32_t len;               /* Valid once done. */
    uint64_t wr_id;
    ovs_be32 imm;
    uint8_t status;             /* enum roce_status. */
    bool has_imm;
    bool solicited;
};

struct roce_completion {
    uint64_t wr_id;
    enum roce_status status;
    bool is_recv;
    bool has_imm;               /* For a receive only, as what follows. */
    bool solicited;
    uint32_t len;
    ovs_be32 imm;
};

/* What a connection is made of.  Most of it comes from the exchange of
 * connection management messages. */
struct roce_qp_config {
    struct in6_addr local_ip;
    struct in6_addr remote_ip;
    uint32_t local_qpn;
    uint32_t remote_qpn;
    uint32_t send_psn;          /* First PSN that we send. */
    uint32_t recv_psn;          /* First PSN that the peer sends. */
    uint16_t mtu;               /* Path MTU: 256, 512, ..., 4096. */
    uint8_t timeout;            /* 4.096 us << timeout, or 0 for none. */
    uint8_t retry_count;        /* 0 to 7. */
    uint8_t rnr_retry;          /* 0 to 6, or 7 for endless. */
    uint8_t min_rnr_timer;      /* Code 0 to 31 that our RNR NAKs carry. */
    uint32_t max_packets;       /* In flight: 1 to ROCE_MAX_WINDOW. */
    uint32_t max_bytes;         /* In flight, but at least one packet. */

    /* Rings.  Both sizes are powers of 2. */
    struct roce_send_slot *send_slots;
    struct roce_recv_slot *recv_slots;
    uint32_t n_send_slots;
    uint32_t n_recv_slots;
};

#define ROCE_MAX_WINDOW (1 << 22)
#define ROCE_MAX_STALL (10 * 1000 * 1000) /* In usec. */

enum roce_qp_state {
    ROCE_QP_READY,
    ROCE_QP_ERROR,
};

/* What waits to be replied to the peer. */
enum roce_reply {
    ROCE_REPLY_NONE,
    ROCE_REPLY_ACK,
    ROCE_REPLY_GAP,
    ROCE_REPLY_NOT_READY,
    ROCE_REPLY_FATAL,
};

struct roce_requester {
    struct roce_send_slot *slots;
    uint32_t mask;

    /* Indices into 'slots', modulo 2**32. */
    uint32_t polled;
    uint32_t done;
    uint32_t next;
    uint32_t seen;
    uint32_t posted;

    /* PSNs. */
    uint32_t una_psn;
    uint32_t next_psn;
    uint32_t max_psn;
    uint32_t held_psn;          /* See above: at most 'max_psn'. */

    /* Positions in the stream of bytes, modulo 2**32. */
    uint32_t una_pos;
    uint32_t next_pos;
    uint32_t posted_pos;

    uint32_t max_packets;
    uint32_t max_bytes;
    uint32_t n_unasked;         /* Packets since one asked for an ACK. */
    uint32_t ask_every;         /* Limit for the former. */

    long long int timer;        /* LLONG_MAX if not running. */
    long long int timeout;      /* In usec, LLONG_MAX for none. */
    long long int progress;     /* When 'una_psn' was sent or advanced last. */
    bool paused;                /* Until 'timer', by an RNR NAK. */
    bool nak_handled;           /* One for 'una_psn'? */
    uint8_t retries_left;
    uint8_t rnr_retries_left;
    uint8_t retry_count;
    uint8_t rnr_retry;

    /* The latest reply that waits for roce_qp_sent(). */
    bool has_early;
    uint8_t early_syndrome;
    uint32_t early_psn;
};

struct roce_responder {
    struct roce_recv_slot *slots;
    uint32_t mask;

    /* Indices into 'slots', modulo 2**32: polled <= done <= posted. */
    uint32_t polled;
    uint32_t done;
    uint32_t posted;

    uint32_t psn;               /* Expected. */
    uint32_t gap_psn;           /* Latest PSN that came too early. */
    uint32_t msn;               /* Messages completed. */
    uint32_t offset;            /* Bytes of the current message. */
    bool in_message;            /* Between a first and a last packet? */
    bool nak_sent;              /* For 'psn'? */
    uint8_t reply;              /* enum roce_reply. */
    uint8_t rnr_timer;
};

struct roce_qp_stats {
    uint64_t tx_packets;        /* Requests, retransmitted or not. */
    uint64_t tx_replies;
    uint64_t rx_requests;       /* In order. */
    uint64_t rx_replies;
    uint64_t rx_duplicates;     /* Requests that came before. */
    uint64_t rx_gaps;           /* Requests that came too early. */
    uint64_t rx_ghosts;         /* Replies to nothing in flight. */
    uint64_t rx_naks;           /* PSN sequence errors acted on. */
    uint64_t rx_not_ready;      /* RNR NAKs acted on. */
    uint64_t tx_not_ready;      /* RNR NAKs sent. */
    uint64_t timeouts;
    uint64_t rx_dropped;        /* From strangers, or not in READY. */
    uint64_t rx_cnps;           /* Congestion notifications. */
};

struct roce_qp {
    /* Each packet is checked against these, so they share a cache line. */
    enum roce_qp_state state;
    enum roce_status status;    /* Why 'state' is ROCE_QP_ERROR. */
    uint32_t local_qpn;
    uint32_t remote_qpn;
    uint32_t mtu;
    struct in6_addr local_ip;
    struct in6_addr remote_ip;

    struct roce_requester req;
    struct roce_responder resp;
    struct roce_qp_stats stats;
};
BUILD_ASSERT_DECL(offsetof(struct roce_qp, req) <= 64);

int roce_qp_init(struct roce_qp *, const struct roce_qp_config *);
void roce_qp_stop(struct roce_qp *, enum roce_status reason);

int roce_qp_post_send(struct roce_qp *, const void *data, uint32_t len,
                      uint64_t wr_id, bool signalled);
int roce_qp_post_recv(struct roce_qp *, void *data, uint32_t size,
                      uint64_t wr_id);
size_t roce_qp_poll(struct roce_qp *, struct roce_completion *, size_t max);

bool roce_qp_needs_recv(const struct roce_qp *, const struct roce_flow *,
                        const struct roce_packet *);
bool roce_qp_input(struct roce_qp *, const struct roce_flow *,
                   const struct roce_packet *, long long int now);
size_t roce_qp_output(struct roce_qp *, struct roce_tx *, size_t max,
                      long long int now);
void roce_qp_sent(struct roce_qp *, long long int now);
long long int roce_qp_deadline(const struct roce_qp *);
uint32_t roce_qp_backlog(const struct roce_qp *);

/* Returns true if roce_qp_poll() may have something to return. */
static inline bool
roce_qp_is_pollable(const struct roce_qp *qp)
{
    return (qp->req.polled != qp->req.done
            || qp->resp.polled != qp->resp.done);
}

/* Returns true if the peer waits for a reply. */
static inline bool
roce_qp_has_reply(const struct roce_qp *qp)
{
    return qp->resp.reply != ROCE_REPLY_NONE;
}

#endif /* roce-qp.h */

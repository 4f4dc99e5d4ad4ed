/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The state machine of an InfiniBand connection manager's connection. */

#ifndef ROCE_CM_H
#define ROCE_CM_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "roce-mad.h"
#include "roce-packet.h"
#include "roce-qp.h"

/* Connection management
 * =====================
 *
 * A struct roce_cm is one end of a connection, as far as its setup and its
 * teardown are concerned.  It is a pure state machine: messages, requests of
 * its user and the time go in, messages and events come out.  The caller owns
 * all memory, and time is an argument, in microseconds.
 *
 *
 * States
 * ------
 *
 *                    IDLE
 *          connect() /  \ request()
 *                   v    v
 *            REQ_SENT    REQ_RCVD ---- reject() ------.
 *                   |    | accept()                   |
 *        REP -> RTU |    v                            |
 *                   |  REP_SENT                       |
 *                   |    | RTU                        |
 *                   v    v                            |
 *                 ESTABLISHED                         |
 *      disconnect() |    | DREQ -> DREP               |
 *                   v    |                            |
 *            DREQ_SENT   |                            |
 *               DREP |   |                            |
 *                    v   v                            v
 *                      IDLE <-------------------------'
 *
 * Only an RTU shows that the peer has received our REP.  A packet on the queue
 * pair, which the specification lets count as one (volume 1, chapter 12), is
 * forged by who guesses much less than our identifier of the connection.
 *
 * A REJ leads to IDLE from anywhere, and so does a peer that does not answer.
 * An idle connection has at most one last message to send.  It takes none, and
 * there is no state TimeWait: what the peer repeats because it missed our last
 * message can be answered without memory of the connection, and its numbers
 * are not used for another one soon because they are random.  So what is over,
 * a refused request above all, takes no room.
 *
 *
 * Usage
 * -----
 *
 * Either roce_cm_connect(), or give a REQ that roce_cm_check_request() finds
 * acceptable to roce_cm_request(), and follow up by roce_cm_accept() or
 * roce_cm_reject().  Then, for ever:
 *
 *    - Give each MAD for the connection to roce_cm_input().
 *
 *    - When the time that roce_cm_deadline() returns has come, call
 *      roce_cm_run().
 *
 *    - After each of these calls, handle the event that it returned, and then
 *      send the MADs that roce_cm_output() packs.
 *
 * There is one event REQUESTED or none, then CONNECTED or not, and in the end
 * exactly one of the others, unless the connection is idle after a call of
 * roce_cm_reject() or roce_cm_disconnect(), which tells as much.
 *
 * On ROCE_CM_CONNECTED, on the active side, or when about to accept, on the
 * passive one, roce_cm_get_qp_config() tells how to initialize the queue pair.
 *
 *
 * Repetition
 * ----------
 *
 * A REQ or DREQ is repeated after 250, 500, 1000... ms, a REP after 125, 250,
 * 500... ms, until it is answered or given up.  An MRA from the peer makes
 * that wait, for a limited time and a limited number of times.  A message is
 * packed anew each time, so nothing is queued: a flood of duplicates costs one
 * answer per roce_cm_output().
 *
 *
 * Thread-safety
 * -------------
 *
 * None: one thread at a time. */

enum roce_cm_state {
    ROCE_CM_IDLE,
    ROCE_CM_REQ_SENT,
    ROCE_CM_REQ_RCVD,
    ROCE_CM_REP_SENT,
    ROCE_CM_ESTABLISHED,
    ROCE_CM_DREQ_SENT,
    ROCE_CM_N_STATES
};

enum roce_cm_event {
    ROCE_CM_NONE,
    ROCE_CM_REQUESTED,          /* Accept or reject. */
    ROCE_CM_CONNECTED,
    ROCE_CM_REJECTED,           /* What we dialed: see 'reason'. */
    ROCE_CM_UNREACHABLE,
    ROCE_CM_DISCONNECTED,
};

/* What one side of a connection contributes. */
struct roce_cm_side {
    uint32_t qpn;
    uint32_t recv_psn;          /* First PSN that this side expects. */
    uint16_t mtu;               /* Only the active side's counts. */
    uint8_t traffic_class;      /* Likewise. */

    /* For the other side's queue pair; the first two count only if they come
     * from the active side. */
    uint8_t ack_timeout;        /* 4.096 us << ack_timeout. */
    uint8_t retry_count;
    uint8_t rnr_retry;
};

/* What to connect to, and as whom. */
struct roce_cm_target {
    struct in6_addr local_ip;
    struct in6_addr remote_ip;
    uint64_t guid;              /* Ours; random per process. */
    uint32_t id;                /* Ours; unique, random. */
    uint64_t service_id;
    uint16_t src_port;
};

#define ROCE_CM_SERVICE_TCP UINT64_C(0x0000000001060000) /* Plus port. */

/* All zeros is a valid idle connection. */
struct roce_cm {
    void *aux;                  /* The user's. */
    enum roce_cm_state state;
    bool is_active;
    uint8_t n_left;             /* Expirations of 'timer' to bear. */
    uint8_t n_waits_left;       /* MRAs to heed. */
    uint32_t pending;           /* 1-bit for each MAD type to be sent. */
    long long int timer;        /* If the state has a time limit. */
    long long int interval;     /* Next setting of 'timer'. */

    struct in6_addr local_ip;
    struct in6_addr remote_ip;
    uint64_t local_guid, remote_guid;
    uint32_t local_id, remote_id;
    uint64_t service_id;
    uint16_t src_port;
    uint64_t tid;               /* Of the REQ. */
    uint64_t dreq_tid;          /* Of the DREQ that came. */

    struct roce_cm_side local, remote;
    uint16_t reason;            /* Of a REJ sent or received. */
    enum roce_mad_about about;  /* Of a REJ sent. */

    /* Of the REQ, REP or REJ to be sent. */
    uint8_t private_len;
    uint8_t private_data[ROCE_REP_PRIVATE_LEN];
};

int roce_cm_connect(struct roce_cm *, const struct roce_cm_target *,
                    const struct roce_cm_side *, const void *private_data,
                    size_t private_len, long long int now);

uint16_t roce_cm_check_request(const struct roce_mad *,
                               const struct roce_flow *, uint16_t max_mtu);
enum roce_cm_event roce_cm_request(struct roce_cm *, const struct roce_mad *,
                                   const struct roce_flow *, uint64_t guid,
                                   uint32_t id, long long int now);
int roce_cm_accept(struct roce_cm *, const struct roce_cm_side *,
                   const void *private_data, size_t private_len,
                   long long int now);
int roce_cm_reject(struct roce_cm *, uint16_t reason,
                   const void *private_data, size_t private_len,
                   long long int now);

void roce_cm_disconnect(struct roce_cm *, long long int now);
void roce_cm_give_up(struct roce_cm *, long long int now);

enum roce_cm_event roce_cm_input(struct roce_cm *, const struct roce_mad *,
                                 const struct roce_flow *, long long int now);
enum roce_cm_event roce_cm_run(struct roce_cm *, long long int now);
bool roce_cm_output(struct roce_cm *, uint8_t buf[ROCE_MAD_LEN]);
long long int roce_cm_deadline(const struct roce_cm *);

void roce_cm_get_qp_config(const struct roce_cm *, struct roce_qp_config *);

bool roce_cm_is_duplicate(const struct roce_cm *, const struct roce_mad *,
                          const struct roce_flow *);
bool roce_cm_is_stale(const struct roce_cm *, const struct roce_mad *,
                      const struct roce_flow *);

/* Answers to messages for which there is no connection. */
void roce_cm_pack_reject(const struct roce_mad *, uint16_t reason,
                         uint16_t max_mtu, uint8_t buf[ROCE_MAD_LEN]);
void roce_cm_pack_drep(const struct roce_mad *dreq, uint8_t buf[ROCE_MAD_LEN]);

#endif /* roce-cm.h */

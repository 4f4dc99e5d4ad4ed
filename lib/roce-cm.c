/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The state machine of an InfiniBand connection manager's connection. */

#include <config.h>

#include "roce-cm.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "packets.h"
#include "unaligned.h"
#include "util.h"

#define SECOND (1000 * 1000LL)
#define MAX_INTERVAL (8 * SECOND)
#define MAX_WAIT (64 * SECOND)  /* Longest that an MRA makes us wait. */
#define MAX_WAITS 4             /* How many MRAs do. */

static const struct cm_state_info {
    /* How long each state may take: 'timer' is first set to 'wait' and may
     * expire 'n' times, 0 if there is no limit.  Each time but the last,
     * 'message' is sent again, and the last time the state gives up. */
    long long int wait;
    int n;
    int message;                /* enum roce_mad_type, or -1 for none. */

    /* What giving up comes to. */
    enum roce_cm_event event;
    bool rejects;               /* Tell the peer? */
} states[ROCE_CM_N_STATES] = {
    [ROCE_CM_IDLE] =
    { 0, 0, -1, ROCE_CM_NONE, false },
    [ROCE_CM_REQ_SENT] =
    { SECOND / 4, 7, ROCE_MAD_REQ, ROCE_CM_UNREACHABLE, true },
    [ROCE_CM_REQ_RCVD] =
    { 10 * SECOND, 1, -1, ROCE_CM_UNREACHABLE, true },
    [ROCE_CM_REP_SENT] =
    { SECOND / 8, 6, ROCE_MAD_REP, ROCE_CM_UNREACHABLE, true },
    [ROCE_CM_ESTABLISHED] =
    { 0, 0, -1, ROCE_CM_NONE, false },
    [ROCE_CM_DREQ_SENT] =
    { SECOND / 4, 4, ROCE_MAD_DREQ, ROCE_CM_DISCONNECTED, false },
};

static void
post(struct roce_cm *cm, enum roce_mad_type type)
{
    cm->pending |= 1u << type;
}

/* Moves 'cm' to 'state', which may be the one that it is in: then nothing
 * happens.  Otherwise what the old state had to send is dropped. */
static void
enter(struct roce_cm *cm, enum roce_cm_state state, long long int now)
{
    const struct cm_state_info *s = &states[state];

    if (cm->state == state) {
        return;
    } else if (states[cm->state].message >= 0) {
        cm->pending &= ~(1u << states[cm->state].message);
    }
    cm->state = state;
    cm->n_left = s->n;
    cm->n_waits_left = MAX_WAITS;
    cm->interval = s->wait;
    cm->timer = now + s->wait;
    if (s->message >= 0) {
        post(cm, s->message);
    }
}

static void
set_private(struct roce_cm *cm, const void *data, size_t len)
{
    cm->private_len = len;
    if (len) {
        memcpy(cm->private_data, data, len);
    }
}

static void
post_reject(struct roce_cm *cm, uint16_t reason, enum roce_mad_about about,
            const void *private_data, size_t private_len)
{
    set_private(cm, private_data, private_len);
    cm->reason = reason;
    cm->about = about;
    post(cm, ROCE_MAD_REJ);
}

/* Requests of the user
 * ==================== */

/* Starts to connect 'cm', whose old contents do not matter, to 'target'.
 * 'side' is what to tell the peer about this one.  Returns 0, or EINVAL if
 * the private data is too long. */
int
roce_cm_connect(struct roce_cm *cm, const struct roce_cm_target *target,
                const struct roce_cm_side *side, const void *private_data,
                size_t private_len, long long int now)
{
    if (private_len > ROCE_REQ_PRIVATE_LEN) {
        return EINVAL;
    }
    memset(cm, 0, sizeof *cm);
    cm->is_active = true;
    cm->local_ip = target->local_ip;
    cm->remote_ip = target->remote_ip;
    cm->local_guid = target->guid;
    cm->local_id = target->id;
    cm->service_id = target->service_id;
    cm->src_port = target->src_port;
    cm->tid = target->guid ^ (uint64_t) target->id << 32;
    cm->local = *side;
    set_private(cm, private_data, private_len);
    enter(cm, ROCE_CM_REQ_SENT, now);
    return 0;
}

/* Accepts the request on 'cm'.  Returns 0, or EINVAL if the private data is
 * too long, or ENOTCONN if there is no request, maybe because the peer has
 * taken it back. */
int
roce_cm_accept(struct roce_cm *cm, const struct roce_cm_side *side,
               const void *private_data, size_t private_len,
               long long int now)
{
    if (private_len > ROCE_REP_PRIVATE_LEN) {
        return EINVAL;
    } else if (cm->state != ROCE_CM_REQ_RCVD) {
        return ENOTCONN;
    }
    cm->local = *side;
    set_private(cm, private_data, private_len);
    enter(cm, ROCE_CM_REP_SENT, now);
    return 0;
}

/* Rejects the request on 'cm' for 'reason', one of enum roce_rej_reason.  For
 * ROCE_REJ_BAD_MTU, 'cm->local.mtu' must be the greatest that would be taken.
 * Returns like roce_cm_accept(). */
int
roce_cm_reject(struct roce_cm *cm, uint16_t reason, const void *private_data,
               size_t private_len, long long int now)
{
    if (private_len > ROCE_REJ_PRIVATE_LEN) {
        return EINVAL;
    } else if (cm->state != ROCE_CM_REQ_RCVD) {
        return ENOTCONN;
    }
    enter(cm, ROCE_CM_IDLE, now);
    post_reject(cm, reason, ROCE_ABOUT_REQ, private_data, private_len);
    return 0;
}

/* Starts to disconnect 'cm', or gives up connecting: then it is idle. */
void
roce_cm_disconnect(struct roce_cm *cm, long long int now)
{
    switch (cm->state) {
    case ROCE_CM_ESTABLISHED:
        enter(cm, ROCE_CM_DREQ_SENT, now);
        break;
    case ROCE_CM_REQ_SENT:
        enter(cm, ROCE_CM_IDLE, now);
        post_reject(cm, ROCE_REJ_TIMEOUT, ROCE_ABOUT_OTHER, NULL, 0);
        break;
    case ROCE_CM_REQ_RCVD:
    case ROCE_CM_REP_SENT:
        enter(cm, ROCE_CM_IDLE, now);
        post_reject(cm, ROCE_REJ_CONSUMER, ROCE_ABOUT_OTHER, NULL, 0);
        break;
    case ROCE_CM_IDLE:
    case ROCE_CM_DREQ_SENT:
    case ROCE_CM_N_STATES:
        break;
    }
}

/* Has the time limit of the state of 'cm', if any, expire at 'now' once and
 * for all, which the next roce_cm_run() will find. */
void
roce_cm_give_up(struct roce_cm *cm, long long int now)
{
    cm->n_left = 1;
    cm->n_waits_left = 0;
    cm->timer = now;
}

/* Requests of the peer
 * ==================== */

/* Path MTUs are 128 << code, from 1 to 5. */
static uint16_t
mtu_from_code(uint8_t code)
{
    return code >= 1 && code <= 5 ? 128 << code : 0;
}

/* Returns the address that a field 'ip' of a REQ's IP header stands for. */
static struct in6_addr
cm_ip(const struct roce_mad *mad, const struct in6_addr *ip)
{
    const ovs_be32 *ip4 = ALIGNED_CAST(const ovs_be32 *, &ip->s6_addr[12]);

    return (mad->ip_version == 4
            ? in6_addr_mapped_ipv4(get_unaligned_be32(ip4))
            : *ip);
}

static bool
check_addresses(const struct roce_mad *req, const struct roce_flow *flow)
{
    struct in6_addr src_ip = cm_ip(req, &req->src_ip);
    struct in6_addr dst_ip = cm_ip(req, &req->dst_ip);

    return (IN6_ARE_ADDR_EQUAL(&req->local_gid, &flow->src)
            && IN6_ARE_ADDR_EQUAL(&req->remote_gid, &flow->dst)
            && IN6_ARE_ADDR_EQUAL(&src_ip, &flow->src)
            && IN6_ARE_ADDR_EQUAL(&dst_ip, &flow->dst));
}

/* Returns why a REQ that came along 'flow' must be rejected, where packets can
 * be at most 'max_mtu' long, or 0 if it is acceptable so far. */
uint16_t
roce_cm_check_request(const struct roce_mad *req,
                      const struct roce_flow *flow, uint16_t max_mtu)
{
    uint16_t mtu = mtu_from_code(req->path_mtu);

    return (req->transport || req->srq > 1 || req->cm_version
            || req->alternate_lid
            || (req->ip_version != 4 && req->ip_version != 6)
            ? ROCE_REJ_UNSUPPORTED
            : !check_addresses(req, flow) ? ROCE_REJ_BAD_GID
            : req->qpn <= ROCE_QPN_GSI ? ROCE_REJ_NO_QP
            : !mtu || mtu > max_mtu ? ROCE_REJ_BAD_MTU
            : 0);
}

/* Has 'cm', whose old contents do not matter, take 'req', which
 * roce_cm_check_request() has found acceptable.  'guid' is ours, and 'id' will
 * be our identifier of the connection.  Returns ROCE_CM_REQUESTED. */
enum roce_cm_event
roce_cm_request(struct roce_cm *cm, const struct roce_mad *req,
                const struct roce_flow *flow, uint64_t guid, uint32_t id,
                long long int now)
{
    memset(cm, 0, sizeof *cm);
    cm->local_ip = flow->dst;
    cm->remote_ip = flow->src;
    cm->local_guid = guid;
    cm->remote_guid = req->ca_guid;
    cm->local_id = id;
    cm->remote_id = req->local_id;
    cm->service_id = req->service_id;
    cm->src_port = req->src_port;
    cm->tid = req->tid;
    cm->remote = (struct roce_cm_side) {
        .qpn = req->qpn,
        .recv_psn = req->psn,
        .mtu = mtu_from_code(req->path_mtu),
        .traffic_class = req->traffic_class,
        .ack_timeout = req->ack_timeout,
        .retry_count = req->retry_count,
        .rnr_retry = req->rnr_retry,
    };
    enter(cm, ROCE_CM_REQ_RCVD, now);
    return ROCE_CM_REQUESTED;
}

/* Returns true if 'req' is the one that 'cm' has taken, or a repetition. */
bool
roce_cm_is_duplicate(const struct roce_cm *cm, const struct roce_mad *req,
                     const struct roce_flow *flow)
{
    return (cm->state != ROCE_CM_IDLE && !cm->is_active
            && cm->remote_id == req->local_id
            && cm->remote_guid == req->ca_guid
            && IN6_ARE_ADDR_EQUAL(&cm->remote_ip, &flow->src));
}

/* Returns true if 'req' shows that the peer has forgotten about 'cm', because
 * it uses the same queue pair for another connection. */
bool
roce_cm_is_stale(const struct roce_cm *cm, const struct roce_mad *req,
                 const struct roce_flow *flow)
{
    return ((cm->state == ROCE_CM_ESTABLISHED
             || cm->state == ROCE_CM_REP_SENT)
            && cm->remote.qpn == req->qpn
            && cm->remote_guid == req->ca_guid
            && cm->remote_id != req->local_id
            && IN6_ARE_ADDR_EQUAL(&cm->remote_ip, &flow->src));
}

/* Messages of the peer
 * ====================
 *
 * For each state and message, a function takes the message and returns the
 * next state. */

typedef enum roce_cm_state handler_func(struct roce_cm *,
                                        const struct roce_mad *,
                                        long long int now,
                                        enum roce_cm_event *);

/* The peer repeats its REQ because it missed our last message. */
static enum roce_cm_state
handle_dup_req(struct roce_cm *cm, const struct roce_mad *mad OVS_UNUSED,
               long long int now OVS_UNUSED,
               enum roce_cm_event *event OVS_UNUSED)
{
    if (cm->state == ROCE_CM_REQ_RCVD) {
        post(cm, ROCE_MAD_MRA);
    } else {
        post(cm, ROCE_MAD_REP);
    }
    return cm->state;
}

/* The peer needs time. */
static enum roce_cm_state
handle_mra(struct roce_cm *cm, const struct roce_mad *mad, long long int now,
           enum roce_cm_event *event OVS_UNUSED)
{
    if (cm->n_waits_left) {
        long long int wait = (4096LL << mad->service_timeout) / 1000;

        cm->n_waits_left--;
        cm->timer = MAX(cm->timer, now + MIN(wait, MAX_WAIT));
    }
    return cm->state;
}

static enum roce_cm_state
handle_rej(struct roce_cm *cm, const struct roce_mad *mad,
           long long int now OVS_UNUSED, enum roce_cm_event *event)
{
    *event = (cm->state == ROCE_CM_REQ_SENT
              ? ROCE_CM_REJECTED : ROCE_CM_DISCONNECTED);
    cm->reason = mad->reason;
    return ROCE_CM_IDLE;
}

static enum roce_cm_state
handle_rep(struct roce_cm *cm, const struct roce_mad *mad,
           long long int now OVS_UNUSED, enum roce_cm_event *event)
{
    if (mad->qpn <= ROCE_QPN_GSI) {
        return cm->state;
    }
    cm->remote_id = mad->local_id;
    cm->remote_guid = mad->ca_guid;
    cm->remote = (struct roce_cm_side) {
        .qpn = mad->qpn,
        .recv_psn = mad->psn,
        .mtu = cm->local.mtu,
        .ack_timeout = cm->local.ack_timeout,
        .retry_count = cm->local.retry_count,
        .rnr_retry = mad->rnr_retry,
    };
    post(cm, ROCE_MAD_RTU);
    *event = ROCE_CM_CONNECTED;
    return ROCE_CM_ESTABLISHED;
}

/* The peer repeats its REP because it missed our RTU. */
static enum roce_cm_state
handle_dup_rep(struct roce_cm *cm, const struct roce_mad *mad OVS_UNUSED,
               long long int now OVS_UNUSED,
               enum roce_cm_event *event OVS_UNUSED)
{
    if (cm->is_active) {
        post(cm, ROCE_MAD_RTU);
    }
    return cm->state;
}

static enum roce_cm_state
handle_rtu(struct roce_cm *cm OVS_UNUSED,
           const struct roce_mad *mad OVS_UNUSED,
           long long int now OVS_UNUSED, enum roce_cm_event *event)
{
    *event = ROCE_CM_CONNECTED;
    return ROCE_CM_ESTABLISHED;
}

static enum roce_cm_state
handle_dreq(struct roce_cm *cm, const struct roce_mad *mad,
            long long int now OVS_UNUSED, enum roce_cm_event *event)
{
    if (mad->qpn != cm->local.qpn) {
        return cm->state;
    }
    cm->dreq_tid = mad->tid;
    post(cm, ROCE_MAD_DREP);
    *event = ROCE_CM_DISCONNECTED;
    return ROCE_CM_IDLE;
}

static enum roce_cm_state
handle_drep(struct roce_cm *cm OVS_UNUSED,
            const struct roce_mad *mad OVS_UNUSED,
            long long int now OVS_UNUSED, enum roce_cm_event *event)
{
    *event = ROCE_CM_DISCONNECTED;
    return ROCE_CM_IDLE;
}

static handler_func *const
handlers[ROCE_CM_N_STATES][ROCE_MAD_N_TYPES] = {
    [ROCE_CM_REQ_SENT] = {
        [ROCE_MAD_MRA] = handle_mra,
        [ROCE_MAD_REJ] = handle_rej,
        [ROCE_MAD_REP] = handle_rep,
    },
    [ROCE_CM_REQ_RCVD] = {
        [ROCE_MAD_REQ] = handle_dup_req,
        [ROCE_MAD_REJ] = handle_rej,
    },
    [ROCE_CM_REP_SENT] = {
        [ROCE_MAD_REQ] = handle_dup_req,
        [ROCE_MAD_MRA] = handle_mra,
        [ROCE_MAD_REJ] = handle_rej,
        [ROCE_MAD_RTU] = handle_rtu,
        [ROCE_MAD_DREQ] = handle_dreq,
    },
    [ROCE_CM_ESTABLISHED] = {
        [ROCE_MAD_REJ] = handle_rej,
        [ROCE_MAD_REP] = handle_dup_rep,
        [ROCE_MAD_DREQ] = handle_dreq,
    },
    [ROCE_CM_DREQ_SENT] = {
        [ROCE_MAD_REJ] = handle_rej,
        [ROCE_MAD_DREQ] = handle_dreq,
        [ROCE_MAD_DREP] = handle_drep,
    },
};

/* A REJ may come from a peer that has not learned our identifier, because it
 * has given up before our REP arrived, or from one that has not got an own. */
static bool
ids_match(const struct roce_cm *cm, const struct roce_mad *mad)
{
    bool local_known = mad->remote_id == cm->local_id;
    bool remote_known = mad->local_id == cm->remote_id;

    if (cm->state == ROCE_CM_REQ_SENT) {
        return local_known;
    } else if (mad->type == ROCE_MAD_REJ && !mad->remote_id
               && mad->reason == ROCE_REJ_TIMEOUT
               && (cm->state == ROCE_CM_REQ_RCVD
                   || cm->state == ROCE_CM_REP_SENT)) {
        return remote_known;
    }
    return local_known && remote_known;
}

static bool
is_for(const struct roce_cm *cm, const struct roce_mad *mad,
       const struct roce_flow *flow)
{
    return (mad->type == ROCE_MAD_REQ
            ? roce_cm_is_duplicate(cm, mad, flow)
            : (ids_match(cm, mad)
               && IN6_ARE_ADDR_EQUAL(&cm->remote_ip, &flow->src)
               && IN6_ARE_ADDR_EQUAL(&cm->local_ip, &flow->dst)));
}

/* Takes 'mad', which came along 'flow'.  What is not for 'cm', or has no
 * meaning in its state, is ignored.  Returns what has come of it. */
enum roce_cm_event
roce_cm_input(struct roce_cm *cm, const struct roce_mad *mad,
              const struct roce_flow *flow, long long int now)
{
    handler_func *handler = handlers[cm->state][mad->type];
    enum roce_cm_event event = ROCE_CM_NONE;

    if (handler && is_for(cm, mad, flow)) {
        enter(cm, handler(cm, mad, now, &event), now);
    }
    return event;
}

/* Time
 * ==== */

/* Does what is due at 'now'.  Returns what has come of it. */
enum roce_cm_event
roce_cm_run(struct roce_cm *cm, long long int now)
{
    const struct cm_state_info *s = &states[cm->state];

    if (!s->n || now < cm->timer) {
        return ROCE_CM_NONE;
    } else if (--cm->n_left) {
        cm->interval = MIN(2 * cm->interval, MAX_INTERVAL);
        cm->timer = now + cm->interval;
        post(cm, s->message);
        return ROCE_CM_NONE;
    }
    enter(cm, ROCE_CM_IDLE, now);
    if (s->rejects) {
        post_reject(cm, ROCE_REJ_TIMEOUT, ROCE_ABOUT_OTHER, NULL, 0);
    }
    return s->event;
}

/* Returns the time at which roce_cm_run() should be called next, LLONG_MAX for
 * not before something else has happened. */
long long int
roce_cm_deadline(const struct roce_cm *cm)
{
    return states[cm->state].n ? cm->timer : LLONG_MAX;
}

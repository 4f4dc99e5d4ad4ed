/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Whose a RoCEv2 packet is, and what strangers may take up. */

#include <config.h>

#include "roce-endpoint.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "hash.h"
#include "roce-icrc.h"
#include "util.h"

#define MILLION UINT64_C(1000000)

const char *
roce_drop_to_string(enum roce_drop drop)
{
    static const char *const names[] = {
#define ROCE_DROP(NAME, TEXT) TEXT,
        ROCE_DROPS
#undef ROCE_DROP
    };

    return drop < ROCE_DROP_N ? names[drop] : "unknown";
}

/* Initializes 'ep'.  The tables in 'config' belong to it from now on; there is
 * nothing else to release. */
void
roce_endpoint_init(struct roce_endpoint *ep,
                   const struct roce_endpoint_config *config)
{
    ovs_assert(is_pow2(config->n_qps) && is_pow2(config->n_cms));
    memset(ep, 0, sizeof *ep);
    ep->config = *config;
    config->random(&ep->secret, sizeof ep->secret);
    memset(config->qps, 0, config->n_qps * sizeof *config->qps);
    memset(config->cms, 0, config->n_cms * sizeof *config->cms);
    for (size_t i = 0; i < ARRAY_SIZE(ep->buckets); i++) {
        ep->buckets[i].tokens = config->req_burst * MILLION;
        ep->buckets[i].filled = LLONG_MIN;
    }
}

/* Returns a number that is hard to guess, is at least ROCE_QPN_FIRST and leads
 * to 'index' in a table of 'n' entries. */
static uint32_t
make_number(struct roce_endpoint *ep, uint32_t index, uint32_t n,
            uint32_t mask)
{
    uint32_t number;

    do {
        ep->config.random(&number, sizeof number);
        number = ((number & ~(n - 1)) | index) & mask;
    } while (number < ROCE_QPN_FIRST);
    return number;
}

/* Queue pairs
 * =========== */

static struct roce_endpoint_qp *
find_qp(const struct roce_endpoint *ep, uint32_t qpn)
{
    struct roce_endpoint_qp *slot = &ep->config.qps[qpn
                                                    & (ep->config.n_qps - 1)];

    return slot->qpn == qpn ? slot : NULL;
}

/* Returns a number for a new queue pair, or 0 if there are too many. */
uint32_t
roce_endpoint_alloc_qpn(struct roce_endpoint *ep)
{
    for (uint32_t i = 0; i < ep->config.n_qps; i++) {
        struct roce_endpoint_qp *slot = &ep->config.qps[i];

        if (!slot->qpn) {
            slot->qpn = make_number(ep, i, ep->config.n_qps, ROCE_QPN_MASK);
            return slot->qpn;
        }
    }
    return 0;
}

/* Has packets for 'qpn', which roce_endpoint_alloc_qpn() returned, go to 'qp',
 * which must be initialized and belongs to connection 'cm'. */
void
roce_endpoint_bind_qp(struct roce_endpoint *ep, uint32_t qpn,
                      struct roce_qp *qp, struct roce_cm *cm)
{
    struct roce_endpoint_qp *slot = find_qp(ep, qpn);

    slot->qp = qp;
    slot->cm = cm;
}

/* Forgets about 'qpn' and what is bound to it. */
void
roce_endpoint_free_qpn(struct roce_endpoint *ep, uint32_t qpn)
{
    struct roce_endpoint_qp *slot = find_qp(ep, qpn);

    if (slot) {
        memset(slot, 0, sizeof *slot);
    }
}

static void
drop(struct roce_endpoint *ep, enum roce_drop reason)
{
    ep->n_dropped[reason]++;
}

/* Forgets that 'cm' is the connection of its queue pair. */
static void
unbind_cm(struct roce_endpoint *ep, const struct roce_cm *cm)
{
    struct roce_endpoint_qp *slot = find_qp(ep, cm->local.qpn);

    if (slot && slot->cm == cm) {
        slot->cm = NULL;
    }
}

static void
qp_input(struct roce_endpoint *ep, struct roce_endpoint_qp *slot,
         const struct roce_flow *flow, const struct roce_packet *packet,
         long long int now, struct roce_endpoint_event *event)
{
    if (!roce_qp_input(slot->qp, flow, packet, now)) {
        drop(ep, ROCE_DROP_UNREADY_QP);
        return;
    }
    event->qp = slot->qp;
}

/* Services
 * ======== */

/* Has requests for 'service_id', which must not be 0, come up as events.
 * Returns 0, or ENOSPC if there are too many services. */
int
roce_endpoint_listen(struct roce_endpoint *ep, uint64_t service_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(ep->services); i++) {
        if (!ep->services[i]) {
            ep->services[i] = service_id;
            return 0;
        }
    }
    return ENOSPC;
}

/* Has requests for 'service_id' rejected from now on. */
void
roce_endpoint_unlisten(struct roce_endpoint *ep, uint64_t service_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(ep->services); i++) {
        if (ep->services[i] == service_id) {
            ep->services[i] = 0;
            return;
        }
    }
}

static bool
is_listening(const struct roce_endpoint *ep, uint64_t service_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(ep->services); i++) {
        if (ep->services[i] && ep->services[i] == service_id) {
            return true;
        }
    }
    return false;
}

/* Connections
 * =========== */

static struct roce_cm *
find_cm(const struct roce_endpoint *ep, uint32_t id)
{
    struct roce_cm *cm = &ep->config.cms[id & (ep->config.n_cms - 1)];

    return cm->state != ROCE_CM_IDLE && cm->local_id == id ? cm : NULL;
}

/* Returns an identifier for 'cm', which is about to be used. */
static uint32_t
make_cm_id(struct roce_endpoint *ep, const struct roce_cm *cm)
{
    uint32_t index = cm - ep->config.cms;

    ep->n_cms = MAX(ep->n_cms, index + 1);
    return make_number(ep, index, ep->config.n_cms, UINT32_MAX);
}

static struct roce_cm *
find_free_cm(const struct roce_endpoint *ep)
{
    for (uint32_t i = 0; i < ep->config.n_cms; i++) {
        if (ep->config.cms[i].state == ROCE_CM_IDLE) {
            return &ep->config.cms[i];
        }
    }
    return NULL;
}

/* Starts to connect to 'target', whose 'guid' and 'id' this function sets.
 * See roce_cm_connect() for the other arguments.
 *
 * Returns 0 and stores the connection into '*cmp', or EINVAL if the private
 * data is too long, or ENOSPC if there are too many connections. */
int
roce_endpoint_connect(struct roce_endpoint *ep, struct roce_cm_target *target,
                      const struct roce_cm_side *side,
                      const void *private_data, size_t private_len,
                      long long int now, struct roce_cm **cmp)
{
    struct roce_cm *cm = find_free_cm(ep);

    *cmp = cm;
    if (!cm) {
        return ENOSPC;
    }
    target->guid = ep->config.guid;
    target->id = make_cm_id(ep, cm);
    return roce_cm_connect(cm, target, side, private_data, private_len, now);
}

/* Takes a token from the bucket for requests from 'src'.  Returns false if
 * there is none. */
static bool
admit(struct roce_endpoint *ep, const struct in6_addr *src, long long int now)
{
    uint32_t hash = hash_bytes(src, sizeof *src, ep->secret);
    struct roce_bucket *bucket = &ep->buckets[hash % ROCE_ENDPOINT_N_GROUPS];
    uint64_t full = ep->config.req_burst * MILLION;

    if (bucket->filled != LLONG_MIN && now > bucket->filled) {
        uint64_t usec = MIN(now - bucket->filled, 1000 * 1000LL);

        bucket->tokens = MIN(bucket->tokens + usec * ep->config.req_rate,
                             full);
    }
    bucket->filled = now;
    if (bucket->tokens < MILLION) {
        return false;
    }
    bucket->tokens -= MILLION;
    return true;
}

/* What the table has to say about a request. */
struct survey {
    struct roce_cm *duplicate;  /* Connection that has taken it. */
    struct roce_cm *stale;      /* Connection that it outdates. */
    struct roce_cm *free;
    uint32_t n_half_open;
    uint32_t n_from_source;     /* Likewise. */
};

static bool
is_half_open(const struct roce_cm *cm)
{
    return (!cm->is_active
            && (cm->state == ROCE_CM_REQ_RCVD || cm->state == ROCE_CM_REP_SENT
                || cm->state == ROCE_CM_TIMEWAIT));
}

static void
survey_cms(const struct roce_endpoint *ep, const struct roce_mad *req,
           const struct roce_flow *flow, struct survey *s)
{
    memset(s, 0, sizeof *s);
    for (uint32_t i = 0; i < ep->config.n_cms; i++) {
        struct roce_cm *cm = &ep->config.cms[i];

        if (cm->state == ROCE_CM_IDLE) {
            s->free = s->free ? s->free : cm;
        } else if (roce_cm_is_duplicate(cm, req, flow)) {
            s->duplicate = cm;
        } else if (roce_cm_is_stale(cm, req, flow)) {
            s->stale = cm;
        }
        if (is_half_open(cm)) {
            s->n_half_open++;
            s->n_from_source += IN6_ARE_ADDR_EQUAL(&cm->remote_ip,
                                                   &flow->src);
        }
    }
}

/* Returns room for a MAD that answers what came along 'flow', or null. */
static uint8_t *
new_reply(struct roce_endpoint *ep, const struct roce_flow *flow)
{
    struct roce_mad_reply *reply;

    if (ep->n_replies - ep->n_replied >= ROCE_ENDPOINT_N_REPLIES) {
        drop(ep, ROCE_DROP_NO_REPLY);
        return NULL;
    }
    reply = &ep->replies[ep->n_replies++ % ROCE_ENDPOINT_N_REPLIES];
    reply->flow.src = flow->dst;
    reply->flow.dst = flow->src;
    return reply->mad;
}

static void
reject(struct roce_endpoint *ep, const struct roce_flow *flow,
       const struct roce_mad *req, uint16_t reason)
{
    uint8_t *mad = new_reply(ep, flow);

    if (mad) {
        roce_cm_pack_reject(req, reason, ep->config.max_mtu, mad);
    }
}

/* Takes a request that the table knows nothing about. */
static void
new_request(struct roce_endpoint *ep, const struct roce_flow *flow,
            const struct survey *s, long long int now,
            struct roce_endpoint_event *event)
{
    const struct roce_mad *req = &event->mad;
    uint16_t reason = (is_listening(ep, req->service_id)
                       ? roce_cm_check_request(req, flow, ep->config.max_mtu)
                       : ROCE_REJ_BAD_SERVICE);

    if (reason) {
        reject(ep, flow, req, reason);
    } else if (!s->free || s->n_half_open >= ep->config.max_half_open
               || s->n_from_source >= DIV_ROUND_UP(ep->config.max_half_open,
                                                   2)) {
        drop(ep, ROCE_DROP_HALF_OPEN);
    } else {
        event->cm = s->free;
        event->type = roce_cm_request(s->free, req, flow, ep->config.guid,
                                      make_cm_id(ep, s->free), now);
    }
}

static void
req_input(struct roce_endpoint *ep, const struct roce_flow *flow,
          long long int now, struct roce_endpoint_event *event)
{
    struct survey s;

    if (!admit(ep, &flow->src, now)) {
        drop(ep, ROCE_DROP_RATE);
        return;
    }
    survey_cms(ep, &event->mad, flow, &s);
    if (s.duplicate) {
        roce_cm_input(s.duplicate, &event->mad, flow, now);
    } else if (s.stale) {
        roce_cm_disconnect(s.stale, now);
        reject(ep, flow, &event->mad, ROCE_REJ_STALE);
    } else {
        new_request(ep, flow, &s, now, event);
    }
}

/* Returns the connection that a REJ by a peer that knows only its own
 * identifier is about. */
static struct roce_cm *
find_cm_by_peer(const struct roce_endpoint *ep, const struct roce_mad *rej,
                const struct roce_flow *flow)
{
    for (uint32_t i = 0; i < ep->config.n_cms; i++) {
        struct roce_cm *cm = &ep->config.cms[i];

        if (cm->state != ROCE_CM_IDLE && cm->remote_id == rej->local_id
            && IN6_ARE_ADDR_EQUAL(&cm->remote_ip, &flow->src)) {
            return cm;
        }
    }
    return NULL;
}

static struct roce_cm *
find_cm_for(struct roce_endpoint *ep, const struct roce_mad *mad,
            const struct roce_flow *flow, long long int now)
{
    if (mad->type == ROCE_MAD_REJ && !mad->remote_id) {
        return (admit(ep, &flow->src, now)
                ? find_cm_by_peer(ep, mad, flow) : NULL);
    }
    return find_cm(ep, mad->remote_id);
}

static void
mad_input(struct roce_endpoint *ep, const struct roce_flow *flow,
          long long int now, struct roce_endpoint_event *event)
{
    const struct roce_mad *mad = &event->mad;
    struct roce_cm *cm;

    if (mad->type == ROCE_MAD_REQ) {
        req_input(ep, flow, now, event);
        return;
    }
    cm = find_cm_for(ep, mad, flow, now);
    if (cm) {
        event->cm = cm;
        event->type = roce_cm_input(cm, mad, flow, now);
        return;
    }
    drop(ep, ROCE_DROP_UNKNOWN_ID);
    if (mad->type == ROCE_MAD_DREQ) {
        uint8_t *reply = new_reply(ep, flow);

        if (reply) {
            roce_cm_pack_drep(mad, reply);
        }
    }
}

/* Input
 * ===== */

static bool
is_mad(const struct roce_packet *packet)
{
    return (packet->op->kind == ROCE_OP_DATAGRAM && !packet->op->imm
            && packet->qkey == ROCE_MAD_QKEY);
}

static void
gsi_input(struct roce_endpoint *ep, const struct roce_flow *flow,
          const struct roce_packet *packet, long long int now,
          struct roce_endpoint_event *event)
{
    if (!is_mad(packet)) {
        drop(ep, ROCE_DROP_NOT_MAD);
    } else if (roce_mad_parse(packet->payload, packet->payload_len,
                              &event->mad)) {
        drop(ep, ROCE_DROP_BAD_MAD);
    } else {
        mad_input(ep, flow, now, event);
    }
}

static bool
has_good_icrc(const struct roce_flow *flow, const void *udp_payload,
              size_t len)
{
    struct roce_icrc_flow icrc;

    roce_icrc_flow_init(&icrc, flow);
    return roce_icrc_check(&icrc, udp_payload, len);
}

/* Takes the 'len' bytes of 'udp_payload', which came along 'flow' at 'now',
 * and stores into '*event' what has come of it.  The payload must remain until
 * the caller is done with 'event->mad', which may point to it. */
void
roce_endpoint_input(struct roce_endpoint *ep, const struct roce_flow *flow,
                    const void *udp_payload, size_t len, long long int now,
                    struct roce_endpoint_event *event)
{
    struct roce_endpoint_qp *slot = NULL;
    enum roce_parse_result result;
    struct roce_packet packet;

    event->qp = NULL;
    event->cm = NULL;
    event->type = ROCE_CM_NONE;
    result = roce_packet_parse(udp_payload, len, &packet);
    if (result) {
        ep->n_refused[result]++;
        return;
    }
    if (packet.dst_qpn != ROCE_QPN_GSI) {
        slot = find_qp(ep, packet.dst_qpn);
        if (!slot || !slot->qp) {
            drop(ep, ROCE_DROP_UNKNOWN_QP);
            return;
        }
    }
    if (!has_good_icrc(flow, udp_payload, len)) {
        drop(ep, ROCE_DROP_ICRC);
    } else if (slot) {
        qp_input(ep, slot, flow, &packet, now, event);
    } else {
        gsi_input(ep, flow, &packet, now, event);
    }
}

/* Does what is due at 'now' for one connection and stores into '*event' what
 * has come of it. */
void
roce_endpoint_run(struct roce_endpoint *ep, long long int now,
                  struct roce_endpoint_event *event)
{
    event->qp = NULL;
    event->cm = NULL;
    event->type = ROCE_CM_NONE;
    while (ep->n_cms && ep->config.cms[ep->n_cms - 1].state == ROCE_CM_IDLE) {
        ep->n_cms--;
    }
    for (uint32_t i = 0; i < ep->n_cms; i++) {
        struct roce_cm *cm = &ep->config.cms[i];

        event->type = roce_cm_run(cm, now);
        if (event->type != ROCE_CM_NONE) {
            event->cm = cm;
            if (event->type == ROCE_CM_EXPIRED) {
                unbind_cm(ep, cm);
            }
            return;
        }
    }
}

/* Output
 * ====== */

static void
fill_tx(struct roce_endpoint *ep, const struct in6_addr *src,
        const struct in6_addr *dst, struct roce_endpoint_tx *out)
{
    struct roce_packet packet = {
        .opcode = ROCE_UD_SEND_ONLY,
        .dst_qpn = ROCE_QPN_GSI,
        .psn = ep->mad_psn,
        .qkey = ROCE_MAD_QKEY,
        .src_qpn = ROCE_QPN_GSI,
        .payload = out->mad,
        .payload_len = ROCE_MAD_LEN,
    };

    ep->mad_psn = roce_psn_add(ep->mad_psn, 1);
    roce_packet_build(&packet, &out->tx);
    out->flow = (struct roce_flow) {
        .src = *src,
        .dst = *dst,
        .sport = roce_flow_sport(ROCE_QPN_GSI, ROCE_QPN_GSI),
        .dport = htons(ROCE_UDP_PORT),
    };
}

/* Stores a MAD that is to be sent into '*out'.  Returns false if there is
 * none. */
bool
roce_endpoint_output(struct roce_endpoint *ep, struct roce_endpoint_tx *out)
{
    if (ep->n_replied != ep->n_replies) {
        const struct roce_mad_reply *reply
            = &ep->replies[ep->n_replied++ % ROCE_ENDPOINT_N_REPLIES];

        memcpy(out->mad, reply->mad, sizeof out->mad);
        fill_tx(ep, &reply->flow.src, &reply->flow.dst, out);
        return true;
    }
    for (uint32_t i = 0; i < ep->n_cms; i++) {
        struct roce_cm *cm = &ep->config.cms[i];

        if (roce_cm_output(cm, out->mad)) {
            fill_tx(ep, &cm->local_ip, &cm->remote_ip, out);
            return true;
        }
    }
    return false;
}

/* Returns the time at which roce_endpoint_run() and roce_endpoint_output()
 * should be called next: LLONG_MIN for now, LLONG_MAX for not before something
 * else has happened. */
long long int
roce_endpoint_deadline(const struct roce_endpoint *ep)
{
    long long int deadline = LLONG_MAX;

    if (ep->n_replied != ep->n_replies) {
        return LLONG_MIN;
    }
    for (uint32_t i = 0; i < ep->n_cms; i++) {
        deadline = MIN(deadline, roce_cm_deadline(&ep->config.cms[i]));
    }
    return deadline;
}

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Queue pair 1: connection management, and what strangers may take up. */

#include <config.h>

#include "roce-gsi.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "hash.h"
#include "util.h"

#define MILLION UINT64_C(1000000)

/* Where packets from one address stand. */
struct roce_gsi_source {
    struct hmap_node node;      /* In 'sources'. */
    struct in6_addr ip;
    uint32_t n_conns;           /* At least 1. */
    uint32_t n_passive;         /* Of them, those that it has dialed. */
    uint32_t n_proven;          /* Of them, those that make it known. */
    struct ovs_list half_open;  /* Oldest first. */
    uint32_t n_half_open;       /* Length of that list. */
    struct roce_bucket bucket;  /* While known. */
};

struct roce_gsi_conn {
    struct roce_cm cm;
    struct roce_gsi_source *source;
    struct hmap_node id_node, peer_id_node, peer_qpn_node;
    struct heap_node timer_node;
    struct ovs_list pending_node;   /* In 'pending', or empty. */
    bool is_proven;                 /* Does it make its source known? */
    bool is_victim;                 /* Gives way to a newer one? */
    bool is_half_open;              /* In the lists that follow? */
    struct ovs_list half_open_node; /* In the source's list. */
    struct ovs_list stranger_node;  /* In 'strangers', or empty. */
};

static struct roce_gsi_conn *
conn_cast(const struct roce_cm *cm)
{
    return CONTAINER_OF(cm, struct roce_gsi_conn, cm);
}

/* Initializes 'gsi'. */
void
roce_gsi_init(struct roce_gsi *gsi, const struct roce_gsi_config *config)
{
    memset(gsi, 0, sizeof *gsi);
    gsi->config = *config;
    config->random(&gsi->secret, sizeof gsi->secret);
    hmap_init(&gsi->by_id);
    hmap_init(&gsi->by_peer_id);
    hmap_init(&gsi->by_peer_qpn);
    heap_init(&gsi->timers);
    ovs_list_init(&gsi->pending);
    hmap_init(&gsi->sources);
    ovs_list_init(&gsi->strangers);
    for (size_t i = 0; i < ARRAY_SIZE(gsi->buckets); i++) {
        gsi->buckets[i].tokens = config->req_burst * MILLION;
        gsi->buckets[i].filled = LLONG_MIN;
    }
}

static void
drop(struct roce_gsi *gsi, enum roce_drop reason)
{
    gsi->drops.dropped[reason]++;
}

/* Services
 * ======== */

/* Has requests for 'service_id', which must not be 0, come up as events.
 * Returns 0, or ENOSPC if there are too many services. */
int
roce_gsi_listen(struct roce_gsi *gsi, uint64_t service_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(gsi->services); i++) {
        if (!gsi->services[i]) {
            gsi->services[i] = service_id;
            return 0;
        }
    }
    return ENOSPC;
}

/* Has requests for 'service_id' rejected from now on. */
void
roce_gsi_unlisten(struct roce_gsi *gsi, uint64_t service_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(gsi->services); i++) {
        if (gsi->services[i] == service_id) {
            gsi->services[i] = 0;
            return;
        }
    }
}

static bool
is_listening(const struct roce_gsi *gsi, uint64_t service_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(gsi->services); i++) {
        if (gsi->services[i] && gsi->services[i] == service_id) {
            return true;
        }
    }
    return false;
}

/* Sources
 * ======= */

static uint32_t
hash_ip(const struct roce_gsi *gsi, const struct in6_addr *ip)
{
    return hash_bytes(ip, sizeof *ip, gsi->secret);
}

static struct roce_gsi_source *
find_source(const struct roce_gsi *gsi, const struct in6_addr *ip)
{
    struct roce_gsi_source *source;

    HMAP_FOR_EACH_WITH_HASH (source, node, hash_ip(gsi, ip), &gsi->sources) {
        if (IN6_ARE_ADDR_EQUAL(&source->ip, ip)) {
            return source;
        }
    }
    return NULL;
}

/* Finds or creates the source 'ip' for one more connection. */
static struct roce_gsi_source *
source_ref(struct roce_gsi *gsi, const struct in6_addr *ip)
{
    struct roce_gsi_source *source = find_source(gsi, ip);

    if (!source) {
        source = xzalloc(sizeof *source);
        source->ip = *ip;
        source->bucket.filled = LLONG_MIN;
        ovs_list_init(&source->half_open);
        hmap_insert(&gsi->sources, &source->node, hash_ip(gsi, ip));
    }
    source->n_conns++;
    return source;
}

static void
source_unref(struct roce_gsi *gsi, struct roce_gsi_source *source)
{
    if (!--source->n_conns) {
        hmap_remove(&gsi->sources, &source->node);
        free(source);
    }
}

static bool
is_known(const struct roce_gsi_source *source)
{
    return source && source->n_proven;
}

/* Connections
 * =========== */

static struct roce_gsi_conn *
find_conn(const struct roce_gsi *gsi, uint32_t id)
{
    struct roce_gsi_conn *conn;

    HMAP_FOR_EACH_WITH_HASH (conn, id_node, id, &gsi->by_id) {
        if (conn->cm.local_id == id) {
            return conn;
        }
    }
    return NULL;
}

/* Returns an identifier that is hard to guess and not in use. */
static uint32_t
new_id(const struct roce_gsi *gsi)
{
    uint32_t id;

    do {
        gsi->config.random(&id, sizeof id);
    } while (!id || find_conn(gsi, id));
    return id;
}

static uint32_t
hash_peer(const struct roce_gsi *gsi, const struct in6_addr *ip,
          uint32_t number)
{
    return hash_2words(hash_ip(gsi, ip), number);
}

/* Returns the connection that 'ip' has dialed and calls 'id', or null. */
static struct roce_gsi_conn *
find_by_peer_id(const struct roce_gsi *gsi, const struct in6_addr *ip,
                uint32_t id)
{
    struct roce_gsi_conn *conn;

    HMAP_FOR_EACH_WITH_HASH (conn, peer_id_node, hash_peer(gsi, ip, id),
                             &gsi->by_peer_id) {
        if (conn->cm.remote_id == id
            && IN6_ARE_ADDR_EQUAL(&conn->cm.remote_ip, ip)) {
            return conn;
        }
    }
    return NULL;
}

/* Returns the connection that 'req' outdates, or null. */
static struct roce_gsi_conn *
find_stale(const struct roce_gsi *gsi, const struct roce_mad *req,
           const struct roce_flow *flow)
{
    uint32_t hash = hash_peer(gsi, &flow->src, req->qpn);
    struct roce_gsi_conn *conn;

    HMAP_FOR_EACH_WITH_HASH (conn, peer_qpn_node, hash, &gsi->by_peer_qpn) {
        if (roce_cm_is_stale(&conn->cm, req, flow)) {
            return conn;
        }
    }
    return NULL;
}

/* Adds 'conn', which has been dialed or requested. */
static void
conn_insert(struct roce_gsi *gsi, struct roce_gsi_conn *conn)
{
    const struct roce_cm *cm = &conn->cm;

    conn->source = source_ref(gsi, &cm->remote_ip);
    hmap_insert(&gsi->by_id, &conn->id_node, cm->local_id);
    heap_insert(&gsi->timers, &conn->timer_node, 0);
    ovs_list_init(&conn->pending_node);
    if (!cm->is_active) {
        hmap_insert(&gsi->by_peer_id, &conn->peer_id_node,
                    hash_peer(gsi, &cm->remote_ip, cm->remote_id));
        hmap_insert(&gsi->by_peer_qpn, &conn->peer_qpn_node,
                    hash_peer(gsi, &cm->remote_ip, cm->remote.qpn));
        conn->source->n_passive++;
        gsi->n_passive++;
    }
}

/* Frees 'conn', which is neither half open nor proven. */
static void
conn_free(struct roce_gsi *gsi, struct roce_gsi_conn *conn)
{
    hmap_remove(&gsi->by_id, &conn->id_node);
    heap_remove(&gsi->timers, &conn->timer_node);
    ovs_list_remove(&conn->pending_node);
    if (!conn->cm.is_active) {
        hmap_remove(&gsi->by_peer_id, &conn->peer_id_node);
        hmap_remove(&gsi->by_peer_qpn, &conn->peer_qpn_node);
        conn->source->n_passive--;
        gsi->n_passive--;
    }
    source_unref(gsi, conn->source);
    free(conn);
}

static void
set_half_open(struct roce_gsi *gsi, struct roce_gsi_conn *conn, bool half_open)
{
    struct roce_gsi_source *source = conn->source;

    if (conn->is_half_open == half_open) {
        return;
    }
    conn->is_half_open = half_open;
    if (half_open) {
        ovs_list_push_back(&source->half_open, &conn->half_open_node);
        source->n_half_open++;
        ovs_list_init(&conn->stranger_node);
        if (!is_known(source)) {
            ovs_list_push_back(&gsi->strangers, &conn->stranger_node);
            gsi->n_strangers++;
        }
    } else {
        ovs_list_remove(&conn->half_open_node);
        source->n_half_open--;
        gsi->n_strangers -= !ovs_list_is_empty(&conn->stranger_node);
        ovs_list_remove(&conn->stranger_node);
    }
}

/* Brings what 'gsi' notes about 'conn' up to date, and frees 'conn' if it is
 * over. */
static void
conn_update(struct roce_gsi *gsi, struct roce_gsi_conn *conn)
{
    const struct roce_cm *cm = &conn->cm;
    bool confirmed = (cm->state == ROCE_CM_ESTABLISHED
                      || cm->state == ROCE_CM_DREQ_SENT);
    bool is_proven = confirmed || cm->state == ROCE_CM_REQ_SENT;
    long long int deadline = roce_cm_deadline(cm);

    set_half_open(gsi, conn, ((cm->state == ROCE_CM_REQ_RCVD
                               || cm->state == ROCE_CM_REP_SENT)
                              && !conn->is_victim));
    conn->source->n_proven += is_proven - conn->is_proven;
    conn->is_proven = is_proven;
    heap_change(&gsi->timers, &conn->timer_node,
                deadline == LLONG_MAX ? 0 : UINT64_MAX - deadline);
    if (cm->pending && ovs_list_is_empty(&conn->pending_node)) {
        ovs_list_push_back(&gsi->pending, &conn->pending_node);
    } else if (!cm->pending && cm->state == ROCE_CM_IDLE) {
        conn_free(gsi, conn);
    }
}

/* Frees what 'gsi' has.  Its connections end without a word. */
void
roce_gsi_destroy(struct roce_gsi *gsi)
{
    struct roce_gsi_conn *conn;

    HMAP_FOR_EACH_SAFE (conn, id_node, &gsi->by_id) {
        conn->cm.state = ROCE_CM_IDLE;
        conn->cm.pending = 0;
        conn_update(gsi, conn);
    }
    hmap_destroy(&gsi->by_id);
    hmap_destroy(&gsi->by_peer_id);
    hmap_destroy(&gsi->by_peer_qpn);
    heap_destroy(&gsi->timers);
    hmap_destroy(&gsi->sources);
}

/* Starts to connect to 'target', whose 'guid' and 'id' this function sets.
 * See roce_cm_connect() for the other arguments.
 *
 * Returns 0 and stores the connection into '*cmp', or EINVAL if the private
 * data is too long, or ENOSPC if there are too many connections. */
int
roce_gsi_connect(struct roce_gsi *gsi, struct roce_cm_target *target,
                 const struct roce_cm_side *side,
                 const void *private_data, size_t private_len,
                 long long int now, struct roce_cm **cmp)
{
    struct roce_gsi_conn *conn;
    int error;

    *cmp = NULL;
    if (hmap_count(&gsi->by_id) >= gsi->config.max_conns) {
        return ENOSPC;
    }
    conn = xzalloc(sizeof *conn);
    target->guid = gsi->config.guid;
    target->id = new_id(gsi);
    error = roce_cm_connect(&conn->cm, target, side, private_data,
                            private_len, now);
    if (error) {
        free(conn);
        return error;
    }
    conn_insert(gsi, conn);
    conn_update(gsi, conn);
    *cmp = &conn->cm;
    return 0;
}

/* Accepts 'cm', see roce_cm_accept(). */
int
roce_gsi_accept(struct roce_gsi *gsi, struct roce_cm *cm,
                const struct roce_cm_side *side, const void *private_data,
                size_t private_len, long long int now)
{
    int error = roce_cm_accept(cm, side, private_data, private_len, now);

    conn_update(gsi, conn_cast(cm));
    return error;
}

/* Rejects 'cm' for 'reason', or disconnects it if it is no request any more.
 * The caller is done with it after that. */
void
roce_gsi_reject(struct roce_gsi *gsi, struct roce_cm *cm, uint16_t reason,
                const void *private_data, size_t private_len,
                long long int now)
{
    cm->aux = NULL;
    if (roce_cm_reject(cm, reason, private_data, private_len, now)) {
        roce_cm_disconnect(cm, now);
    }
    conn_update(gsi, conn_cast(cm));
}

/* Disconnects 'cm', which the caller is done with after that. */
void
roce_gsi_disconnect(struct roce_gsi *gsi, struct roce_cm *cm,
                    long long int now)
{
    cm->aux = NULL;
    roce_cm_disconnect(cm, now);
    conn_update(gsi, conn_cast(cm));
}

/* Admission
 * ========= */

/* Takes a token from 'bucket', which gets 'rate' of them each second and holds
 * 'burst'.  Returns false if there is none. */
static bool
take_token(struct roce_bucket *bucket, uint32_t rate, uint32_t burst,
           long long int now)
{
    uint64_t full = burst * MILLION;

    if (bucket->filled == LLONG_MIN) {
        bucket->tokens = full;
    } else if (now > bucket->filled) {
        uint64_t usec = MIN(now - bucket->filled, 1000 * 1000LL);

        bucket->tokens = MIN(bucket->tokens + usec * rate, full);
    }
    bucket->filled = now;
    if (bucket->tokens < MILLION) {
        return false;
    }
    bucket->tokens -= MILLION;
    return true;
}

/* Returns true if the rate of requests from 'ip' admits one more. */
static bool
admit(struct roce_gsi *gsi, const struct in6_addr *ip, long long int now)
{
    struct roce_gsi_source *source = find_source(gsi, ip);
    uint32_t factor = 1;
    struct roce_bucket *bucket;

    if (is_known(source)) {
        bucket = &source->bucket;
        factor = ROCE_GSI_KNOWN_FACTOR;
    } else {
        bucket = &gsi->buckets[hash_ip(gsi, ip) % ROCE_GSI_N_GROUPS];
    }
    return take_token(bucket, factor * gsi->config.req_rate,
                      factor * gsi->config.req_burst, now);
}

/* Returns how many connections that it has dialed a source may have now. */
static uint32_t
passive_share(const struct roce_gsi *gsi)
{
    uint32_t max = gsi->config.max_conns / 4 * 3;

    return gsi->n_passive < max ? DIV_ROUND_UP(max - gsi->n_passive, 2) : 0;
}

/* Returns the half open connection that a request from 'source', which may be
 * null, takes the place of.  Returns null if it takes nobody's. */
static struct roce_gsi_conn *
find_victim(const struct roce_gsi *gsi, const struct roce_gsi_source *source)
{
    uint32_t max = gsi->config.max_half_open;
    uint32_t own_max = is_known(source) ? 4 * max : max / 4;

    if (source && source->n_half_open
        && (source->n_passive >= passive_share(gsi)
            || source->n_half_open >= own_max)) {
        return CONTAINER_OF(ovs_list_front(&source->half_open),
                            struct roce_gsi_conn, half_open_node);
    } else if (!is_known(source) && gsi->n_strangers >= max) {
        return CONTAINER_OF(ovs_list_front(&gsi->strangers),
                            struct roce_gsi_conn, stranger_node);
    }
    return NULL;
}

/* Makes room for a request from 'ip'.  Returns false if there is none. */
static bool
make_room(struct roce_gsi *gsi, const struct in6_addr *ip, long long int now)
{
    const struct roce_gsi_source *source = find_source(gsi, ip);
    struct roce_gsi_conn *victim = find_victim(gsi, source);

    if (victim) {
        drop(gsi, ROCE_DROP_HALF_OPEN);
        victim->is_victim = true;
        roce_cm_give_up(&victim->cm, now);
        conn_update(gsi, victim);
    } else if ((source ? source->n_passive : 0) >= passive_share(gsi)
               || hmap_count(&gsi->by_id) >= gsi->config.max_conns) {
        drop(gsi, ROCE_DROP_SHARE);
        return false;
    }
    return true;
}

/* Messages
 * ======== */

/* Returns room for a MAD that answers what came along 'flow', or null. */
static uint8_t *
new_reply(struct roce_gsi *gsi, const struct roce_flow *flow)
{
    struct roce_mad_reply *reply;

    if (gsi->n_replies - gsi->n_replied >= ROCE_GSI_N_REPLIES) {
        drop(gsi, ROCE_DROP_NO_REPLY);
        return NULL;
    }
    reply = &gsi->replies[gsi->n_replies++ % ROCE_GSI_N_REPLIES];
    reply->flow.src = flow->dst;
    reply->flow.dst = flow->src;
    return reply->mad;
}

static void
reject(struct roce_gsi *gsi, const struct roce_flow *flow,
       const struct roce_mad *mad, uint16_t reason)
{
    uint8_t *reply = new_reply(gsi, flow);

    if (reply) {
        roce_cm_pack_reject(mad, reason, gsi->config.max_mtu, reply);
    }
}

/* Reports what came of 'event->mad' for 'conn', which may end it. */
static void
conn_input(struct roce_gsi *gsi, struct roce_gsi_conn *conn,
           const struct roce_flow *flow, long long int now,
           struct roce_gsi_event *event)
{
    event->type = roce_cm_input(&conn->cm, &event->mad, flow, now);
    event->cm = &conn->cm;
    event->aux = conn->cm.aux;
    event->reason = conn->cm.reason;
    conn_update(gsi, conn);
}

/* Takes a request that no connection knows about. */
static void
new_request(struct roce_gsi *gsi, const struct roce_flow *flow,
            long long int now, struct roce_gsi_event *event)
{
    const struct roce_mad *req = &event->mad;
    uint16_t reason = (!is_listening(gsi, req->service_id)
                       ? ROCE_REJ_BAD_SERVICE
                       : roce_cm_check_request(req, flow,
                                               gsi->config.max_mtu));
    struct roce_gsi_conn *conn;

    if (!reason && !make_room(gsi, &flow->src, now)) {
        reason = ROCE_REJ_NO_RESOURCES;
    }
    if (reason) {
        reject(gsi, flow, req, reason);
        return;
    }
    conn = xzalloc(sizeof *conn);
    event->cm = &conn->cm;
    event->type = roce_cm_request(&conn->cm, req, flow, gsi->config.guid,
                                  new_id(gsi), now);
    conn_insert(gsi, conn);
    conn_update(gsi, conn);
}

static void
req_input(struct roce_gsi *gsi, const struct roce_flow *flow,
          long long int now, struct roce_gsi_event *event)
{
    const struct roce_mad *req = &event->mad;
    struct roce_gsi_conn *conn = find_by_peer_id(gsi, &flow->src,
                                                 req->local_id);

    if (conn && roce_cm_is_duplicate(&conn->cm, req, flow)) {
        conn_input(gsi, conn, flow, now, event);
    } else if (!admit(gsi, &flow->src, now)) {
        drop(gsi, ROCE_DROP_RATE);
    } else if ((conn = find_stale(gsi, req, flow)) != NULL) {
        reject(gsi, flow, req, ROCE_REJ_STALE);
        event->type = ROCE_CM_DISCONNECTED;
        event->aux = conn->cm.aux;
        roce_gsi_disconnect(gsi, &conn->cm, now);
    } else {
        new_request(gsi, flow, now, event);
    }
}

/* Answers a MAD that is for no connection, as far as the peer needs that to
 * know that there is none. */
static void
stray_input(struct roce_gsi *gsi, const struct roce_flow *flow,
            const struct roce_mad *mad)
{
    drop(gsi, ROCE_DROP_UNKNOWN_ID);
    if (mad->type == ROCE_MAD_REP) {
        reject(gsi, flow, mad, ROCE_REJ_BAD_ID);
    } else if (mad->type == ROCE_MAD_DREQ) {
        uint8_t *reply = new_reply(gsi, flow);

        if (reply) {
            roce_cm_pack_drep(mad, reply);
        }
    }
}

static void
mad_input(struct roce_gsi *gsi, const struct roce_flow *flow,
          long long int now, struct roce_gsi_event *event)
{
    const struct roce_mad *mad = &event->mad;
    struct roce_gsi_conn *conn;

    if (mad->type == ROCE_MAD_REQ) {
        req_input(gsi, flow, now, event);
        return;
    }
    conn = (mad->type == ROCE_MAD_REJ && !mad->remote_id
            ? find_by_peer_id(gsi, &flow->src, mad->local_id)
            : find_conn(gsi, mad->remote_id));
    if (conn) {
        conn_input(gsi, conn, flow, now, event);
    } else {
        stray_input(gsi, flow, mad);
    }
}

static bool
is_mad(const struct roce_packet *packet)
{
    return (packet->op->kind == ROCE_OP_DATAGRAM && !packet->op->imm
            && packet->qkey == ROCE_MAD_QKEY);
}

/* Takes the 'len' bytes of 'udp_payload', which came along 'flow' at 'now',
 * and stores into '*event' what has come of it.  The payload must remain until
 * the caller is done with 'event->mad', which may point to it. */
void
roce_gsi_input(struct roce_gsi *gsi, const struct roce_flow *flow,
               const void *udp_payload, size_t len, long long int now,
               struct roce_gsi_event *event)
{
    struct roce_qpn_slot slot = { ROCE_QPN_GSI, gsi };
    const struct roce_qpns qpns = { .slots = &slot };
    struct roce_icrc_flow icrc;
    struct roce_packet packet;

    event->type = ROCE_CM_NONE;
    event->aux = NULL;
    roce_icrc_flow_init(&icrc, flow);
    if (!roce_demux(&qpns, &icrc, udp_payload, len, &packet, &gsi->drops)) {
        return;
    } else if (!is_mad(&packet)) {
        drop(gsi, ROCE_DROP_NOT_MAD);
    } else if (roce_mad_parse(packet.payload, packet.payload_len,
                              &event->mad)) {
        drop(gsi, ROCE_DROP_BAD_MAD);
    } else {
        mad_input(gsi, flow, now, event);
    }
}

/* Time
 * ==== */

/* Does what is due at 'now' for one connection and stores into '*event' what
 * has come of it. */
void
roce_gsi_run(struct roce_gsi *gsi, long long int now,
             struct roce_gsi_event *event)
{
    event->type = ROCE_CM_NONE;
    while (event->type == ROCE_CM_NONE && !heap_is_empty(&gsi->timers)) {
        struct roce_gsi_conn *conn = CONTAINER_OF(heap_max(&gsi->timers),
                                                  struct roce_gsi_conn,
                                                  timer_node);

        if (roce_cm_deadline(&conn->cm) > now) {
            break;
        }
        event->type = roce_cm_run(&conn->cm, now);
        event->aux = conn->cm.aux;
        conn_update(gsi, conn);
    }
}

/* Returns the time at which roce_gsi_run() and roce_gsi_output() should be
 * called next: LLONG_MIN for now, LLONG_MAX for not before something else has
 * happened. */
long long int
roce_gsi_deadline(const struct roce_gsi *gsi)
{
    const struct heap_node *top;

    if (gsi->n_replied != gsi->n_replies
        || !ovs_list_is_empty(&gsi->pending)) {
        return LLONG_MIN;
    } else if (heap_is_empty(&gsi->timers)) {
        return LLONG_MAX;
    }
    top = heap_max(&gsi->timers);
    return top->priority ? UINT64_MAX - top->priority : LLONG_MAX;
}

/* Output
 * ====== */

static void
fill_tx(struct roce_gsi *gsi, const struct in6_addr *src,
        const struct in6_addr *dst, struct roce_gsi_tx *out)
{
    struct roce_packet packet = {
        .opcode = ROCE_UD_SEND_ONLY,
        .dst_qpn = ROCE_QPN_GSI,
        .psn = gsi->mad_psn,
        .qkey = ROCE_MAD_QKEY,
        .src_qpn = ROCE_QPN_GSI,
        .payload = out->mad,
        .payload_len = ROCE_MAD_LEN,
    };

    gsi->mad_psn = roce_psn_add(gsi->mad_psn, 1);
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
roce_gsi_output(struct roce_gsi *gsi, struct roce_gsi_tx *out)
{
    struct roce_gsi_conn *conn;

    if (gsi->n_replied != gsi->n_replies) {
        const struct roce_mad_reply *reply
            = &gsi->replies[gsi->n_replied++ % ROCE_GSI_N_REPLIES];

        memcpy(out->mad, reply->mad, sizeof out->mad);
        fill_tx(gsi, &reply->flow.src, &reply->flow.dst, out);
        return true;
    } else if (ovs_list_is_empty(&gsi->pending)) {
        return false;
    }
    conn = CONTAINER_OF(ovs_list_front(&gsi->pending), struct roce_gsi_conn,
                        pending_node);
    roce_cm_output(&conn->cm, out->mad);
    fill_tx(gsi, &conn->cm.local_ip, &conn->cm.remote_ip, out);
    if (!conn->cm.pending) {
        ovs_list_remove(&conn->pending_node);
        ovs_list_init(&conn->pending_node);
    }
    conn_update(gsi, conn);
    return true;
}

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Unit test of roce-cm. */

#include <config.h>
#undef NDEBUG

#include "roce-cm.h"
#include "roce-mad.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ovstest.h"
#include "packets.h"
#include "random.h"
#include "util.h"

/* Messages
 * ======== */

/* Golden messages, without the zeros at their ends. */
static const struct golden {
    enum roce_mad_type type;
    const char *hex;
} goldens[] = {
    { ROCE_MAD_REQ,
      "0107020300000000112233445566778800100000000000001122334400000000"
      "000000000106114401020304050607080000000000000000abcdef0300000005"
      "00000090fedcba96ffff37f0ffffffff00000000000000000000ffffc0000201"
      "00000000000000000000ffffc000020212345000684000700000000000000000"
      "0000000000000000000000000000000000000000000000000000000000000000"
      "0000000000409c40000000000000000000000000c00002010000000000000000"
      "00000000c000020268656c6c6f" },
    { ROCE_MAD_REP,
      "0107020300000000112233445566778800130000000000005566778811223344"
      "0000000012345600000000006543210001027ae01112131415161718776f726c"
      "64" },
    { ROCE_MAD_RTU,
      "0107020300000000000000000000000700140000000000001122334455667788" },
    { ROCE_MAD_DREQ,
      "0107020300000000000000000000000800150000000000001122334455667788"
      "123456" },
    { ROCE_MAD_DREP,
      "0107020300000000000000000000000800160000000000001122334455667788" },
    { ROCE_MAD_REJ,
      "0107020300000000000000000000000900120000000000001122334455667788"
      "4010001c01020304050607080000000000000000000000000000000000000000"
      "0000000000000000000000000000000000000000000000000000000000000000"
      "000000000000000000000000776879" },
    { ROCE_MAD_MRA,
      "0107020300000000000000000000000900110000000000001122334455667788"
      "40c0" },
};

static void
hex_to_mad(const char *hex, uint8_t mad[ROCE_MAD_LEN])
{
    bool ok = true;

    memset(mad, 0, ROCE_MAD_LEN);
    for (size_t i = 0; hex[2 * i]; i++) {
        mad[i] = hexits_value(hex + 2 * i, 2, &ok);
        ovs_assert(ok);
    }
}

static const uint8_t *
golden_bytes(enum roce_mad_type type)
{
    static uint8_t bytes[ROCE_MAD_N_TYPES][ROCE_MAD_LEN];

    for (size_t i = 0; i < ARRAY_SIZE(goldens); i++) {
        if (goldens[i].type == type) {
            hex_to_mad(goldens[i].hex, bytes[type]);
            return bytes[type];
        }
    }
    OVS_NOT_REACHED();
}

static struct roce_mad
golden_mad(enum roce_mad_type type)
{
    struct roce_mad mad;

    ovs_assert(!roce_mad_parse(golden_bytes(type), ROCE_MAD_LEN, &mad));
    ovs_assert(mad.type == type);
    return mad;
}

static struct in6_addr
ip(const char *s)
{
    struct in6_addr addr;

    ovs_assert(inet_pton(AF_INET6, s, &addr) == 1);
    return addr;
}

static bool
ip_is(const struct in6_addr *addr, const char *s)
{
    struct in6_addr other = ip(s);

    return IN6_ARE_ADDR_EQUAL(addr, &other);
}

static void
test_golden_req(void)
{
    struct roce_mad req = golden_mad(ROCE_MAD_REQ);

    ovs_assert(req.tid == UINT64_C(0x1122334455667788));
    ovs_assert(req.local_id == 0x11223344 && !req.remote_id);
    ovs_assert(req.service_id == ROCE_CM_SERVICE_TCP + 4420);
    ovs_assert(req.ca_guid == UINT64_C(0x0102030405060708));
    ovs_assert(req.qpn == 0xabcdef && req.psn == 0xfedcba);
    ovs_assert(req.responder_resources == 3 && req.initiator_depth == 5);
    ovs_assert(req.remote_timeout == 18 && req.local_timeout == 18);
    ovs_assert(req.retry_count == 6 && req.rnr_retry == 7);
    ovs_assert(req.path_mtu == 3 && req.max_cm_retries == 15);
    ovs_assert(req.pkey == 0xffff && req.primary_local_lid == 0xffff);
    ovs_assert(ip_is(&req.local_gid, "::ffff:192.0.2.1"));
    ovs_assert(ip_is(&req.remote_gid, "::ffff:192.0.2.2"));
    ovs_assert(req.flow_label == 0x12345 && req.traffic_class == 0x68);
    ovs_assert(req.hop_limit == 64 && req.ack_timeout == 14);
    ovs_assert(req.ip_version == 4 && req.src_port == 40000);
    ovs_assert(ip_is(&req.src_ip, "::192.0.2.1"));
    ovs_assert(ip_is(&req.dst_ip, "::192.0.2.2"));
    ovs_assert(req.private_len == ROCE_REQ_PRIVATE_LEN);
    ovs_assert(!memcmp(req.private_data, "hello", 6));
}

static void
test_golden_rest(void)
{
    struct roce_mad rep = golden_mad(ROCE_MAD_REP);
    struct roce_mad dreq = golden_mad(ROCE_MAD_DREQ);
    struct roce_mad rej = golden_mad(ROCE_MAD_REJ);
    struct roce_mad mra = golden_mad(ROCE_MAD_MRA);

    ovs_assert(rep.local_id == 0x55667788 && rep.remote_id == 0x11223344);
    ovs_assert(rep.qpn == 0x123456 && rep.psn == 0x654321);
    ovs_assert(rep.responder_resources == 1 && rep.initiator_depth == 2);
    ovs_assert(rep.ack_delay == 15 && rep.failover == 1);
    ovs_assert(rep.rnr_retry == 7 && !rep.srq);
    ovs_assert(rep.ca_guid == UINT64_C(0x1112131415161718));
    ovs_assert(!memcmp(rep.private_data, "world", 6));
    ovs_assert(dreq.qpn == 0x123456);
    ovs_assert(rej.about == ROCE_ABOUT_REP && rej.info_len == 8);
    ovs_assert(rej.reason == ROCE_REJ_CONSUMER && rej.info[7] == 8);
    ovs_assert(!memcmp(rej.private_data, "why", 4));
    ovs_assert(mra.about == ROCE_ABOUT_REP && mra.service_timeout == 24);
}

/* Every message comes out as it went in. */
static void
test_repack(void)
{
    for (int type = 0; type < ROCE_MAD_N_TYPES; type++) {
        struct roce_mad mad = golden_mad(type);
        uint8_t bytes[ROCE_MAD_LEN];

        roce_mad_pack(&mad, bytes);
        ovs_assert(!memcmp(bytes, golden_bytes(type), sizeof bytes));
    }
}

/* Whatever the bytes, what was parsed and packed parses the same again. */
static void
test_random_mads(int n)
{
    for (int i = 0; i < n; i++) {
        uint8_t bytes[ROCE_MAD_LEN], again[ROCE_MAD_LEN], third[ROCE_MAD_LEN];
        struct roce_mad mad;

        random_bytes(bytes, sizeof bytes);
        memcpy(bytes, golden_bytes(i % ROCE_MAD_N_TYPES), 24);
        ovs_assert(!roce_mad_parse(bytes, sizeof bytes, &mad));
        roce_mad_pack(&mad, again);
        ovs_assert(!roce_mad_parse(again, sizeof again, &mad));
        roce_mad_pack(&mad, third);
        ovs_assert(!memcmp(again, third, sizeof third));
    }
}

static const struct refusal {
    size_t ofs;                 /* Byte of a good MAD that is changed... */
    uint8_t value;              /* ...to this. */
    enum roce_mad_result result;
} refusals[] = {
    { 0, 2, ROCE_MAD_VERSION },
    { 1, 3, ROCE_MAD_CLASS },
    { 1, 4, ROCE_MAD_CLASS },
    { 2, 1, ROCE_MAD_CLASS },
    { 3, 1, ROCE_MAD_METHOD },
    { 3, 0x81, ROCE_MAD_METHOD },
    { 16, 1, ROCE_MAD_ATTRIBUTE },
    { 17, 0x0f, ROCE_MAD_ATTRIBUTE },
    { 17, 0x17, ROCE_MAD_ATTRIBUTE },
    { 17, 0x19, ROCE_MAD_ATTRIBUTE },
    { 4, 1, ROCE_MAD_OK },
};

static void
test_refusals(void)
{
    struct roce_mad mad;

    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        uint8_t bytes[ROCE_MAD_LEN];

        memcpy(bytes, golden_bytes(ROCE_MAD_REQ), sizeof bytes);
        bytes[refusals[i].ofs] = refusals[i].value;
        ovs_assert(roce_mad_parse(bytes, sizeof bytes, &mad)
                   == refusals[i].result);
    }
    ovs_assert(roce_mad_parse(NULL, 0, &mad) == ROCE_MAD_LENGTH);
    ovs_assert(roce_mad_parse(golden_bytes(ROCE_MAD_REQ), 255, &mad)
               == ROCE_MAD_LENGTH);
}

/* Requests that must be rejected before anyone looks at them: the golden one,
 * with one member changed. */
#define CHANGE(MEMBER, VALUE)                           \
    offsetof(struct roce_mad, MEMBER),                  \
    sizeof ((struct roce_mad *) NULL)->MEMBER, VALUE
static const struct check {
    size_t offset, size;
    uint64_t value;
    uint16_t reason;
} checks[] = {
    { CHANGE(transport, 0), 0 },
    { CHANGE(transport, 1), ROCE_REJ_UNSUPPORTED },
    { CHANGE(transport, 3), ROCE_REJ_UNSUPPORTED },
    { CHANGE(alternate_lid, 1), ROCE_REJ_UNSUPPORTED },
    { CHANGE(cm_version, 0x10), ROCE_REJ_UNSUPPORTED },
    { CHANGE(ip_version, 0), ROCE_REJ_UNSUPPORTED },
    { CHANGE(ip_version, 5), ROCE_REJ_UNSUPPORTED },
    { CHANGE(ip_version, 6), ROCE_REJ_BAD_GID },
    { CHANGE(local_gid, 1), ROCE_REJ_BAD_GID },
    { CHANGE(remote_gid, 1), ROCE_REJ_BAD_GID },
    { CHANGE(src_ip.s6_addr[15], 9), ROCE_REJ_BAD_GID },
    { CHANGE(dst_ip.s6_addr[15], 9), ROCE_REJ_BAD_GID },
    { CHANGE(qpn, 0), ROCE_REJ_NO_QP },
    { CHANGE(qpn, 1), ROCE_REJ_NO_QP },
    { CHANGE(path_mtu, 0), ROCE_REJ_BAD_MTU },
    { CHANGE(path_mtu, 4), ROCE_REJ_BAD_MTU },
    { CHANGE(path_mtu, 6), ROCE_REJ_BAD_MTU },
    { CHANGE(path_mtu, 15), ROCE_REJ_BAD_MTU },
    { CHANGE(path_mtu, 1), 0 },
    { CHANGE(srq, 1), 0 },
    { CHANGE(hop_limit, 1), 0 },
    { CHANGE(flow_label, 0), 0 },
};

static void
test_checks(void)
{
    struct roce_flow flow = {
        .src = ip("::ffff:192.0.2.1"),
        .dst = ip("::ffff:192.0.2.2"),
    };

    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        const struct check *c = &checks[i];
        struct roce_mad req = golden_mad(ROCE_MAD_REQ);

        memcpy((uint8_t *) &req + c->offset, &c->value,
               MIN(c->size, sizeof c->value));
        ovs_assert(roce_cm_check_request(&req, &flow, 1024) == c->reason);
    }
}

/* Connections
 * ===========
 *
 * Two ends, and a clock in microseconds. */

#define MSEC 1000LL
#define SECOND (1000 * MSEC)

struct end {
    struct roce_cm cm;
    struct roce_flow flow;      /* Of what this end sends. */
    struct roce_cm_side side;
    enum roce_cm_event event;   /* Latest. */
    uint8_t out[ROCE_MAD_LEN];  /* Latest message sent. */
};

static struct end a, b;         /* Active, passive. */
static long long int now;

static void
end_init(struct end *e, const char *src, const char *dst, int i)
{
    memset(e, 0, sizeof *e);
    e->flow.src = ip(src);
    e->flow.dst = ip(dst);
    e->side = (struct roce_cm_side) {
        .qpn = 0x1000 + i,
        .recv_psn = 0xfffff0 + i,
        .mtu = 1024,
        .traffic_class = 0x68,
        .ack_timeout = 14,
        .retry_count = 6,
        .rnr_retry = 5 + i,
    };
}

static void
init(bool ipv6)
{
    const char *ip_a = ipv6 ? "2001:db8::1" : "::ffff:192.0.2.1";
    const char *ip_b = ipv6 ? "2001:db8::2" : "::ffff:192.0.2.2";

    end_init(&a, ip_a, ip_b, 1);
    end_init(&b, ip_b, ip_a, 2);
    now = 0;
}

static void
connect_a(void)
{
    struct roce_cm_target target = {
        .local_ip = a.flow.src,
        .remote_ip = a.flow.dst,
        .guid = UINT64_C(0xaaaaaaaaaaaaaaaa),
        .id = 0xa0a0a0a0,
        .service_id = ROCE_CM_SERVICE_TCP + 4420,
        .src_port = 40000,
    };

    ovs_assert(roce_cm_connect(&a.cm, &target, &a.side, "hello", 5,
                               now) == 0);
}

/* Returns the latest message that 'e' has sent. */
static struct roce_mad
sent(const struct end *e)
{
    struct roce_mad mad;

    ovs_assert(!roce_mad_parse(e->out, sizeof e->out, &mad));
    return mad;
}

/* Returns the type of what 'e' sends, which is all that it sends. */
static enum roce_mad_type
sends(struct end *e)
{
    uint8_t more[ROCE_MAD_LEN];

    ovs_assert(roce_cm_output(&e->cm, e->out));
    ovs_assert(!roce_cm_output(&e->cm, more));
    return sent(e).type;
}

static bool
is_silent(struct end *e)
{
    return !roce_cm_output(&e->cm, e->out);
}

/* Delivers to 'to' the latest message of 'from'. */
static enum roce_cm_event
deliver(struct end *from, struct end *to)
{
    struct roce_mad mad;

    ovs_assert(!roce_mad_parse(from->out, sizeof from->out, &mad));
    if (mad.type == ROCE_MAD_REQ && to->cm.state == ROCE_CM_IDLE) {
        ovs_assert(!roce_cm_check_request(&mad, &from->flow, 4096));
        ovs_assert(!strcmp((const char *) mad.private_data, "hello"));
        to->event = roce_cm_request(&to->cm, &mad, &from->flow,
                                    UINT64_C(0xbbbbbbbbbbbbbbbb), 0xb0b0b0b0,
                                    now);
    } else {
        to->event = roce_cm_input(&to->cm, &mad, &from->flow, now);
    }
    return to->event;
}

/* Leads both ends into 'state', which is the passive one's. */
static void
lead_to(enum roce_cm_state state)
{
    connect_a();
    ovs_assert(sends(&a) == ROCE_MAD_REQ);
    ovs_assert(deliver(&a, &b) == ROCE_CM_REQUESTED);
    if (state == ROCE_CM_REQ_RCVD) {
        return;
    }
    ovs_assert(!roce_cm_accept(&b.cm, &b.side, "world", 5, now));
    ovs_assert(sends(&b) == ROCE_MAD_REP);
    if (state == ROCE_CM_REP_SENT) {
        return;
    }
    ovs_assert(deliver(&b, &a) == ROCE_CM_CONNECTED);
    ovs_assert(sends(&a) == ROCE_MAD_RTU);
    ovs_assert(deliver(&a, &b) == ROCE_CM_CONNECTED);
    ovs_assert(a.cm.state == ROCE_CM_ESTABLISHED);
    ovs_assert(b.cm.state == ROCE_CM_ESTABLISHED);
    ovs_assert(roce_cm_deadline(&a.cm) == LLONG_MAX);
}

/* Lets the timer of 'e' expire, which must be in 'msec'. */
static enum roce_cm_event
expire(struct end *e, int msec)
{
    ovs_assert(roce_cm_deadline(&e->cm) == now + msec * MSEC);
    now += msec * MSEC - 1;
    ovs_assert(roce_cm_run(&e->cm, now) == ROCE_CM_NONE);
    ovs_assert(is_silent(e));
    now++;
    return roce_cm_run(&e->cm, now);
}

static void
check_qp_configs(bool ipv6)
{
    struct roce_qp_config ca, cb;

    roce_cm_get_qp_config(&a.cm, &ca);
    roce_cm_get_qp_config(&b.cm, &cb);
    ovs_assert(ca.local_qpn == 0x1001 && ca.remote_qpn == 0x1002);
    ovs_assert(cb.local_qpn == 0x1002 && cb.remote_qpn == 0x1001);
    ovs_assert(ca.send_psn == 0xfffff2 && ca.recv_psn == 0xfffff1);
    ovs_assert(cb.send_psn == 0xfffff1 && cb.recv_psn == 0xfffff2);
    ovs_assert(ca.mtu == 1024 && cb.mtu == 1024);
    ovs_assert(ca.timeout == 14 && cb.timeout == 14);
    ovs_assert(ca.retry_count == 6 && cb.retry_count == 6);
    ovs_assert(ca.rnr_retry == 7 && cb.rnr_retry == 6);
    ovs_assert(IN6_ARE_ADDR_EQUAL(&ca.local_ip, &cb.remote_ip));
    ovs_assert(a.cm.remote_guid == b.cm.local_guid);
    ovs_assert(b.cm.remote_guid == a.cm.local_guid);
    ovs_assert(ip_is(&ca.remote_ip,
                     ipv6 ? "2001:db8::2" : "::ffff:192.0.2.2"));
}

static void
test_connect(void)
{
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        init(ipv6);
        lead_to(ROCE_CM_ESTABLISHED);
        check_qp_configs(ipv6);
    }
}

static void
test_disconnect(void)
{
    lead_to(ROCE_CM_ESTABLISHED);
    roce_cm_disconnect(&a.cm, now);
    ovs_assert(sends(&a) == ROCE_MAD_DREQ);
    ovs_assert(deliver(&a, &b) == ROCE_CM_DISCONNECTED);
    ovs_assert(sends(&b) == ROCE_MAD_DREP);
    ovs_assert(sent(&b).tid == sent(&a).tid);
    ovs_assert(deliver(&a, &b) == ROCE_CM_NONE);        /* Again. */
    ovs_assert(deliver(&b, &a) == ROCE_CM_DISCONNECTED);
    ovs_assert(deliver(&b, &a) == ROCE_CM_NONE);
    ovs_assert(a.cm.state == ROCE_CM_IDLE && b.cm.state == ROCE_CM_IDLE);
    ovs_assert(roce_cm_deadline(&a.cm) == LLONG_MAX);
}

static void
test_crossing_dreqs(void)
{
    lead_to(ROCE_CM_ESTABLISHED);
    roce_cm_disconnect(&a.cm, now);
    roce_cm_disconnect(&b.cm, now);
    ovs_assert(sends(&a) == ROCE_MAD_DREQ && sends(&b) == ROCE_MAD_DREQ);
    ovs_assert(deliver(&a, &b) == ROCE_CM_DISCONNECTED);
    ovs_assert(deliver(&b, &a) == ROCE_CM_DISCONNECTED);
    ovs_assert(sends(&a) == ROCE_MAD_DREP && sends(&b) == ROCE_MAD_DREP);
    ovs_assert(deliver(&a, &b) == ROCE_CM_NONE);
}

static void
test_dreq_unanswered(void)
{
    lead_to(ROCE_CM_ESTABLISHED);
    roce_cm_disconnect(&a.cm, now);
    ovs_assert(sends(&a) == ROCE_MAD_DREQ);
    for (int msec = 250; msec <= 1000; msec *= 2) {
        ovs_assert(expire(&a, msec) == ROCE_CM_NONE);
        ovs_assert(sends(&a) == ROCE_MAD_DREQ);
    }
    ovs_assert(expire(&a, 2000) == ROCE_CM_DISCONNECTED);
    ovs_assert(a.cm.state == ROCE_CM_IDLE && is_silent(&a));
}

/* It names the wrong queue pair, so it is not for this connection. */
static void
test_dreq_wrong_qpn(void)
{
    lead_to(ROCE_CM_ESTABLISHED);
    roce_cm_disconnect(&a.cm, now);
    sends(&a);
    b.cm.local.qpn++;
    ovs_assert(deliver(&a, &b) == ROCE_CM_NONE);
    ovs_assert(b.cm.state == ROCE_CM_ESTABLISHED && is_silent(&b));
}

static void
test_req_unanswered(void)
{
    static const int intervals[] = { 250, 500, 1000, 2000, 4000, 8000 };
    struct roce_mad rej;

    connect_a();
    ovs_assert(sends(&a) == ROCE_MAD_REQ);
    for (size_t i = 0; i < ARRAY_SIZE(intervals); i++) {
        ovs_assert(expire(&a, intervals[i]) == ROCE_CM_NONE);
        ovs_assert(sends(&a) == ROCE_MAD_REQ);
    }
    ovs_assert(expire(&a, 8000) == ROCE_CM_UNREACHABLE);
    ovs_assert(a.cm.state == ROCE_CM_IDLE);
    ovs_assert(sends(&a) == ROCE_MAD_REJ);
    rej = sent(&a);
    ovs_assert(rej.reason == ROCE_REJ_TIMEOUT && rej.info_len == 8);
    ovs_assert(rej.info[0] == 0xaa && rej.info[7] == 0xaa);
}

/* What we say ourselves: the mapped form of an address is for GIDs only. */
static void
test_req_addresses(void)
{
    struct roce_mad req;

    connect_a();
    ovs_assert(sends(&a) == ROCE_MAD_REQ);
    req = sent(&a);
    ovs_assert(ip_is(&req.local_gid, "::ffff:192.0.2.1"));
    ovs_assert(ip_is(&req.src_ip, "::192.0.2.1"));
    ovs_assert(ip_is(&req.dst_ip, "::192.0.2.2"));
    ovs_assert(req.path_mtu == 3 && req.ip_version == 4);
}

/* Of what was never sent, only the end is worth a message. */
static void
test_req_unsent(void)
{
    connect_a();
    roce_cm_disconnect(&a.cm, now);
    ovs_assert(sends(&a) == ROCE_MAD_REJ);
}

static void
test_rep_bad_qpn(void)
{
    lead_to(ROCE_CM_REP_SENT);
    memset(b.out + 24 + 12, 0, 3);
    ovs_assert(deliver(&b, &a) == ROCE_CM_NONE);
    ovs_assert(a.cm.state == ROCE_CM_REQ_SENT && is_silent(&a));
}

/* A REP to the passive side makes no sense. */
static void
test_rep_to_passive(void)
{
    struct roce_mad rep = { .type = ROCE_MAD_REP, .qpn = 0x1001 };

    lead_to(ROCE_CM_ESTABLISHED);
    rep.local_id = b.cm.remote_id;
    rep.remote_id = b.cm.local_id;
    ovs_assert(!roce_cm_input(&b.cm, &rep, &a.flow, now));
    ovs_assert(is_silent(&b));
}

/* An MRA makes nobody less patient. */
static void
test_mra_short(void)
{
    struct roce_mad mra = { .type = ROCE_MAD_MRA, .remote_id = 0xa0a0a0a0 };

    connect_a();
    sends(&a);
    roce_cm_input(&a.cm, &mra, &b.flow, now);
    ovs_assert(roce_cm_deadline(&a.cm) == now + SECOND / 4);
}

/* A REJ for a timeout reaches a peer that is still thinking: it has our
 * identifier, but we never learned its own. */
static void
test_req_taken_back(void)
{
    lead_to(ROCE_CM_REQ_RCVD);
    roce_cm_disconnect(&a.cm, now);
    ovs_assert(sends(&a) == ROCE_MAD_REJ);
    ovs_assert(deliver(&a, &b) == ROCE_CM_DISCONNECTED);
    ovs_assert(b.cm.reason == ROCE_REJ_TIMEOUT);
    ovs_assert(roce_cm_accept(&b.cm, &b.side, NULL, 0, now) == ENOTCONN);
    ovs_assert(is_silent(&b));
}

static void
test_undecided(void)
{
    lead_to(ROCE_CM_REQ_RCVD);
    ovs_assert(expire(&b, 10000) == ROCE_CM_UNREACHABLE);
    ovs_assert(sends(&b) == ROCE_MAD_REJ);
    ovs_assert(deliver(&b, &a) == ROCE_CM_REJECTED);
}

static void
test_dup_req(void)
{
    lead_to(ROCE_CM_REQ_RCVD);
    ovs_assert(deliver(&a, &b) == ROCE_CM_NONE);
    ovs_assert(sends(&b) == ROCE_MAD_MRA);
    ovs_assert(deliver(&b, &a) == ROCE_CM_NONE);
    ovs_assert(roce_cm_deadline(&a.cm) == now + (4096LL << 20) / 1000);
    ovs_assert(!roce_cm_accept(&b.cm, &b.side, NULL, 0, now));
    ovs_assert(sends(&b) == ROCE_MAD_REP);
    ovs_assert(deliver(&a, &b) == ROCE_CM_NONE);
    ovs_assert(sends(&b) == ROCE_MAD_REP);
    ovs_assert(b.cm.state == ROCE_CM_REP_SENT);
}

/* What the loss of the REP, or of one RTU or two, costs is well under a
 * second. */
static void
test_rtu_lost(void)
{
    lead_to(ROCE_CM_REP_SENT);
    ovs_assert(expire(&b, 125) == ROCE_CM_NONE);
    ovs_assert(sends(&b) == ROCE_MAD_REP);
    ovs_assert(deliver(&b, &a) == ROCE_CM_CONNECTED);
    ovs_assert(sends(&a) == ROCE_MAD_RTU);              /* Lost. */
    ovs_assert(expire(&b, 250) == ROCE_CM_NONE);
    ovs_assert(sends(&b) == ROCE_MAD_REP);
    ovs_assert(deliver(&b, &a) == ROCE_CM_NONE);
    ovs_assert(sends(&a) == ROCE_MAD_RTU);
    ovs_assert(deliver(&a, &b) == ROCE_CM_CONNECTED);
    ovs_assert(deliver(&a, &b) == ROCE_CM_NONE);
    ovs_assert(is_silent(&a) && is_silent(&b));
}

/* The REP to a request with a forged address is repeated, and then the request
 * forgotten. */
static void
test_rtu_never(void)
{
    lead_to(ROCE_CM_REP_SENT);
    for (int msec = 125; msec <= 2000; msec *= 2) {
        ovs_assert(expire(&b, msec) == ROCE_CM_NONE);
        ovs_assert(sends(&b) == ROCE_MAD_REP);
    }
    ovs_assert(expire(&b, 4000) == ROCE_CM_UNREACHABLE);
}

/* A DREQ is possible without an RTU. */
static void
test_no_rtu(void)
{
    lead_to(ROCE_CM_REP_SENT);
    deliver(&b, &a);
    sends(&a);
    roce_cm_disconnect(&a.cm, now);
    ovs_assert(sends(&a) == ROCE_MAD_DREQ);
    ovs_assert(deliver(&a, &b) == ROCE_CM_DISCONNECTED);
}

static void
test_reject(void)
{
    lead_to(ROCE_CM_REQ_RCVD);
    ovs_assert(!roce_cm_reject(&b.cm, ROCE_REJ_CONSUMER, "no", 2, now));
    ovs_assert(b.cm.state == ROCE_CM_IDLE);
    ovs_assert(sends(&b) == ROCE_MAD_REJ);
    ovs_assert(deliver(&b, &a) == ROCE_CM_REJECTED);
    ovs_assert(a.cm.reason == ROCE_REJ_CONSUMER);
    ovs_assert(a.cm.state == ROCE_CM_IDLE && is_silent(&a));
}

/* The side that has accepted thinks better of it, before or after the peer has
 * learned of that. */
static void
test_unaccept(void)
{
    for (int i = 0; i < 2; i++) {
        init(false);
        lead_to(ROCE_CM_REP_SENT);
        if (i) {
            ovs_assert(deliver(&b, &a) == ROCE_CM_CONNECTED);
            ovs_assert(sends(&a) == ROCE_MAD_RTU);
        }
        roce_cm_disconnect(&b.cm, now);
        ovs_assert(b.cm.state == ROCE_CM_IDLE);
        ovs_assert(sends(&b) == ROCE_MAD_REJ);
        ovs_assert(deliver(&b, &a)
                   == (i ? ROCE_CM_DISCONNECTED : ROCE_CM_REJECTED));
    }
}

/* One that says that it has given up, and does not know our identifier, is
 * lying once it has shown that it does. */
static void
test_rej_too_late(void)
{
    struct roce_mad rej = {
        .type = ROCE_MAD_REJ,
        .reason = ROCE_REJ_TIMEOUT,
    };

    lead_to(ROCE_CM_ESTABLISHED);
    rej.local_id = b.cm.remote_id;
    ovs_assert(!roce_cm_input(&b.cm, &rej, &a.flow, now));
    rej.local_id = a.cm.remote_id;
    ovs_assert(!roce_cm_input(&a.cm, &rej, &b.flow, now));
    roce_cm_disconnect(&a.cm, now);
    ovs_assert(!roce_cm_input(&a.cm, &rej, &b.flow, now));
    ovs_assert(b.cm.state == ROCE_CM_ESTABLISHED);

    /* Before that, it may have missed our REP. */
    init(false);
    lead_to(ROCE_CM_REP_SENT);
    rej.local_id = b.cm.remote_id;
    ovs_assert(roce_cm_input(&b.cm, &rej, &a.flow, now)
               == ROCE_CM_DISCONNECTED);
}

/* No peer can do without acknowledging, or have us send all the time. */
static void
test_ack_timeouts(void)
{
    static const uint8_t timeouts[][2] = {
        { 0, 16 }, { 1, 10 }, { 10, 10 }, { 14, 14 }, { 17, 16 }, { 31, 16 },
    };

    lead_to(ROCE_CM_REQ_RCVD);
    for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++) {
        struct roce_qp_config config;

        b.cm.remote.ack_timeout = timeouts[i][0];
        roce_cm_get_qp_config(&b.cm, &config);
        ovs_assert(config.timeout == timeouts[i][1]);
    }
}

static void
test_reject_stateless(void)
{
    struct roce_mad req;

    connect_a();
    sends(&a);
    req = sent(&a);
    roce_cm_pack_reject(&req, ROCE_REJ_BAD_MTU, 512, b.out);
    ovs_assert(deliver(&b, &a) == ROCE_CM_REJECTED);
    ovs_assert(a.cm.reason == ROCE_REJ_BAD_MTU);
    ovs_assert(sent(&b).info_len == 1 && sent(&b).info[0] == 2);
}

static void
test_drep_stateless(void)
{
    struct roce_mad dreq;

    lead_to(ROCE_CM_ESTABLISHED);
    roce_cm_disconnect(&a.cm, now);
    sends(&a);
    dreq = sent(&a);
    roce_cm_pack_drep(&dreq, b.out);
    ovs_assert(deliver(&b, &a) == ROCE_CM_DISCONNECTED);
}

/* However many MRAs come, they do not delay giving up for ever. */
static void
test_mra_bounded(void)
{
    struct roce_mad mra = {
        .type = ROCE_MAD_MRA,
        .remote_id = 0xa0a0a0a0,
        .service_timeout = 31,
    };

    connect_a();
    while (a.cm.state == ROCE_CM_REQ_SENT) {
        ovs_assert(now < 400 * SECOND);
        roce_cm_input(&a.cm, &mra, &b.flow, now);
        now += SECOND;
        roce_cm_run(&a.cm, now);
    }
}

/* Nor do they revive a connection that has to give way. */
static void
test_mra_too_late(void)
{
    struct roce_mad mra = {
        .type = ROCE_MAD_MRA,
        .service_timeout = 31,
    };

    lead_to(ROCE_CM_REP_SENT);
    mra.local_id = b.cm.remote_id;
    mra.remote_id = b.cm.local_id;
    roce_cm_give_up(&b.cm, now);
    roce_cm_input(&b.cm, &mra, &a.flow, now);
    ovs_assert(roce_cm_run(&b.cm, now) == ROCE_CM_UNREACHABLE);
}

/* A peer that restarted uses its queue pair again. */
static void
test_stale(void)
{
    struct roce_mad req;

    lead_to(ROCE_CM_ESTABLISHED);
    connect_a();
    sends(&a);
    req = sent(&a);
    ovs_assert(roce_cm_is_duplicate(&b.cm, &req, &a.flow));
    ovs_assert(!roce_cm_is_stale(&b.cm, &req, &a.flow));
    req.local_id++;
    ovs_assert(!roce_cm_is_duplicate(&b.cm, &req, &a.flow));
    ovs_assert(roce_cm_is_stale(&b.cm, &req, &a.flow));
    ovs_assert(!roce_cm_is_stale(&b.cm, &req, &b.flow));
    req.ca_guid++;
    ovs_assert(!roce_cm_is_stale(&b.cm, &req, &a.flow));
}

/* Neither wrong addresses nor wrong identifiers get through, in any state. */
static void
try_stranger(const struct roce_mad *mad, const struct roce_flow *flow,
             enum roce_cm_state state)
{
    struct end e = b;

    e.cm.state = state;
    ovs_assert(!roce_cm_input(&e.cm, mad, flow, now));
    ovs_assert(e.cm.state == state && is_silent(&e));
}

static void
try_strangers(enum roce_cm_state state, enum roce_mad_type type)
{
    struct roce_mad mad = {
        .type = type,
        .local_id = b.cm.remote_id,
        .remote_id = b.cm.local_id,
        .ca_guid = b.cm.remote_guid,
        .qpn = b.cm.local.qpn,
    };
    struct roce_flow flow = a.flow;

    flow.src.s6_addr[15] ^= 1;
    try_stranger(&mad, &flow, state);
    flow.src.s6_addr[15] ^= 1;
    if (type != ROCE_MAD_REQ) {
        flow.dst.s6_addr[15] ^= 1;
        try_stranger(&mad, &flow, state);
        mad.remote_id++;
        try_stranger(&mad, &a.flow, state);
        mad.remote_id--;
    }
    if (state != ROCE_CM_REQ_SENT) {
        mad.local_id++;
        try_stranger(&mad, &a.flow, state);
    }
}

static void
test_strangers(void)
{
    lead_to(ROCE_CM_ESTABLISHED);
    for (int state = 0; state < ROCE_CM_N_STATES; state++) {
        for (int type = 0; type < ROCE_MAD_N_TYPES; type++) {
            try_strangers(state, type);
        }
    }
}

static void
test_private_limits(void)
{
    static uint8_t data[ROCE_REP_PRIVATE_LEN + 1];
    struct roce_cm_target target = { .id = 1 };

    ovs_assert(roce_cm_connect(&a.cm, &target, &a.side, data, 57, 0)
               == EINVAL);
    lead_to(ROCE_CM_REQ_RCVD);
    ovs_assert(roce_cm_accept(&b.cm, &b.side, data, 197, 0) == EINVAL);
    ovs_assert(roce_cm_reject(&b.cm, ROCE_REJ_CONSUMER, data, 149, 0)
               == EINVAL);
    ovs_assert(!roce_cm_accept(&b.cm, &b.side, data, 196, 0));
}

/* Scripted wire
 * =============
 *
 * Connect and disconnect while the wire loses, repeats and delays messages.
 * Whatever happens, each end hears exactly once that it is over, unless the
 * other one could not tell it. */

struct flight {
    long long int arrival;
    struct end *from, *to;
    uint8_t bytes[ROCE_MAD_LEN];
};

static struct flight flights[64];
static size_t n_flights;
static int loss, dup;           /* Percent. */
static struct outcome {
    bool began, connected, over;
} outcomes[2];                  /* Of 'a', 'b'. */

static struct outcome *
outcome_of(const struct end *e)
{
    return &outcomes[e == &b];
}

static void
note_event(const struct end *e, enum roce_cm_event event)
{
    struct outcome *outcome = outcome_of(e);

    if (event == ROCE_CM_NONE) {
        return;
    }
    ovs_assert(!outcome->over);
    if (event == ROCE_CM_REQUESTED) {
        ovs_assert(!outcome->began);
        outcome->began = true;
    } else if (event == ROCE_CM_CONNECTED) {
        ovs_assert(!outcome->connected);
        outcome->connected = true;
    } else {
        ovs_assert(e->cm.state == ROCE_CM_IDLE);
        outcome->over = true;
    }
}

/* Sends 'bytes' from 'from' to 'to'. */
static void
launch(struct end *from, struct end *to, const uint8_t bytes[ROCE_MAD_LEN])
{
    int copies = random_range(100) < loss ? 0
                 : random_range(100) < dup ? 2 : 1;

    for (; copies && n_flights < ARRAY_SIZE(flights); copies--) {
        struct flight *f = &flights[n_flights++];

        f->arrival = now + random_range(3 * SECOND);
        f->from = from;
        f->to = to;
        memcpy(f->bytes, bytes, sizeof f->bytes);
    }
}

static void
launch_all(struct end *from, struct end *to)
{
    uint8_t bytes[ROCE_MAD_LEN];

    while (roce_cm_output(&from->cm, bytes)) {
        launch(from, to, bytes);
    }
}

/* 'to', whose connection is over, gets the latest message of 'from', as queue
 * pair 1 handles it. */
static void
deliver_late(struct end *from, struct end *to)
{
    struct roce_mad mad = sent(from);
    uint8_t bytes[ROCE_MAD_LEN];

    if (mad.type == ROCE_MAD_REP) {
        roce_cm_pack_reject(&mad, ROCE_REJ_BAD_ID, 0, bytes);
        launch(to, from, bytes);
    } else if (mad.type == ROCE_MAD_DREQ) {
        roce_cm_pack_drep(&mad, bytes);
        launch(to, from, bytes);
    }
}

static void
land(void)
{
    for (size_t i = 0; i < n_flights; ) {
        struct flight f = flights[i];

        if (f.arrival > now) {
            i++;
            continue;
        }
        flights[i] = flights[--n_flights];
        memcpy(f.from->out, f.bytes, sizeof f.bytes);
        if (f.to->cm.state == ROCE_CM_IDLE && outcome_of(f.to)->began) {
            deliver_late(f.from, f.to);
            continue;
        }
        note_event(f.to, deliver(f.from, f.to));
        if (f.to->event == ROCE_CM_REQUESTED) {
            ovs_assert(!roce_cm_accept(&b.cm, &b.side, NULL, 0, now));
        }
    }
}

static void
hang_up(struct end *e)
{
    bool was_idle = e->cm.state == ROCE_CM_IDLE;

    roce_cm_disconnect(&e->cm, now);
    if (e->cm.state == ROCE_CM_IDLE && !was_idle) {
        outcome_of(e)->over = true;
    }
}

/* Checks that 'e' is at a rest, and that one end that began was told so. */
static void
check_rest(const struct end *e)
{
    const struct outcome *outcome = outcome_of(e);

    if (e->cm.state == ROCE_CM_ESTABLISHED) {
        ovs_assert(outcome->connected && !outcome->over && loss);
    } else {
        ovs_assert(e->cm.state == ROCE_CM_IDLE);
        ovs_assert(outcome->over == outcome->began);
    }
}

/* Returns true if both were connected. */
static bool
play(void)
{
    long long int end = 20 * SECOND + random_range(20 * SECOND);

    init(random_range(2));
    n_flights = 0;
    memset(outcomes, 0, sizeof outcomes);
    connect_a();
    outcomes[0].began = true;
    for (; now < 400 * SECOND; now += SECOND / 8) {
        land();
        note_event(&a, roce_cm_run(&a.cm, now));
        note_event(&b, roce_cm_run(&b.cm, now));
        if (now >= end && now < end + SECOND / 8) {
            hang_up(random_range(2) ? &a : &b);
        }
        launch_all(&a, &b);
        launch_all(&b, &a);
    }
    check_rest(&a);
    check_rest(&b);
    return outcomes[0].connected && outcomes[1].connected;
}

static void
test_wire(int n)
{
    static const struct {
        int loss;               /* Percent. */
        int min;                /* Percent connected at least. */
    } cases[] = { { 0, 100 }, { 10, 95 }, { 30, 80 }, { 60, 30 }, { 90, 0 } };

    dup = 20;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int n_connected = 0;

        loss = cases[i].loss;
        for (int j = 0; j < n; j++) {
            n_connected += play();
        }
        printf("loss %d%%: %d of %d connected\n", loss, n_connected, n);
        ovs_assert(100 * n_connected >= cases[i].min * n);
    }
}

/* Usage: test-roce-cm [SEED [SCALE]] */
static void
test_roce_cm_main(int argc, char *argv[])
{
    static void (*const tests[])(void) = {
        test_golden_req, test_golden_rest, test_repack, test_refusals,
        test_checks, test_connect, test_disconnect, test_crossing_dreqs,
        test_dreq_unanswered, test_dreq_wrong_qpn, test_req_unanswered,
        test_req_taken_back, test_undecided, test_dup_req, test_rtu_lost,
        test_rtu_never, test_no_rtu, test_reject, test_unaccept,
        test_rej_too_late, test_ack_timeouts, test_reject_stateless,
        test_drep_stateless,
        test_req_addresses, test_req_unsent, test_rep_bad_qpn,
        test_rep_to_passive, test_mra_short, test_mra_bounded,
        test_mra_too_late,
        test_stale, test_strangers, test_private_limits,
    };
    uint32_t seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
    uint32_t scale = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;

    set_program_name(argv[0]);
    random_set_seed(seed);
    printf("seed %"PRIu32"\n", seed);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        init(false);
        tests[i]();
    }
    printf("directed: %"PRIuSIZE" tests\n", ARRAY_SIZE(tests));
    test_random_mads(10000 * scale);
    test_wire(100 * scale);
}

OVSTEST_REGISTER("test-roce-cm", test_roce_cm_main);

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Fuzz target: connection management. */

#include <config.h>

#include "roce-gsi.h"
#include "roce-icrc.h"
#include "roce-mad.h"

#include <string.h>

#include "fuzzer.h"
#include "packets.h"
#include "util.h"

/* Input: steps of one byte each, some of them followed by what they need.  See
 * do_step().
 *
 * Queue pair 1 with few connections takes MADs, good and bad, while its user
 * connects, accepts, rejects and disconnects and time goes by.  It must stay
 * within its bounds and come to a rest. */

#define MAD_MAX_CONNS 16
#define MAD_MAX_HALF_OPEN 4
#define MAD_N_CMS 8
#define MAD_SERVICE (ROCE_CM_SERVICE_TCP + 4420)

struct mad_fuzz {
    const uint8_t *data;
    size_t size;
    long long int now;

    struct roce_gsi gsi;
    struct roce_cm *cms[MAD_N_CMS];     /* Some of those that there are. */
};

static uint8_t
mad_next_byte(struct mad_fuzz *f)
{
    if (!f->size) {
        return 0;
    }
    f->size--;
    return *f->data++;
}

static void
mad_next_bytes(struct mad_fuzz *f, uint8_t *bytes, size_t n)
{
    size_t avail = MIN(n, f->size);

    memset(bytes, 0, n);
    if (avail) {
        memcpy(bytes, f->data, avail);
    }
    f->data += avail;
    f->size -= avail;
}

static struct roce_flow
mad_flow(uint8_t from)
{
    struct roce_flow flow = { .sport = htons(50000), .dport = htons(4791) };

    in6_addr_set_mapped_ipv4(&flow.src, htonl(0xc0000200 + from % 4));
    in6_addr_set_mapped_ipv4(&flow.dst, htonl(0xc00002ff));
    return flow;
}

/* What was packed parses the same again. */
static void
check_repacked(const struct roce_mad *mad)
{
    uint8_t once[ROCE_MAD_LEN], twice[ROCE_MAD_LEN];
    struct roce_mad again;

    roce_mad_pack(mad, once);
    ovs_assert(!roce_mad_parse(once, sizeof once, &again));
    roce_mad_pack(&again, twice);
    ovs_assert(!memcmp(once, twice, sizeof once));
}

/* Makes 'mad' one that gets further than random bytes would. */
static void
improve(struct mad_fuzz *f, struct roce_mad *mad, uint8_t how,
        const struct roce_flow *flow)
{
    const struct roce_cm *cm = f->cms[how % MAD_N_CMS];

    if (mad->type == ROCE_MAD_REQ) {
        mad->service_id = MAD_SERVICE;
        mad->transport = mad->cm_version = mad->alternate_lid = 0;
        mad->ip_version = 4;
        mad->local_gid = mad->src_ip = flow->src;
        mad->remote_gid = mad->dst_ip = flow->dst;
        mad->local_id %= 8;
        mad->ca_guid %= 2;
    } else if (cm) {
        mad->remote_id = how & 0x40 ? 0 : cm->local_id;
        mad->local_id = how & 0x80 ? mad->local_id : cm->remote_id;
        if (mad->type == ROCE_MAD_DREQ) {
            mad->qpn = cm->local.qpn;
        }
    }
}

/* Forgets the connection that 'event' is about if that is its end, or notes it
 * if it is new.  One for which there is no place goes. */
static void
note_event(struct mad_fuzz *f, const struct roce_gsi_event *event)
{
    if (event->type == ROCE_CM_REQUESTED) {
        for (int i = 0; i < MAD_N_CMS; i++) {
            if (!f->cms[i]) {
                f->cms[i] = event->cm;
                event->cm->aux = &f->cms[i];
                return;
            }
        }
        roce_gsi_disconnect(&f->gsi, event->cm, f->now);
    } else if (event->type > ROCE_CM_CONNECTED && event->aux) {
        *(struct roce_cm **) event->aux = NULL;
    }
    ovs_assert(f->gsi.n_strangers <= MAD_MAX_HALF_OPEN);
    ovs_assert(hmap_count(&f->gsi.by_id) <= 2 * MAD_MAX_CONNS);
}

static void
feed_mad(struct mad_fuzz *f, const struct roce_flow *flow,
         const uint8_t *bytes, size_t len)
{
    struct roce_packet packet = {
        .opcode = ROCE_UD_SEND_ONLY,
        .dst_qpn = ROCE_QPN_GSI,
        .qkey = ROCE_MAD_QKEY,
        .src_qpn = ROCE_QPN_GSI,
        .payload = bytes,
        .payload_len = len,
    };
    uint8_t datagram[ROCE_MAX_HDR_LEN + ROCE_MAD_LEN + ROCE_ICRC_LEN];
    struct roce_gsi_event event;
    struct roce_icrc_flow icrc;
    struct roce_tx tx;

    roce_packet_build(&packet, &tx);
    roce_icrc_flow_init(&icrc, flow);
    roce_icrc_seal(&icrc, 0, &tx);
    roce_gsi_input(&f->gsi, flow, datagram,
                   roce_tx_copy(&tx, datagram, sizeof datagram), f->now,
                   &event);
    note_event(f, &event);
}

static void
step_mad(struct mad_fuzz *f, uint8_t how)
{
    struct roce_flow flow = mad_flow(mad_next_byte(f));
    uint8_t bytes[ROCE_MAD_LEN] = { 1, 7, 2, 3 };
    uint8_t type = mad_next_byte(f);
    struct roce_mad mad;

    bytes[17] = 0x10 + type % ROCE_MAD_N_TYPES;
    mad_next_bytes(f, bytes + 24, sizeof bytes - 24);
    ovs_assert(!roce_mad_parse(bytes, sizeof bytes, &mad));
    check_repacked(&mad);
    improve(f, &mad, how, &flow);
    mad.private_data = NULL;
    mad.private_len = 0;
    roce_mad_pack(&mad, bytes);
    feed_mad(f, &flow, bytes, sizeof bytes);
}

static void
step_raw(struct mad_fuzz *f)
{
    struct roce_flow flow = mad_flow(mad_next_byte(f));
    uint8_t bytes[ROCE_MAD_LEN];
    size_t len = mad_next_byte(f) + 1;
    struct roce_mad mad;

    mad_next_bytes(f, bytes, len);
    if (!roce_mad_parse(bytes, len, &mad)) {
        check_repacked(&mad);
    }
    feed_mad(f, &flow, bytes, len);
}

static void
step_connect(struct mad_fuzz *f, struct roce_cm **cmp)
{
    struct roce_flow flow = mad_flow(mad_next_byte(f));
    struct roce_cm_target target = {
        .local_ip = flow.dst,
        .remote_ip = flow.src,
        .service_id = MAD_SERVICE,
    };
    struct roce_cm_side side = { .qpn = 0x20, .mtu = 1024 };

    if (!*cmp && !roce_gsi_connect(&f->gsi, &target, &side, "x", 1, f->now,
                                   cmp)) {
        (*cmp)->aux = cmp;
    }
}

/* Lets go of '*cmp'. */
static void
step_end(struct mad_fuzz *f, struct roce_cm **cmp, bool rejects)
{
    if (*cmp && rejects) {
        roce_gsi_reject(&f->gsi, *cmp, ROCE_REJ_CONSUMER, NULL, 0, f->now);
    } else if (*cmp) {
        roce_gsi_disconnect(&f->gsi, *cmp, f->now);
    }
    *cmp = NULL;
}

static void
step_output(struct mad_fuzz *f)
{
    struct roce_gsi_tx out;
    int n = 0;

    while (roce_gsi_output(&f->gsi, &out)) {
        ovs_assert(n++ < 1000);
    }
}

static void
step_run(struct mad_fuzz *f, long long int wait)
{
    struct roce_gsi_event event;
    int n = 0;

    f->now += wait;
    do {
        roce_gsi_run(&f->gsi, f->now, &event);
        note_event(f, &event);
        ovs_assert(n++ < 1000);
    } while (event.type != ROCE_CM_NONE);
}

static void
step_accept(struct mad_fuzz *f, struct roce_cm *cm)
{
    struct roce_cm_side side = { .qpn = 0x20, .mtu = 1024 };

    if (cm) {
        roce_gsi_accept(&f->gsi, cm, &side, "y", 1, f->now);
    }
}

static void
do_step(struct mad_fuzz *f)
{
    uint8_t op = mad_next_byte(f);
    struct roce_cm **cmp = &f->cms[op >> 4 & (MAD_N_CMS - 1)];

    switch (op & 0xf) {
    case 0: step_raw(f); break;
    case 1: step_connect(f, cmp); break;
    case 2: step_accept(f, *cmp); break;
    case 3: step_end(f, cmp, true); break;
    case 4: step_end(f, cmp, false); break;
    case 6: step_output(f); break;
    case 7: step_run(f, 1000LL << (op >> 4)); break;
    default: step_mad(f, op >> 4 | (op & 8) << 4); break;
    }
}

/* Disconnects everything and lets time go by. */
static void
check_rest(struct mad_fuzz *f)
{
    for (int i = 0; i < MAD_N_CMS; i++) {
        step_end(f, &f->cms[i], false);
    }
    for (int i = 0; i < 40; i++) {
        step_run(f, 16 * 1000 * 1000);
        step_output(f);
    }
    ovs_assert(hmap_is_empty(&f->gsi.by_id));
    ovs_assert(hmap_is_empty(&f->gsi.sources));
}

/* Random enough, and the same for the same input. */
static uint32_t mad_noise;

static void
mad_random(void *buf, size_t n)
{
    mad_noise = mad_noise * 1664525 + 1013904223;
    memset(buf, 0, n);
    memcpy(buf, &mad_noise, MIN(n, sizeof mad_noise));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mad_fuzz f = { .data = data, .size = size, .now = 1 };
    struct roce_gsi_config config = {
        .guid = 1,
        .random = mad_random,
        .max_mtu = 4096,
        .max_conns = MAD_MAX_CONNS,
        .max_half_open = MAD_MAX_HALF_OPEN,
        .req_rate = 1000,
        .req_burst = 100,
    };

    mad_noise = 1;
    roce_gsi_init(&f.gsi, &config);
    roce_gsi_listen(&f.gsi, MAD_SERVICE);
    while (f.size) {
        do_step(&f);
    }
    check_rest(&f);
    roce_gsi_destroy(&f.gsi);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Fuzz target: a queue pair and its peer's packets. */

#include <config.h>

#include "roce-packet.h"
#include "roce-qp.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fuzzer.h"
#include "util.h"

/* Input: steps of a byte each, followed by their arguments.  See rc_step().
 *
 * A queue pair gets any packets at all from its peer while its user posts and
 * polls and time goes by.  It must keep its indices in order, complete every
 * work request exactly once, in order, and not touch memory behind the ends of
 * buffers, which the allocator watches. */

#define RC_N_SLOTS 8
#define RC_MTU 256
#define RC_MAX_LEN 2048

struct rc_fuzz {
    const uint8_t *data;
    size_t size;
    long long int now;

    struct roce_qp qp;
    struct roce_send_slot sends[RC_N_SLOTS];
    struct roce_recv_slot recvs[RC_N_SLOTS];
    uint8_t *bufs[RC_N_SLOTS];
    uint64_t n_sends, n_sent;           /* Posted, completed. */
    uint64_t n_recvs, n_received;       /* Likewise. */
};

static uint8_t rc_payload[RC_MAX_LEN];

static uint8_t
rc_next(struct rc_fuzz *f)
{
    if (!f->size) {
        return 0;
    }
    f->size--;
    return *f->data++;
}

static void
check_indices(const struct rc_fuzz *f)
{
    const struct roce_requester *req = &f->qp.req;
    const struct roce_responder *resp = &f->qp.resp;
    uint32_t used = req->posted - req->polled;

    ovs_assert(used <= RC_N_SLOTS);
    ovs_assert(req->seen - req->polled <= used);
    ovs_assert(req->next - req->polled <= req->seen - req->polled);
    ovs_assert(req->done - req->polled <= req->next - req->polled);
    ovs_assert(resp->posted - resp->polled <= RC_N_SLOTS);
    ovs_assert(resp->done - resp->polled <= resp->posted - resp->polled);
    ovs_assert(roce_psn_diff(req->next_psn, req->una_psn) >= 0);
    ovs_assert(roce_psn_diff(req->max_psn, req->next_psn) >= 0);
    ovs_assert(roce_psn_diff(req->max_psn, req->held_psn) >= 0);
    ovs_assert(f->qp.state == ROCE_QP_ERROR
               || roce_psn_diff(req->held_psn, req->una_psn) >= 0);
}

static void
rc_poll(struct rc_fuzz *f)
{
    struct roce_completion c;

    while (roce_qp_poll(&f->qp, &c, 1)) {
        if (c.is_recv) {
            ovs_assert(c.wr_id == f->n_received++);
        } else {
            ovs_assert(c.wr_id == f->n_sent++);
        }
        ovs_assert(c.status == ROCE_OK || f->qp.state == ROCE_QP_ERROR);
    }
}

static void
rc_post_send(struct rc_fuzz *f)
{
    uint32_t len = rc_next(f) * 8;

    if (!roce_qp_post_send(&f->qp, rc_payload, len, f->n_sends, true)) {
        f->n_sends++;
    }
}

static void
rc_post_recv(struct rc_fuzz *f)
{
    uint32_t len = rc_next(f) * 4;
    uint8_t *buf = xmalloc(len);

    if (roce_qp_post_recv(&f->qp, buf, len, f->n_recvs)) {
        free(buf);
        return;
    }
    free(f->bufs[f->n_recvs % RC_N_SLOTS]);
    f->bufs[f->n_recvs % RC_N_SLOTS] = buf;
    f->n_recvs++;
}

static void
rc_input(struct rc_fuzz *f, uint8_t opcode, uint32_t base_psn)
{
    static const struct roce_flow flow;
    uint8_t flags = rc_next(f);
    struct roce_packet packet = {
        .op = &roce_opcodes[opcode],
        .opcode = opcode,
        .dst_qpn = 0x20,
        .psn = roce_psn_add(base_psn, (int8_t) rc_next(f)),
        .ack_req = flags & 1,
        .solicited = flags & 2,
        .syndrome = opcode == ROCE_RC_ACK ? rc_next(f) : 0,
        .payload = rc_payload,
        .payload_len = flags & 4 ? RC_MTU : flags >> 3,
    };

    roce_qp_input(&f->qp, &flow, &packet, f->now);
}

static void
rc_output(struct rc_fuzz *f, size_t max, bool is_sent)
{
    struct roce_tx tx[16];
    size_t n = roce_qp_output(&f->qp, tx, MIN(max, ARRAY_SIZE(tx)), f->now);

    for (size_t i = 0; i < n; i++) {
        uint8_t copy[ROCE_MAX_UDP_LEN];
        struct roce_packet packet;
        size_t len = roce_tx_copy(&tx[i], copy, sizeof copy);

        ovs_assert(!roce_packet_parse(copy, len, &packet));
        ovs_assert(roce_opcode_fits(packet.op, packet.payload_len, RC_MTU));
    }
    if (is_sent) {
        roce_qp_sent(&f->qp, f->now);
    }
}

static void
rc_step(struct rc_fuzz *f)
{
    uint8_t op = rc_next(f);

    switch (op & 7) {
    case 0: rc_post_send(f); break;
    case 1: rc_post_recv(f); break;
    case 2: rc_input(f, op >> 3, f->qp.resp.psn); break;
    case 3: rc_input(f, (op >> 3) % 6, f->qp.resp.psn); break;
    case 4: rc_input(f, ROCE_RC_ACK, f->qp.req.una_psn); break;
    case 5: rc_output(f, op >> 3, op & 0x10); break;
    case 6: f->now += 1 << (op >> 3) % 24; break;
    case 7: rc_poll(f); break;
    }
    check_indices(f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_fuzz f = { .data = data, .size = size, .now = 1 };
    uint8_t windows = rc_next(&f);
    struct roce_qp_config config = {
        .local_qpn = 0x20,
        .remote_qpn = 0x21,
        .send_psn = ROCE_PSN_MASK - 3,
        .recv_psn = ROCE_PSN_MASK - 2,
        .mtu = RC_MTU,
        .timeout = 10,
        .retry_count = 2,
        .rnr_retry = 2,
        .max_packets = 1 + windows % 16,
        .max_bytes = (windows >> 4) * 100,
        .send_slots = f.sends,
        .recv_slots = f.recvs,
        .n_send_slots = RC_N_SLOTS,
        .n_recv_slots = RC_N_SLOTS,
    };

    ovs_assert(!roce_qp_init(&f.qp, &config));
    while (f.size) {
        rc_step(&f);
    }
    roce_qp_stop(&f.qp, ROCE_STOPPED);
    rc_poll(&f);
    ovs_assert(f.n_sent == f.n_sends && f.n_received == f.n_recvs);
    for (int i = 0; i < RC_N_SLOTS; i++) {
        free(f.bufs[i]);
    }
    return 0;
}

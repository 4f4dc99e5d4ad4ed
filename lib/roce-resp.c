/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The responder of a RoCEv2 queue pair, which receives. */

#include <config.h>

#include "roce-qp-private.h"

#include <string.h>

#include "util.h"

/* The responder of a queue pair: see "Responder" in roce-qp.h.
 *
 * A request goes through steps, each of which looks at one thing and returns
 * the step to do next. */

enum resp_step {
    RESP_CHECK_PSN,             /* Expected, early or late? */
    RESP_CHECK_OPCODE,          /* Served, and does it continue a message? */
    RESP_CHECK_LENGTH,          /* Does the opcode allow the payload? */
    RESP_CHECK_BUFFER,          /* Is there room for it? */
    RESP_TAKE,                  /* Copy it. */
    RESP_COMPLETE,              /* The message is whole. */
    RESP_ACKNOWLEDGE,           /* Tell the peer, if it asks. */
    RESP_DONE,
};

typedef enum resp_step resp_step_func(struct roce_qp *,
                                      const struct roce_packet *);

void
roce_resp_init(struct roce_responder *resp,
               const struct roce_qp_config *config)
{
    resp->slots = config->recv_slots;
    resp->mask = config->n_recv_slots - 1;
    resp->psn = config->recv_psn;
    resp->rnr_timer = config->min_rnr_timer;
}

static struct roce_recv_slot *
slot_at(const struct roce_responder *resp, uint32_t index)
{
    return &resp->slots[index & resp->mask];
}

/* Ends 'qp' because of a request for which the peer is to blame. */
static enum resp_step
refuse(struct roce_qp *qp, enum roce_status status)
{
    qp->resp.reply = ROCE_REPLY_FATAL;
    roce_qp_fail(qp, status, ROCE_FLUSHED,
                 status == ROCE_LOCAL_LENGTH ? status : ROCE_FLUSHED);
    return RESP_DONE;
}

static enum resp_step
note_duplicate(struct roce_qp *qp)
{
    qp->stats.rx_duplicates++;
    return RESP_ACKNOWLEDGE;
}

/* Reports a gap, unless that has been done for the expected PSN. */
static enum resp_step
note_gap(struct roce_qp *qp, uint32_t psn)
{
    struct roce_responder *resp = &qp->resp;
    bool known = resp->nak_sent || resp->reply == ROCE_REPLY_GAP;

    qp->stats.rx_gaps++;
    if (!known || roce_psn_diff(psn, resp->gap_psn) > 0) {
        resp->gap_psn = psn;
    }
    if (!resp->nak_sent) {
        resp->nak_sent = true;
        resp->reply = ROCE_REPLY_GAP;
    }
    return RESP_DONE;
}

static enum resp_step
note_not_ready(struct roce_qp *qp)
{
    struct roce_responder *resp = &qp->resp;

    resp->nak_sent = true;
    resp->reply = ROCE_REPLY_NOT_READY;
    return RESP_DONE;
}

static enum resp_step
check_psn(struct roce_qp *qp, const struct roce_packet *packet)
{
    int32_t diff = roce_psn_diff(packet->psn, qp->resp.psn);

    return (diff > 0 ? note_gap(qp, packet->psn)
            : diff < 0 ? note_duplicate(qp)
            : RESP_CHECK_OPCODE);
}

static enum resp_step
check_opcode(struct roce_qp *qp, const struct roce_packet *packet)
{
    return (packet->op->kind != ROCE_OP_SEND ? refuse(qp, ROCE_BAD_OPCODE)
            : packet->op->starts == qp->resp.in_message
            ? refuse(qp, ROCE_BAD_SEQUENCE)
            : RESP_CHECK_LENGTH);
}

static enum resp_step
check_length(struct roce_qp *qp, const struct roce_packet *packet)
{
    return (roce_opcode_fits(packet->op, packet->payload_len, qp->mtu)
            ? RESP_CHECK_BUFFER
            : refuse(qp, ROCE_BAD_LENGTH));
}

static enum resp_step
check_buffer(struct roce_qp *qp, const struct roce_packet *packet)
{
    struct roce_responder *resp = &qp->resp;

    if (resp->done == resp->posted) {
        return note_not_ready(qp);
    }
    return (packet->payload_len <= slot_at(resp, resp->done)->size
                                   - resp->offset
            ? RESP_TAKE
            : refuse(qp, ROCE_LOCAL_LENGTH));
}

static enum resp_step
take(struct roce_qp *qp, const struct roce_packet *packet)
{
    struct roce_responder *resp = &qp->resp;

    if (packet->payload_len) {
        memcpy(slot_at(resp, resp->done)->data + resp->offset,
               packet->payload, packet->payload_len);
    }
    resp->offset += packet->payload_len;
    resp->psn = roce_psn_add(resp->psn, 1);
    resp->in_message = true;
    resp->nak_sent = false;
    qp->stats.rx_requests++;
    return packet->op->ends ? RESP_COMPLETE : RESP_ACKNOWLEDGE;
}

static enum resp_step
complete(struct roce_qp *qp, const struct roce_packet *packet)
{
    struct roce_responder *resp = &qp->resp;
    struct roce_recv_slot *slot = slot_at(resp, resp->done++);

    slot->len = resp->offset;
    slot->has_imm = packet->op->imm;
    slot->imm = packet->imm;
    slot->solicited = packet->solicited;
    resp->offset = 0;
    resp->in_message = false;
    resp->msn = roce_psn_add(resp->msn, 1);
    return RESP_ACKNOWLEDGE;
}

/* A negative acknowledgment that already waits says as much. */
static enum resp_step
note_ack(struct roce_qp *qp, const struct roce_packet *packet)
{
    if (packet->ack_req && qp->resp.reply == ROCE_REPLY_NONE) {
        qp->resp.reply = ROCE_REPLY_ACK;
    }
    return RESP_DONE;
}

/* Takes a request, which need not be one that we serve. */
void
roce_resp_input(struct roce_qp *qp, const struct roce_packet *packet)
{
    static resp_step_func *const steps[] = {
        [RESP_CHECK_PSN] = check_psn,
        [RESP_CHECK_OPCODE] = check_opcode,
        [RESP_CHECK_LENGTH] = check_length,
        [RESP_CHECK_BUFFER] = check_buffer,
        [RESP_TAKE] = take,
        [RESP_COMPLETE] = complete,
        [RESP_ACKNOWLEDGE] = note_ack,
    };
    enum resp_step step = RESP_CHECK_PSN;

    do {
        step = steps[step](qp, packet);
    } while (step != RESP_DONE);
}

/* Returns what the reply that waits has become: a gap may have been filled,
 * or a buffer posted, since it was noted. */
static enum roce_reply
settle_reply(struct roce_responder *resp)
{
    switch ((enum roce_reply) resp->reply) {
    case ROCE_REPLY_GAP:
        if (roce_psn_diff(resp->gap_psn, resp->psn) < 0) {
            return ROCE_REPLY_ACK;
        }
        resp->nak_sent = true;
        return ROCE_REPLY_GAP;
    case ROCE_REPLY_NOT_READY:
        return resp->nak_sent ? ROCE_REPLY_NOT_READY : ROCE_REPLY_ACK;
    case ROCE_REPLY_NONE:
    case ROCE_REPLY_ACK:
    case ROCE_REPLY_FATAL:
        break;
    }
    return resp->reply;
}

/* Builds the reply that waits, which must not be ROCE_REPLY_NONE. */
void
roce_resp_build(struct roce_qp *qp, struct roce_tx *tx)
{
    static const uint8_t syndromes[] = {
        [ROCE_REPLY_ACK] = ROCE_SYN_ACK,
        [ROCE_REPLY_GAP] = ROCE_SYN_NAK_SEQ,
        [ROCE_REPLY_NOT_READY] = ROCE_SYN_RNR,
        [ROCE_REPLY_FATAL] = ROCE_SYN_NAK_INVALID,
    };
    struct roce_responder *resp = &qp->resp;
    enum roce_reply reply = settle_reply(resp);
    struct roce_packet packet = {
        .opcode = ROCE_RC_ACK,
        .dst_qpn = qp->remote_qpn,
        .psn = roce_psn_add(resp->psn, reply == ROCE_REPLY_ACK ? -1 : 0),
        .syndrome = syndromes[reply],
        .msn = resp->msn,
    };

    if (reply == ROCE_REPLY_NOT_READY) {
        packet.syndrome |= resp->rnr_timer;
        qp->stats.tx_not_ready++;
    }
    resp->reply = ROCE_REPLY_NONE;
    roce_packet_build(&packet, tx);
}

/* Completes all receives: the oldest that is not done with status 'first',
 * the others as flushed. */
void
roce_resp_flush(struct roce_responder *resp, enum roce_status first)
{
    for (; resp->done != resp->posted; resp->done++) {
        slot_at(resp, resp->done)->status = first;
        first = ROCE_FLUSHED;
    }
}

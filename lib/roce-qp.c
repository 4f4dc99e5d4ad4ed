/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * A RoCEv2 queue pair: life cycle, input and output. */

#include <config.h>

#include "roce-qp-private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "util.h"

const char *
roce_status_to_string(enum roce_status status)
{
    static const char *const names[] = {
#define ROCE_STATUS(NAME, TEXT) TEXT,
        ROCE_STATUSES
#undef ROCE_STATUS
    };

    return status < ROCE_N_STATUSES ? names[status] : "unknown";
}

static bool
config_is_valid(const struct roce_qp_config *c)
{
    return (is_pow2(c->mtu)
            && c->mtu >= ROCE_MIN_MTU && c->mtu <= ROCE_MAX_MTU
            && c->local_qpn <= ROCE_QPN_MASK
            && c->remote_qpn <= ROCE_QPN_MASK
            && c->send_psn <= ROCE_PSN_MASK && c->recv_psn <= ROCE_PSN_MASK
            && c->timeout < 32 && c->min_rnr_timer < 32
            && c->retry_count <= 7 && c->rnr_retry <= 7
            && c->max_packets && c->max_packets <= ROCE_MAX_WINDOW
            && is_pow2(c->n_send_slots) && is_pow2(c->n_recv_slots));
}

/* Initializes 'qp' to talk to the peer that 'config' names.  The rings belong
 * to 'qp' until the caller has no more use for it; there is nothing else to
 * release.  Returns 0, or EINVAL if a value is out of range. */
int
roce_qp_init(struct roce_qp *qp, const struct roce_qp_config *config)
{
    if (!config_is_valid(config)) {
        return EINVAL;
    }
    memset(qp, 0, sizeof *qp);
    qp->local_qpn = config->local_qpn;
    qp->remote_qpn = config->remote_qpn;
    qp->mtu = config->mtu;
    qp->local_ip = config->local_ip;
    qp->remote_ip = config->remote_ip;
    roce_req_init(&qp->req, config);
    roce_resp_init(&qp->resp, config);
    return 0;
}

/* Ends 'qp' because of 'status', in the phases that roce-qp.h names.  The
 * oldest unfinished send completes with 'send_status', the oldest receive with
 * 'recv_status' and the others as flushed. */
void
roce_qp_fail(struct roce_qp *qp, enum roce_status status,
             enum roce_status send_status, enum roce_status recv_status)
{
    /* No packet or work request gets in any longer. */
    qp->state = ROCE_QP_ERROR;
    qp->status = status;

    /* Nothing happens by itself any longer. */
    qp->req.timer = LLONG_MAX;
    qp->req.paused = false;

    /* Nothing is in progress, so everything can complete. */
    roce_req_flush(&qp->req, send_status);
    roce_resp_flush(&qp->resp, recv_status);
}

/* Ends 'qp', unless it has ended already, and flushes its work requests.  Its
 * status will be 'reason'. */
void
roce_qp_stop(struct roce_qp *qp, enum roce_status reason)
{
    if (qp->state != ROCE_QP_ERROR) {
        roce_qp_fail(qp, reason, ROCE_FLUSHED, ROCE_FLUSHED);
    }
}

/* Posts the 'len' bytes of 'data' as a message.  If 'signalled' is false, then
 * its success, but not its failure, goes without a completion.  If 'qp' has
 * ended, it completes at once as flushed, which tells the caller that all
 * sends before that are without a completion were successful.
 *
 * Returns 0 if successful, otherwise EMSGSIZE if the message is too long, or
 * ENOBUFS if the ring is full. */
int
roce_qp_post_send(struct roce_qp *qp, const void *data, uint32_t len,
                  uint64_t wr_id, bool signalled)
{
    struct roce_requester *req = &qp->req;

    if (len > ROCE_MAX_MESSAGE) {
        return EMSGSIZE;
    } else if (req->posted - req->polled > req->mask) {
        return ENOBUFS;
    }
    req->slots[req->posted++ & req->mask] = (struct roce_send_slot) {
        .data = data,
        .len = len,
        .start = req->posted_pos,
        .wr_id = wr_id,
        .status = ROCE_OK,
        .signalled = signalled,
    };
    req->posted_pos += len;
    if (qp->state == ROCE_QP_ERROR) {
        roce_req_flush(req, ROCE_FLUSHED);
    }
    return 0;
}

/* Posts the 'size' bytes of 'data' as a buffer for one message.  Returns 0 if
 * successful, otherwise EPIPE if 'qp' has ended, or ENOBUFS if the ring is
 * full. */
int
roce_qp_post_recv(struct roce_qp *qp, void *data, uint32_t size,
                  uint64_t wr_id)
{
    struct roce_responder *resp = &qp->resp;

    if (qp->state != ROCE_QP_READY) {
        return EPIPE;
    } else if (resp->posted - resp->polled > resp->mask) {
        return ENOBUFS;
    }
    resp->slots[resp->posted++ & resp->mask] = (struct roce_recv_slot) {
        .data = data,
        .size = size,
        .wr_id = wr_id,
        .status = ROCE_OK,
    };
    return 0;
}

static size_t
poll_sends(struct roce_requester *req, struct roce_completion *c, size_t max)
{
    size_t n = 0;

    while (n < max && req->polled != req->done) {
        struct roce_send_slot *slot = &req->slots[req->polled++ & req->mask];

        if (slot->signalled || slot->status != ROCE_OK) {
            c[n++] = (struct roce_completion) {
                .wr_id = slot->wr_id,
                .status = slot->status,
            };
        }
    }
    return n;
}

static size_t
poll_recvs(struct roce_responder *resp, struct roce_completion *c, size_t max)
{
    size_t n = 0;

    while (n < max && resp->polled != resp->done) {
        struct roce_recv_slot *slot = &resp->slots[resp->polled++
                                                   & resp->mask];

        c[n++] = (struct roce_completion) {
            .wr_id = slot->wr_id,
            .status = slot->status,
            .is_recv = true,
            .has_imm = slot->has_imm,
            .solicited = slot->solicited,
            .len = slot->len,
            .imm = slot->imm,
        };
    }
    return n;
}

/* Stores up to 'max' completions into 'c', in the order of the work requests
 * for each direction, and returns their number. */
size_t
roce_qp_poll(struct roce_qp *qp, struct roce_completion *c, size_t max)
{
    size_t n = poll_recvs(&qp->resp, c, max);

    return n + poll_sends(&qp->req, c + n, max - n);
}

static bool
is_from_peer(const struct roce_qp *qp, const struct roce_flow *flow,
             const struct roce_packet *packet)
{
    return (packet->dst_qpn == qp->local_qpn
            && IN6_ARE_ADDR_EQUAL(&flow->src, &qp->remote_ip)
            && IN6_ARE_ADDR_EQUAL(&flow->dst, &qp->local_ip));
}

/* Returns true if 'packet', about to be given to roce_qp_input(), begins a
 * message for which no receive is posted. */
bool
roce_qp_needs_recv(const struct roce_qp *qp, const struct roce_flow *flow,
                   const struct roce_packet *packet)
{
    const struct roce_responder *resp = &qp->resp;

    return (resp->done == resp->posted
            && packet->op->kind == ROCE_OP_SEND
            && packet->op->starts
            && packet->psn == resp->psn
            && qp->state == ROCE_QP_READY
            && is_from_peer(qp, flow, packet));
}

/* Takes 'packet', which roce_packet_parse() made of what came along 'flow' at
 * 'now'.  The packet's payload is not needed afterward.
 *
 * Returns false if it is none from the peer of 'qp', or 'qp' has ended. */
bool
roce_qp_input(struct roce_qp *qp, const struct roce_flow *flow,
              const struct roce_packet *packet, long long int now)
{
    if (!is_from_peer(qp, flow, packet) || qp->state != ROCE_QP_READY) {
        qp->stats.rx_dropped++;
        return false;
    }

    switch (packet->op->kind) {
    case ROCE_OP_SEND:
    case ROCE_OP_REFUSED:
        roce_resp_input(qp, packet);
        return true;
    case ROCE_OP_ACK:
        roce_req_input(qp, packet, now);
        return true;
    case ROCE_OP_CNP:
        qp->stats.rx_cnps++;
        return true;
    case ROCE_OP_DATAGRAM:
    case ROCE_OP_UNKNOWN:
        break;
    }
    qp->stats.rx_dropped++;
    return false;
}

/* Stores up to 'max' packets that are due at 'now' into 'tx', in the order in
 * which they must be sent, and returns their number.  If that is 'max', then
 * there may be more. */
size_t
roce_qp_output(struct roce_qp *qp, struct roce_tx *tx, size_t max,
               long long int now)
{
    size_t n = 0;

    if (now >= qp->req.timer) {
        roce_req_run(qp);
    }
    if (qp->resp.reply != ROCE_REPLY_NONE && n < max) {
        roce_resp_build(qp, &tx[n++]);
        qp->stats.tx_replies++;
    }
    while (n < max && roce_req_is_sendable(qp)) {
        roce_req_build(qp, &tx[n++], now);
        qp->stats.tx_packets++;
    }
    return n;
}

/* Tells 'qp' that all packets that roce_qp_output() has returned have been
 * sent or copied. */
void
roce_qp_sent(struct roce_qp *qp, long long int now)
{
    if (qp->state == ROCE_QP_READY) {
        roce_req_sent(qp, now);
    }
}

/* Returns the time at which roce_qp_sent() and roce_qp_output() should be
 * called next: LLONG_MIN for now, LLONG_MAX for not before something else has
 * happened. */
long long int
roce_qp_deadline(const struct roce_qp *qp)
{
    return (qp->resp.reply != ROCE_REPLY_NONE || roce_req_is_sendable(qp)
            || qp->req.has_early ? LLONG_MIN : qp->req.timer);
}

/* Returns how many bytes of messages wait to be sent, as far as they are not
 * held back: 0 if there is no packet to send, otherwise at least 1. */
uint32_t
roce_qp_backlog(const struct roce_qp *qp)
{
    const struct roce_requester *req = &qp->req;

    return (roce_req_is_sendable(qp)
            ? MAX(req->posted_pos - req->next_pos, 1) : 0);
}

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The requester of a RoCEv2 queue pair, which sends. */

#include <config.h>

#include "roce-qp-private.h"

#include <limits.h>

#include "util.h"

/* The requester of a queue pair: see "Requester" in roce-qp.h. */

/* Ask for an acknowledgment at least this often, so that one is on its way
 * long before a large window closes. */
#define MAX_UNASKED 64

/* The timeout is shifted left by up to so many bits. */
#define MAX_BACKOFF 3

void
roce_req_init(struct roce_requester *req, const struct roce_qp_config *config)
{
    req->slots = config->send_slots;
    req->mask = config->n_send_slots - 1;
    req->una_psn = config->send_psn;
    req->next_psn = config->send_psn;
    req->max_psn = config->send_psn;
    req->held_psn = config->send_psn;
    req->max_packets = config->max_packets;
    req->max_bytes = config->max_bytes;
    req->ask_every = MIN(MAX_UNASKED, DIV_ROUND_UP(config->max_packets, 2));
    req->timer = LLONG_MAX;
    req->timeout = (config->timeout
                    ? (4096LL << config->timeout) / 1000 : LLONG_MAX);
    req->retry_count = req->retries_left = config->retry_count;
    req->rnr_retry = req->rnr_retries_left = config->rnr_retry;
}

static struct roce_send_slot *
slot_at(const struct roce_requester *req, uint32_t index)
{
    return &req->slots[index & req->mask];
}

/* Returns the PSN behind the last packet of 'slot', which is in flight. */
static uint32_t
slot_end_psn(const struct roce_send_slot *slot, uint32_t mtu)
{
    uint32_t n_packets = slot->len ? DIV_ROUND_UP(slot->len, mtu) : 1;

    return roce_psn_add(slot->first_psn, n_packets);
}

/* Starts the timer, which takes longer each time that it has expired in vain:
 * a peer whose CPU is busy with something else deserves more patience than the
 * loss of a packet. */
static void
start_timer(struct roce_requester *req, long long int now)
{
    int backoff = MIN(req->retry_count - req->retries_left, MAX_BACKOFF);

    req->timer = (req->timeout == LLONG_MAX ? LLONG_MAX
                  : now + (req->timeout << backoff));
}

/* Makes the first packet that is not acknowledged the next one to send. */
static void
go_back(struct roce_requester *req)
{
    req->next = req->done;
    req->next_psn = req->una_psn;
    req->next_pos = req->una_pos;
    req->timer = LLONG_MAX;
}

/* Finishes the messages whose packets all come before 'psn', which is at most
 * 'max_psn'. */
static void
complete_before(struct roce_qp *qp, uint32_t psn)
{
    struct roce_requester *req = &qp->req;

    while (req->done != req->seen) {
        struct roce_send_slot *slot = slot_at(req, req->done);

        if (roce_psn_diff(psn, slot_end_psn(slot, qp->mtu)) < 0) {
            req->una_pos = (slot->start + qp->mtu
                            * roce_psn_diff(psn, slot->first_psn));
            return;
        }
        req->una_pos = slot->start + slot->len;
        req->done++;
    }
}

/* Notes that the peer has all packets before 'psn', which is neither before
 * 'una_psn' nor behind 'held_psn'. */
static void
acknowledge(struct roce_qp *qp, uint32_t psn, long long int now)
{
    struct roce_requester *req = &qp->req;

    if (psn == req->una_psn) {
        return;
    }
    complete_before(qp, psn);
    req->una_psn = psn;
    req->progress = now;
    req->paused = false;
    req->nak_handled = false;
    req->retries_left = req->retry_count;
    req->rnr_retries_left = req->rnr_retry;
    if (roce_psn_diff(req->next_psn, psn) <= 0) {
        go_back(req);
    } else {
        start_timer(req, now);
    }
}

static void
handle_gap(struct roce_qp *qp)
{
    if (!qp->req.nak_handled) {
        qp->req.nak_handled = true;
        qp->stats.rx_naks++;
        go_back(&qp->req);
    }
}

static void
handle_not_ready(struct roce_qp *qp, uint8_t syndrome, long long int now)
{
    struct roce_requester *req = &qp->req;

    if (req->paused) {
        return;
    } else if (!req->rnr_retries_left
               || now - req->progress >= ROCE_MAX_STALL) {
        roce_qp_fail(qp, ROCE_NOT_READY, ROCE_NOT_READY, ROCE_FLUSHED);
        return;
    }
    req->rnr_retries_left -= req->rnr_retry != 7;
    qp->stats.rx_not_ready++;
    go_back(req);
    req->paused = true;
    req->nak_handled = true;
    req->timer = now + roce_rnr_usec(syndrome);
}

static void
handle_nak(struct roce_qp *qp, uint8_t syndrome)
{
    static const enum roce_status fatal[] = {
        [ROCE_SYN_NAK_INVALID & 0x1f] = ROCE_REMOTE_INVALID,
        [ROCE_SYN_NAK_ACCESS & 0x1f] = ROCE_REMOTE_ACCESS,
        [ROCE_SYN_NAK_OPERATION & 0x1f] = ROCE_REMOTE_OPERATION,
    };
    uint8_t code = syndrome & 0x1f;

    if (syndrome == ROCE_SYN_NAK_SEQ) {
        handle_gap(qp);
    } else if (code < ARRAY_SIZE(fatal)) {
        roce_qp_fail(qp, fatal[code], fatal[code], ROCE_FLUSHED);
    } else {
        qp->stats.rx_ghosts++;
    }
}

/* Takes a reply with 'syndrome', which says that the peer has all packets
 * before 'psn'. */
static void
take_reply(struct roce_qp *qp, uint32_t psn, uint8_t syndrome,
           long long int now)
{
    enum roce_syndrome_kind kind = roce_syndrome_kind(syndrome);

    acknowledge(qp, psn, now);
    if (kind == ROCE_SYNDROME_RNR) {
        handle_not_ready(qp, syndrome, now);
    } else if (kind == ROCE_SYNDROME_NAK) {
        handle_nak(qp, syndrome);
    }
}

/* Keeps a reply for roce_req_sent(), unless a later one is there. */
static void
keep_reply(struct roce_requester *req, uint32_t psn, uint8_t syndrome)
{
    if (!req->has_early || roce_psn_diff(psn, req->early_psn) >= 0) {
        req->has_early = true;
        req->early_psn = psn;
        req->early_syndrome = syndrome;
    }
}

/* Does what roce_qp_sent() is for. */
void
roce_req_sent(struct roce_qp *qp, long long int now)
{
    struct roce_requester *req = &qp->req;

    req->held_psn = req->max_psn;
    if (req->has_early) {
        req->has_early = false;
        take_reply(qp, req->early_psn, req->early_syndrome, now);
    }
}

/* Takes an acknowledgment or negative acknowledgment. */
void
roce_req_input(struct roce_qp *qp, const struct roce_packet *packet,
               long long int now)
{
    enum roce_syndrome_kind kind = roce_syndrome_kind(packet->syndrome);
    struct roce_requester *req = &qp->req;
    bool is_ack = kind == ROCE_SYNDROME_ACK;
    uint32_t psn = roce_psn_add(packet->psn, is_ack);
    int32_t n_acked = roce_psn_diff(psn, req->una_psn);
    int32_t n_sent = roce_psn_diff(req->max_psn, req->una_psn);

    qp->stats.rx_replies++;
    if (n_acked < 0 || n_acked >= n_sent + is_ack
        || kind == ROCE_SYNDROME_RESERVED) {
        qp->stats.rx_ghosts++;
        return;
    }
    if (roce_psn_diff(psn, req->held_psn) > 0) {
        keep_reply(req, psn, packet->syndrome);
    } else {
        take_reply(qp, psn, packet->syndrome, now);
    }
}

/* Does what the timer of 'qp', which has expired, is for. */
void
roce_req_run(struct roce_qp *qp)
{
    struct roce_requester *req = &qp->req;

    req->timer = LLONG_MAX;
    req->nak_handled = false;
    if (req->paused) {
        req->paused = false;
        return;
    }
    qp->stats.timeouts++;
    if (!req->retries_left) {
        roce_qp_fail(qp, ROCE_NO_ACK, ROCE_NO_ACK, ROCE_FLUSHED);
        return;
    }
    req->retries_left--;
    go_back(req);
}

/* Returns true if the windows admit 'len' more bytes in one more packet. */
static bool
is_window_open(const struct roce_requester *req, uint32_t len)
{
    uint32_t n_packets = roce_psn_diff(req->next_psn, req->una_psn);
    uint32_t n_bytes = req->next_pos - req->una_pos;

    return (!n_packets
            || (n_packets < req->max_packets
                && n_bytes + len <= req->max_bytes));
}

static uint32_t
next_payload_len(const struct roce_qp *qp)
{
    const struct roce_send_slot *slot = slot_at(&qp->req, qp->req.next);

    return MIN(slot->len - (qp->req.next_pos - slot->start), qp->mtu);
}

/* Returns true if 'qp' has a packet to send that nothing holds back. */
bool
roce_req_is_sendable(const struct roce_qp *qp)
{
    const struct roce_requester *req = &qp->req;

    return (req->next != req->posted && !req->paused
            && qp->state == ROCE_QP_READY
            && is_window_open(req, next_payload_len(qp)));
}

/* Steps over a packet of 'len' payload bytes and, if it 'ends' its message,
 * over that. */
static void
advance(struct roce_requester *req, uint32_t len, bool ends)
{
    req->next += ends;
    req->next_pos += len;
    req->next_psn = roce_psn_add(req->next_psn, 1);
    if (roce_psn_diff(req->next_psn, req->max_psn) > 0) {
        req->max_psn = req->next_psn;
    }
}

/* Returns true if the packet just sent must ask for an acknowledgment. */
static bool
must_ask(struct roce_requester *req, bool ends, uint32_t mtu)
{
    if (ends || ++req->n_unasked >= req->ask_every
        || !is_window_open(req, mtu)) {
        req->n_unasked = 0;
        return true;
    }
    return false;
}

/* Builds the next packet, which roce_req_is_sendable() says there is. */
void
roce_req_build(struct roce_qp *qp, struct roce_tx *tx, long long int now)
{
    static const enum roce_opcode_value opcodes[2][2] = {
        { ROCE_RC_SEND_MIDDLE, ROCE_RC_SEND_LAST },
        { ROCE_RC_SEND_FIRST, ROCE_RC_SEND_ONLY },
    };
    struct roce_requester *req = &qp->req;
    struct roce_send_slot *slot = slot_at(req, req->next);
    uint32_t offset = req->next_pos - slot->start;
    uint32_t len = next_payload_len(qp);
    bool ends = offset + len == slot->len;
    struct roce_packet packet = {
        .opcode = opcodes[!offset][ends],
        .dst_qpn = qp->remote_qpn,
        .psn = req->next_psn,
        .payload = slot->data + offset,
        .payload_len = len,
    };

    if (req->next == req->seen) {
        slot->first_psn = req->next_psn;
        req->seen++;
    }
    if (packet.psn == req->max_psn && packet.psn == req->una_psn) {
        req->progress = now;
    } else if (roce_psn_diff(packet.psn, req->held_psn) < 0) {
        req->held_psn = packet.psn;
    }
    advance(req, len, ends);
    packet.ack_req = must_ask(req, ends, qp->mtu);
    roce_packet_build(&packet, tx);
    if (req->timer == LLONG_MAX) {
        start_timer(req, now);
    }
}

/* Completes all sends: the oldest that is not done with status 'first', the
 * others as flushed. */
void
roce_req_flush(struct roce_requester *req, enum roce_status first)
{
    for (; req->done != req->posted; req->done++) {
        slot_at(req, req->done)->status = first;
        first = ROCE_FLUSHED;
    }
    req->next = req->seen = req->posted;
    req->has_early = false;
}

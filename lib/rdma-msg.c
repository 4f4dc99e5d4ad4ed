/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Messages between two switches: packing and parsing. */

#include <config.h>

#include "rdma-msg.h"

#include "byte-order.h"
#include "openvswitch/compiler.h"
#include "unaligned.h"
#include "util.h"

/* Header, as bytes and 16-bit words:
 *
 *     0 version:4 type:4 | 1 flags | 2 credits | 4 n_records | 6 sequence
 *
 * Record:
 *
 *     0 frame_len | 2 opt_len | 3 flags | 4 gso_size | 6 tos | 7 next
 *     8 tun_id:64 | 16 hash:32
 */
enum { REC_OPT_UNIT = 4 };      /* 'opt_len' counts words of 4 bytes. */
enum { REC_NEXT_ETHERNET = 0 };
enum { GENEVE_TLV_HEADER_LEN = 4, GENEVE_TLV_LEN_MASK = 0x1f };

const char *
ordma_msg_strerror(enum ordma_msg_error error)
{
    static const char *const names[] = {
#define ORDMA_MSG_ERROR(NAME, TEXT) [ORDMA_MSG_E_##NAME] = TEXT,
        ORDMA_MSG_ERRORS
#undef ORDMA_MSG_ERROR
    };

    return error < ORDMA_MSG_N_ERRORS ? names[error] : "unknown error";
}

static uint8_t *
put_u16(uint8_t *p, uint16_t value)
{
    put_unaligned_be16(ALIGNED_CAST(ovs_be16 *, p), htons(value));
    return p + 2;
}

static uint16_t
get_u16(const uint8_t *p)
{
    return ntohs(get_unaligned_be16(ALIGNED_CAST(const ovs_be16 *, p)));
}

void
ordma_msg_put(void *dst, const struct ordma_msg *msg)
{
    uint8_t *p = dst;

    *p++ = ORDMA_MSG_VERSION << 4 | msg->type;
    *p++ = 0;
    p = put_u16(p, msg->credits);
    p = put_u16(p, msg->n_records);
    put_u16(p, msg->sequence);
}

void
ordma_record_put(void *dst, const struct ordma_record *rec)
{
    uint8_t *p = dst;

    p = put_u16(p, rec->frame_len);
    *p++ = rec->opts_len / REC_OPT_UNIT;
    *p++ = rec->flags;
    p = put_u16(p, rec->gso_size);
    *p++ = rec->tos;
    *p++ = REC_NEXT_ETHERNET;
    put_unaligned_be64(ALIGNED_CAST(ovs_be64 *, p), rec->tun_id);
    p += sizeof rec->tun_id;
    put_unaligned_be32(ALIGNED_CAST(ovs_be32 *, p), htonl(rec->hash));
    p += sizeof rec->hash;
    if (rec->opts_len) {
        memcpy(p, rec->opts, rec->opts_len);
    }
}

enum ordma_msg_error
ordma_msg_parse(const void *data, size_t len, struct ordma_msg *msg,
                struct ordma_cursor *cursor)
{
    const uint8_t *p = data;

    if (len < ORDMA_MSG_HEADER_LEN) {
        return ORDMA_MSG_E_SHORT;
    }
    if (p[0] >> 4 != ORDMA_MSG_VERSION) {
        return ORDMA_MSG_E_VERSION;
    }
    if ((p[0] & 0xf) >= ORDMA_MSG_N_TYPES) {
        return ORDMA_MSG_E_TYPE;
    }
    if (p[1]) {
        return ORDMA_MSG_E_FLAGS;
    }

    msg->type = p[0] & 0xf;
    msg->credits = get_u16(p + 2);
    msg->n_records = get_u16(p + 4);
    msg->sequence = get_u16(p + 6);
    if ((msg->type == ORDMA_MSG_DATA) != (msg->n_records != 0)) {
        return ORDMA_MSG_E_N_RECORDS;
    }
    if ((msg->type == ORDMA_MSG_CREDIT || msg->type == ORDMA_MSG_PONG)
        && len != ORDMA_MSG_HEADER_LEN) {
        return ORDMA_MSG_E_TRAILING;
    }

    cursor->p = p + ORDMA_MSG_HEADER_LEN;
    cursor->end = p + len;
    cursor->n_left = msg->n_records;
    return ORDMA_MSG_E_OK;
}

/* Returns true if the 'len' bytes at 'p' are a sequence of whole Geneve TLVs
 * (RFC 8926 section 3.5). */
static bool
are_geneve_tlvs(const uint8_t *p, size_t len)
{
    while (len) {
        size_t tlv_len;

        if (len < GENEVE_TLV_HEADER_LEN) {
            return false;
        }
        tlv_len = GENEVE_TLV_HEADER_LEN + (p[3] & GENEVE_TLV_LEN_MASK) * 4;
        if (tlv_len > len) {
            return false;
        }
        p += tlv_len;
        len -= tlv_len;
    }
    return true;
}

static bool
is_zero(const uint8_t *p, size_t n)
{
    while (n && !*p) {
        p++;
        n--;
    }
    return !n;
}

static void
get_record_header(const uint8_t *p, struct ordma_record *rec)
{
    rec->frame_len = get_u16(p);
    rec->opts_len = p[2] * REC_OPT_UNIT;
    rec->flags = p[3];
    rec->gso_size = get_u16(p + 4);
    rec->tos = p[6];
    rec->tun_id = get_unaligned_be64(ALIGNED_CAST(const ovs_be64 *, p + 8));
    rec->hash = ntohl(get_unaligned_be32(ALIGNED_CAST(const ovs_be32 *,
                                                      p + 16)));
    rec->opts = p + ORDMA_RECORD_HEADER_LEN;
    rec->frame = p + ORDMA_RECORD_HEADER_LEN + rec->opts_len;
}

/* Checks what can be checked of 'rec' without its length in the message. */
static enum ordma_msg_error
check_record_header(const struct ordma_record *rec, uint8_t next)
{
    if (rec->flags & ~ORDMA_REC_KNOWN_FLAGS) {
        return ORDMA_MSG_E_REC_FLAGS;
    }
    if (next != REC_NEXT_ETHERNET) {
        return ORDMA_MSG_E_REC_NEXT;
    }
    if ((rec->tun_id && !(rec->flags & ORDMA_REC_KEY))
        || (rec->hash && !(rec->flags & ORDMA_REC_HASH))) {
        return ORDMA_MSG_E_REC_UNUSED;
    }
    if (rec->gso_size && !(rec->flags & ORDMA_REC_L4_PARTIAL)) {
        return ORDMA_MSG_E_REC_GSO;
    }
    if (rec->frame_len < ORDMA_MIN_FRAME_LEN) {
        return ORDMA_MSG_E_REC_RUNT;
    }
    if (rec->opts_len > ORDMA_MAX_OPTS_LEN) {
        return ORDMA_MSG_E_REC_OPTS_LEN;
    }
    return ORDMA_MSG_E_OK;
}

enum ordma_msg_error
ordma_cursor_next(struct ordma_cursor *cursor, struct ordma_record *rec)
{
    size_t left = cursor->end - cursor->p;
    const uint8_t *p = cursor->p;
    enum ordma_msg_error error;
    size_t size, pad;

    if (left < ORDMA_RECORD_HEADER_LEN) {
        return ORDMA_MSG_E_REC_SHORT;
    }
    get_record_header(p, rec);
    error = check_record_header(rec, p[7]);
    if (OVS_UNLIKELY(error)) {
        return error;
    }

    size = ordma_record_size(rec->opts_len, rec->frame_len);
    if (size > left) {
        return ORDMA_MSG_E_REC_TRUNCATED;
    }
    if (!are_geneve_tlvs(rec->opts, rec->opts_len)) {
        return ORDMA_MSG_E_REC_OPTS;
    }
    pad = ordma_record_pad(rec->frame_len);
    if (!is_zero(p + size - pad, pad)) {
        return ORDMA_MSG_E_REC_PAD;
    }

    cursor->p = p + size;
    cursor->n_left--;
    return cursor->n_left || size == left ? ORDMA_MSG_E_OK
                                          : ORDMA_MSG_E_TRAILING;
}

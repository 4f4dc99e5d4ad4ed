/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Management datagrams: packing and parsing. */

#include <config.h>

#include "roce-mad.h"

#include <string.h>

#include "util.h"

/* Common header. */
#define MAD_BASE_VERSION 1      /* Byte 0. */
#define MAD_CLASS_CM 7          /* Byte 1. */
#define MAD_CLASS_VERSION 2     /* Byte 2. */
#define MAD_METHOD_SEND 3       /* Byte 3. */
#define MAD_HDR_LEN 24

/* A field of the body, or, with a negative number of bits counted from its
 * start, of the header. */
struct field {
    int16_t bit;                /* Most significant bit, from the body. */
    uint16_t n_bits;            /* Whole bytes if more than 64. */
    uint16_t offset;            /* Of the member of struct roce_mad. */
    uint16_t size;              /* Likewise. */
};

/* A field at bit BIT of byte BYTE. */
#define FIELD(BYTE, BIT, N_BITS, MEMBER)                        \
    { 8 * (BYTE) + (BIT), N_BITS,                               \
      offsetof(struct roce_mad, MEMBER),                        \
      sizeof ((struct roce_mad *) NULL)->MEMBER }
#define FIELD_END { 0, 0, 0, 0 }

#define FIELD_TID FIELD(8 - MAD_HDR_LEN, 0, 64, tid)
#define FIELD_IDS                               \
    FIELD_TID,                                  \
    FIELD(0, 0, 32, local_id),                  \
    FIELD(4, 0, 32, remote_id)

static const struct field req_fields[] = {
    FIELD_TID,
    FIELD(0, 0, 32, local_id),
    FIELD(8, 0, 64, service_id),
    FIELD(16, 0, 64, ca_guid),
    FIELD(32, 0, 24, qpn),
    FIELD(35, 0, 8, responder_resources),
    FIELD(39, 0, 8, initiator_depth),
    FIELD(43, 0, 5, remote_timeout),
    FIELD(43, 5, 2, transport),
    FIELD(43, 7, 1, flow_control),
    FIELD(44, 0, 24, psn),
    FIELD(47, 0, 5, local_timeout),
    FIELD(47, 5, 3, retry_count),
    FIELD(48, 0, 16, pkey),
    FIELD(50, 0, 4, path_mtu),
    FIELD(50, 5, 3, rnr_retry),
    FIELD(51, 0, 4, max_cm_retries),
    FIELD(51, 4, 1, srq),
    FIELD(52, 0, 16, primary_local_lid),
    FIELD(54, 0, 16, primary_remote_lid),
    FIELD(56, 0, 128, local_gid),
    FIELD(72, 0, 128, remote_gid),
    FIELD(88, 0, 20, flow_label),
    FIELD(92, 0, 8, traffic_class),
    FIELD(93, 0, 8, hop_limit),
    FIELD(95, 0, 5, ack_timeout),
    FIELD(96, 0, 16, alternate_lid),
    FIELD(140, 0, 8, cm_version),
    FIELD(141, 0, 4, ip_version),
    FIELD(142, 0, 16, src_port),
    FIELD(144, 0, 128, src_ip),
    FIELD(160, 0, 128, dst_ip),
    FIELD_END,
};

static const struct field mra_fields[] = {
    FIELD_IDS,
    FIELD(8, 0, 2, about),
    FIELD(9, 0, 5, service_timeout),
    FIELD_END,
};

static const struct field rej_fields[] = {
    FIELD_IDS,
    FIELD(8, 0, 2, about),
    FIELD(9, 0, 7, info_len),
    FIELD(10, 0, 16, reason),
    FIELD(12, 0, 8 * ROCE_REJ_INFO_LEN, info),
    FIELD_END,
};

static const struct field rep_fields[] = {
    FIELD_IDS,
    FIELD(12, 0, 24, qpn),
    FIELD(20, 0, 24, psn),
    FIELD(24, 0, 8, responder_resources),
    FIELD(25, 0, 8, initiator_depth),
    FIELD(26, 0, 5, ack_delay),
    FIELD(26, 5, 2, failover),
    FIELD(26, 7, 1, flow_control),
    FIELD(27, 0, 3, rnr_retry),
    FIELD(27, 3, 1, srq),
    FIELD(28, 0, 64, ca_guid),
    FIELD_END,
};

static const struct field rtu_fields[] = {
    FIELD_IDS,
    FIELD_END,
};

static const struct field dreq_fields[] = {
    FIELD_IDS,
    FIELD(8, 0, 24, qpn),
    FIELD_END,
};

static const struct format {
    uint16_t attribute;         /* Bytes 16 and 17 of the header. */
    uint8_t private_ofs;        /* In the body. */
    uint8_t private_len;
    const struct field *fields;
} formats[ROCE_MAD_N_TYPES] = {
    [ROCE_MAD_REQ] = { 0x10, 176, ROCE_REQ_PRIVATE_LEN, req_fields },
    [ROCE_MAD_MRA] = { 0x11, 10, 222, mra_fields },
    [ROCE_MAD_REJ] = { 0x12, 84, ROCE_REJ_PRIVATE_LEN, rej_fields },
    [ROCE_MAD_REP] = { 0x13, 36, ROCE_REP_PRIVATE_LEN, rep_fields },
    [ROCE_MAD_RTU] = { 0x14, 8, 224, rtu_fields },
    [ROCE_MAD_DREQ] = { 0x15, 12, 220, dreq_fields },
    [ROCE_MAD_DREP] = { 0x16, 8, 224, rtu_fields },
};

static uint64_t
get_bits(const uint8_t *body, int bit, int n_bits)
{
    uint64_t value = 0;

    for (int i = bit; i < bit + n_bits; i++) {
        value = value << 1 | (body[i / 8] >> (7 - i % 8) & 1);
    }
    return value;
}

static void
put_bits(uint8_t *body, int bit, int n_bits, uint64_t value)
{
    for (int i = bit; i < bit + n_bits; i++) {
        if (value >> (bit + n_bits - 1 - i) & 1) {
            body[i / 8] |= 0x80 >> i % 8;
        }
    }
}

static uint64_t
load_member(const void *p, size_t size)
{
    switch (size) {
    case sizeof(uint8_t):
        return *(const uint8_t *) p;
    case sizeof(uint16_t):
        return *(const uint16_t *) p;
    case sizeof(uint32_t):
        return *(const uint32_t *) p;
    case sizeof(uint64_t):
        return *(const uint64_t *) p;
    }
    OVS_NOT_REACHED();
}

static void
store_member(void *p, size_t size, uint64_t value)
{
    switch (size) {
    case sizeof(uint8_t):
        *(uint8_t *) p = value;
        return;
    case sizeof(uint16_t):
        *(uint16_t *) p = value;
        return;
    case sizeof(uint32_t):
        *(uint32_t *) p = value;
        return;
    case sizeof(uint64_t):
        *(uint64_t *) p = value;
        return;
    }
    OVS_NOT_REACHED();
}

static void
parse_field(const struct field *f, const uint8_t *mad_bytes,
            struct roce_mad *mad)
{
    int bit = 8 * MAD_HDR_LEN + f->bit;
    uint8_t *member = (uint8_t *) mad + f->offset;

    if (f->n_bits > 64) {
        memcpy(member, mad_bytes + bit / 8, f->size);
    } else {
        store_member(member, f->size, get_bits(mad_bytes, bit, f->n_bits));
    }
}

static void
pack_field(const struct field *f, const struct roce_mad *mad,
           uint8_t *mad_bytes)
{
    int bit = 8 * MAD_HDR_LEN + f->bit;
    const uint8_t *member = (const uint8_t *) mad + f->offset;

    if (f->n_bits > 64) {
        memcpy(mad_bytes + bit / 8, member, f->size);
    } else {
        put_bits(mad_bytes, bit, f->n_bits, load_member(member, f->size));
    }
}

static const struct format *
find_format(const uint8_t *mad_bytes)
{
    uint16_t attribute = mad_bytes[16] << 8 | mad_bytes[17];

    for (const struct format *f = formats; f < &formats[ROCE_MAD_N_TYPES];
         f++) {
        if (f->attribute == attribute) {
            return f;
        }
    }
    return NULL;
}

/* Parses the 'len' bytes of 'data', the payload of a datagram to queue pair 1,
 * into '*mad', whose members that belong to other messages are zero.
 * 'mad->private_data' points into 'data'.  On any result but ROCE_MAD_OK,
 * '*mad' is undefined. */
enum roce_mad_result
roce_mad_parse(const void *data, size_t len, struct roce_mad *mad)
{
    const uint8_t *bytes = data;
    const struct format *format;

    if (len != ROCE_MAD_LEN) {
        return ROCE_MAD_LENGTH;
    } else if (bytes[0] != MAD_BASE_VERSION) {
        return ROCE_MAD_VERSION;
    } else if (bytes[1] != MAD_CLASS_CM || bytes[2] != MAD_CLASS_VERSION) {
        return ROCE_MAD_CLASS;
    } else if (bytes[3] != MAD_METHOD_SEND) {
        return ROCE_MAD_METHOD;
    }
    format = find_format(bytes);
    if (!format) {
        return ROCE_MAD_ATTRIBUTE;
    }

    memset(mad, 0, sizeof *mad);
    mad->type = format - formats;
    mad->private_data = bytes + MAD_HDR_LEN + format->private_ofs;
    mad->private_len = format->private_len;
    for (const struct field *f = format->fields; f->n_bits; f++) {
        parse_field(f, bytes, mad);
    }
    return ROCE_MAD_OK;
}

/* Packs 'mad' into 'buf'.  The private data must fit. */
void
roce_mad_pack(const struct roce_mad *mad, uint8_t buf[ROCE_MAD_LEN])
{
    const struct format *format = &formats[mad->type];

    ovs_assert(mad->private_len <= format->private_len);
    memset(buf, 0, ROCE_MAD_LEN);
    buf[0] = MAD_BASE_VERSION;
    buf[1] = MAD_CLASS_CM;
    buf[2] = MAD_CLASS_VERSION;
    buf[3] = MAD_METHOD_SEND;
    buf[16] = format->attribute >> 8;
    buf[17] = format->attribute;
    for (const struct field *f = format->fields; f->n_bits; f++) {
        pack_field(f, mad, buf);
    }
    if (mad->private_len) {
        memcpy(buf + MAD_HDR_LEN + format->private_ofs, mad->private_data,
               mad->private_len);
    }
}

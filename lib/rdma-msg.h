/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Messages between two switches: the contents of an RDMA SEND. */

#ifndef RDMA_MSG_H
#define RDMA_MSG_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/types.h"

/* Messages between two switches
 * =============================
 *
 * What one RDMA SEND carries.  Documentation/topics/rdma/wire.rst is the
 * specification; this module is its only implementation.
 *
 * A message is an 8-byte header followed, in a DATA message, by one or more
 * records.  A record is a 20-byte header, Geneve TLVs, one Ethernet frame and
 * zeros up to a multiple of 4 bytes:
 *
 *     +--------+--------+------+-------+-----+--------+------+-------+-----+
 *     | header | record | TLVs | frame | pad | record | TLVs | frame | pad |
 *     +--------+--------+------+-------+-----+--------+------+-------+-----+
 *
 * Everything is in network byte order on the wire and in host byte order in
 * the structures below, except 'tun_id', which OVS keeps in network byte order
 * everywhere.
 *
 * Thread-safety
 * =============
 *
 * The functions are pure: no lock, clock, allocation or global state.  The
 * parser trusts nothing in its input and reads nothing beyond it. */

#define ORDMA_MSG_VERSION 1
#define ORDMA_MSG_HEADER_LEN 8
#define ORDMA_RECORD_HEADER_LEN 20
#define ORDMA_RECORD_ALIGN 4

/* Longest run of Geneve TLVs in a record, in bytes: OVS keeps their length in
 * a uint8_t and they come in units of 4 bytes. */
#define ORDMA_MAX_OPTS_LEN 252

/* Shortest frame: an Ethernet header. */
#define ORDMA_MIN_FRAME_LEN 14

/* What can precede the frame in a message that holds one record. */
#define ORDMA_MSG_MAX_OVERHEAD \
    (ORDMA_MSG_HEADER_LEN + ORDMA_RECORD_HEADER_LEN + ORDMA_MAX_OPTS_LEN)

enum ordma_msg_type {
    ORDMA_MSG_DATA = 0,         /* Records. */
    ORDMA_MSG_CREDIT = 1,       /* Nothing but the credits in the header. */
    ORDMA_MSG_PING = 2,         /* Asks for a PONG.  May be of any length. */
    ORDMA_MSG_PONG = 3,         /* Answers a PING. */
    ORDMA_MSG_N_TYPES
};

/* A message header. */
struct ordma_msg {
    enum ordma_msg_type type;
    uint16_t credits;       /* DATA messages that the receiver of this header
                             * may send in addition. */
    uint16_t n_records;     /* Nonzero in DATA messages, zero in others. */
    uint16_t sequence;      /* Counts messages of a lane, from 0, modulo 2**16.
                             */
};

/* Bits of the 'flags' of a record.  Others are zero. */
enum ordma_record_flags {
    ORDMA_REC_KEY        = 1 << 7,   /* 'tun_id' is present. */
    ORDMA_REC_OAM        = 1 << 6,   /* OAM frame (as in Geneve). */
    ORDMA_REC_IP_PARTIAL = 1 << 5,   /* IP checksum not computed yet. */
    ORDMA_REC_L4_PARTIAL = 1 << 4,   /* TCP, UDP or SCTP checksum, likewise. */
    ORDMA_REC_L4_GOOD    = 1 << 3,   /* L4 checksum was found good. */
    ORDMA_REC_HASH       = 1 << 2,   /* 'hash' is valid. */
};
#define ORDMA_REC_KNOWN_FLAGS                                           \
    (ORDMA_REC_KEY | ORDMA_REC_OAM | ORDMA_REC_IP_PARTIAL               \
     | ORDMA_REC_L4_PARTIAL | ORDMA_REC_L4_GOOD | ORDMA_REC_HASH)

/* What the sender of a frame leaves to others. */
#define ORDMA_REC_PARTIAL (ORDMA_REC_IP_PARTIAL | ORDMA_REC_L4_PARTIAL)

/* A record: one frame and its tunnel metadata. */
struct ordma_record {
    uint16_t frame_len;     /* Bytes of frame. */
    uint16_t opts_len;      /* Bytes of Geneve TLVs, a multiple of 4, at most
                             * ORDMA_MAX_OPTS_LEN. */
    uint8_t flags;          /* ORDMA_REC_*. */
    uint8_t tos;            /* Tunnel type of service. */
    uint16_t gso_size;      /* TCP payload bytes per segment, 0 if not TSO. */
    uint32_t hash;          /* Flow hash, if ORDMA_REC_HASH. */
    ovs_be64 tun_id;        /* Tunnel key, if ORDMA_REC_KEY. */
    const void *opts;       /* 'opts_len' bytes; not aligned. */
    const void *frame;      /* 'frame_len' bytes; not aligned. */
};

/* Why a message was refused. */
#define ORDMA_MSG_ERRORS                                                \
    ORDMA_MSG_ERROR(OK,            "no error")                          \
    ORDMA_MSG_ERROR(SHORT,         "message shorter than its header")   \
    ORDMA_MSG_ERROR(VERSION,       "unknown message version")           \
    ORDMA_MSG_ERROR(TYPE,          "unknown message type")              \
    ORDMA_MSG_ERROR(FLAGS,         "unknown message flags")             \
    ORDMA_MSG_ERROR(N_RECORDS,     "number of records contradicts type") \
    ORDMA_MSG_ERROR(TRAILING,      "bytes after the last record")       \
    ORDMA_MSG_ERROR(REC_SHORT,     "record header cut short")           \
    ORDMA_MSG_ERROR(REC_FLAGS,     "unknown record flags")              \
    ORDMA_MSG_ERROR(REC_NEXT,      "unknown record payload type")       \
    ORDMA_MSG_ERROR(REC_UNUSED,    "value in a field declared absent")  \
    ORDMA_MSG_ERROR(REC_GSO,       "TSO without partial checksum")      \
    ORDMA_MSG_ERROR(REC_RUNT,      "frame shorter than an Ethernet header") \
    ORDMA_MSG_ERROR(REC_OPTS_LEN,  "record options too long")           \
    ORDMA_MSG_ERROR(REC_TRUNCATED, "record longer than the message")    \
    ORDMA_MSG_ERROR(REC_OPTS,      "record options are not Geneve TLVs") \
    ORDMA_MSG_ERROR(REC_PAD,       "record padding is not zero")

enum ordma_msg_error {
#define ORDMA_MSG_ERROR(NAME, TEXT) ORDMA_MSG_E_##NAME,
    ORDMA_MSG_ERRORS
#undef ORDMA_MSG_ERROR
    ORDMA_MSG_N_ERRORS
};

/* Returns a sentence part that names 'error', for logs. */
const char *ordma_msg_strerror(enum ordma_msg_error error);

/* Returns the bytes that a record of 'frame_len' bytes of frame and 'opts_len'
 * bytes of options occupies in a message, padding included. */
static inline size_t
ordma_record_size(size_t opts_len, size_t frame_len)
{
    return ((ORDMA_RECORD_HEADER_LEN + opts_len + frame_len
             + ORDMA_RECORD_ALIGN - 1)
            & ~(size_t) (ORDMA_RECORD_ALIGN - 1));
}

/* Writes 'msg' as ORDMA_MSG_HEADER_LEN bytes to 'dst'. */
void ordma_msg_put(void *dst, const struct ordma_msg *msg);

/* Writes the header and the options of 'rec' to 'dst', in
 * ORDMA_RECORD_HEADER_LEN + rec->opts_len bytes.  The caller puts the frame
 * and ordma_record_pad() zeros behind them; 'rec->frame' is not used. */
void ordma_record_put(void *dst, const struct ordma_record *rec);

/* Returns the number of padding bytes behind a frame of 'frame_len' bytes. */
static inline size_t
ordma_record_pad(size_t frame_len)
{
    return -frame_len & (ORDMA_RECORD_ALIGN - 1);
}

/* Walks over a received message.  Initialized by ordma_msg_parse(). */
struct ordma_cursor {
    const uint8_t *p;           /* Next record. */
    const uint8_t *end;         /* Just past the message. */
    uint16_t n_left;            /* Records not walked over yet. */
};

/* Parses the header of the 'len' bytes at 'data' into '*msg' and makes
 * '*cursor' ready to walk over its records.  '*cursor' points into 'data',
 * which must outlive it. */
enum ordma_msg_error ordma_msg_parse(const void *data, size_t len,
                                     struct ordma_msg *msg,
                                     struct ordma_cursor *cursor);

/* Parses the next record of '*cursor', which must have one left, into '*rec'.
 * 'rec->opts' and 'rec->frame' point into the message.
 *
 * After an error '*cursor' and '*rec' are indeterminate: the rest of the
 * message cannot be trusted. */
enum ordma_msg_error ordma_cursor_next(struct ordma_cursor *cursor,
                                       struct ordma_record *rec);

#endif /* rdma-msg.h */

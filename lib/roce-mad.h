/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Management datagrams of the InfiniBand connection manager. */

#ifndef ROCE_MAD_H
#define ROCE_MAD_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connection management datagrams
 * ===============================
 *
 * Peers set up and tear down connections with management datagrams (MADs) of
 * the InfiniBand communication manager (CM), which travel as UD messages from
 * queue pair 1 to queue pair 1:
 *
 *     active                          passive
 *        |----- REQ ---------------------->|   "connect to this service"
 *        |<---- MRA -----------------------|   "wait" (optional)
 *        |<---- REP, or REJ ---------------|   "accepted", "refused"
 *        |----- RTU ---------------------->|   "ready to use"
 *        :                                 :
 *        |----- DREQ --------------------->|   "disconnect", by either side
 *        |<---- DREP ----------------------|
 *
 * Every MAD has 256 bytes: a common header of 24, and a body whose fields lie
 * at odd bits here and there.  In this module, the fields of each message are
 * rows of a table, and roce_mad_parse() and roce_mad_pack() are two loops over
 * it, so what one writes the other reads.
 *
 * A struct roce_mad holds host byte order.  It has one member for all fields
 * that mean the same; which of them a message has is said at each.
 *
 * The REQ's private data starts with a header that names IP addresses and the
 * source port, as RDMA_CM puts it there.  It counts as fields of the REQ, and
 * not as private data.
 *
 * Thread-safety: these are pure functions of their arguments. */

#define ROCE_MAD_LEN 256
#define ROCE_MAD_QKEY 0x80010000

#define ROCE_MAD_MAX_PRIVATE 224        /* Of any message. */
#define ROCE_REQ_PRIVATE_LEN 56
#define ROCE_REP_PRIVATE_LEN 196
#define ROCE_REJ_PRIVATE_LEN 148
#define ROCE_REJ_INFO_LEN 72

enum roce_mad_type {
    ROCE_MAD_REQ,
    ROCE_MAD_MRA,
    ROCE_MAD_REJ,
    ROCE_MAD_REP,
    ROCE_MAD_RTU,
    ROCE_MAD_DREQ,
    ROCE_MAD_DREP,
    ROCE_MAD_N_TYPES
};

/* Which message a REJ or an MRA is about. */
enum roce_mad_about {
    ROCE_ABOUT_REQ = 0,
    ROCE_ABOUT_REP = 1,
    ROCE_ABOUT_OTHER = 2,
};

/* Why a REJ rejects. */
enum roce_rej_reason {
    ROCE_REJ_NO_QP = 1,
    ROCE_REJ_NO_RESOURCES = 3,
    ROCE_REJ_TIMEOUT = 4,
    ROCE_REJ_UNSUPPORTED = 5,
    ROCE_REJ_BAD_ID = 6,
    ROCE_REJ_BAD_SERVICE = 8,
    ROCE_REJ_STALE = 10,
    ROCE_REJ_BAD_GID = 12,
    ROCE_REJ_BAD_MTU = 26,
    ROCE_REJ_CONSUMER = 28,
    ROCE_REJ_DUPLICATE_ID = 30,
};

struct roce_mad {
    enum roce_mad_type type;
    uint64_t tid;               /* Transaction. */
    uint32_t local_id;          /* The sender's for the connection. */
    uint32_t remote_id;         /* The receiver's; not in a REQ. */

    /* REQ, REP. */
    uint32_t qpn;               /* DREQ: the receiver's QP. */
    uint32_t psn;               /* That the receiver must start with. */
    uint64_t ca_guid;
    uint8_t responder_resources;
    uint8_t initiator_depth;
    uint8_t flow_control;       /* 1 bit. */
    uint8_t rnr_retry;          /* 3 bits, for the receiver's QP. */
    uint8_t srq;                /* 1 bit. */

    /* REQ. */
    uint64_t service_id;
    uint8_t remote_timeout;     /* 5 bits: 4.096 us << this. */
    uint8_t transport;          /* 2 bits: 0 is RC. */
    uint8_t local_timeout;      /* 5 bits. */
    uint8_t retry_count;        /* 3 bits, for the receiver's QP. */
    uint16_t pkey;
    uint8_t path_mtu;           /* 4 bits: 128 << this. */
    uint8_t max_cm_retries;     /* 4 bits. */
    uint16_t primary_local_lid; /* 0xffff on RoCE. */
    uint16_t primary_remote_lid; /* 0xffff on RoCE. */
    struct in6_addr local_gid;  /* The sender's. */
    struct in6_addr remote_gid; /* The receiver's. */
    uint32_t flow_label;        /* 20 bits. */
    uint8_t traffic_class;
    uint8_t hop_limit;
    uint8_t ack_timeout;        /* 5 bits, for the receiver's QP. */
    uint16_t alternate_lid;     /* Nonzero if there is an alternate path. */
    uint8_t cm_version;         /* 0. */
    uint8_t ip_version;         /* 4 bits: 4 or 6. */
    uint16_t src_port;
    struct in6_addr src_ip;     /* The last 4 bytes, if 'ip_version' is 4. */
    struct in6_addr dst_ip;     /* Likewise. */

    /* REP. */
    uint8_t ack_delay;          /* 5 bits. */
    uint8_t failover;           /* 2 bits. */

    /* REJ, MRA. */
    uint8_t about;              /* enum roce_mad_about. */
    uint8_t info_len;           /* REJ: 7 bits. */
    uint16_t reason;            /* REJ: enum roce_rej_reason. */
    uint8_t info[ROCE_REJ_INFO_LEN]; /* REJ. */
    uint8_t service_timeout;    /* MRA: 5 bits: 4.096 us << this. */

    /* When parsed, this is all the room that the message has, since the length
     * is not on the wire. */
    const uint8_t *private_data;
    size_t private_len;
};

/* Why a MAD was refused. */
enum roce_mad_result {
    ROCE_MAD_OK,
    ROCE_MAD_LENGTH,
    ROCE_MAD_VERSION,
    ROCE_MAD_CLASS,             /* Not connection management. */
    ROCE_MAD_METHOD,
    ROCE_MAD_ATTRIBUTE,         /* No such message. */
};

enum roce_mad_result roce_mad_parse(const void *, size_t len,
                                    struct roce_mad *);
void roce_mad_pack(const struct roce_mad *, uint8_t buf[ROCE_MAD_LEN]);

#endif /* roce-mad.h */

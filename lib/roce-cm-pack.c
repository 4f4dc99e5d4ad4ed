/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Messages of the InfiniBand connection manager, from its state. */

#include <config.h>

#include "roce-cm.h"

#include <string.h>

#include "byte-order.h"
#include "util.h"

/* What a connection says: struct roce_cm to struct roce_mad. */

/* What our messages say in fields that do not vary. */
#define CM_TIMEOUT 18           /* 4.096 us << 18 is about a second. */
#define CM_MAX_RETRIES 15
#define CM_HOP_LIMIT 64
#define CM_PERMISSIVE_LID 0xffff
#define CM_MRA_TIMEOUT 20       /* About four seconds. */

/* What peers may choose: from 4 to 268 ms. */
#define CM_MIN_ACK_TIMEOUT 10
#define CM_MAX_ACK_TIMEOUT 16

/* Path MTUs are 128 << code, from 1 to 5. */
static uint8_t
mtu_to_code(uint16_t mtu)
{
    return ctz32(mtu) - 7;
}

/* Returns 'ip' as the IP header of a REQ has it. */
static struct in6_addr
cm_ip_field(const struct in6_addr *ip)
{
    struct in6_addr field = *ip;

    if (IN6_IS_ADDR_V4MAPPED(ip)) {
        memset(&field, 0, 12);
    }
    return field;
}

static void
fill_req(const struct roce_cm *cm, struct roce_mad *mad)
{
    mad->service_id = cm->service_id;
    mad->ca_guid = cm->local_guid;
    mad->qpn = cm->local.qpn;
    mad->psn = cm->local.recv_psn;
    mad->remote_timeout = CM_TIMEOUT;
    mad->local_timeout = CM_TIMEOUT;
    mad->retry_count = cm->local.retry_count;
    mad->rnr_retry = cm->local.rnr_retry;
    mad->pkey = ROCE_PKEY_DEFAULT;
    mad->path_mtu = mtu_to_code(cm->local.mtu);
    mad->max_cm_retries = CM_MAX_RETRIES;
    mad->primary_local_lid = CM_PERMISSIVE_LID;
    mad->primary_remote_lid = CM_PERMISSIVE_LID;
    mad->local_gid = cm->local_ip;
    mad->remote_gid = cm->remote_ip;
    mad->traffic_class = cm->local.traffic_class;
    mad->hop_limit = CM_HOP_LIMIT;
    mad->ack_timeout = cm->local.ack_timeout;
    mad->ip_version = IN6_IS_ADDR_V4MAPPED(&cm->local_ip) ? 4 : 6;
    mad->src_port = cm->src_port;
    mad->src_ip = cm_ip_field(&cm->local_ip);
    mad->dst_ip = cm_ip_field(&cm->remote_ip);
    mad->private_data = cm->private_data;
    mad->private_len = cm->private_len;
}

static void
fill_rep(const struct roce_cm *cm, struct roce_mad *mad)
{
    mad->ca_guid = cm->local_guid;
    mad->qpn = cm->local.qpn;
    mad->psn = cm->local.recv_psn;
    mad->rnr_retry = cm->local.rnr_retry;
    mad->private_data = cm->private_data;
    mad->private_len = cm->private_len;
}

/* A peer that gave up finds the connection by the GUID. */
static void
fill_rej(const struct roce_cm *cm, struct roce_mad *mad)
{
    mad->reason = cm->reason;
    mad->about = cm->about;
    if (cm->reason == ROCE_REJ_TIMEOUT) {
        ovs_be64 guid = htonll(cm->local_guid);

        memcpy(mad->info, &guid, sizeof guid);
        mad->info_len = sizeof guid;
    } else if (cm->reason == ROCE_REJ_BAD_MTU) {
        mad->info[0] = mtu_to_code(cm->local.mtu);
        mad->info_len = 1;
    }
    mad->private_data = cm->private_data;
    mad->private_len = cm->private_len;
}

static void
fill(const struct roce_cm *cm, struct roce_mad *mad)
{
    switch (mad->type) {
    case ROCE_MAD_REQ:
        fill_req(cm, mad);
        break;
    case ROCE_MAD_MRA:
        mad->about = ROCE_ABOUT_REQ;
        mad->service_timeout = CM_MRA_TIMEOUT;
        break;
    case ROCE_MAD_REJ:
        fill_rej(cm, mad);
        break;
    case ROCE_MAD_REP:
        fill_rep(cm, mad);
        break;
    case ROCE_MAD_DREQ:
        mad->tid = ~cm->tid;
        mad->qpn = cm->remote.qpn;
        break;
    case ROCE_MAD_DREP:
        mad->tid = cm->dreq_tid;
        break;
    case ROCE_MAD_RTU:
    case ROCE_MAD_N_TYPES:
        break;
    }
}

/* Packs a message that 'cm' has to send into 'buf'.  Returns false if there is
 * none. */
bool
roce_cm_output(struct roce_cm *cm, uint8_t buf[ROCE_MAD_LEN])
{
    struct roce_mad mad = {
        .tid = cm->tid,
        .local_id = cm->local_id,
        .remote_id = cm->remote_id,
    };

    if (!cm->pending) {
        return false;
    }
    mad.type = ctz32(cm->pending);
    cm->pending = zero_rightmost_1bit(cm->pending);
    fill(cm, &mad);
    roce_mad_pack(&mad, buf);
    return true;
}

/* Packs a REJ of 'refused', a REQ or REP to which there is no connection, into
 * 'buf'.  'max_mtu' matters only if 'reason' is ROCE_REJ_BAD_MTU. */
void
roce_cm_pack_reject(const struct roce_mad *refused, uint16_t reason,
                    uint16_t max_mtu, uint8_t buf[ROCE_MAD_LEN])
{
    struct roce_mad mad = {
        .type = ROCE_MAD_REJ,
        .tid = refused->tid,
        .local_id = refused->remote_id,
        .remote_id = refused->local_id,
        .about = (refused->type == ROCE_MAD_REP ? ROCE_ABOUT_REP
                  : ROCE_ABOUT_REQ),
        .reason = reason,
    };

    if (reason == ROCE_REJ_BAD_MTU) {
        mad.info[0] = mtu_to_code(max_mtu);
        mad.info_len = 1;
    }
    roce_mad_pack(&mad, buf);
}

/* Packs the answer to 'dreq', to which there is no connection any longer, into
 * 'buf'. */
void
roce_cm_pack_drep(const struct roce_mad *dreq, uint8_t buf[ROCE_MAD_LEN])
{
    struct roce_mad mad = {
        .type = ROCE_MAD_DREP,
        .tid = dreq->tid,
        .local_id = dreq->remote_id,
        .remote_id = dreq->local_id,
    };

    roce_mad_pack(&mad, buf);
}

/* The peer may choose the timeout of our queue pair, within reason: without
 * one, who takes our packets and acknowledges none would keep their memory for
 * ever, and a short one would send everything again and again. */
static uint8_t
ack_timeout(const struct roce_cm *cm)
{
    uint8_t timeout = cm->remote.ack_timeout;

    return timeout ? MIN(MAX(timeout, CM_MIN_ACK_TIMEOUT), CM_MAX_ACK_TIMEOUT)
                   : CM_MAX_ACK_TIMEOUT;
}

/* Stores what the exchange of messages has settled about the queue pair of
 * 'cm' into '*config', and leaves its other members alone.  On the passive
 * side, 'cm' need not know its own side yet: then those members are zero. */
void
roce_cm_get_qp_config(const struct roce_cm *cm, struct roce_qp_config *config)
{
    config->local_ip = cm->local_ip;
    config->remote_ip = cm->remote_ip;
    config->local_qpn = cm->local.qpn;
    config->remote_qpn = cm->remote.qpn;
    config->send_psn = cm->remote.recv_psn;
    config->recv_psn = cm->local.recv_psn;
    config->mtu = cm->remote.mtu;
    config->timeout = ack_timeout(cm);
    config->retry_count = cm->remote.retry_count;
    config->rnr_retry = cm->remote.rnr_retry;
}

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What two ends tell each other while connecting: packing and parsing. */

#include <config.h>

#include "rdma-hello.h"

#include <string.h>

#include "byte-order.h"
#include "util.h"

/* The first bytes of all private data of ours. */
#define MAGIC 0x4f524d41        /* "ORMA" */
#define HELLO_VERSION 1

/* Hello and refusal on the wire.  Every member is naturally aligned. */
struct wire_hello {
    ovs_be32 magic;
    uint8_t version;
    uint8_t key_modes;          /* in_key's in bits 7:4, out_key's in 3:0. */
    uint8_t n_lanes;
    uint8_t lane;
    ovs_be32 features;
    ovs_be32 max_msg;
    ovs_be64 session;
    ovs_be64 in_key;
    ovs_be64 out_key;
    ovs_be16 credits;
    uint8_t authenticator[14];  /* Zero: no authentication. */
};
BUILD_ASSERT_DECL(sizeof(struct wire_hello) == ORDMA_HELLO_LEN);

struct wire_refusal {
    ovs_be32 magic;
    uint8_t version;
    uint8_t refusal;
    uint8_t pad[2];
};
BUILD_ASSERT_DECL(sizeof(struct wire_refusal) == ORDMA_REFUSAL_LEN);

const char *
ordma_refusal_to_string(enum ordma_refusal refusal)
{
    static const char *const names[] = {
#define ORDMA_REFUSAL(NAME, TEXT) [ORDMA_REFUSED_##NAME] = TEXT,
        ORDMA_REFUSALS
#undef ORDMA_REFUSAL
    };

    return names[refusal < ORDMA_N_REFUSALS ? refusal : ORDMA_REFUSED_NONE];
}

void
ordma_hello_put(void *dst, const struct ordma_hello *hello)
{
    struct wire_hello wire = {
        .magic = htonl(MAGIC),
        .version = HELLO_VERSION,
        .key_modes = hello->in_key.mode << 4 | hello->out_key.mode,
        .n_lanes = hello->n_lanes,
        .lane = hello->lane,
        .features = htonl(hello->features),
        .max_msg = htonl(hello->max_msg),
        .session = htonll(hello->session),
        .in_key = hello->in_key.key,
        .out_key = hello->out_key.key,
        .credits = htons(hello->credits),
    };

    memcpy(dst, &wire, sizeof wire);
}

static bool
parse_key(unsigned int mode, ovs_be64 key, struct ordma_key *out)
{
    out->mode = mode;
    out->key = key;
    return mode == ORDMA_KEY_FIXED || (mode == ORDMA_KEY_FLOW && !key);
}

bool
ordma_hello_parse(const void *data, size_t len, struct ordma_hello *hello)
{
    struct wire_hello wire;

    if (len < sizeof wire) {
        return false;
    }
    memcpy(&wire, data, sizeof wire);
    if (wire.magic != htonl(MAGIC) || wire.version != HELLO_VERSION
        || !is_all_zeros(wire.authenticator, sizeof wire.authenticator)) {
        return false;
    }

    hello->features = ntohl(wire.features);
    hello->max_msg = ntohl(wire.max_msg);
    hello->credits = ntohs(wire.credits);
    hello->n_lanes = wire.n_lanes;
    hello->lane = wire.lane;
    hello->session = ntohll(wire.session);
    return (parse_key(wire.key_modes >> 4, wire.in_key, &hello->in_key)
            && parse_key(wire.key_modes & 0xf, wire.out_key, &hello->out_key)
            && hello->n_lanes && hello->n_lanes <= ORDMA_MAX_LANES
            && hello->lane < ORDMA_MAX_LANES
            && hello->session);
}

void
ordma_refusal_put(void *dst, enum ordma_refusal refusal)
{
    struct wire_refusal wire = {
        .magic = htonl(MAGIC),
        .version = HELLO_VERSION,
        .refusal = refusal,
    };

    memcpy(dst, &wire, sizeof wire);
}

enum ordma_refusal
ordma_refusal_parse(const void *data, size_t len)
{
    struct wire_refusal wire;

    if (len < sizeof wire) {
        return ORDMA_REFUSED_NONE;
    }
    memcpy(&wire, data, sizeof wire);
    return (wire.magic == htonl(MAGIC) && wire.refusal < ORDMA_N_REFUSALS
            ? wire.refusal
            : ORDMA_REFUSED_NONE);
}

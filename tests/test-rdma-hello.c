/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Unit test of rdma-hello. */

#undef NDEBUG
#include <config.h>

#include <assert.h>
#include <string.h>

#include "byte-order.h"
#include "ovstest.h"
#include "rdma-hello.h"
#include "util.h"

static const struct ordma_hello sample = {
    .features = 0,
    .max_msg = 0x1020,
    .credits = 0x800,
    .n_lanes = 4,
    .lane = 3,
    .session = UINT64_C(0x0123456789abcdef),
    .in_key = { .mode = ORDMA_KEY_FIXED },
    .out_key = { .mode = ORDMA_KEY_FLOW },
};

/* The bytes of 'sample', as wire.rst says, with in_key 5. */
static const uint8_t golden[ORDMA_HELLO_LEN] = {
    'O', 'R', 'M', 'A', 1, 0x01, 4, 3,
    0, 0, 0, 0, 0, 0, 0x10, 0x20,
    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
    0, 0, 0, 0, 0, 0, 0, 5,
    0, 0, 0, 0, 0, 0, 0, 0,
    0x08, 0x00,
};

static bool
equals(const struct ordma_hello *a, const struct ordma_hello *b)
{
    return (a->features == b->features && a->max_msg == b->max_msg
            && a->credits == b->credits && a->n_lanes == b->n_lanes
            && a->lane == b->lane && a->session == b->session
            && a->in_key.mode == b->in_key.mode
            && a->in_key.key == b->in_key.key
            && a->out_key.mode == b->out_key.mode
            && a->out_key.key == b->out_key.key);
}

static void
test_golden(void)
{
    struct ordma_hello hello = sample, parsed;
    uint8_t data[ORDMA_HELLO_LEN + 10] = { 0 };

    hello.in_key.key = htonll(5);
    ordma_hello_put(data, &hello);
    assert(!memcmp(data, golden, sizeof golden));

    /* The connection manager pads. */
    assert(ordma_hello_parse(data, sizeof data, &parsed));
    assert(equals(&hello, &parsed));
    for (size_t n = 0; n < ORDMA_HELLO_LEN; n++) {
        assert(!ordma_hello_parse(data, n, &parsed));
    }
}

/* One byte of 'golden' to change, and whether the result is still a hello. */
static const struct {
    size_t offset;
    uint8_t value;
    bool valid;
} changes[] = {
    { 0, 'o', false },          /* Magic. */
    { 4, 0, false },            /* Version. */
    { 4, 2, false },
    { 5, 0x02, false },         /* Key modes. */
    { 5, 0x21, false },
    { 5, 0x11, false },         /* Flow, but there is a key. */
    { 5, 0x00, true },
    { 6, 0, false },            /* Lanes. */
    { 6, ORDMA_MAX_LANES, true },
    { 6, ORDMA_MAX_LANES + 1, false },
    { 7, ORDMA_MAX_LANES - 1, true },
    { 7, ORDMA_MAX_LANES, false },
    { 39, 1, false },           /* out_key of mode flow. */
    { 40, 0, true },            /* Credits become 0. */
    { 42, 1, false },           /* Authenticator. */
    { 55, 1, false },
};

static void
test_changes(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        struct ordma_hello parsed;
        uint8_t data[ORDMA_HELLO_LEN];

        memcpy(data, golden, sizeof data);
        data[changes[i].offset] = changes[i].value;
        if (ordma_hello_parse(data, sizeof data, &parsed)
            != changes[i].valid) {
            ovs_fatal(0, "change %"PRIuSIZE" at offset %"PRIuSIZE, i,
                      changes[i].offset);
        }
    }
}

static void
test_refusals(void)
{
    uint8_t data[ORDMA_REFUSAL_LEN + 140] = { 0 };

    assert(ordma_refusal_parse(data, sizeof data) == ORDMA_REFUSED_NONE);
    for (int i = 0; i < ORDMA_N_REFUSALS; i++) {
        ordma_refusal_put(data, i);
        assert(ordma_refusal_parse(data, sizeof data) == i);
        assert(ordma_refusal_parse(data, ORDMA_REFUSAL_LEN - 1)
               == ORDMA_REFUSED_NONE);
        assert(ordma_refusal_to_string(i)[0]);
    }
    ordma_refusal_put(data, ORDMA_N_REFUSALS);
    assert(ordma_refusal_parse(data, sizeof data) == ORDMA_REFUSED_NONE);
}

static void
test_keys(void)
{
    struct ordma_key five = { ORDMA_KEY_FIXED, htonll(5) };
    struct ordma_key six = { ORDMA_KEY_FIXED, htonll(6) };
    struct ordma_key flow = { ORDMA_KEY_FLOW, 0 };

    assert(ordma_keys_match(&five, &five));
    assert(!ordma_keys_match(&five, &six));
    assert(ordma_keys_match(&five, &flow));
    assert(ordma_keys_match(&flow, &six));
    assert(ordma_keys_match(&flow, &flow));
}

static void
test_rdma_hello_main(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    test_golden();
    test_changes();
    test_refusals();
    test_keys();
}

OVSTEST_REGISTER("test-rdma-hello", test_rdma_hello_main);

/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Unit test of rdma-msg. */

#undef NDEBUG
#include <config.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "byte-order.h"
#include "ovstest.h"
#include "random.h"
#include "rdma-msg.h"
#include "util.h"

/* A message under construction, as hexadecimal digits and spaces. */
static size_t
from_hex(const char *hex, uint8_t *dst, size_t size)
{
    size_t n = 0;

    for (; *hex; hex++) {
        if (*hex != ' ') {
            bool ok;

            assert(n < size);
            dst[n++] = hexits_value(hex, 2, &ok);
            assert(ok);
            hex++;
        }
    }
    return n;
}

/* Copies the 'len' bytes at 'data' to the end of a block, so that a memory
 * checker notices a read beyond, and parses them.  Returns the first error. */
static enum ordma_msg_error
parse_all(const void *data, size_t len, struct ordma_msg *msg,
          struct ordma_record *last)
{
    uint8_t *copy = xmemdup(len ? data : "", len ? len : 1);
    struct ordma_cursor cursor;
    enum ordma_msg_error error;

    error = ordma_msg_parse(copy, len, msg, &cursor);
    while (!error && cursor.n_left) {
        error = ordma_cursor_next(&cursor, last);
        if (!error) {
            const uint8_t *frame = last->frame, *opts = last->opts;

            assert(opts >= copy && opts + last->opts_len <= copy + len);
            assert(frame >= copy && frame + last->frame_len <= copy + len);
        }
    }
    free(copy);
    return error;
}

#define HDR(CREDITS, N, SEQ) "10 00 " CREDITS " " N " " SEQ " "
#define FRAME14 "0102030405060a0b0c0d0e0f0800"

/* Every rule of the format, one line each: what it says of which bytes. */
static const struct {
    const char *hex;
    enum ordma_msg_error error;
} cases[] = {
    /* Headers. */
    { "", ORDMA_MSG_E_SHORT },
    { "11 00 0005 0000 00", ORDMA_MSG_E_SHORT },
    { "11 00 0005 0000 0007", ORDMA_MSG_E_OK },
    { "12 00 0000 0000 0000", ORDMA_MSG_E_OK },
    { "13 00 ffff 0000 ffff", ORDMA_MSG_E_OK },
    { "01 00 0005 0000 0007", ORDMA_MSG_E_VERSION },
    { "21 00 0005 0000 0007", ORDMA_MSG_E_VERSION },
    { "14 00 0005 0000 0007", ORDMA_MSG_E_TYPE },
    { "1f 00 0005 0000 0007", ORDMA_MSG_E_TYPE },
    { "11 01 0005 0000 0007", ORDMA_MSG_E_FLAGS },
    { "11 80 0005 0000 0007", ORDMA_MSG_E_FLAGS },
    { "11 00 0005 0001 0007", ORDMA_MSG_E_N_RECORDS },
    { "10 00 0005 0000 0007", ORDMA_MSG_E_N_RECORDS },
    { "11 00 0005 0000 0007 00", ORDMA_MSG_E_TRAILING },

    /* One record, minimal. */
    { HDR("0000", "0001", "0000")
      "000e 00 00 0000 00 00 0000000000000000 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_OK },
    /* All the fields. */
    { HDR("0102", "0001", "0304")
      "0010 02 fc 05b4 b8 00 0011223344556677 8899aabb "
      "0102 80 01 deadbeef " FRAME14 "4500", ORDMA_MSG_E_OK },
    /* Record cut short anywhere. */
    { HDR("0000", "0001", "0000"), ORDMA_MSG_E_REC_SHORT },
    { HDR("0000", "0001", "0000")
      "000e 00 00 0000 00 00 0000000000000000 000000", ORDMA_MSG_E_REC_SHORT },
    { HDR("0000", "0001", "0000")
      "000e 00 00 0000 00 00 0000000000000000 00000000",
      ORDMA_MSG_E_REC_TRUNCATED },
    { HDR("0000", "0001", "0000")
      "000e 00 00 0000 00 00 0000000000000000 00000000 " FRAME14 "00",
      ORDMA_MSG_E_REC_TRUNCATED },
    { HDR("0000", "0001", "0000")
      "ffff 00 00 0000 00 00 0000000000000000 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_REC_TRUNCATED },
    /* Fields out of range. */
    { HDR("0000", "0001", "0000")
      "000d 00 00 0000 00 00 0000000000000000 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_REC_RUNT },
    { HDR("0000", "0001", "0000")
      "000e 00 01 0000 00 00 0000000000000000 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_REC_FLAGS },
    { HDR("0000", "0001", "0000")
      "000e 00 02 0000 00 00 0000000000000000 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_REC_FLAGS },
    { HDR("0000", "0001", "0000")
      "000e 00 00 0000 00 01 0000000000000000 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_REC_NEXT },
    { HDR("0000", "0001", "0000")
      "000e 00 00 0000 00 00 0000000000000001 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_REC_UNUSED },
    { HDR("0000", "0001", "0000")
      "000e 00 00 0000 00 00 0000000000000000 00000001 " FRAME14 "0000",
      ORDMA_MSG_E_REC_UNUSED },
    { HDR("0000", "0001", "0000")
      "000e 00 00 05b4 00 00 0000000000000000 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_REC_GSO },
    { HDR("0000", "0001", "0000")
      "000e 40 00 0000 00 00 0000000000000000 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_REC_OPTS_LEN },
    { HDR("0000", "0001", "0000")
      "000e 00 00 0000 00 00 0000000000000000 00000000 " FRAME14 "0001",
      ORDMA_MSG_E_REC_PAD },
    { HDR("0000", "0001", "0000")
      "000e 00 00 0000 00 00 0000000000000000 00000000 " FRAME14 "0000 00",
      ORDMA_MSG_E_TRAILING },
    /* Options that are not TLVs: one longer than all, then two. */
    { HDR("0000", "0001", "0000")
      "000e 01 00 0000 00 00 0000000000000000 00000000 "
      "0102 80 01 " FRAME14 "0000", ORDMA_MSG_E_REC_OPTS },
    { HDR("0000", "0001", "0000")
      "000e 02 00 0000 00 00 0000000000000000 00000000 "
      "0102 80 00 0102 80 00" FRAME14 "0000", ORDMA_MSG_E_OK },
    { HDR("0000", "0001", "0000")
      "000e 02 00 0000 00 00 0000000000000000 00000000 "
      "0102 80 00 0102 80 1f" FRAME14 "0000", ORDMA_MSG_E_REC_OPTS },
    /* Two records; and a header that says two, or one, of one, or two. */
    { HDR("0000", "0002", "0000")
      "000e 00 00 0000 00 00 0000000000000000 00000000 " FRAME14 "0000"
      "000e 00 00 0000 00 00 0000000000000000 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_OK },
    { HDR("0000", "0002", "0000")
      "000e 00 00 0000 00 00 0000000000000000 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_REC_SHORT },
    { HDR("0000", "0001", "0000")
      "000e 00 00 0000 00 00 0000000000000000 00000000 " FRAME14 "0000"
      "000e 00 00 0000 00 00 0000000000000000 00000000 " FRAME14 "0000",
      ORDMA_MSG_E_TRAILING },
};

static void
test_cases(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        enum ordma_msg_error error;
        struct ordma_record rec;
        struct ordma_msg msg;
        uint8_t data[256];
        size_t n;

        n = from_hex(cases[i].hex, data, sizeof data);
        error = parse_all(data, n, &msg, &rec);
        if (error != cases[i].error) {
            ovs_fatal(0, "case %"PRIuSIZE": \"%s\" instead of \"%s\"", i,
                      ordma_msg_strerror(error),
                      ordma_msg_strerror(cases[i].error));
        }
    }
}

/* Every field comes through put and parse, in the place that wire.rst says. */
static void
test_fields(void)
{
    const char *golden = "10 00 0102 0001 0304"
        "0010 02 fc 05b4 b8 00 0011223344556677 8899aabb"
        "0102 80 01 deadbeef " FRAME14 "4500";
    uint8_t expected[128], data[128];
    struct ordma_cursor cursor;
    struct ordma_msg msg = {
        .type = ORDMA_MSG_DATA, .credits = 0x102, .n_records = 1,
        .sequence = 0x304,
    };
    struct ordma_record rec, in = {
        .frame_len = 16, .opts_len = 8, .flags = ORDMA_REC_KNOWN_FLAGS,
        .tos = 0xb8, .gso_size = 1460, .hash = 0x8899aabb,
        .tun_id = htonll(UINT64_C(0x0011223344556677)),
        .opts = "\x01\x02\x80\x01\xde\xad\xbe\xef",
    };
    size_t n = from_hex(golden, expected, sizeof expected);
    size_t record_size = ordma_record_size(in.opts_len, in.frame_len);

    assert(n == ORDMA_MSG_HEADER_LEN + record_size);
    assert(!ordma_record_pad(in.frame_len));
    ordma_msg_put(data, &msg);
    ordma_record_put(data + ORDMA_MSG_HEADER_LEN, &in);
    memcpy(data + n - in.frame_len, expected + n - in.frame_len, in.frame_len);
    assert(!memcmp(data, expected, n));

    assert(!ordma_msg_parse(data, n, &msg, &cursor));
    assert(msg.type == ORDMA_MSG_DATA && msg.credits == 0x102);
    assert(msg.n_records == 1 && msg.sequence == 0x304);
    assert(cursor.n_left == 1);
    assert(!ordma_cursor_next(&cursor, &rec));
    assert(!cursor.n_left);
    assert(rec.frame_len == in.frame_len && rec.opts_len == in.opts_len);
    assert(rec.flags == in.flags && rec.tos == in.tos);
    assert(rec.gso_size == in.gso_size && rec.hash == in.hash);
    assert(rec.tun_id == in.tun_id);
    assert(!memcmp(rec.opts, in.opts, in.opts_len));
    assert(!memcmp(rec.frame, expected + n - in.frame_len, in.frame_len));
}

/* Writes a random valid message to 'data'.  Returns its length. */
static size_t
random_message(uint8_t *data)
{
    struct ordma_msg msg = {
        .type = ORDMA_MSG_DATA,
        .n_records = 1 + random_range(5),
    };
    uint8_t *p = data + ORDMA_MSG_HEADER_LEN;

    ordma_msg_put(data, &msg);
    for (int i = 0; i < msg.n_records; i++) {
        uint8_t opts[8] = { 1, 2, 3, 1, 5, 6, 7, 8 };
        struct ordma_record rec = {
            .frame_len = ORDMA_MIN_FRAME_LEN + random_range(100),
            .opts_len = random_range(2) ? 8 : 0,
            .flags = random_range(2) ? ORDMA_REC_KEY : 0,
            .opts = opts,
        };
        size_t size = ordma_record_size(rec.opts_len, rec.frame_len);

        memset(p, 0, size);
        ordma_record_put(p, &rec);
        random_bytes(p + ORDMA_RECORD_HEADER_LEN + rec.opts_len,
                     rec.frame_len);
        p += size;
    }
    return p - data;
}

/* No truncation and no extension of a message parses; no corruption makes the
 * parser leave the message (parse_all() checks that). */
static void
test_damage(void)
{
    enum { N_MESSAGES = 200, N_CORRUPTIONS = 500 };
    struct ordma_record rec;
    struct ordma_msg msg;
    uint8_t data[2048];

    random_set_seed(1);
    for (int i = 0; i < N_MESSAGES; i++) {
        size_t len = random_message(data);

        assert(!parse_all(data, len, &msg, &rec));
        data[len] = 0;
        assert(parse_all(data, len + 1, &msg, &rec) == ORDMA_MSG_E_TRAILING);
        for (size_t n = 0; n < len; n++) {
            assert(parse_all(data, n, &msg, &rec));
        }
        for (int j = 0; j < N_CORRUPTIONS; j++) {
            uint8_t *victim = &data[random_range(len)];
            uint8_t saved = *victim;

            *victim ^= 1 + random_range(255);
            parse_all(data, len, &msg, &rec);
            *victim = saved;
        }
    }
}

static void
test_rdma_msg_main(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    test_cases();
    test_fields();
    test_damage();
    for (int i = 0; i < ORDMA_MSG_N_ERRORS; i++) {
        assert(ordma_msg_strerror(i)[0]);
    }
}

OVSTEST_REGISTER("test-rdma-msg", test_rdma_msg_main);

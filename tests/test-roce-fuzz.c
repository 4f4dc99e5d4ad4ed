/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Runs the fuzz targets over inputs that were found interesting. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "ovstest.h"
#include "util.h"

/* Runs the fuzz targets over what a fuzzer has found interesting.
 *
 * Usage: test-roce-fuzz TARGET FILE
 *
 * Each line of FILE is an input in hexadecimal, or a comment after '#'.  An
 * input that has ever made a target fail must be added there. */

int roce_packet_target(const uint8_t *, size_t);
int roce_mad_target(const uint8_t *, size_t);
int roce_rc_target(const uint8_t *, size_t);

#define LLVMFuzzerTestOneInput roce_packet_target
#include "oss-fuzz/roce_packet_target.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput roce_mad_target
#include "oss-fuzz/roce_mad_target.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput roce_rc_target
#include "oss-fuzz/roce_rc_target.c"
#undef LLVMFuzzerTestOneInput

static const struct target {
    const char *name;
    int (*run)(const uint8_t *, size_t);
} targets[] = {
    { "packet", roce_packet_target },
    { "mad", roce_mad_target },
    { "rc", roce_rc_target },
};

/* Runs 'target' over the input that 'hex' stands for, in memory of exactly its
 * size so that ASan watches its end. */
static void
run_line(const struct target *target, const char *hex)
{
    size_t n = strspn(hex, "0123456789abcdef") / 2;
    uint8_t *input = xmalloc(n);
    bool ok = true;

    for (size_t i = 0; i < n; i++) {
        input[i] = hexits_value(hex + 2 * i, 2, &ok);
    }
    ovs_assert(ok && !hex[2 * n]);
    target->run(input, n);
    free(input);
}

static void
run_file(const struct target *target, const char *name)
{
    FILE *file = fopen(name, "r");
    struct ds line = DS_EMPTY_INITIALIZER;
    int n = 0;

    if (!file) {
        ovs_fatal(errno, "%s", name);
    }
    while (!ds_get_line(&line, file)) {
        if (line.string[0] != '#') {
            run_line(target, line.string);
            n++;
        }
    }
    printf("%s: %d inputs\n", target->name, n);
    ds_destroy(&line);
    fclose(file);
}

static void
test_roce_fuzz_main(int argc, char *argv[])
{
    set_program_name(argv[0]);
    if (argc != 3) {
        ovs_fatal(0, "usage: %s TARGET FILE", program_name);
    }
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        if (!strcmp(argv[1], targets[i].name)) {
            run_file(&targets[i], argv[2]);
            return;
        }
    }
    ovs_fatal(0, "%s: no such target", argv[1]);
}

OVSTEST_REGISTER("test-roce-fuzz", test_roce_fuzz_main);

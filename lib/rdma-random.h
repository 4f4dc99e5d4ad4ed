/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Random numbers that peers and strangers must not be able to guess. */

#ifndef RDMA_RANDOM_H
#define RDMA_RANDOM_H 1

#include <stddef.h>
#include <sys/random.h>

#include "util.h"

/* Fills the 'n' bytes at 'buf', at most 256, with random ones that tell
 * nothing about any others.  (Those of OVS's random.h tell all of them: its
 * output is its state.)  Any thread.  Blocks only while the system boots. */
static inline void
ordma_random_bytes(void *buf, size_t n)
{
    ovs_assert(n <= 256 && getrandom(buf, n, 0) == n);
}

#endif /* rdma-random.h */

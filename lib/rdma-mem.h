/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Registered memory of a device, searched without a lock. */

#ifndef RDMA_MEM_H
#define RDMA_MEM_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/compiler.h"
#include "ovs-atomic.h"

struct ordma_dev;
struct ordma_mr;

/* Registered memory of a device
 * =============================
 *
 * All memory of DPDK's heap, and so every mbuf of every pool, is registered
 * with every RDMA device in use.  Memory that DPDK adds later is registered
 * from DPDK's memory event callback, and memory that DPDK gives back to the
 * kernel is deregistered.
 *
 * A device has a table of chunks that PMD threads search without a lock while
 * the callback, which can come in any thread, even one that OVS does not know,
 * changes it.  Therefore:
 *
 *     - A chunk becomes visible by its 'end', stored last with release order,
 *       and invisible by clearing 'end'.
 *
 *     - Of a chunk that DPDK gives back in part, what remains stays visible:
 *       'start' or 'end' move, and a remainder beyond the gap becomes a chunk
 *       of its own before.  'n_moves' has those who look meanwhile, and find
 *       nothing, look again.  All of these have the lkey of the whole, until
 *       ordma_mem_run() has registered them by themselves, so that what was
 *       given back does not stay pinned.  If it cannot, because the limit of
 *       locked memory has no room for both, that waits for the next change.
 *
 *     - A chunk that has become invisible is "retired": its region stays
 *       registered, and its slot unused, until ordma_mem_run() in the main
 *       thread has let every PMD thread quiesce.  The kernel keeps the pages
 *       of a registered region pinned, so that a work request already posted
 *       with its lkey does no harm.
 *
 * Memory that could not be registered, for want of a slot or of locked memory,
 * is tried again when some was deregistered.  A lookup that fails is no error:
 * the caller copies the frame to memory that is registered. */

#define ORDMA_MEM_MAX_CHUNKS 512

struct ordma_mem_chunk {
    atomic_uintptr_t end;       /* Just past the chunk; 0 if not in use. */
    atomic_uintptr_t start;
    uint32_t lkey;
};

struct ordma_mem {
    atomic_uint n_chunks;       /* Elements of 'chunks' to search. */
    atomic_uint n_moves;        /* From chunk to chunk. */
    struct ordma_mem_chunk chunks[ORDMA_MEM_MAX_CHUNKS];
    struct ordma_mem_control *control;  /* For rdma-mem.c. */
};

/* Creates '*memp' for 'dev' and registers all memory of DPDK's heap.  Returns
 * 0, or a positive errno value if not even one region could be registered
 * (EPERM or ENOMEM: RLIMIT_MEMLOCK too small). */
int ordma_mem_create(struct ordma_dev *dev, struct ordma_mem **memp);

/* Deregisters everything.  No thread may be in ordma_mem_lookup(). */
void ordma_mem_destroy(struct ordma_mem *);

/* Deregisters what was retired, after a grace period, and registers what could
 * not be before.  Main thread. */
void ordma_mem_run(void);

/* DPDK has added, or is about to give back, the 'len' bytes at 'addr'.  For
 * DPDK's callback, from any thread, and unit tests. */
void ordma_mem_added(const void *addr, size_t len);
void ordma_mem_removed(const void *addr, size_t len);

/* Finds the region that holds all of the 'len' bytes at 'addr'.  Returns true
 * and stores its key in '*lkey', or returns false.  '*hint' is the caller's,
 * any value at first: the index of the chunk to try first. */
static inline bool
ordma_mem_lookup(struct ordma_mem *mem, const void *addr_, size_t len,
                 unsigned int *hint, uint32_t *lkey)
{
    uintptr_t addr = (uintptr_t) addr_;
    unsigned int n_moves, now;

    atomic_read_explicit(&mem->n_moves, &now, memory_order_acquire);
    do {
        unsigned int n, i;

        n_moves = now;
        atomic_read_relaxed(&mem->n_chunks, &n);
        i = *hint < n ? *hint : 0;
        for (unsigned int tries = 0; tries < n; tries++) {
            struct ordma_mem_chunk *chunk = &mem->chunks[i];
            uintptr_t start, end;

            atomic_read_explicit(&chunk->end, &end, memory_order_acquire);
            atomic_read_explicit(&chunk->start, &start, memory_order_acquire);
            if (addr < end && addr >= start && len <= end - addr) {
                *hint = i;
                *lkey = chunk->lkey;
                return true;
            }
            i = i + 1 < n ? i + 1 : 0;
        }
        atomic_read_explicit(&mem->n_moves, &now, memory_order_acquire);
    } while (now != n_moves);
    return false;
}

#endif /* rdma-mem.h */

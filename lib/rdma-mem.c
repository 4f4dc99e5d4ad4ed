/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Registration of the memory of DPDK's heap, as it comes and goes. */

#include <config.h>

#include "rdma-mem.h"

#include <errno.h>
#include <rte_eal_memconfig.h>
#include <rte_errno.h>
#include <rte_memory.h>

#include "openvswitch/list.h"
#include "openvswitch/thread.h"
#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "rdma-provider.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_mem);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* Lock order: DPDK's memory hotplug lock, which is held in the memory event
 * callback, then 'mem_mutex'. */
static struct ovs_mutex mem_mutex = OVS_MUTEX_INITIALIZER;

/* What the callback and the main thread know of a chunk and PMD threads need
 * not. */
enum chunk_state {
    CHUNK_FREE,                 /* The slot may be used. */
    CHUNK_LIVE,                 /* Visible to PMD threads. */
    CHUNK_RETIRED,              /* Waits for ordma_mem_run(). */
    CHUNK_GRACE,                /* Waits for the end of a grace period. */
};

/* Memory that was registered at once. */
struct region {
    struct ordma_mr *mr;
    unsigned int n_chunks;      /* What is left of it, with retired ones. */
};

struct chunk_control {
    enum chunk_state state;
    bool is_part;               /* 'region' has more memory than the chunk. */
    struct region *region;
};

struct ordma_mem_control {
    struct ovs_list node;       /* In 'mems'. */
    struct ordma_dev *dev;
    int error;                  /* Of the last registration that failed. */
    struct chunk_control chunks[ORDMA_MEM_MAX_CHUNKS];
};

/* All the tables, as "struct ordma_mem_control"s with 'mem' beside. */
struct mem_entry {
    struct ordma_mem mem;
    struct ordma_mem_control control;
};

static struct ovs_list mems OVS_GUARDED_BY(mem_mutex)
    = OVS_LIST_INITIALIZER(&mems);
static bool have_parts OVS_GUARDED_BY(mem_mutex);
static bool have_retired OVS_GUARDED_BY(mem_mutex);
static bool in_grace OVS_GUARDED_BY(mem_mutex);
static bool have_room OVS_GUARDED_BY(mem_mutex);    /* Since the last fill. */

static struct mem_entry *
mem_entry_cast(struct ordma_mem *mem)
{
    return CONTAINER_OF(mem, struct mem_entry, mem);
}

/* Returns the end of chunk 'i', 0 if it is not live. */
static uintptr_t
chunk_end(const struct mem_entry *entry, int i)
{
    uintptr_t end;

    atomic_read_relaxed(&entry->mem.chunks[i].end, &end);
    return end;
}

static uintptr_t
chunk_start(const struct mem_entry *entry, int i)
{
    uintptr_t start;

    atomic_read_relaxed(&entry->mem.chunks[i].start, &start);
    return start;
}

/* Returns the index of a free slot, or -1. */
static int
find_slot(const struct ordma_mem_control *control)
{
    for (int i = 0; i < ORDMA_MEM_MAX_CHUNKS; i++) {
        if (control->chunks[i].state == CHUNK_FREE) {
            return i;
        }
    }
    return -1;
}

/* Makes the memory from 'start' to 'end', which is all or part of 'region',
 * visible in 'slot', which is free. */
static void
chunk_publish(struct mem_entry *entry, int slot, struct region *region,
              uintptr_t start, uintptr_t end, bool is_part)
    OVS_REQUIRES(mem_mutex)
{
    struct chunk_control *control = &entry->control.chunks[slot];
    struct ordma_mem_chunk *chunk = &entry->mem.chunks[slot];
    unsigned int n;

    region->n_chunks++;
    control->region = region;
    control->is_part = is_part;
    control->state = CHUNK_LIVE;

    atomic_store_relaxed(&chunk->start, start);
    chunk->lkey = region->mr->lkey;
    atomic_store_explicit(&chunk->end, end, memory_order_release);
    atomic_read_relaxed(&entry->mem.n_chunks, &n);
    if (slot >= n) {
        atomic_store_explicit(&entry->mem.n_chunks, slot + 1,
                              memory_order_release);
    }
}

/* Registers the memory from 'start' to 'end' and makes it visible. */
static int
chunk_add(struct mem_entry *entry, uintptr_t start, uintptr_t end)
    OVS_REQUIRES(mem_mutex)
{
    struct ordma_dev *dev = entry->control.dev;
    int slot = find_slot(&entry->control);
    struct ordma_mr *mr;
    struct region *region;
    int error;

    if (slot < 0) {
        return ENOSPC;
    }
    error = dev->provider->reg_mr(dev, (void *) start, end - start, &mr);
    if (error) {
        return error;
    }
    region = xzalloc(sizeof *region);
    region->mr = mr;
    chunk_publish(entry, slot, region, start, end, false);
    return 0;
}

/* Shrinks chunk 'slot'.  Whoever does not find there any more what has become
 * visible elsewhere must see the change of 'n_moves'. */
static void
chunk_shrink(struct mem_entry *entry, int slot, uintptr_t start, uintptr_t end)
    OVS_REQUIRES(mem_mutex)
{
    struct ordma_mem_chunk *chunk = &entry->mem.chunks[slot];
    unsigned int orig;

    atomic_add_explicit(&entry->mem.n_moves, 1, &orig, memory_order_release);
    atomic_store_explicit(&chunk->start, start, memory_order_release);
    atomic_store_explicit(&chunk->end, end, memory_order_release);
}

static void
chunk_retire(struct mem_entry *entry, int slot)
    OVS_REQUIRES(mem_mutex)
{
    chunk_shrink(entry, slot, chunk_start(entry, slot), 0);
    entry->control.chunks[slot].state = CHUNK_RETIRED;
    have_retired = true;
}

static void
chunk_free(struct mem_entry *entry, int slot)
    OVS_REQUIRES(mem_mutex)
{
    struct region *region = entry->control.chunks[slot].region;
    struct ordma_dev *dev = entry->control.dev;

    entry->control.chunks[slot].state = CHUNK_FREE;
    if (!--region->n_chunks) {
        dev->provider->dereg_mr(dev, region->mr);
        free(region);
    }
}

/* Registers the memory from 'start' to 'end'. */
static void
mem_add(struct mem_entry *entry, uintptr_t start, uintptr_t end)
    OVS_REQUIRES(mem_mutex)
{
    int error = chunk_add(entry, start, end);

    if (error) {
        entry->control.error = error;
        VLOG_WARN_RL(&rl, "%s: cannot register %"PRIuPTR" bytes of memory, "
                     "frames in it will be copied (%s%s)",
                     entry->control.dev->name, end - start,
                     error == ENOSPC ? "too many chunks of memory"
                                     : ovs_strerror(error),
                     error == ENOMEM || error == EPERM
                     ? ": raise the locked memory limit of ovs-vswitchd, "
                       "ulimit -l or LimitMEMLOCK" : "");
    }
}

/* Makes the memory from 'start' to 'end', of which chunk 'i' has some,
 * invisible there.  What remains stays visible all the time. */
static void
chunk_cut(struct mem_entry *entry, int i, uintptr_t start, uintptr_t end)
    OVS_REQUIRES(mem_mutex)
{
    struct chunk_control *control = &entry->control.chunks[i];
    uintptr_t old_start = chunk_start(entry, i);
    uintptr_t old_end = chunk_end(entry, i);

    if (start <= old_start && old_end <= end) {
        chunk_retire(entry, i);
        return;
    }

    control->is_part = have_parts = true;
    if (start <= old_start) {
        chunk_shrink(entry, i, end, old_end);
        return;
    }
    if (end < old_end) {
        int slot = find_slot(&entry->control);

        if (slot >= 0) {
            chunk_publish(entry, slot, control->region, end, old_end, true);
        } else {
            entry->control.error = ENOSPC;
        }
    }
    chunk_shrink(entry, i, old_start, start);
}

void
ordma_mem_added(const void *addr, size_t len)
{
    struct mem_entry *entry;

    ovs_mutex_lock(&mem_mutex);
    LIST_FOR_EACH (entry, control.node, &mems) {
        mem_add(entry, (uintptr_t) addr, (uintptr_t) addr + len);
    }
    ovs_mutex_unlock(&mem_mutex);
}

void
ordma_mem_removed(const void *addr, size_t len)
{
    uintptr_t start = (uintptr_t) addr;
    uintptr_t end = start + len;
    struct mem_entry *entry;

    ovs_mutex_lock(&mem_mutex);
    LIST_FOR_EACH (entry, control.node, &mems) {
        for (int i = 0; i < ORDMA_MEM_MAX_CHUNKS; i++) {
            if (start < chunk_end(entry, i) && chunk_start(entry, i) < end) {
                chunk_cut(entry, i, start, end);
            }
        }
    }
    ovs_mutex_unlock(&mem_mutex);
}

static void
mem_event_cb(enum rte_mem_event type, const void *addr, size_t len,
             void *aux OVS_UNUSED)
{
    if (type == RTE_MEM_EVENT_ALLOC) {
        ordma_mem_added(addr, len);
    } else {
        ordma_mem_removed(addr, len);
    }
}

/* Returns where the chunk that has 'addr' ends; 'addr' if none has, and stores
 * in '*next' where the next one starts, if that is before '*next'. */
static uintptr_t
skip_chunk(const struct mem_entry *entry, uintptr_t addr, uintptr_t *next)
    OVS_REQUIRES(mem_mutex)
{
    for (int i = 0; i < ORDMA_MEM_MAX_CHUNKS; i++) {
        uintptr_t start = chunk_start(entry, i);
        uintptr_t end = chunk_end(entry, i);

        if (start <= addr && addr < end) {
            return end;
        } else if (addr < start && end) {
            *next = MIN(*next, start);
        }
    }
    return addr;
}

/* Registers what is not registered yet of a contiguous part of the heap. */
static int
fill_segments(const struct rte_memseg_list *msl OVS_UNUSED,
              const struct rte_memseg *ms, size_t len, void *entry)
    OVS_REQUIRES(mem_mutex)
{
    uintptr_t addr = (uintptr_t) ms->addr;
    uintptr_t end = addr + len;

    while (addr < end) {
        uintptr_t next = end;
        uintptr_t skipped = skip_chunk(entry, addr, &next);

        if (skipped == addr) {
            mem_add(entry, addr, next);
            skipped = next;
        }
        addr = skipped;
    }
    return 0;
}

/* Registers what is not registered yet of DPDK's heap, the memory hotplug lock
 * of which the caller holds. */
static void
mem_fill(struct mem_entry *entry)
    OVS_REQUIRES(mem_mutex)
{
    entry->control.error = 0;
    rte_memseg_contig_walk_thread_unsafe(fill_segments, entry);
}

static void
mem_follow_dpdk(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;

    if (ovsthread_once_start(&once)) {
        if (rte_mem_event_callback_register("ovs-rdma", mem_event_cb, NULL)
            && rte_errno != ENOTSUP) {
            VLOG_ERR("cannot follow changes of DPDK memory (%s)",
                     ovs_strerror(rte_errno));
        }
        ovsthread_once_done(&once);
    }
}

int
ordma_mem_create(struct ordma_dev *dev, struct ordma_mem **memp)
{
    struct mem_entry *entry = xzalloc(sizeof *entry);
    long long int start = time_msec(), elapsed;
    int error;

    mem_follow_dpdk();
    entry->control.dev = dev;
    entry->mem.control = &entry->control;

    rte_mcfg_mem_read_lock();
    ovs_mutex_lock(&mem_mutex);
    mem_fill(entry);
    ovs_list_push_back(&mems, &entry->control.node);
    ovs_mutex_unlock(&mem_mutex);
    rte_mcfg_mem_read_unlock();

    error = entry->control.error;
    if (error && !entry->mem.n_chunks) {
        ordma_mem_destroy(&entry->mem);
        return error;
    }
    elapsed = time_msec() - start;
    VLOG(elapsed >= 100 ? VLL_INFO : VLL_DBG, "%s: registering DPDK's memory "
         "took %lld ms", dev->name, elapsed);
    *memp = &entry->mem;
    return 0;
}

void
ordma_mem_destroy(struct ordma_mem *mem)
{
    struct mem_entry *entry = mem_entry_cast(mem);

    ovs_mutex_lock(&mem_mutex);
    ovs_list_remove(&entry->control.node);
    for (int i = 0; i < ORDMA_MEM_MAX_CHUNKS; i++) {
        if (entry->control.chunks[i].state != CHUNK_FREE) {
            chunk_free(entry, i);
        }
    }
    ovs_mutex_unlock(&mem_mutex);

    /* No PMD thread uses a device that has no queue pair any more. */
    free(entry);
}

/* Moves all the chunks in state 'from' to state 'to'.  Deregisters them if
 * that is CHUNK_FREE. */
static void
move_chunks(enum chunk_state from, enum chunk_state to)
    OVS_REQUIRES(mem_mutex)
{
    struct mem_entry *entry;

    LIST_FOR_EACH (entry, control.node, &mems) {
        for (int i = 0; i < ORDMA_MEM_MAX_CHUNKS; i++) {
            struct chunk_control *chunk = &entry->control.chunks[i];

            if (chunk->state == from) {
                chunk->state = to;
                if (to == CHUNK_FREE) {
                    chunk_free(entry, i);
                }
            }
        }
    }
}

/* Registers what is left of regions anew, so that memory that DPDK has given
 * back does not stay pinned.  Where that fails, it does stay. */
static void
renew_parts(void)
    OVS_REQUIRES(mem_mutex)
{
    struct mem_entry *entry;

    LIST_FOR_EACH (entry, control.node, &mems) {
        for (int i = 0; i < ORDMA_MEM_MAX_CHUNKS; i++) {
            if (chunk_end(entry, i) && entry->control.chunks[i].is_part
                && !chunk_add(entry, chunk_start(entry, i),
                              chunk_end(entry, i))) {
                chunk_retire(entry, i);
            }
        }
    }
}

static void
end_of_grace(struct ovs_list *list OVS_UNUSED)
{
    ovs_mutex_lock(&mem_mutex);
    move_chunks(CHUNK_GRACE, CHUNK_FREE);
    in_grace = false;
    have_room = true;
    ovs_mutex_unlock(&mem_mutex);
}

/* Tries again what had failed before memory was given back. */
static void
fill_again(void)
    OVS_EXCLUDED(mem_mutex)
{
    struct mem_entry *entry;

    rte_mcfg_mem_read_lock();
    ovs_mutex_lock(&mem_mutex);
    LIST_FOR_EACH (entry, control.node, &mems) {
        if (entry->control.error) {
            mem_fill(entry);
        }
    }
    ovs_mutex_unlock(&mem_mutex);
    rte_mcfg_mem_read_unlock();
}

void
ordma_mem_run(void)
{
    bool fill;

    ovs_mutex_lock(&mem_mutex);
    fill = have_room;
    have_room = false;
    if (have_parts) {
        have_parts = false;
        renew_parts();
    }
    if (have_retired && !in_grace) {
        have_retired = false;
        in_grace = true;
        move_chunks(CHUNK_RETIRED, CHUNK_GRACE);
        ovsrcu_postpone(end_of_grace, &mems);
    }
    ovs_mutex_unlock(&mem_mutex);
    if (fill) {
        fill_again();
    }
}

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

struct chunk_control {
    enum chunk_state state;
    size_t len;
    struct ordma_mr *mr;
};

struct ordma_mem_control {
    struct ovs_list node;       /* In 'mems'. */
    struct ordma_dev *dev;
    struct chunk_control chunks[ORDMA_MEM_MAX_CHUNKS];
};

/* All the tables, as "struct ordma_mem_control"s with 'mem' beside. */
struct mem_entry {
    struct ordma_mem mem;
    struct ordma_mem_control control;
};

static struct ovs_list mems OVS_GUARDED_BY(mem_mutex)
    = OVS_LIST_INITIALIZER(&mems);
static bool have_retired OVS_GUARDED_BY(mem_mutex);
static bool in_grace OVS_GUARDED_BY(mem_mutex);

static struct mem_entry *
mem_entry_cast(struct ordma_mem *mem)
{
    return CONTAINER_OF(mem, struct mem_entry, mem);
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

/* Registers the 'len' bytes at 'addr' and makes them visible. */
static int
chunk_add(struct mem_entry *entry, void *addr, size_t len)
    OVS_REQUIRES(mem_mutex)
{
    struct ordma_dev *dev = entry->control.dev;
    struct ordma_mem_chunk *chunk;
    struct chunk_control *control;
    unsigned int n;
    int slot, error;

    slot = find_slot(&entry->control);
    if (slot < 0) {
        VLOG_WARN_RL(&rl, "%s: more than %d chunks of memory, frames in "
                     "others will be copied", dev->name, ORDMA_MEM_MAX_CHUNKS);
        return ENOSPC;
    }
    control = &entry->control.chunks[slot];
    error = dev->provider->reg_mr(dev, addr, len, &control->mr);
    if (error) {
        VLOG_WARN_RL(&rl, "%s: cannot register %"PRIuSIZE" bytes of memory "
                     "(%s)%s", dev->name, len, ovs_strerror(error),
                     error == ENOMEM || error == EPERM
                     ? ": raise the locked memory limit of ovs-vswitchd "
                       "(ulimit -l, LimitMEMLOCK)" : "");
        return error;
    }
    control->len = len;
    control->state = CHUNK_LIVE;

    chunk = &entry->mem.chunks[slot];
    chunk->start = (uintptr_t) addr;
    chunk->lkey = control->mr->lkey;
    atomic_store_explicit(&chunk->end, (uintptr_t) addr + len,
                          memory_order_release);
    atomic_read_relaxed(&entry->mem.n_chunks, &n);
    if (slot >= n) {
        atomic_store_explicit(&entry->mem.n_chunks, slot + 1,
                              memory_order_release);
    }
    return 0;
}

static void
chunk_retire(struct mem_entry *entry, int slot)
    OVS_REQUIRES(mem_mutex)
{
    atomic_store_relaxed(&entry->mem.chunks[slot].end, 0);
    entry->control.chunks[slot].state = CHUNK_RETIRED;
    have_retired = true;
}

/* Makes the 'len' bytes at 'addr' invisible.  DPDK may give back a part of
 * what it added at once: the rest is registered again. */
static void
mem_remove(struct mem_entry *entry, uintptr_t addr, size_t len)
    OVS_REQUIRES(mem_mutex)
{
    for (int i = 0; i < ORDMA_MEM_MAX_CHUNKS; i++) {
        uintptr_t start = entry->mem.chunks[i].start;
        uintptr_t end = start + entry->control.chunks[i].len;

        if (entry->control.chunks[i].state == CHUNK_LIVE
            && start < addr + len && addr < end) {
            chunk_retire(entry, i);
            if (start < addr) {
                chunk_add(entry, (void *) start, addr - start);
            }
            if (addr + len < end) {
                chunk_add(entry, (void *) (addr + len), end - (addr + len));
            }
        }
    }
}

static void
mem_event_cb(enum rte_mem_event type, const void *addr, size_t len,
             void *aux OVS_UNUSED)
{
    struct mem_entry *entry;

    ovs_mutex_lock(&mem_mutex);
    LIST_FOR_EACH (entry, control.node, &mems) {
        if (type == RTE_MEM_EVENT_ALLOC) {
            chunk_add(entry, CONST_CAST(void *, addr), len);
        } else {
            mem_remove(entry, (uintptr_t) addr, len);
        }
    }
    ovs_mutex_unlock(&mem_mutex);
}

/* Argument of add_segments(). */
struct add_aux {
    struct mem_entry *entry;
    int error;                  /* Of the last registration. */
};

static int
add_segments(const struct rte_memseg_list *msl OVS_UNUSED,
             const struct rte_memseg *ms, size_t len, void *aux_)
    OVS_REQUIRES(mem_mutex)
{
    struct add_aux *aux = aux_;

    aux->error = chunk_add(aux->entry, ms->addr, len);
    return 0;
}

int
ordma_mem_create(struct ordma_dev *dev, struct ordma_mem **memp)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;
    struct mem_entry *entry = xzalloc(sizeof *entry);
    struct add_aux aux = { .entry = entry };

    if (ovsthread_once_start(&once)) {
        if (rte_mem_event_callback_register("ovs-rdma", mem_event_cb, NULL)
            && rte_errno != ENOTSUP) {
            VLOG_ERR("cannot follow changes of DPDK memory (%s)",
                     ovs_strerror(rte_errno));
        }
        ovsthread_once_done(&once);
    }

    entry->control.dev = dev;
    entry->mem.control = &entry->control;

    rte_mcfg_mem_read_lock();
    ovs_mutex_lock(&mem_mutex);
    rte_memseg_contig_walk_thread_unsafe(add_segments, &aux);
    ovs_list_push_back(&mems, &entry->control.node);
    ovs_mutex_unlock(&mem_mutex);
    rte_mcfg_mem_read_unlock();

    if (aux.error && !entry->mem.n_chunks) {
        ordma_mem_destroy(&entry->mem);
        return aux.error;
    }
    *memp = &entry->mem;
    return 0;
}

void
ordma_mem_destroy(struct ordma_mem *mem)
{
    struct mem_entry *entry = mem_entry_cast(mem);
    struct ordma_dev *dev = entry->control.dev;

    ovs_mutex_lock(&mem_mutex);
    ovs_list_remove(&entry->control.node);
    for (int i = 0; i < ORDMA_MEM_MAX_CHUNKS; i++) {
        if (entry->control.chunks[i].state != CHUNK_FREE) {
            dev->provider->dereg_mr(dev, entry->control.chunks[i].mr);
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
                    entry->control.dev->provider->dereg_mr(entry->control.dev,
                                                           chunk->mr);
                }
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
    ovs_mutex_unlock(&mem_mutex);
}

void
ordma_mem_run(void)
{
    ovs_mutex_lock(&mem_mutex);
    if (have_retired && !in_grace) {
        have_retired = false;
        in_grace = true;
        move_chunks(CHUNK_RETIRED, CHUNK_GRACE);
        ovsrcu_postpone(end_of_grace, &mems);
    }
    ovs_mutex_unlock(&mem_mutex);
}

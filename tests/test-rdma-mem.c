/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Test of registered memory with a device that checks what it is asked. */

/*     ovstest-rdma test-rdma-mem
 *
 * DPDK has no hugepages here, so that its heap stays as it is and the test
 * itself says what is added and given back: pages of a range of addresses that
 * nobody reads.  The device looks up all of them whenever memory is registered
 * or deregistered, which is when lookups could fail. */

#undef NDEBUG
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <rte_eal.h>
#include <rte_memory.h>

#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "ovstest.h"
#include "random.h"
#include "rdma-mem.h"
#include "rdma-provider.h"
#include "timeval.h"
#include "util.h"

#define PAGE 4096
#define N_PAGES 2048
#define N_RANDOM_PAGES 200
#define N_RANDOM_STEPS 1000
#define TIMEOUT 60              /* Seconds, for all. */

enum page_state {
    ABSENT,                     /* Lookups must fail. */
    CHANGING,                   /* Being added or given back. */
    PRESENT,                    /* Lookups must find it. */
    UNREGISTERED,               /* There, but lookups fail. */
};

struct fake_mr {
    struct ordma_mr up;
    uintptr_t start, end;       /* Zeros if deregistered. */
};

/* The lkey is the index.  Guarded by the mutex of rdma-mem. */
static struct fake_mr mrs[1 << 18];
static uint32_t n_mrs;
static size_t pinned, limit;
static atomic_count n_live;

static enum page_state pages[N_PAGES];
static uint8_t *base;           /* Address of 'pages[0]'. */
static struct iovec heap;       /* DPDK's, which is contiguous. */
static struct ordma_mem *mem;
static struct ordma_dev dev;

static bool
lookup(const void *addr, size_t len, uint32_t *lkey)
{
    static unsigned int hint;

    return ordma_mem_lookup(mem, addr, len, &hint, lkey);
}

static void
check_page(int i)
{
    uint8_t *addr = base + i * PAGE;
    uint32_t lkey;

    if (pages[i] == CHANGING) {
        return;
    }
    assert(lookup(addr, PAGE, &lkey) == (pages[i] == PRESENT));
    if (pages[i] == PRESENT) {
        assert((uintptr_t) addr >= mrs[lkey].start);
        assert((uintptr_t) addr + PAGE <= mrs[lkey].end);
    }
}

static void
check_pages(void)
{
    for (int i = 0; mem && i < N_PAGES; i++) {
        check_page(i);
    }
}

static int
fake_reg_mr(struct ordma_dev *dev_ OVS_UNUSED, void *addr, size_t len,
            struct ordma_mr **mrp)
{
    struct fake_mr *mr = &mrs[n_mrs];

    check_pages();
    if (pinned + len > limit) {
        return ENOMEM;
    }
    assert(n_mrs < ARRAY_SIZE(mrs));
    pinned += len;
    atomic_count_inc(&n_live);
    mr->up.lkey = n_mrs++;
    mr->start = (uintptr_t) addr;
    mr->end = mr->start + len;
    *mrp = &mr->up;
    return 0;
}

/* Runs in the thread of RCU, so that 'pages' may be about to change. */
static void
fake_dereg_mr(struct ordma_dev *dev_ OVS_UNUSED, struct ordma_mr *mr_)
{
    struct fake_mr *mr = CONTAINER_OF(mr_, struct fake_mr, up);
    unsigned int hint = 0;
    uint32_t lkey;

    for (int i = 0; i < N_PAGES; i++) {
        assert(!ordma_mem_lookup(mem, base + i * PAGE, 1, &hint, &lkey)
               || lkey != mr->up.lkey);
    }
    assert(mr->end);
    pinned -= mr->end - mr->start;
    atomic_count_dec(&n_live);
    mr->start = mr->end = 0;
}

static const struct ordma_provider fake_provider = {
    .name = "fake",
    .reg_mr = fake_reg_mr,
    .dereg_mr = fake_dereg_mr,
};

static void
set_pages(int first, int n, enum page_state state)
{
    for (int i = first; i < first + n; i++) {
        pages[i] = state;
    }
}

static void
add(int first, int n, enum page_state state)
{
    set_pages(first, n, CHANGING);
    ordma_mem_added(base + first * PAGE, n * PAGE);
    set_pages(first, n, state);
    check_pages();
}

static void
give_back(int first, int n)
{
    set_pages(first, n, CHANGING);
    ordma_mem_removed(base + first * PAGE, n * PAGE);
    set_pages(first, n, ABSENT);
    check_pages();
}

/* Lets grace periods pass until 'n' regions are registered. */
static void
wait_regions(unsigned int n)
{
    do {
        ordma_mem_run();
        ovsrcu_quiesce();
        sched_yield();
        check_pages();
    } while (atomic_count_get(&n_live) != n);
}

static void
create(size_t limit_)
{
    memset(pages, 0, sizeof pages);
    limit = limit_;
    assert(!ordma_mem_create(&dev, &mem));
}

static void
destroy(void)
{
    struct ordma_mem *old = mem;

    set_pages(0, N_PAGES, CHANGING);
    give_back(0, N_PAGES);
    ordma_mem_destroy(old);
    mem = NULL;
    assert(!atomic_count_get(&n_live) && !pinned);
}
/* The tests. */

/* Looks up the first and the last page, which stay, all the time. */
static void *
looker_main(void *stop_)
{
    atomic_bool *stop = stop_;
    unsigned int hint = 0;
    bool stops;

    do {
        for (int i = 0; i < N_RANDOM_PAGES; i += N_RANDOM_PAGES - 1) {
            uintptr_t addr = (uintptr_t) base + i * PAGE;
            uint32_t lkey;

            assert(ordma_mem_lookup(mem, (void *) addr, PAGE, &hint, &lkey));
            assert(mrs[lkey].start <= addr && mrs[lkey].end >= addr + PAGE);
        }
        ovsrcu_quiesce();
        atomic_read(stop, &stops);
    } while (!stops);
    return NULL;
}

/* Adds some absent pages or gives some present ones back. */
static void
random_step(void)
{
    int first = 1 + random_range(N_RANDOM_PAGES - 2);
    int max = 1 + random_range(20);
    int n = 1;

    while (n < max && first + n < N_RANDOM_PAGES - 1
           && pages[first + n] == pages[first]) {
        n++;
    }
    if (pages[first] == ABSENT) {
        add(first, n, PRESENT);
    } else {
        give_back(first, n);
    }
}

/* Memory comes and goes in pieces of any size, while lookups go on. */
static void
test_random(void)
{
    atomic_bool stop = false;
    pthread_t looker;

    create(SIZE_MAX);
    add(0, N_RANDOM_PAGES, PRESENT);
    looker = ovs_thread_create("looker", looker_main, &stop);
    for (int i = 0; i < N_RANDOM_STEPS; i++) {
        random_step();
        if (i % 8 == 0) {
            ordma_mem_run();
            ovsrcu_quiesce();
        }
    }

    /* What was given back is not pinned: of the pages, only those present. */
    give_back(1, N_RANDOM_PAGES - 2);
    add(2, 30, PRESENT);
    give_back(10, 5);
    give_back(20, 5);
    wait_regions(6);            /* Including DPDK's heap. */
    assert(pinned == heap.iov_len + 22 * PAGE);
    atomic_store(&stop, true);
    xpthread_join(looker, NULL);
    destroy();
}

/* More memory in pieces than a device has slots for. */
static void
test_too_many_chunks(void)
{
    create(SIZE_MAX);           /* One chunk, of DPDK's heap. */
    for (int i = 0; i < ORDMA_MEM_MAX_CHUNKS - 1; i++) {
        add(i * 4, 3, PRESENT);
    }
    add(N_PAGES - 1, 1, UNREGISTERED);

    /* No slot for what is behind the gap; what is before it stays. */
    set_pages(2, 1, UNREGISTERED);
    pages[1] = CHANGING;
    ordma_mem_removed(base + PAGE, PAGE);
    pages[1] = ABSENT;
    check_pages();

    give_back(4, 3);
    wait_regions(ORDMA_MEM_MAX_CHUNKS - 1);
    add(4, 1, PRESENT);
    destroy();
}

/* The limit of locked memory is too small. */
static void
test_memlock(void)
{
    uint8_t *middle = (uint8_t *) heap.iov_base + heap.iov_len / 2;
    uint32_t lkey;

    limit = heap.iov_len - 1;
    assert(ordma_mem_create(&dev, &mem) == ENOMEM);
    mem = NULL;
    assert(!atomic_count_get(&n_live));

    create(heap.iov_len + 8 * PAGE);
    add(0, 8, PRESENT);
    add(100, 1, UNREGISTERED);

    /* No room for what remains beside the whole, which therefore stays. */
    give_back(3, 1);
    ordma_mem_run();
    ovsrcu_quiesce();
    check_pages();
    add(101, 1, UNREGISTERED);

    /* With room, all of the heap is registered again. */
    limit += heap.iov_len;
    ordma_mem_removed(middle, PAGE);
    assert(!lookup(middle, 1, &lkey) && lookup(middle - 1, 1, &lkey)
           && lookup(middle + PAGE, 1, &lkey));
    wait_regions(5);            /* The heap in three parts. */
    destroy();
}

/* What could not be registered is, when there is room. */
static void
test_again(void)
{
    uint8_t *end = (uint8_t *) heap.iov_base + heap.iov_len;
    uint32_t lkey;

    create(SIZE_MAX);
    ordma_mem_removed(heap.iov_base, heap.iov_len);
    wait_regions(0);
    add(0, 1, PRESENT);

    limit = PAGE;
    ordma_mem_added(heap.iov_base, heap.iov_len);
    assert(!lookup(end - 1, 1, &lkey));
    limit = SIZE_MAX;
    give_back(0, 1);
    while (!lookup(heap.iov_base, heap.iov_len, &lkey)) {
        ordma_mem_run();
        ovsrcu_quiesce();
    }

    /* Around what is registered already. */
    ordma_mem_removed(heap.iov_base, heap.iov_len);
    limit = 2 * PAGE;
    wait_regions(0);
    ordma_mem_added((uint8_t *) heap.iov_base + PAGE, PAGE);
    ordma_mem_added(end - PAGE, PAGE);
    ordma_mem_added(heap.iov_base, PAGE);
    add(0, 1, UNREGISTERED);
    limit = SIZE_MAX;
    ordma_mem_removed(end - PAGE, PAGE);
    while (!lookup(heap.iov_base, PAGE, &lkey) || !lookup(end - 1, 1, &lkey)) {
        ordma_mem_run();
        ovsrcu_quiesce();
    }
    wait_regions(3);
    destroy();
}

static int
get_heap(const struct rte_memseg_list *msl OVS_UNUSED,
         const struct rte_memseg *ms, size_t len, void *aux OVS_UNUSED)
{
    heap.iov_base = ms->addr;
    heap.iov_len = len;
    return 0;
}

static void
test_rdma_mem_main(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    char *args[] = { "test", "--no-huge", "--no-shconf", "--no-pci",
                     "--no-telemetry", "--log-level=error", "-m", "16" };

    assert(rte_eal_init(ARRAY_SIZE(args), args) >= 0);
    time_alarm(TIMEOUT);
    random_set_seed(1);
    base = mmap(NULL, N_PAGES * PAGE, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(base != MAP_FAILED);
    rte_memseg_contig_walk(get_heap, NULL);
    assert(heap.iov_len);

    dev.provider = &fake_provider;
    dev.name = "fake0";
    test_random();
    test_too_many_chunks();
    test_memlock();
    test_again();
}

OVSTEST_REGISTER("test-rdma-mem", test_rdma_mem_main);

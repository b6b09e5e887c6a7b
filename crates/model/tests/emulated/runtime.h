// A GPU's threads on a CPU, so that kernels can be tested where there is no GPU: `prelude.cuh` includes this file when
// EMULATED is defined. Blocks run one after another; the threads of a block are fibers, which change only where they
// wait for one another. What hardware would leave undefined is made to fail: a barrier that not all threads reach,
// lanes in different collectives, an asynchronous copy that nobody waits for, a misaligned wide access.
//
// A race shows as a result that depends on the order of the fibers: set another with `emulate::order(seed)`. Built
// with -fsanitize=thread, fibers and barriers are made known to the sanitizer, which then finds every race exactly.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include <sys/mman.h>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
extern "C" void AnnotateIgnoreReadsBegin(const char*, int);
extern "C" void AnnotateIgnoreReadsEnd(const char*, int);
extern "C" void AnnotateIgnoreWritesBegin(const char*, int);
extern "C" void AnnotateIgnoreWritesEnd(const char*, int);
// The bookkeeping of fibers is not the kernel's memory.
#define BOOKKEEPING static __attribute__((no_sanitize_thread))
#else
#define BOOKKEEPING static
#endif

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct Index3 {
    unsigned x, y, z;
};

/// The thread that runs, as CUDA names it.
static Index3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulate {

static const unsigned LANES = 32, MOST_THREADS = 1024, MOST_COPIES = 128;
static const size_t STACK = 256 << 10;

[[noreturn]] static void fail(const char* what) {
    std::fprintf(stderr, "emulated GPU, block (%u, %u, %u), thread (%u, %u, %u): %s\n", blockIdx.x, blockIdx.y,
                 blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, what);
    std::abort();
}

/// An asynchronous copy that may happen at any time until it is waited for.
struct Copy {
    void* to;
    const void* from;
    unsigned bytes;
    bool zero;
    unsigned group;
};

struct Fiber {
    void* saved;
    char* stack;
    Index3 index;
    unsigned number;
    bool done;
    /// Warp collectives and block barriers passed: all lanes count alike.
    unsigned meetings[2];
    /// Groups of copies that are complete, and the copies that nobody has waited for.
    unsigned groups, copy_count;
    Copy copies[MOST_COPIES];
    void* sanitizer;
};

/// Where `expected` threads wait for one another.
struct Barrier {
    unsigned expected, arrived;
    const char* what;
    /// Two, used in turn: nobody is two meetings ahead of anybody.
    char synchronised[2];
    Fiber* waiting[MOST_THREADS];
};

struct Warp {
    Barrier barrier;
    alignas(16) unsigned char in[2][LANES * 64];
    alignas(16) unsigned char out[2][LANES * 32];
};

static Fiber fibers[MOST_THREADS];
static Warp warps[MOST_THREADS / LANES];
static Barrier block_barrier;
static Fiber* current;
static void* host_saved;
#if defined(__SANITIZE_THREAD__)
static void* host_sanitizer;
#endif
/// Where the sanitizer is told that a block's threads begin after, and end before, what the host does.
static char begun, ended;
static Fiber* runnable[MOST_THREADS];
static unsigned runnable_count, first_runnable, unfinished;
static uint64_t order_seed, random_state = 1;
static void (*thread_body)(void*);
static void* thread_argument;
/// The block's dynamic shared memory, and its size.
static unsigned char* shared_memory;
static size_t shared_size;

/// Chooses how fibers take turns: 0 in order, 1 the last first and then as far as its warp can go, others at random.
static inline void order(uint64_t seed) {
    order_seed = seed;
    random_state = seed * 0x9E3779B97F4A7C15u + 1;
}

BOOKKEEPING uint64_t random_number() {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

// The context switch: pushes what a called function must keep, and changes stacks.
extern "C" void emulate_switch(void** from, void* to) __asm__("emulate_switch") __attribute__((visibility("hidden")));
#if defined(__x86_64__)
__asm__(
    ".text\n.hidden emulate_switch\n.globl emulate_switch\n.type emulate_switch,@function\nemulate_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
    ".size emulate_switch,.-emulate_switch\n");
static const unsigned SAVED = 6, RETURN = 6;
#elif defined(__aarch64__)
__asm__(
    ".text\n.hidden emulate_switch\n.globl emulate_switch\n.type emulate_switch,%function\nemulate_switch:\n"
    "sub sp, sp, #160\n"
    "stp x29, x30, [sp]\nstp x19, x20, [sp, #16]\nstp x21, x22, [sp, #32]\nstp x23, x24, [sp, #48]\n"
    "stp x25, x26, [sp, #64]\nstp x27, x28, [sp, #80]\n"
    "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
    "ldp x29, x30, [sp]\nldp x19, x20, [sp, #16]\nldp x21, x22, [sp, #32]\nldp x23, x24, [sp, #48]\n"
    "ldp x25, x26, [sp, #64]\nldp x27, x28, [sp, #80]\n"
    "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
    "add sp, sp, #160\nret\n"
    ".size emulate_switch,.-emulate_switch\n");
static const unsigned SAVED = 20, RETURN = 1;
#else
#error "the emulated GPU knows how to change stacks on x86-64 and aarch64 only"
#endif

BOOKKEEPING Fiber* next_fiber() {
    if (first_runnable == runnable_count) return nullptr;
    if (order_seed == 1) return runnable[--runnable_count];
    Fiber*& first = runnable[first_runnable];
    if (order_seed > 1) {
        Fiber*& other = runnable[first_runnable + random_number() % (runnable_count - first_runnable)];
        Fiber* fiber = first;
        first = other;
        other = fiber;
    }
    return runnable[first_runnable++];
}

BOOKKEEPING void make_runnable(Fiber* fiber) {
    if (runnable_count == MOST_THREADS) {
        std::memmove(runnable, runnable + first_runnable, (runnable_count - first_runnable) * sizeof *runnable);
        runnable_count -= first_runnable;
        first_runnable = 0;
    }
    runnable[runnable_count++] = fiber;
}

BOOKKEEPING void change_to(Fiber* fiber, void** from) {
    current = fiber;
    threadIdx = fiber->index;
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(fiber->sanitizer, __tsan_switch_to_fiber_no_sync);
#endif
    emulate_switch(from, fiber->saved);
}

/// Lets others run until somebody makes this fiber runnable again.
BOOKKEEPING void rest() {
    Fiber* next = next_fiber();
    Fiber* self = current;
    if (next == self) return;
    if (!next) fail("every thread of the block waits or has ended: a barrier that not all threads reach");
    change_to(next, &self->saved);
}

static void acquire(char& point) {
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(&point);
#else
    (void)point;
#endif
}

static void release(char& point) {
#if defined(__SANITIZE_THREAD__)
    __tsan_release(&point);
#else
    (void)point;
#endif
}

/// While it lives, the sanitizer sees nothing that this fiber reads or writes.
struct Unseen {
#if defined(__SANITIZE_THREAD__)
    Unseen() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__), AnnotateIgnoreWritesBegin(__FILE__, __LINE__); }
    ~Unseen() { AnnotateIgnoreWritesEnd(__FILE__, __LINE__), AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
#else
    ~Unseen() {}
#endif
};

/// Notes that the current fiber has come; true of the last.
static bool arrive(Barrier& barrier, const char* what) {
    Unseen unseen;
    if (barrier.arrived == 0) barrier.what = what;
    if (barrier.what != what && std::strcmp(barrier.what, what) != 0) {
        std::fprintf(stderr, "emulated GPU: some lanes are in %s, others in %s\n", barrier.what, what);
        fail("threads that must act together do not");
    }
    barrier.waiting[barrier.arrived++] = current;
    return barrier.arrived == barrier.expected;
}

static void let_go(Barrier& barrier) {
    Unseen unseen;
    barrier.arrived = 0;
    for (unsigned i = 0; i < barrier.expected; i++) make_runnable(barrier.waiting[i]);
}

/// Waits for all threads of the barrier; the last to come does `work` for all. Orders no memory.
template <class Work>
static void meet(Barrier& barrier, const char* what, Work work) {
    if (arrive(barrier, what)) {
        work();
        let_go(barrier);
    }
    rest();
}

/// The same; and what a thread did before it, all see after it.
template <class Work>
static void meet_in_order(Barrier& barrier, unsigned meeting, const char* what, Work work) {
    char& synchronised = barrier.synchronised[meeting & 1];
    release(synchronised);
    meet(barrier, what, work);
    acquire(synchronised);
}

/// How often the current fiber has met its warp (0) or its block (1) before.
BOOKKEEPING unsigned next_meeting(unsigned of) { return current->meetings[of]++; }

BOOKKEEPING Warp& own_warp() { return warps[current->number / LANES]; }

BOOKKEEPING unsigned lanes_of(const Warp& warp) { return warp.barrier.expected; }

BOOKKEEPING unsigned own_number() { return current->number; }

/// A warp's collective: `work(in, out, lanes)` sees what all lanes gave and says what each gets. It exchanges registers
/// and orders no memory: for that there is `__syncwarp`.
template <class Out, class In, class Work>
static Out together(const char* what, const In& in, Work work) {
    static_assert(sizeof(In) <= 64 && sizeof(Out) <= 32, "what a lane brings fits its slot");
    Unseen unseen;
    Warp& warp = own_warp();
    unsigned lane = own_number() % LANES, meeting = next_meeting(0);
    In* ins = reinterpret_cast<In*>(warp.in[meeting & 1]);
    Out* outs = reinterpret_cast<Out*>(warp.out[meeting & 1]);
    ins[lane] = in;
    meet(warp.barrier, what, [&] { work(ins, outs, lanes_of(warp)); });
    return outs[lane];
}

static void perform(const Copy& copy) {
    if (copy.zero)
        std::memset(copy.to, 0, copy.bytes);
    else
        std::memcpy(copy.to, copy.from, copy.bytes);
}

/// Copies at once, or notes what to copy when waited for, as the order says.
BOOKKEEPING void begin_copy(Copy copy) {
    bool now = order_seed > 1 ? random_number() >> 40 & 1 : order_seed;
    if (now) return perform(copy);
    if (current->copy_count == MOST_COPIES) fail("more asynchronous copies under way than expected");
    copy.group = current->groups;
    current->copies[current->copy_count++] = copy;
}

BOOKKEEPING void end_group() { current->groups++; }

BOOKKEEPING void wait_for_copies(unsigned pending) {
    unsigned kept = 0;
    for (unsigned i = 0; i < current->copy_count; i++) {
        const Copy& copy = current->copies[i];
        if (copy.group + pending >= current->groups)
            current->copies[kept++] = copy;
        else
            perform(copy);
    }
    current->copy_count = kept;
}

/// The first function of every fiber.
BOOKKEEPING void thread_main() {
    acquire(begun);
    thread_body(thread_argument);
    release(ended);
    if (current->copy_count) fail("the thread ends before an asynchronous copy that it began");
    current->done = true;
    unfinished--;
    Fiber* next = next_fiber();
    if (next) change_to(next, &current->saved);
    if (unfinished) fail("every other thread of the block waits: a barrier that not all threads reach");
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(host_sanitizer, __tsan_switch_to_fiber_no_sync);
#endif
    emulate_switch(&current->saved, host_saved);
}

BOOKKEEPING void prepare(Fiber& fiber, unsigned number) {
    if (!fiber.stack) {
        void* stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED) fail("no memory for a thread's stack");
        fiber.stack = static_cast<char*>(stack);
        // An overflow ends here, and not in another's stack.
        mprotect(stack, 4096, PROT_NONE);
    }
#if defined(__SANITIZE_THREAD__)
    if (!fiber.sanitizer) fiber.sanitizer = __tsan_create_fiber(0);
#endif
    // A function begins with a stack that is 16-byte aligned before the return address was pushed.
    void** top = reinterpret_cast<void**>(fiber.stack + STACK) - 2;
    void** frame = top - SAVED;
    std::memset(frame, 0, (SAVED + 2) * sizeof *frame);
    frame[RETURN] = reinterpret_cast<void*>(&thread_main);
    fiber.saved = frame;
    fiber.index = {number % blockDim.x, number / blockDim.x % blockDim.y, number / blockDim.x / blockDim.y};
    fiber.number = number;
    fiber.done = false;
    fiber.meetings[0] = fiber.meetings[1] = 0;
    fiber.groups = fiber.copy_count = 0;
}

BOOKKEEPING void run_block(unsigned threads) {
    first_runnable = runnable_count = 0;
    unfinished = threads;
    block_barrier.expected = threads;
    block_barrier.arrived = 0;
    for (unsigned w = 0; w * LANES < threads; w++) {
        warps[w].barrier.expected = threads - w * LANES < LANES ? threads - w * LANES : LANES;
        warps[w].barrier.arrived = 0;
    }
    for (unsigned i = 0; i < threads; i++) {
        prepare(fibers[i], i);
        make_runnable(&fibers[i]);
    }
    // What shared memory holds at first is not defined: bytes that are NaN as float, double and bf16.
    std::memset(shared_memory, 0xFF, shared_size);
    release(begun);
    change_to(next_fiber(), &host_saved);
    acquire(ended);
}

/// Runs `body(argument)` as every thread of a grid, on the calling thread.
static inline void launch(void (*body)(void*), void* argument, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                          unsigned by, unsigned bz, size_t shared_bytes) {
    static std::mutex one_at_a_time;
    std::lock_guard<std::mutex> guard(one_at_a_time);
    gridDim = {gx, gy, gz};
    blockDim = {bx, by, bz};
    unsigned threads = bx * by * bz;
    if (threads == 0 || threads > MOST_THREADS) fail("a block has 1 to 1,024 threads");
    if (gx == 0 || gy == 0 || gz == 0) fail("a grid has at least one block in each direction");
    if (gx > 0x7FFFFFFFu || gy > 65535 || gz > 65535) fail("a grid has at most 2^31 - 1, 65,535 and 65,535 blocks");
    // 227 KiB is what a block may have at most on sm_90, 163 KiB on sm_80.
    if (shared_bytes > (227 << 10)) fail("a block has at most 227 KiB of shared memory");
    // It ends where an unmapped page begins, as far as its alignment allows: an access past it ends the process.
    static unsigned char* mapped;
    const size_t room = 256 << 10;
    if (!mapped) {
        void* pages = mmap(nullptr, room + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED) fail("no memory for a block's shared memory");
        mapped = static_cast<unsigned char*>(pages);
        mprotect(mapped + room, 4096, PROT_NONE);
    }
    shared_memory = mapped + room - (shared_bytes + 127) / 128 * 128;
    shared_size = shared_bytes;
    thread_body = body;
    thread_argument = argument;
#if defined(__SANITIZE_THREAD__)
    host_sanitizer = __tsan_get_current_fiber();
#endif
    for (unsigned z = 0; z < gz; z++)
        for (unsigned y = 0; y < gy; y++)
            for (unsigned x = 0; x < gx; x++) {
                blockIdx = {x, y, z};
                run_block(threads);
            }
}

template <class... Arguments, size_t... I>
static inline void call(void (*kernel)(Arguments...), void** params, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<Arguments>*>(params[I])...);
}

/// Calls a kernel as one thread, its arguments given as `cuLaunchKernel` takes them: a pointer to each.
template <class... Arguments>
static inline void call(void (*kernel)(Arguments...), void** params) {
    call(kernel, params, std::index_sequence_for<Arguments...>{});
}

/// `cuLaunchKernel`.
template <class... Arguments>
static inline void launch_kernel(void (*kernel)(Arguments...), void** params, unsigned gx, unsigned gy, unsigned gz,
                                 unsigned bx, unsigned by, unsigned bz, size_t shared_bytes) {
    struct Launch {
        void (*kernel)(Arguments...);
        void** params;
    } all{kernel, params};
    auto body = [](void* argument) {
        Launch* all = static_cast<Launch*>(argument);
        call(all->kernel, all->params);
    };
    launch(body, &all, gx, gy, gz, bx, by, bz, shared_bytes);
}

}  // namespace emulate

#include "instructions.h"

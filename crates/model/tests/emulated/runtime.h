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
inline void order(uint64_t seed) {
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
    if (std::strcmp(barrier.what, what) != 0) {
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

/// Waits for all threads of the barrier; the last to come does `work` for all.
template <class Work>
static void meet(Barrier& barrier, unsigned meeting, const char* what, Work work) {
    char& synchronised = barrier.synchronised[meeting & 1];
    release(synchronised);
    if (arrive(barrier, what)) {
        acquire(synchronised);
        work();
        release(synchronised);
        let_go(barrier);
    }
    rest();
    acquire(synchronised);
}

/// How often the current fiber has met its warp (0) or its block (1) before.
BOOKKEEPING unsigned next_meeting(unsigned of) { return current->meetings[of]++; }

BOOKKEEPING Warp& own_warp() { return warps[current->number / LANES]; }

BOOKKEEPING unsigned lanes_of(const Warp& warp) { return warp.barrier.expected; }

BOOKKEEPING unsigned own_number() { return current->number; }

/// A warp's collective: `work(in, out, lanes)` sees what all lanes gave and says what each gets.
template <class Out, class In, class Work>
static Out together(const char* what, const In& in, Work work) {
    static_assert(sizeof(In) <= 64 && sizeof(Out) <= 32, "what a lane brings fits its slot");
    Warp& warp = own_warp();
    unsigned lane = own_number() % LANES, meeting = next_meeting(0);
    In* ins = reinterpret_cast<In*>(warp.in[meeting & 1]);
    Out* outs = reinterpret_cast<Out*>(warp.out[meeting & 1]);
    ins[lane] = in;
    meet(warp.barrier, meeting, what, [&] { work(ins, outs, lanes_of(warp)); });
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
    std::vector<unsigned char> shared(shared_bytes + 128);
    shared_memory = shared.data() + (128 - reinterpret_cast<uintptr_t>(shared.data()) % 128);
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

// Barriers and collectives. All lanes of a warp take part in each: masks are full.

static inline void __syncthreads() {
    emulate::meet(emulate::block_barrier, emulate::next_meeting(1), "__syncthreads", [] {});
}

static inline int __syncthreads_or(int mine) {
    static int any[2];
    static unsigned char given[2][emulate::MOST_THREADS];
    unsigned meeting = emulate::next_meeting(1), turn = meeting & 1, threads = blockDim.x * blockDim.y * blockDim.z;
    given[turn][emulate::own_number()] = mine != 0;
    emulate::meet(emulate::block_barrier, meeting, "__syncthreads_or", [&] {
        any[turn] = 0;
        for (unsigned i = 0; i < threads; i++) any[turn] |= given[turn][i];
    });
    return any[turn];
}

static inline void __syncwarp(unsigned = 0xFFFFFFFFu) {
    emulate::together<int>("__syncwarp", 0, [](int*, int* out, unsigned lanes) {
        for (unsigned i = 0; i < lanes; i++) out[i] = 0;
    });
}

/// Lane `i` gets what lane `from(i)` gave; its own where there is no such lane.
template <class T, class From>
static inline T emulated_shuffle(const char* what, T value, From from) {
    return emulate::together<T>(what, value, [&](T* in, T* out, unsigned lanes) {
        for (unsigned i = 0; i < lanes; i++) {
            unsigned source = from(i);
            out[i] = in[source < lanes ? source : i];
        }
    });
}

template <class T>
static inline T __shfl_xor_sync(unsigned, T value, int distance) {
    return emulated_shuffle("__shfl_xor_sync", value, [=](unsigned i) { return i ^ unsigned(distance); });
}

template <class T>
static inline T __shfl_up_sync(unsigned, T value, unsigned distance) {
    return emulated_shuffle("__shfl_up_sync", value, [=](unsigned i) { return i - distance; });
}

template <class T>
static inline T __shfl_down_sync(unsigned, T value, unsigned distance) {
    return emulated_shuffle("__shfl_down_sync", value, [=](unsigned i) { return i + distance; });
}

/// Every lane says itself whose value it wants.
template <class T>
static inline T __shfl_sync(unsigned, T value, int lane) {
    struct Asked {
        T value;
        int lane;
    };
    return emulate::together<T>("__shfl_sync", Asked{value, lane}, [](Asked* in, T* out, unsigned lanes) {
        for (unsigned i = 0; i < lanes; i++) out[i] = in[unsigned(in[i].lane) % lanes].value;
    });
}

static inline unsigned __ballot_sync(unsigned, int mine) {
    return emulate::together<unsigned>("__ballot_sync", mine, [](int* in, unsigned* out, unsigned lanes) {
        unsigned all = 0;
        for (unsigned i = 0; i < lanes; i++) all |= unsigned(in[i] != 0) << i;
        for (unsigned i = 0; i < lanes; i++) out[i] = all;
    });
}

static inline int __any_sync(unsigned mask, int mine) { return __ballot_sync(mask, mine) != 0; }

using std::max;
using std::min;

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline float __uint_as_float(unsigned x) {
    float f;
    std::memcpy(&f, &x, sizeof f);
    return f;
}
static inline unsigned __float_as_uint(float f) {
    unsigned x;
    std::memcpy(&x, &f, sizeof x);
    return x;
}
static inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

// Twins of what `prelude.cuh` writes in PTX.

static inline float emulated_bf16(unsigned bits) { return __uint_as_float(bits << 16); }

/// Rounds to nearest even; every NaN becomes the one that hardware gives.
static inline unsigned short round_to_bf16(float x) {
    unsigned bits = __float_as_uint(x);
    if (x != x) return 0x7FFF;
    return static_cast<unsigned short>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/// Two numbers rounded into one word, the first in its low half.
static inline unsigned pack_bf16(float low, float high) {
    return round_to_bf16(low) | unsigned(round_to_bf16(high)) << 16;
}

static inline float fast_exp2(float x) { return std::exp2(x); }

/// PTX ISA, "Matrix Fragments for mma.m16n8k16": lane = 4 * group + pair. `a` has rows group and group + 8, columns
/// 2 pair, 2 pair + 8; `b` columns group, rows 2 pair, 2 pair + 8; `d` rows group, group + 8, columns 2 pair.
static inline void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    struct In {
        float d[4];
        unsigned a[4], b[2];
    };
    struct Out {
        float d[4];
    };
    In in;
    std::memcpy(in.d, d, sizeof d);
    std::memcpy(in.a, a, sizeof a);
    std::memcpy(in.b, b, sizeof b);
    Out out = emulate::together<Out>("mma", in, [](In* in, Out* out, unsigned lanes) {
        if (lanes != emulate::LANES) emulate::fail("a matrix product needs a whole warp");
        float a[16][16], b[16][8], d[16][8];
        for (unsigned lane = 0; lane < lanes; lane++) {
            unsigned group = lane / 4, pair = lane % 4;
            for (unsigned i = 0; i < 4; i++) {
                unsigned row = group + i % 2 * 8, column = 2 * pair + i / 2 * 8;
                a[row][column] = emulated_bf16(in[lane].a[i] & 0xFFFF);
                a[row][column + 1] = emulated_bf16(in[lane].a[i] >> 16);
                d[group + i / 2 * 8][2 * pair + i % 2] = in[lane].d[i];
            }
            for (unsigned i = 0; i < 2; i++) {
                b[2 * pair + i * 8][group] = emulated_bf16(in[lane].b[i] & 0xFFFF);
                b[2 * pair + i * 8 + 1][group] = emulated_bf16(in[lane].b[i] >> 16);
            }
        }
        for (unsigned m = 0; m < 16; m++)
            for (unsigned k = 0; k < 16; k++)
                for (unsigned n = 0; n < 8; n++) d[m][n] += a[m][k] * b[k][n];
        for (unsigned lane = 0; lane < lanes; lane++)
            for (unsigned i = 0; i < 4; i++) out[lane].d[i] = d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
    });
    std::memcpy(d, out.d, sizeof d);
}

/// PTX ISA, "ldmatrix": lanes 8 i to 8 i + 7 point to the rows of matrix i, 8 numbers of 16 bits each.
static inline void emulated_ldmatrix(unsigned (&to)[4], const void* row, bool transposed) {
    struct Out {
        unsigned words[4];
    };
    if (reinterpret_cast<uintptr_t>(row) % 16) emulate::fail("ldmatrix: a row that is not 16-byte aligned");
    const char* what = transposed ? "ldmatrix.trans" : "ldmatrix";
    Out out = emulate::together<Out>(what, row, [=](const void** rows, Out* out, unsigned lanes) {
        if (lanes != emulate::LANES) emulate::fail("ldmatrix needs a whole warp");
        for (unsigned lane = 0; lane < lanes; lane++)
            for (unsigned i = 0; i < 4; i++) {
                auto at = [&](unsigned row, unsigned column) {
                    return unsigned(static_cast<const unsigned short*>(rows[8 * i + row])[column]);
                };
                unsigned group = lane / 4, pair = 2 * (lane % 4);
                out[lane].words[i] = transposed ? at(pair, group) | at(pair + 1, group) << 16
                                                : at(group, pair) | at(group, pair + 1) << 16;
            }
    });
    std::memcpy(to, out.words, sizeof to);
}

static inline void ldmatrix_x4(unsigned (&to)[4], const void* row) { emulated_ldmatrix(to, row, false); }
static inline void ldmatrix_x4_trans(unsigned (&to)[4], const void* row) { emulated_ldmatrix(to, row, true); }

/// Copies into shared memory, or zeros where `inside` is false. Now, or when waited for.
static inline void emulated_cp_async(void* shared, const void* global, unsigned bytes, bool inside) {
    if (reinterpret_cast<uintptr_t>(shared) % bytes || (inside && reinterpret_cast<uintptr_t>(global) % bytes))
        emulate::fail("cp.async: an address that is not a multiple of what it copies");
    size_t at = static_cast<unsigned char*>(shared) - emulate::shared_memory;
    if (at > emulate::shared_size - bytes) emulate::fail("cp.async: not into the block's shared memory");
    emulate::begin_copy({shared, global, bytes, !inside, 0});
}

static inline void cp_async_16(void* shared, const void* global, bool inside = true) {
    emulated_cp_async(shared, global, 16, inside);
}

static inline void cp_async_4(void* shared, const void* global, bool inside = true) {
    emulated_cp_async(shared, global, 4, inside);
}

static inline void cp_async_commit() { emulate::end_group(); }

/// Waits for all groups but the last `pending`.
template <int pending>
static inline void cp_async_wait() {
    emulate::wait_for_copies(pending);
}

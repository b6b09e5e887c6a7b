// What a kernel calls, for the emulated GPU: CUDA's barriers and collectives, and a twin of each of the instructions
// that `prelude.cuh` writes in PTX.
#pragma once

// Barriers and collectives. All lanes of a warp take part in each: masks are full.

static inline void __syncthreads() {
    emulate::meet_in_order(emulate::block_barrier, emulate::next_meeting(1), "__syncthreads", [] {});
}

static inline int __syncthreads_or(int mine) {
    static int any[2];
    static unsigned char given[2][emulate::MOST_THREADS];
    unsigned meeting = emulate::next_meeting(1), turn = meeting & 1, threads = blockDim.x * blockDim.y * blockDim.z;
    emulate::Unseen unseen;
    given[turn][emulate::own_number()] = mine != 0;
    emulate::meet_in_order(emulate::block_barrier, meeting, "__syncthreads_or", [&] {
        any[turn] = 0;
        for (unsigned i = 0; i < threads; i++) any[turn] |= given[turn][i];
    });
    return any[turn];
}

static inline void __syncwarp(unsigned = 0xFFFFFFFFu) {
    emulate::meet_in_order(emulate::own_warp().barrier, emulate::next_meeting(0), "__syncwarp", [] {});
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
    struct In {
        unsigned short numbers[8];
    };
    struct Out {
        unsigned words[4];
    };
    if (reinterpret_cast<uintptr_t>(row) % 16) emulate::fail("ldmatrix: a row that is not 16-byte aligned");
    In in;
    std::memcpy(in.numbers, row, sizeof in.numbers);
    const char* what = transposed ? "ldmatrix.trans" : "ldmatrix";
    Out out = emulate::together<Out>(what, in, [=](const In* rows, Out* out, unsigned lanes) {
        if (lanes != emulate::LANES) emulate::fail("ldmatrix needs a whole warp");
        for (unsigned lane = 0; lane < lanes; lane++)
            for (unsigned i = 0; i < 4; i++) {
                auto at = [&](unsigned row, unsigned column) { return unsigned(rows[8 * i + row].numbers[column]); };
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

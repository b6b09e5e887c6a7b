// What every kernel stands on: numbers of 16 bits, wide loads, sums over a warp and a block, and the instructions of
// tensor cores that have no name in C++. A program is this text and one .cu file. NVRTC brings no headers, so what
// CUDA's would say is written here in PTX; the tests' emulated GPU has a twin of each.
#ifdef EMULATED
#include "runtime.h"
#endif

#define ALL_LANES 0xFFFFFFFFu
#define WARP 32
/// Sums over rows, as of a gain's gradient, are made of parts of this many rows, added in order: their bits do not
/// depend on the card.
#define PARTIAL 64
#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f
#define INFINITE __uint_as_float(0x7F800000u)

/// A float's upper half: 8 bits of exponent, 7 of mantissa.
struct bf16 {
    unsigned short bits;
};

/// Two bf16 in a word, the first in its low half.
typedef unsigned bf16x2;

#ifdef EMULATED

/// The block's dynamic shared memory under a name, 128-byte aligned.
#define DYNAMIC_SHARED(name) unsigned char* const name = emulate::shared_memory

/// How many rounds of a loop the compiler is to have under way at once.
#define UNROLL(rounds)

#else

#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
#define PRAGMA(text) _Pragma(#text)
#define UNROLL(rounds) PRAGMA(unroll rounds)

/// Rounds both to nearest even.
__device__ __forceinline__ bf16x2 pack_bf16(float low, float high) {
    bf16x2 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

__device__ __forceinline__ unsigned short round_to_bf16(float x) {
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

/// 2^x within 2 units in the last place; 0 for minus infinity.
__device__ __forceinline__ float fast_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/// d += a b, of 16 x 16 and 16 x 8 bf16, spread over a warp as "Matrix Fragments for mma.m16n8k16" of the PTX ISA
/// says: with lane = 4 group + pair, d[i] is row group + 8 (i / 2), column 2 pair + i % 2.
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ unsigned shared_address(const void* shared) {
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

/// Four matrices of 8 x 8 bf16, whose rows lanes 0-7, 8-15, 16-23 and 24-31 point to: lane gets of matrix i, in
/// to[i], row lane / 4, columns 2 (lane % 4) and the next.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/// The same, of each matrix's transpose.
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/// Begins to copy 16 bytes into shared memory, past registers and the first cache; zeros where `inside` is false,
/// and then nothing is read.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool inside = true) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(inside ? 16 : 0)
                 : "memory");
}

/// The same of 4 bytes.
__device__ __forceinline__ void cp_async_4(void* shared, const void* global, bool inside = true) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                 :
                 : "r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(inside ? 4 : 0)
                 : "memory");
}

/// Ends a group of copies.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until all but the last `pending` groups of this thread have arrived; other threads see them only after a
/// barrier.
template <int pending>
__device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

#endif

__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }

__device__ __forceinline__ bf16 to_bf16(float x) { return bf16{round_to_bf16(x)}; }

__device__ __forceinline__ float low_half(bf16x2 x) { return __uint_as_float(x << 16); }

__device__ __forceinline__ float high_half(bf16x2 x) { return __uint_as_float(x & 0xFFFF0000u); }

/// Sixteen bytes that are loaded and stored at once, from addresses of a multiple of 16.
struct alignas(16) Wide {
    unsigned words[4];
};

__device__ __forceinline__ Wide load_wide(const void* from) { return *static_cast<const Wide*>(from); }

__device__ __forceinline__ void store_wide(void* to, const Wide& wide) { *static_cast<Wide*>(to) = wide; }

__device__ __forceinline__ bool is_wide(const void* at, long long left) {
    return left >= 8 && reinterpret_cast<unsigned long long>(at) % sizeof(Wide) == 0;
}

// Rows are worked on by eights. `left` is how many numbers there are from `from` on: of a row's last eight there may
// be fewer, and rows whose length is not a multiple of 8 do not begin where wide loads may.

__device__ __forceinline__ void load_eight(float (&x)[8], const bf16* from, long long left) {
    if (is_wide(from, left)) {
        Wide wide = load_wide(from);
        for (int i = 0; i < 8; i += 2) {
            x[i] = low_half(wide.words[i / 2]);
            x[i + 1] = high_half(wide.words[i / 2]);
        }
    } else {
        for (int i = 0; i < 8; i++) x[i] = i < left ? to_float(from[i]) : 0.0f;
    }
}

__device__ __forceinline__ void load_eight(float (&x)[8], const float* from, long long left) {
    if (is_wide(from, left)) {
        Wide low = load_wide(from), high = load_wide(from + 4);
        for (int i = 0; i < 4; i++) {
            x[i] = __uint_as_float(low.words[i]);
            x[i + 4] = __uint_as_float(high.words[i]);
        }
    } else {
        for (int i = 0; i < 8; i++) x[i] = i < left ? from[i] : 0.0f;
    }
}

__device__ __forceinline__ void store_eight(bf16* to, const float (&x)[8], long long left) {
    if (is_wide(to, left)) {
        Wide wide;
        for (int i = 0; i < 8; i += 2) wide.words[i / 2] = pack_bf16(x[i], x[i + 1]);
        store_wide(to, wide);
    } else {
        for (int i = 0; i < 8 && i < left; i++) to[i] = to_bf16(x[i]);
    }
}

__device__ __forceinline__ void store_eight(float* to, const float (&x)[8], long long left) {
    if (is_wide(to, left)) {
        Wide low, high;
        for (int i = 0; i < 4; i++) {
            low.words[i] = __float_as_uint(x[i]);
            high.words[i] = __float_as_uint(x[i + 4]);
        }
        store_wide(to, low);
        store_wide(to + 4, high);
    } else {
        for (int i = 0; i < 8 && i < left; i++) to[i] = x[i];
    }
}

/// The first of a block's eights in a row that it works on alone, and how far the next is.
__device__ __forceinline__ int first_eight() { return 8 * threadIdx.x; }

__device__ __forceinline__ int next_eight() { return 8 * blockDim.x; }

/// The same, where the whole grid works on one row.
__device__ __forceinline__ long long first_eight_of_grid() {
    return 8 * (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x);
}

__device__ __forceinline__ long long next_eight_of_grid() { return 8LL * gridDim.x * blockDim.x; }

/// Where row `row` of a matrix begins, or of one whose rows lie `width` apart.
template <class T>
__device__ __forceinline__ T* row_of(T* matrix, long long row, int width) {
    return matrix + row * width;
}

/// The largest over a warp; every lane has it. NaN counts as nothing.
__device__ __forceinline__ float warp_max(float x) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
    return x;
}

/// The sum over a warp, in an order that depends on nothing; every lane has it.
template <class T>
__device__ __forceinline__ T warp_sum(T x) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
    return x;
}

/// Each sum over a block of whole warps; every thread has them. All threads call it.
template <class T, int N>
__device__ __forceinline__ void block_sums(T (&x)[N]) {
    __shared__ T of_warps[N][WARP];
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    for (int i = 0; i < N; i++) x[i] = warp_sum(x[i]);
    // Whoever still reads the sums of the call before must have done so.
    __syncthreads();
    for (int i = 0; i < N && lane == 0; i++) of_warps[i][warp] = x[i];
    __syncthreads();
    for (int i = 0; i < N; i++) x[i] = warp_sum(lane < warps ? of_warps[i][lane] : T(0));
}

template <class T>
__device__ __forceinline__ T block_sum(T x) {
    T one[1] = {x};
    block_sums(one);
    return one[0];
}

/// The largest over a block of whole warps; every thread has it. All threads call it.
__device__ __forceinline__ float block_max(float x) {
    __shared__ float of_warps[WARP];
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    x = warp_max(x);
    // Whoever still reads the maxima of the call before must have done so.
    __syncthreads();
    if (lane == 0) of_warps[warp] = x;
    __syncthreads();
    return warp_max(of_warps[lane < static_cast<int>(blockDim.x / WARP) ? lane : 0]);
}

#ifdef HEAD_DIM

// Tiles: rows of HEAD_DIM numbers in shared memory, swizzled, that blocks of 4 warps multiply with tensor cores. A
// warp has 16 rows of a product: with lane = 4 group + pair, x[n][i] is in row group + 8 (i / 2), column
// 8 n + 2 pair + i % 2.

#define TILE 64
#define THREADS 128
/// Sixteen-byte pieces of a row.
#define CHUNKS (HEAD_DIM / 8)
/// Steps of a matrix product over a row's numbers.
#define STEPS (HEAD_DIM / 16)
static_assert(HEAD_DIM % 16 == 0 && (CHUNKS & (CHUNKS - 1)) == 0, "the width of a head is 16 or more, a power of two");

/// Where a chunk of a row lies. The eight rows that `ldmatrix` reads at once would be in the same banks, as a row is a
/// multiple of their width (or a part of it); so a row's chunks are permuted by its number.
__device__ __forceinline__ int swizzled(int row, int chunk) {
    constexpr int turns = CHUNKS < 8 ? CHUNKS : 8, rows_of_a_turn = 8 / turns;
    return row * HEAD_DIM + (chunk ^ row / rows_of_a_turn % turns) * 8;
}

/// Begins to copy the rows from `first` on of a matrix of `rows` rows; zeros behind its end.
template <int count>
__device__ __forceinline__ void load_rows(bf16* tile, const bf16* from, int first, int rows, int stride) {
    for (int i = threadIdx.x; i < count * CHUNKS; i += THREADS) {
        int row = i / CHUNKS, chunk = i % CHUNKS;
        bool inside = first + row < rows;
        cp_async_16(tile + swizzled(row, chunk), row_of(from, inside ? first + row : 0, stride) + chunk * 8, inside);
    }
}

/// The left side of a product: 16 rows from `first` on, 16 numbers of each.
__device__ __forceinline__ void load_left(unsigned (&a)[4], const bf16* tile, int first, int step) {
    int lane = threadIdx.x % WARP;
    ldmatrix_x4(a, tile + swizzled(first + lane % 16, 2 * step + lane / 16));
}

/// One step of x += a b^T, where b has 8 N rows.
template <int N>
__device__ __forceinline__ void step_transposed(float (&x)[N][4], const unsigned (&a)[4], const bf16* b, int step) {
    int lane = threadIdx.x % WARP;
    for (int n = 0; n < N; n += 2) {
        unsigned both[4];
        ldmatrix_x4(both, b + swizzled(8 * n + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
        mma_m16n8k16(x[n], a, {both[0], both[1]});
        mma_m16n8k16(x[n + 1], a, {both[2], both[3]});
    }
}

/// x += a b^T, of 16 rows of a tile from `first` on.
template <int N>
__device__ __forceinline__ void multiply_transposed(float (&x)[N][4], const bf16* a, int first, const bf16* b) {
    for (int step = 0; step < STEPS; step++) {
        unsigned left[4];
        load_left(left, a, first, step);
        step_transposed(x, left, b, step);
    }
}

/// x += w b, where b has 8 N rows and w, rounded to bf16, is what accumulators hold: they are the left side's layout.
template <int N>
__device__ __forceinline__ void multiply(float (&x)[CHUNKS][4], const float (&w)[N][4], const bf16* b) {
    int lane = threadIdx.x % WARP;
    for (int n = 0; n < N; n += 2) {
        unsigned a[4] = {pack_bf16(w[n][0], w[n][1]), pack_bf16(w[n][2], w[n][3]), pack_bf16(w[n + 1][0], w[n + 1][1]),
                         pack_bf16(w[n + 1][2], w[n + 1][3])};
        for (int chunk = 0; chunk < CHUNKS; chunk += 2) {
            unsigned both[4];
            ldmatrix_x4_trans(both, b + swizzled(8 * n + lane % 16, chunk + lane / 16));
            mma_m16n8k16(x[chunk], a, {both[0], both[1]});
            mma_m16n8k16(x[chunk + 1], a, {both[2], both[3]});
        }
    }
}

#endif

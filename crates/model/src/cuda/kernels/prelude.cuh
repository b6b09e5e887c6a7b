// What every kernel stands on: numbers of 16 bits, wide loads, sums over a warp and a block, and the instructions of
// tensor cores that have no name in C++. A program is this text and one .cu file. NVRTC brings no headers, so what
// CUDA's would say is written here in PTX; the tests' emulated GPU has a twin of each.
#ifdef EMULATED
#include "runtime.h"
#endif

#define ALL_LANES 0xFFFFFFFFu
#define WARP 32

/// A float's upper half: 8 bits of exponent, 7 of mantissa.
struct bf16 {
    unsigned short bits;
};

/// Two bf16 in a word, the first in its low half.
typedef unsigned bf16x2;

#ifdef EMULATED

/// The block's dynamic shared memory under a name, 128-byte aligned.
#define DYNAMIC_SHARED(name) unsigned char* const name = emulate::shared_memory

#else

#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]

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

/// Eight bf16 that are loaded and stored at once, from addresses of a multiple of 16 bytes.
struct alignas(16) Eight {
    bf16x2 pairs[4];

    __device__ __forceinline__ float operator[](int i) const {
        return i % 2 ? high_half(pairs[i / 2]) : low_half(pairs[i / 2]);
    }
};

/// Four floats that are loaded and stored at once.
struct alignas(16) Four {
    float at[4];
};

template <class T>
__device__ __forceinline__ T load(const void* from) {
    return *static_cast<const T*>(from);
}

template <class T>
__device__ __forceinline__ void store(void* to, const T& value) {
    *static_cast<T*>(to) = value;
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

/// The sum over a block of whole warps; every thread has it. All threads call it.
template <class T>
__device__ __forceinline__ T block_sum(T x) {
    __shared__ T of_warps[WARP];
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    x = warp_sum(x);
    // Whoever still reads the sums of the call before must have done so.
    __syncthreads();
    if (lane == 0) of_warps[warp] = x;
    __syncthreads();
    return warp_sum(lane < static_cast<int>(blockDim.x / WARP) ? of_warps[lane] : T(0));
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

// Per-head RMSNorm (Qwen3) and rotary positions (Su et al. 2021, https://arxiv.org/abs/2104.09864): number i of a
// head's lower half turns with number i of its upper half. A row of `projected` is queries, keys, values by heads;
// values are left alone.

#define HALF (HEAD_DIM / 2)
/// Threads of one head: each has eight numbers of the lower half and their partners.
#define TURNING (HEAD_DIM / 16)

static_assert(HEAD_DIM % 16 == 0 && (TURNING & (TURNING - 1)) == 0 && TURNING <= WARP, "a head is part of a warp");

/// The sum over the threads of one head.
__device__ __forceinline__ float head_sum(float x) {
    for (int distance = TURNING / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
    return x;
}

/// Sixteen numbers of a head: `low[i]` and `high[i]` turn together.
struct Pairs {
    float low[8], high[8];
};

__device__ __forceinline__ Pairs load_pairs(const bf16* head, int at) {
    Pairs pairs;
    load_eight(pairs.low, head + at, HALF - at);
    load_eight(pairs.high, head + HALF + at, HALF - at);
    return pairs;
}

__device__ __forceinline__ void store_pairs(bf16* head, int at, const Pairs& pairs) {
    store_eight(head + at, pairs.low, HALF - at);
    store_eight(head + HALF + at, pairs.high, HALF - at);
}

/// Turns by the angles of `position`, backwards where `sign` is -1.
__device__ __forceinline__ void turn(Pairs& x, const float* cos, const float* sin, int position, int at, float sign) {
    float c[8], s[8];
    load_eight(c, row_of(cos, position, HALF) + at, HALF - at);
    load_eight(s, row_of(sin, position, HALF) + at, HALF - at);
    for (int i = 0; i < 8; i++) {
        float low = x.low[i], high = x.high[i], sine = sign * s[i];
        x.low[i] = low * c[i] - high * sine;
        x.high[i] = high * c[i] + low * sine;
    }
}

__device__ __forceinline__ float inverse_rms(const Pairs& x, float eps) {
    float squares = 0.0f;
    for (int i = 0; i < 8; i++) squares += x.low[i] * x.low[i] + x.high[i] * x.high[i];
    return rsqrtf(head_sum(squares) / HEAD_DIM + eps);
}

/// Norms (unless the gains are null) and turns queries and keys. Grid: rows.
extern "C" __global__ void rotate(bf16* rotated, const bf16* projected, const int* positions, const float* cos,
                                  const float* sin, const bf16* q_gain, const bf16* k_gain, int rows, int heads,
                                  int kv_heads, float eps) {
    int turned = heads + kv_heads, at = threadIdx.x % TURNING * 8;
    const bf16* from = row_of(projected, blockIdx.x, (turned + kv_heads) * HEAD_DIM);
    bf16* to = row_of(rotated, blockIdx.x, turned * HEAD_DIM);
    // All lanes of a warp go round as often, for the sake of the sums; those past the last head do its work again.
    for (int first = threadIdx.x / WARP * (WARP / TURNING); first < turned; first += blockDim.x / TURNING) {
        int head = first + threadIdx.x % WARP / TURNING, read = min(head, turned - 1);
        Pairs x = load_pairs(from + read * HEAD_DIM, at);
        if (q_gain) {
            float inverse = inverse_rms(x, eps);
            Pairs gain = load_pairs(read < heads ? q_gain : k_gain, at);
            for (int i = 0; i < 8; i++) {
                x.low[i] *= inverse * gain.low[i];
                x.high[i] *= inverse * gain.high[i];
            }
        }
        turn(x, cos, sin, positions[blockIdx.x], at, 1.0f);
        if (head < turned) store_pairs(to + head * HEAD_DIM, at, x);
    }
}

/// Adds up what a block's threads have of each number of a head, in a fixed order: over lanes, then over warps.
__device__ __forceinline__ void sum_gains(float* out, Pairs& mine) {
    __shared__ float of_warps[8][HEAD_DIM];
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, at = lane % TURNING * 8;
    for (int i = 0; i < 8; i++)
        for (int distance = WARP / 2; distance >= TURNING; distance /= 2) {
            mine.low[i] += __shfl_xor_sync(ALL_LANES, mine.low[i], distance);
            mine.high[i] += __shfl_xor_sync(ALL_LANES, mine.high[i], distance);
        }
    // What the call before left must have been read.
    __syncthreads();
    if (lane < TURNING)
        for (int i = 0; i < 8; i++) {
            of_warps[warp][at + i] = mine.low[i];
            of_warps[warp][HALF + at + i] = mine.high[i];
        }
    __syncthreads();
    for (int i = threadIdx.x; i < HEAD_DIM; i += blockDim.x) {
        float sum = 0.0f;
        for (int other = 0; other < 8; other++) sum += of_warps[other][i];
        out[i] = sum;
    }
}

/// Puts in the place of the gradient of the turned queries and keys that of the projected ones; and
/// dgain_partials[p] = the gradients of both gains over the rows of part p. Grid: parts of PARTIAL rows; 256 threads.
extern "C" __global__ void rotate_backward(bf16* dprojected, float* dgain_partials, const bf16* projected,
                                           const int* positions, const float* cos, const float* sin,
                                           const bf16* q_gain, const bf16* k_gain, int rows, int heads, int kv_heads,
                                           float eps) {
    int turned = heads + kv_heads, columns = (turned + kv_heads) * HEAD_DIM, at = threadIdx.x % TURNING * 8;
    int first_row = blockIdx.x * PARTIAL, count = min(PARTIAL, rows - first_row) * turned;
    Pairs dq_gain = {}, dk_gain = {};
    // As in `rotate`, whole warps go round.
    for (int first = threadIdx.x / WARP * (WARP / TURNING); first < count; first += blockDim.x / TURNING) {
        int index = first + threadIdx.x % WARP / TURNING, read = min(index, count - 1);
        int row = first_row + read / turned, head = read % turned;
        long long offset = static_cast<long long>(row) * columns + head * HEAD_DIM;
        Pairs d = load_pairs(dprojected + offset, at);
        turn(d, cos, sin, positions[row], at, -1.0f);
        if (q_gain) {
            Pairs x = load_pairs(projected + offset, at), gain = load_pairs(head < heads ? q_gain : k_gain, at);
            float inverse = inverse_rms(x, eps), products = 0.0f;
            bool is_q = index < count && head < heads, is_k = index < count && head >= heads;
            for (int i = 0; i < 8; i++) {
                float low = d.low[i] * x.low[i] * inverse, high = d.high[i] * x.high[i] * inverse;
                dq_gain.low[i] += is_q ? low : 0.0f;
                dq_gain.high[i] += is_q ? high : 0.0f;
                dk_gain.low[i] += is_k ? low : 0.0f;
                dk_gain.high[i] += is_k ? high : 0.0f;
                d.low[i] *= gain.low[i];
                d.high[i] *= gain.high[i];
                products += d.low[i] * x.low[i] + d.high[i] * x.high[i];
            }
            float projection = head_sum(products) * inverse * inverse * inverse / HEAD_DIM;
            for (int i = 0; i < 8; i++) {
                d.low[i] = d.low[i] * inverse - x.low[i] * projection;
                d.high[i] = d.high[i] * inverse - x.high[i] * projection;
            }
        }
        // Lanes that did the last head's work again must have read it before it is written.
        __syncwarp();
        if (index < count) store_pairs(dprojected + offset, at, d);
    }
    if (!q_gain) return;
    float* out = row_of(dgain_partials, blockIdx.x, 2 * HEAD_DIM);
    sum_gains(out, dq_gain);
    sum_gains(out + HEAD_DIM, dk_gain);
}

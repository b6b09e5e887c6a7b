// Attention while decoding, over a cache in blocks of 64 tokens. A layer's cache is [blocks, kv_heads, 2, 64,
// HEAD_DIM]: keys, then values.
//
// A piece is some consecutive rows that share some consecutive blocks of their paths, so that a shared prompt is read
// once for all its rows. A row's pieces are computed apart, so that there are enough to fill the card, and merged
// (flash decoding; Dao et al. 2023, https://crfm.stanford.edu/2023/10/12/flashdecoding.html).

/// A piece is six numbers: its first row and how many rows there are (rows times heads of a key-value head are at most
/// 64), where its blocks begin in `blocks` and how many there are, the position of the first block's first token, and
/// the number of the first of its partial results, one for each row.
#define PIECE 6

/// Puts each row's keys and values into the cache. slots[row] = 64 block + place, or -1 for a row that has no place
/// there. Grid: rows.
extern "C" __global__ void cache_write(bf16* cache, const bf16* rotated, const bf16* projected, const int* slots,
                                       int rows, int heads, int kv_heads) {
    const bf16* keys = row_of(rotated, blockIdx.x, (heads + kv_heads) * HEAD_DIM) + heads * HEAD_DIM;
    const bf16* values = row_of(projected, blockIdx.x, (heads + 2 * kv_heads) * HEAD_DIM);
    values += (heads + kv_heads) * HEAD_DIM;
    int slot = slots[blockIdx.x], block = slot / TILE, place = slot % TILE;
    if (slot < 0) return;
    for (int i = threadIdx.x; i < 2 * kv_heads * CHUNKS; i += blockDim.x) {
        int kv = i / CHUNKS / 2, of_values = i / CHUNKS % 2, at = i % CHUNKS * 8;
        const bf16* from = (of_values ? values : keys) + kv * HEAD_DIM + at;
        long long tile = (static_cast<long long>(block) * kv_heads + kv) * 2 + of_values;
        store_wide(cache + (tile * TILE + place) * HEAD_DIM + at, load_wide(from));
    }
}

/// Begins to copy one block's keys and values, zeros from place `count` on: what was never written there may be NaN.
__device__ __forceinline__ void load_block(bf16* keys, bf16* values, const bf16* block, int count) {
    for (int i = threadIdx.x; i < TILE * CHUNKS; i += THREADS) {
        int row = i / CHUNKS, chunk = i % CHUNKS;
        const bf16* from = block + i * 8;
        cp_async_16(keys + swizzled(row, chunk), from, row < count);
        cp_async_16(values + swizzled(row, chunk), from + TILE * HEAD_DIM, row < count);
    }
}

/// One piece, and what its block knows of it.
struct Piece {
    int first_row, rows, block_count, start, partial;
    const int* blocks;
    /// Query heads of a key-value head, and which that is.
    int of_group, kv;

    /// A tile's row `m` is head m % of_group of row m / of_group.
    __device__ __forceinline__ int queries() const { return rows * of_group; }
    __device__ __forceinline__ int row(int m) const { return first_row + m / of_group; }
    __device__ __forceinline__ int head(int m) const { return kv * of_group + m % of_group; }
};

/// Where results go.
struct Partials {
    float *out, *max, *sum;
};

/// A piece of at most 64 / SPLITS queries: of each block of keys, a warp takes one of SPLITS parts for its 16 queries.
template <int SPLITS>
__device__ __forceinline__ void attend(const Partials& partials, const bf16* rotated, const bf16* cache,
                                       const int* positions, const Piece& piece, int heads, int kv_heads, float scale,
                                       unsigned char* shared) {
    constexpr int KEYS = TILE / SPLITS;
    bf16 *keys = reinterpret_cast<bf16*>(shared), *values = keys + 2 * TILE * HEAD_DIM;
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, group = lane / 4, pair = lane % 4;
    int first = warp / SPLITS * 16, split = warp % SPLITS, stride = (heads + kv_heads) * HEAD_DIM;
    int count = piece.queries();

    // Nobody sees a key behind the last row's position.
    int last = -1;
    for (int i = lane; i < piece.rows; i += WARP) last = max(last, positions[piece.first_row + i]);
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        last = max(last, __shfl_xor_sync(ALL_LANES, last, distance));
    int own[2];
    for (int half = 0; half < 2; half++) {
        int m = first + group + 8 * half;
        own[half] = m < count ? positions[piece.row(m)] : -1;
    }

    // Queries come by way of the second stage, which is loaded only after the loop's first barrier.
    bf16* second = keys + TILE * HEAD_DIM;
    for (int i = threadIdx.x; i < TILE * CHUNKS; i += THREADS) {
        int m = i / CHUNKS, chunk = i % CHUNKS;
        bool inside = m < count;
        const bf16* row = inside ? row_of(rotated, piece.row(m), stride) + piece.head(m) * HEAD_DIM : rotated;
        cp_async_16(second + swizzled(m, chunk), row + chunk * 8, inside);
    }
    cp_async_commit();
    auto load_stage = [&](int stage, int i) {
        long long tile = (static_cast<long long>(piece.blocks[i]) * kv_heads + piece.kv) * 2;
        load_block(keys + stage * TILE * HEAD_DIM, values + stage * TILE * HEAD_DIM, cache + tile * TILE * HEAD_DIM,
                   last + 1 - piece.start - i * TILE);
    };
    load_stage(0, 0);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    unsigned queries[STEPS][4];
    for (int step = 0; step < STEPS; step++) load_left(queries[step], second, first, step);

    // As in `attention_forward`.
    float peak[2] = {-INFINITE, -INFINITE}, sum[2] = {}, x[CHUNKS][4] = {}, to_exponent = scale * LOG2_E;
    for (int i = 0; i < piece.block_count; i++) {
        int stage = i % 2;
        cp_async_wait<0>();
        // Behind it this stage is there for all, and nobody reads the other one any more.
        __syncthreads();
        if (i + 1 < piece.block_count) load_stage(stage ^ 1, i + 1);
        cp_async_commit();

        int first_key = split * KEYS;
        float s[KEYS / 8][4] = {};
        const bf16* own_keys = keys + (stage * TILE + first_key) * HEAD_DIM;
        for (int step = 0; step < STEPS; step++) step_transposed(s, queries[step], own_keys, step);
        for (int half = 0; half < 2; half++) {
            float largest = peak[half];
            for (int n = 0; n < KEYS / 8; n++)
                for (int j = 2 * half; j < 2 * half + 2; j++) {
                    int position = piece.start + i * TILE + first_key + 8 * n + 2 * pair + j % 2;
                    if (position > own[half]) s[n][j] = -INFINITE;
                    largest = fmaxf(largest, s[n][j]);
                }
            largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 1));
            largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 2));
            float base = largest > -INFINITE ? largest * to_exponent : 0.0f;
            float factor = fast_exp2(peak[half] * to_exponent - base);
            peak[half] = largest;
            sum[half] *= factor;
            for (int n = 0; n < KEYS / 8; n++)
                for (int j = 2 * half; j < 2 * half + 2; j++) {
                    s[n][j] = fast_exp2(s[n][j] * to_exponent - base);
                    sum[half] += s[n][j];
                }
            for (int chunk = 0; chunk < CHUNKS; chunk++)
                for (int j = 2 * half; j < 2 * half + 2; j++) x[chunk][j] *= factor;
        }
        multiply(x, s, values + (stage * TILE + first_key) * HEAD_DIM);
    }
    cp_async_wait<0>();
    // Nobody reads the tiles any more: their place takes each warp's 16 rows of results, its peaks and sums.
    __syncthreads();
    float* outs = reinterpret_cast<float*>(shared);
    float *peaks = outs + THREADS / WARP * 16 * HEAD_DIM, *sums = peaks + THREADS / WARP * 16;
    for (int half = 0; half < 2; half++) {
        sum[half] += __shfl_xor_sync(ALL_LANES, sum[half], 1);
        sum[half] += __shfl_xor_sync(ALL_LANES, sum[half], 2);
        int row = 16 * warp + group + 8 * half;
        if (pair == 0) {
            peaks[row] = peak[half] * to_exponent;
            sums[row] = sum[half];
        }
        for (int chunk = 0; chunk < CHUNKS; chunk++)
            for (int j = 0; j < 2; j++) outs[row * HEAD_DIM + 8 * chunk + 2 * pair + j] = x[chunk][2 * half + j];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < count * HEAD_DIM; i += THREADS) {
        int m = i / HEAD_DIM, column = i % HEAD_DIM, row = m / 16 * 16 * SPLITS + m % 16;
        float largest = -INFINITE, total = 0.0f, out = 0.0f;
        for (int part = 0; part < SPLITS; part++) largest = fmaxf(largest, peaks[row + 16 * part]);
        for (int part = 0; part < SPLITS; part++) {
            float weight = largest > -INFINITE ? fast_exp2(peaks[row + 16 * part] - largest) : 0.0f;
            total += weight * sums[row + 16 * part];
            out += weight * outs[(row + 16 * part) * HEAD_DIM + column];
        }
        long long at = static_cast<long long>(piece.partial + m / piece.of_group) * heads + piece.head(m);
        partials.out[at * HEAD_DIM + column] = out;
        if (column == 0) {
            partials.max[at] = largest;
            partials.sum[at] = total;
        }
    }
}

/// What each piece's keys add to each of its rows: with scores in powers of 2, the largest, the sum of 2^(score -
/// largest), [partials, heads] each, and the same sum of values, [partials, heads, HEAD_DIM]. A key is seen by rows
/// whose position is its own or later. A piece may have no rows. Grid: pieces, kv_heads; 128 threads. Dynamic shared
/// memory: 512 HEAD_DIM bytes.
extern "C" __global__ void __launch_bounds__(THREADS)
    cached_attention(float* partial_out, float* partial_max, float* partial_sum, const bf16* rotated,
                     const bf16* cache, const int* pieces, const int* blocks, const int* positions, int heads,
                     int kv_heads, float scale) {
    DYNAMIC_SHARED(shared);
    const int* of = pieces + PIECE * blockIdx.x;
    Piece piece{of[0], of[1], of[3], of[4], of[5], blocks + of[2], heads / kv_heads, static_cast<int>(blockIdx.y)};
    Partials partials{partial_out, partial_max, partial_sum};
    if (piece.rows == 0) return;
    if (piece.queries() <= 16)
        attend<4>(partials, rotated, cache, positions, piece, heads, kv_heads, scale, shared);
    else if (piece.queries() <= 32)
        attend<2>(partials, rotated, cache, positions, piece, heads, kv_heads, scale, shared);
    else
        attend<1>(partials, rotated, cache, positions, piece, heads, kv_heads, scale, shared);
}

/// Merges each row's partial results, row_pieces[row_pieces_at[row]..row_pieces_at[row + 1]], in that order; of none,
/// zeros. Grid: rows.
extern "C" __global__ void merge_pieces(bf16* attended, const float* partial_out, const float* partial_max,
                                        const float* partial_sum, const int* row_pieces_at, const int* row_pieces,
                                        int heads) {
    int start = row_pieces_at[blockIdx.x], end = row_pieces_at[blockIdx.x + 1];
    for (int i = threadIdx.x; i < heads * CHUNKS; i += blockDim.x) {
        int head = i / CHUNKS, at = i % CHUNKS * 8;
        float largest = -INFINITE, total = 0.0f, out[8] = {};
        for (int piece = start; piece < end; piece++)
            largest = fmaxf(largest, row_of(partial_max, row_pieces[piece], heads)[head]);
        for (int piece = start; piece < end; piece++) {
            long long of = static_cast<long long>(row_pieces[piece]) * heads + head;
            // A piece of which the row sees nothing weighs nothing.
            float weight = fast_exp2(partial_max[of] - largest), x[8];
            total += weight * partial_sum[of];
            load_eight(x, partial_out + of * HEAD_DIM + at, 8);
            for (int j = 0; j < 8; j++) out[j] += weight * x[j];
        }
        float inverse = total == 0.0f ? 0.0f : 1.0f / total;
        for (int j = 0; j < 8; j++) out[j] *= inverse;
        store_eight(row_of(attended, blockIdx.x, heads * HEAD_DIM) + head * HEAD_DIM + at, out, 8);
    }
}

// Attention over a token tree, forward and backward, by the recipe of FlashAttention-2 (Dao 2023,
// https://arxiv.org/abs/2307.08691): scores exist by tiles only, in registers; the backward pass computes them again.
//
// Tokens are in depth-first order, and end[k] is one past the last token below key k's node. Query q sees key k
// exactly if k <= q and q < end[k]. A tile of 64 consecutive queries may span nodes, so that a prefix is read once for
// all its branches in the tile.
//
// A block has 4 warps of 16 rows each, of tiles as the prelude has them.

/// Queries of a tile in the pass over keys, whose accumulators leave no registers for more.
#define QUERIES 32
/// Blocks whose registers fit a multiprocessor without spills.
#define AT_ONCE (HEAD_DIM > 64 ? 2 : 3)

static_assert(HEAD_DIM <= 128, "accumulators of wider heads do not fit the registers");

/// Begins to copy `count` numbers of 4 bytes that lie `stride` apart, from number `first` of `rows` on.
template <int count, class T>
__device__ __forceinline__ void load_numbers(T* to, const T* from, int first, int rows, int stride) {
    if (threadIdx.x < count) {
        int row = first + threadIdx.x;
        bool inside = row < rows;
        cp_async_4(to + threadIdx.x, row_of(from, inside ? row : 0, stride), inside);
    }
}

/// Writes a warp's 16 rows, times a factor for each half, by way of its own rows of a tile that nobody reads any more.
__device__ __forceinline__ void store_rows(bf16* to, const float (&x)[CHUNKS][4], const float (&factor)[2], bf16* tile,
                                           int first, int rows, int stride) {
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, group = lane / 4, pair = lane % 4;
    for (int chunk = 0; chunk < CHUNKS; chunk++)
        for (int half = 0; half < 2; half++) {
            bf16* at = tile + swizzled(16 * warp + group + 8 * half, chunk) + 2 * pair;
            *reinterpret_cast<bf16x2*>(at) =
                pack_bf16(x[chunk][2 * half] * factor[half], x[chunk][2 * half + 1] * factor[half]);
        }
    // A lane reads what other lanes of its warp wrote.
    __syncwarp();
    for (int i = lane; i < 16 * CHUNKS; i += WARP) {
        int row = 16 * warp + i / CHUNKS, chunk = i % CHUNKS;
        if (first + row < rows)
            store_wide(row_of(to, first + row, stride) + chunk * 8, load_wide(tile + swizzled(row, chunk)));
    }
}

/// The key blocks that a tile's queries see, one after another; -1 behind the last.
struct KeyBlocks {
    const int* ranges;
    int left, block, end;

    __device__ __forceinline__ KeyBlocks(const int* ranges_at, const int* all, int tile)
        : ranges(all + 2LL * ranges_at[tile]), left(ranges_at[tile + 1] - ranges_at[tile]), block(0), end(0) {}

    __device__ __forceinline__ int next() {
        if (block < end) return block++;
        if (left == 0) return -1;
        block = ranges[0];
        end = ranges[1];
        ranges += 2;
        left--;
        return block++;
    }
};

/// Keys, values and ends of one block of keys on their way into shared memory, while another is worked on.
struct KeyStages {
    bf16 *keys, *values;
    int* ends;

    __device__ __forceinline__ explicit KeyStages(unsigned char* shared)
        : keys(reinterpret_cast<bf16*>(shared)),
          values(keys + 2 * TILE * HEAD_DIM),
          ends(reinterpret_cast<int*>(values + 2 * TILE * HEAD_DIM)) {}

    __device__ __forceinline__ bf16* keys_of(int stage) const { return keys + stage * TILE * HEAD_DIM; }

    __device__ __forceinline__ bf16* values_of(int stage) const { return values + stage * TILE * HEAD_DIM; }

    __device__ __forceinline__ int* ends_of(int stage) const { return ends + stage * TILE; }

    /// A key behind the last token ends at 0: nobody sees it.
    __device__ __forceinline__ void load(int stage, int block, const bf16* k, int qk_stride, const bf16* v,
                                         int v_stride, const int* end, int tokens) const {
        load_rows<TILE>(keys_of(stage), k, block * TILE, tokens, qk_stride);
        load_rows<TILE>(values_of(stage), v, block * TILE, tokens, v_stride);
        load_numbers<TILE>(ends_of(stage), end, block * TILE, tokens, 1);
    }
};

/// Whether each of a warp's queries `first..=last` sees each key of a block.
__device__ __forceinline__ bool all_seen(int block, const int* ends, int first, int last) {
    int lane = threadIdx.x % WARP, earliest = min(ends[lane], ends[lane + WARP]);
    return block * TILE + TILE - 1 <= first && !__any_sync(ALL_LANES, earliest <= last);
}

__device__ __forceinline__ bool sees(int query, int key, int end) { return key <= query && query < end; }

/// Grid: tiles, heads. `log_sum` is the log of each softmax's denominator, which the backward pass needs; `q` and `k`
/// point to the first head of rows that are `qk_stride` numbers long. Dynamic shared memory: 512 HEAD_DIM + 512 bytes.
extern "C" __global__ void __launch_bounds__(THREADS, AT_ONCE)
    attention_forward(bf16* out, float* log_sum, const bf16* q, const bf16* k, int qk_stride, const bf16* v,
                      int v_stride, const int* end, const int* ranges_at, const int* ranges, int tokens, int heads,
                      int kv_heads, float scale) {
    DYNAMIC_SHARED(shared);
    KeyStages stages(shared);
    // The last tiles see the most keys: they begin first.
    int tile = gridDim.x - 1 - blockIdx.x, head = blockIdx.y, kv = head / (heads / kv_heads);
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, group = lane / 4, pair = lane % 4;
    int first = tile * TILE, first_of_warp = first + 16 * warp, last_of_warp = min(first_of_warp + 15, tokens - 1);
    k += kv * HEAD_DIM;
    v += kv * HEAD_DIM;

    // Queries come by way of the second stage, which is loaded only after the loop's first barrier.
    load_rows<TILE>(stages.keys_of(1), q + head * HEAD_DIM, first, tokens, qk_stride);
    cp_async_commit();
    KeyBlocks blocks(ranges_at, ranges, tile);
    int block = blocks.next();
    stages.load(0, block, k, qk_stride, v, v_stride, end, tokens);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    unsigned queries[STEPS][4];
    for (int step = 0; step < STEPS; step++) load_left(queries[step], stages.keys_of(1), 16 * warp, step);

    // Of rows `group` and `group + 8`. The sums are this lane's own columns' until the end.
    float peak[2] = {-INFINITE, -INFINITE}, sum[2] = {}, x[CHUNKS][4] = {};
    // Scores are multiplied by this on their way into 2^x.
    float to_exponent = scale * LOG2_E;
    for (int stage = 0; block >= 0; stage ^= 1) {
        cp_async_wait<0>();
        // Behind it this stage is there for all, and nobody reads the other one any more.
        __syncthreads();
        int next = blocks.next();
        if (next >= 0) stages.load(stage ^ 1, next, k, qk_stride, v, v_stride, end, tokens);
        cp_async_commit();

        float s[TILE / 8][4] = {};
        for (int step = 0; step < STEPS; step++) step_transposed(s, queries[step], stages.keys_of(stage), step);
        const int* ends = stages.ends_of(stage);
        if (!all_seen(block, ends, first_of_warp, last_of_warp))
            for (int n = 0; n < TILE / 8; n++)
                for (int i = 0; i < 4; i++) {
                    int column = 8 * n + 2 * pair + i % 2, query = first_of_warp + group + i / 2 * 8;
                    if (!sees(query, block * TILE + column, ends[column])) s[n][i] = -INFINITE;
                }
        for (int half = 0; half < 2; half++) {
            float largest = peak[half];
            for (int n = 0; n < TILE / 8; n++) largest = fmaxf(largest, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
            // The four lanes of a row.
            largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 1));
            largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 2));
            // A row that has seen no key yet: minus infinity less itself would not be a number.
            float base = largest > -INFINITE ? largest * to_exponent : 0.0f;
            float factor = fast_exp2(peak[half] * to_exponent - base);
            peak[half] = largest;
            sum[half] *= factor;
            for (int n = 0; n < TILE / 8; n++)
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    s[n][i] = fast_exp2(s[n][i] * to_exponent - base);
                    sum[half] += s[n][i];
                }
            for (int chunk = 0; chunk < CHUNKS; chunk++)
                for (int i = 2 * half; i < 2 * half + 2; i++) x[chunk][i] *= factor;
        }
        multiply(x, s, stages.values_of(stage));
        block = next;
    }
    cp_async_wait<0>();

    float inverse[2];
    for (int half = 0; half < 2; half++) {
        sum[half] += __shfl_xor_sync(ALL_LANES, sum[half], 1);
        sum[half] += __shfl_xor_sync(ALL_LANES, sum[half], 2);
        // Rows behind the last token see nothing.
        inverse[half] = sum[half] > 0.0f ? 1.0f / sum[half] : 0.0f;
        int query = first_of_warp + group + 8 * half;
        if (pair == 0 && query < tokens)
            row_of(log_sum, query, heads)[head] = peak[half] * scale + logf(sum[half]);
    }
    // Nobody reads keys any more: their place takes the rows on their way out.
    __syncthreads();
    store_rows(out + head * HEAD_DIM, x, inverse, stages.keys, first, tokens, heads * HEAD_DIM);
}

/// delta = the product of each head's out and dout, over which a softmax's gradient is centred. Grid: any; as many
/// threads as eights, tokens * heads * HEAD_DIM / 8, in blocks of whole warps.
extern "C" __global__ void attention_delta(float* delta, const bf16* out, const bf16* dout, int tokens, int heads) {
    long long index = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    long long count = static_cast<long long>(tokens) * heads * CHUNKS;
    float sum = 0.0f;
    if (index < count) {
        float x[8], d[8];
        load_eight(x, out + index * 8, 8);
        load_eight(d, dout + index * 8, 8);
        for (int i = 0; i < 8; i++) sum += x[i] * d[i];
    }
    for (int distance = CHUNKS / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, distance);
    if (index < count && index % CHUNKS == 0) delta[index / CHUNKS] = sum;
}

/// dq, tile by tile: with p = e^(scale s - log_sum) and ds = p (dout v^T - delta), dq = scale ds k. Grid: tiles, heads.
/// Dynamic shared memory: 640 HEAD_DIM + 512 bytes.
extern "C" __global__ void __launch_bounds__(THREADS, AT_ONCE)
    attention_backward_queries(bf16* dq, int dq_stride, const bf16* q, const bf16* k, int qk_stride, const bf16* v,
                               int v_stride, const bf16* dout, const float* log_sum, const float* delta,
                               const int* end, const int* ranges_at, const int* ranges, int tokens, int heads,
                               int kv_heads, float scale) {
    DYNAMIC_SHARED(shared);
    bf16* douts = reinterpret_cast<bf16*>(shared);
    KeyStages stages(shared + TILE * HEAD_DIM * sizeof(bf16));
    int tile = gridDim.x - 1 - blockIdx.x, head = blockIdx.y, kv = head / (heads / kv_heads);
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, group = lane / 4, pair = lane % 4;
    int first = tile * TILE, first_of_warp = first + 16 * warp, last_of_warp = min(first_of_warp + 15, tokens - 1);
    k += kv * HEAD_DIM;
    v += kv * HEAD_DIM;

    // As in the forward pass, queries come by way of the second stage.
    load_rows<TILE>(stages.keys_of(1), q + head * HEAD_DIM, first, tokens, qk_stride);
    load_rows<TILE>(douts, dout + head * HEAD_DIM, first, tokens, heads * HEAD_DIM);
    cp_async_commit();
    KeyBlocks blocks(ranges_at, ranges, tile);
    int block = blocks.next();
    stages.load(0, block, k, qk_stride, v, v_stride, end, tokens);
    cp_async_commit();
    float shift[2], centre[2];
    for (int half = 0; half < 2; half++) {
        int query = first_of_warp + group + 8 * half;
        shift[half] = query < tokens ? row_of(log_sum, query, heads)[head] * LOG2_E : 0.0f;
        centre[half] = query < tokens ? row_of(delta, query, heads)[head] : 0.0f;
    }
    cp_async_wait<1>();
    __syncthreads();
    unsigned queries[STEPS][4];
    for (int step = 0; step < STEPS; step++) load_left(queries[step], stages.keys_of(1), 16 * warp, step);

    float x[CHUNKS][4] = {}, to_exponent = scale * LOG2_E;
    for (int stage = 0; block >= 0; stage ^= 1) {
        cp_async_wait<0>();
        // Behind it this stage is there for all, and nobody reads the other one any more.
        __syncthreads();
        int next = blocks.next();
        if (next >= 0) stages.load(stage ^ 1, next, k, qk_stride, v, v_stride, end, tokens);
        cp_async_commit();

        float s[TILE / 8][4] = {}, ds[TILE / 8][4] = {};
        for (int step = 0; step < STEPS; step++) step_transposed(s, queries[step], stages.keys_of(stage), step);
        multiply_transposed(ds, douts, 16 * warp, stages.values_of(stage));
        const int* ends = stages.ends_of(stage);
        bool masked = !all_seen(block, ends, first_of_warp, last_of_warp);
        for (int n = 0; n < TILE / 8; n++)
            for (int i = 0; i < 4; i++) {
                int column = 8 * n + 2 * pair + i % 2, query = first_of_warp + group + i / 2 * 8;
                float p = fast_exp2(s[n][i] * to_exponent - shift[i / 2]);
                if (masked && !sees(query, block * TILE + column, ends[column])) p = 0.0f;
                ds[n][i] = p * (ds[n][i] - centre[i / 2]);
            }
        multiply(x, ds, stages.keys_of(stage));
        block = next;
    }
    cp_async_wait<0>();
    float factor[2] = {scale, scale};
    // Nobody reads keys any more: their place takes the rows on their way out.
    __syncthreads();
    store_rows(dq + head * HEAD_DIM, x, factor, stages.keys, first, tokens, dq_stride);
}

/// Queries, gradients and sums of one tile of one head, on their way into shared memory while another is worked on.
struct QueryStages {
    bf16 *queries, *douts;
    float *log_sums, *deltas;

    __device__ __forceinline__ explicit QueryStages(unsigned char* shared)
        : queries(reinterpret_cast<bf16*>(shared)),
          douts(queries + 2 * QUERIES * HEAD_DIM),
          log_sums(reinterpret_cast<float*>(douts + 2 * QUERIES * HEAD_DIM)),
          deltas(log_sums + 2 * QUERIES) {}

    /// Rows behind the last token are zeros: they add nothing.
    __device__ __forceinline__ void load(int stage, int first, int head, const bf16* q, int qk_stride,
                                         const bf16* dout, const float* log_sum, const float* delta, int tokens,
                                         int heads) const {
        load_rows<QUERIES>(queries + stage * QUERIES * HEAD_DIM, q + head * HEAD_DIM, first, tokens, qk_stride);
        load_rows<QUERIES>(douts + stage * QUERIES * HEAD_DIM, dout + head * HEAD_DIM, first, tokens,
                           heads * HEAD_DIM);
        load_numbers<QUERIES>(log_sums + stage * QUERIES, log_sum + head, first, tokens, heads);
        load_numbers<QUERIES>(deltas + stage * QUERIES, delta + head, first, tokens, heads);
    }
};

/// dk and dv of one block of keys, over all queries that may see them of all heads of its group, one after another:
/// with p and ds as above, dv = p^T dout and dk = scale ds^T q. A warp has 16 keys and computes transposed scores, so
/// that they are the left side of the products that follow. reach[b] is the largest end of block b's keys. Grid: key
/// blocks, kv_heads. Dynamic shared memory: 512 HEAD_DIM + 512 bytes.
extern "C" __global__ void __launch_bounds__(THREADS, AT_ONCE)
    attention_backward_keys(bf16* dk, bf16* dv, int dkv_stride, const bf16* q, const bf16* k, int qk_stride,
                            const bf16* v, int v_stride, const bf16* dout, const float* log_sum, const float* delta,
                            const int* end, const int* reach, int tokens, int heads, int kv_heads, float scale) {
    DYNAMIC_SHARED(shared);
    bf16 *keys = reinterpret_cast<bf16*>(shared), *values = keys + TILE * HEAD_DIM;
    QueryStages stages(shared + 2 * TILE * HEAD_DIM * sizeof(bf16));
    int kv = blockIdx.y, of_group = heads / kv_heads, first = blockIdx.x * TILE;
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, group = lane / 4, pair = lane % 4;
    int first_of_warp = first + 16 * warp;
    // Keys behind the last token end at 0: nobody sees them.
    int ends[2], earliest;
    for (int half = 0; half < 2; half++) {
        int key = first_of_warp + group + 8 * half;
        ends[half] = key < tokens ? end[key] : 0;
    }
    earliest = min(ends[0], ends[1]);
    for (int distance = 4; distance < WARP; distance *= 2)
        earliest = min(earliest, __shfl_xor_sync(ALL_LANES, earliest, distance));

    int tiles = (reach[blockIdx.x] - first + QUERIES - 1) / QUERIES, steps = tiles * of_group;
    load_rows<TILE>(keys, k + kv * HEAD_DIM, first, tokens, qk_stride);
    load_rows<TILE>(values, v + kv * HEAD_DIM, first, tokens, v_stride);
    stages.load(0, first, kv * of_group, q, qk_stride, dout, log_sum, delta, tokens, heads);
    cp_async_commit();

    float xk[CHUNKS][4] = {}, xv[CHUNKS][4] = {}, to_exponent = scale * LOG2_E;
    for (int step = 0; step < steps; step++) {
        cp_async_wait<0>();
        // Behind it this stage is there for all, and nobody reads the other one any more.
        __syncthreads();
        int stage = step % 2, first_query = first + step % tiles * QUERIES;
        if (step + 1 < steps)
            stages.load(stage ^ 1, first + (step + 1) % tiles * QUERIES, kv * of_group + (step + 1) / tiles, q,
                        qk_stride, dout, log_sum, delta, tokens, heads);
        cp_async_commit();

        const bf16 *queries = stages.queries + stage * QUERIES * HEAD_DIM;
        const bf16 *douts = stages.douts + stage * QUERIES * HEAD_DIM;
        const float *log_sums = stages.log_sums + stage * QUERIES, *deltas = stages.deltas + stage * QUERIES;
        float s[QUERIES / 8][4] = {}, ds[QUERIES / 8][4] = {};
        multiply_transposed(s, keys, 16 * warp, queries);
        bool masked = first_of_warp + 15 > first_query || first_query + QUERIES > earliest;
        for (int n = 0; n < QUERIES / 8; n++)
            for (int i = 0; i < 4; i++) {
                int column = 8 * n + 2 * pair + i % 2, key = first_of_warp + group + i / 2 * 8;
                s[n][i] = fast_exp2(s[n][i] * to_exponent - log_sums[column] * LOG2_E);
                if (masked && !sees(first_query + column, key, ends[i / 2])) s[n][i] = 0.0f;
            }
        multiply(xv, s, douts);
        multiply_transposed(ds, values, 16 * warp, douts);
        for (int n = 0; n < QUERIES / 8; n++)
            for (int i = 0; i < 4; i++) ds[n][i] = s[n][i] * (ds[n][i] - deltas[8 * n + 2 * pair + i % 2]);
        multiply(xk, ds, queries);
    }
    cp_async_wait<0>();
    float of_keys[2] = {scale, scale}, of_values[2] = {1.0f, 1.0f};
    // Each warp has read its own keys and values only; but lanes read one another's.
    __syncwarp();
    store_rows(dk + kv * HEAD_DIM, xk, of_keys, keys, first, tokens, dkv_stride);
    store_rows(dv + kv * HEAD_DIM, xv, of_values, values, first, tokens, dkv_stride);
}

// Whole rows from one place to another. Where no word is said, a block of any size works on one row.

/// x[t] = table[tokens[t]]. Grid: rows.
extern "C" __global__ void embed(float* x, const bf16* table, const int* tokens, int hidden) {
    const bf16* from = row_of(table, tokens[blockIdx.x], hidden);
    float* to = row_of(x, blockIdx.x, hidden);
    for (int i = first_eight(); i < hidden; i += next_eight()) {
        float values[8];
        load_eight(values, from + i, hidden - i);
        store_eight(to + i, values, hidden - i);
    }
}

/// out[r] = x[rows[r]]. Grid: rows.
extern "C" __global__ void gather_rows(float* out, const float* x, const int* rows, int width) {
    const float* from = row_of(x, rows[blockIdx.x], width);
    float* to = row_of(out, blockIdx.x, width);
    for (int i = first_eight(); i < width; i += next_eight()) {
        float values[8];
        load_eight(values, from + i, width - i);
        store_eight(to + i, values, width - i);
    }
}

/// to[ids[g]] += the sum of from[order[i]] over i in starts[g]..starts[g + 1], in that order. No two groups have the
/// same id. Grid: groups.
extern "C" __global__ void add_rows(float* to, const float* from, const int* order, const int* starts, const int* ids,
                                    int width) {
    int start = starts[blockIdx.x], end = starts[blockIdx.x + 1];
    float* out = row_of(to, ids[blockIdx.x], width);
    for (int i = first_eight(); i < width; i += next_eight()) {
        float sum[8] = {};
        // Frequent tokens have long groups: several rows are under way at once.
        UNROLL(4)
        for (int member = start; member < end; member++) {
            float values[8];
            load_eight(values, row_of(from, order[member], width) + i, width - i);
            for (int j = 0; j < 8; j++) sum[j] += values[j];
        }
        float values[8];
        load_eight(values, out + i, width - i);
        for (int j = 0; j < 8; j++) values[j] += sum[j];
        store_eight(out + i, values, width - i);
    }
}

/// out = x, rounded. Any grid.
extern "C" __global__ void narrow(bf16* out, const float* x, long long n) {
    for (long long i = first_eight_of_grid(); i < n; i += next_eight_of_grid()) {
        float values[8];
        load_eight(values, x + i, n - i);
        store_eight(out + i, values, n - i);
    }
}

/// out = x. Any grid.
extern "C" __global__ void widen(float* out, const bf16* x, long long n) {
    for (long long i = first_eight_of_grid(); i < n; i += next_eight_of_grid()) {
        float values[8];
        load_eight(values, x + i, n - i);
        store_eight(out + i, values, n - i);
    }
}

/// out[r] += bias. Grid: rows.
extern "C" __global__ void add_bias(bf16* out, const bf16* bias, int rows, int columns) {
    bf16* row = row_of(out, blockIdx.x, columns);
    for (int i = first_eight(); i < columns; i += next_eight()) {
        float values[8], added[8];
        load_eight(values, row + i, columns - i);
        load_eight(added, bias + i, columns - i);
        for (int j = 0; j < 8; j++) values[j] += added[j];
        store_eight(row + i, values, columns - i);
    }
}

/// partials[p] = the sum of x's rows from PARTIAL p on, PARTIAL of them. Grid: parts, and as many blocks as it takes
/// for a thread to have eight columns.
extern "C" __global__ void column_sums(float* partials, const bf16* x, int rows, int columns) {
    int first = blockIdx.x * PARTIAL, end = min(rows, first + PARTIAL);
    int i = first_eight() + blockIdx.y * next_eight();
    if (i >= columns) return;
    float sum[8] = {};
    for (int row = first; row < end; row++) {
        float values[8];
        load_eight(values, row_of(x, row, columns) + i, columns - i);
        for (int j = 0; j < 8; j++) sum[j] += values[j];
    }
    store_eight(row_of(partials, blockIdx.x, columns) + i, sum, columns - i);
}

/// to[j] += the sum of partials[p][j] over the parts. A block of 256 threads has 32 columns, so that a warp reads
/// whole lines; its warps take the parts in turn, and what they found is added in their order. Grid: columns / 32.
extern "C" __global__ void add_partials(float* to, const float* partials, int parts, int width) {
    __shared__ float sums[8][WARP];
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int column = blockIdx.x * WARP + lane;
    float sum = 0.0f;
    if (column < width)
        for (int part = warp; part < parts; part += 8) sum += row_of(partials, part, width)[column];
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || column >= width) return;
    for (int other = 1; other < 8; other++) sum += sums[other][lane];
    to[column] += sum;
}

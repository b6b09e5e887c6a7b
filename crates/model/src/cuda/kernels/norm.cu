// RMSNorm (Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467): x / sqrt(mean(x^2) + eps) * gain.

/// Grid: rows.
extern "C" __global__ void rms_norm(bf16* out, const float* x, const bf16* gain, int rows, int hidden, float eps) {
    const float* from = row_of(x, blockIdx.x, hidden);
    bf16* to = row_of(out, blockIdx.x, hidden);
    float squares = 0.0f;
    for (int i = first_eight(); i < hidden; i += next_eight()) {
        float values[8];
        load_eight(values, from + i, hidden - i);
        for (int j = 0; j < 8; j++) squares += values[j] * values[j];
    }
    float inverse = rsqrtf(block_sum(squares) / hidden + eps);
    for (int i = first_eight(); i < hidden; i += next_eight()) {
        float values[8], gains[8];
        load_eight(values, from + i, hidden - i);
        load_eight(gains, gain + i, hidden - i);
        for (int j = 0; j < 8; j++) values[j] *= inverse * gains[j];
        store_eight(to + i, values, hidden - i);
    }
}

/// dx += d, where with y = dout gain and r = 1 / rms: d = r y - x r^3 mean(x y); and dgain_partials[p] = the sum of
/// dout x r over the rows of part p. Grid: parts of PARTIAL rows. Dynamic shared memory: hidden floats.
extern "C" __global__ void rms_norm_backward(float* dx, float* dgain_partials, const float* x, const bf16* gain,
                                             const bf16* dout, int rows, int hidden, float eps) {
    // Each thread touches its own columns of this only: it needs no barrier.
    DYNAMIC_SHARED(shared);
    float* dgain = reinterpret_cast<float*>(shared);
    for (int i = first_eight(); i < hidden; i += next_eight())
        for (int j = 0; j < 8 && i + j < hidden; j++) dgain[i + j] = 0.0f;

    int first = blockIdx.x * PARTIAL, end = min(rows, first + PARTIAL);
    for (int row = first; row < end; row++) {
        const float* from = row_of(x, row, hidden);
        const bf16* d = row_of(dout, row, hidden);
        // Of squares, and of products with what comes back.
        float sums[2] = {};
        for (int i = first_eight(); i < hidden; i += next_eight()) {
            float values[8], ds[8], gains[8];
            load_eight(values, from + i, hidden - i);
            load_eight(ds, d + i, hidden - i);
            load_eight(gains, gain + i, hidden - i);
            for (int j = 0; j < 8; j++) {
                sums[0] += values[j] * values[j];
                sums[1] += values[j] * ds[j] * gains[j];
            }
        }
        block_sums(sums);
        float inverse = rsqrtf(sums[0] / hidden + eps), projection = sums[1] * inverse * inverse * inverse / hidden;

        float* to = row_of(dx, row, hidden);
        for (int i = first_eight(); i < hidden; i += next_eight()) {
            float values[8], ds[8], gains[8], sum[8];
            load_eight(values, from + i, hidden - i);
            load_eight(ds, d + i, hidden - i);
            load_eight(gains, gain + i, hidden - i);
            load_eight(sum, to + i, hidden - i);
            for (int j = 0; j < 8; j++) {
                sum[j] += ds[j] * gains[j] * inverse - values[j] * projection;
                if (i + j < hidden) dgain[i + j] += ds[j] * values[j] * inverse;
            }
            store_eight(to + i, sum, hidden - i);
        }
    }
    float* partial = row_of(dgain_partials, blockIdx.x, hidden);
    for (int i = first_eight(); i < hidden; i += next_eight())
        for (int j = 0; j < 8 && i + j < hidden; j++) partial[i + j] = dgain[i + j];
}

// The optimiser's pass over the flat buffers.

/// partials[p] = the sum of squares over part p of `parts` equal ones; their bounds depend on n and parts only.
/// Grid: parts; 256 threads.
extern "C" __global__ void square_sums(double* partials, const float* x, long long n, int parts) {
    // A multiple of 8, so that wide loads are aligned.
    long long each = ((n + parts - 1) / parts + 7) / 8 * 8;
    long long start = each * blockIdx.x, end = min(n, start + each);
    double sum = 0.0;
    for (long long i = start + first_eight(); i < end; i += next_eight()) {
        float values[8];
        load_eight(values, x + i, end - i);
        for (int j = 0; j < 8; j++) sum += static_cast<double>(values[j]) * values[j];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

/// AdamW (Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101) on master weights, and the weights that the
/// model reads, rounded. `step_size` is the learning rate over the first moment's bias correction, `second_scale`
/// what the second moment's root is multiplied by for its bias, `shrink` what a decaying weight keeps. Any grid.
extern "C" __global__ void adamw(float* master, bf16* weights, const float* gradient, float* first, float* second,
                                 long long n, float beta1, float beta2, float eps, float grad_scale, float step_size,
                                 float second_scale, float shrink) {
    for (long long i = first_eight_of_grid(); i < n; i += next_eight_of_grid()) {
        float w[8], g[8], m[8], v[8];
        load_eight(w, master + i, n - i);
        load_eight(g, gradient + i, n - i);
        load_eight(m, first + i, n - i);
        load_eight(v, second + i, n - i);
        for (int j = 0; j < 8; j++) {
            float scaled = g[j] * grad_scale;
            m[j] += (1.0f - beta1) * (scaled - m[j]);
            v[j] = beta2 * v[j] + (1.0f - beta2) * scaled * scaled;
            w[j] = w[j] * shrink - step_size * m[j] / (sqrtf(v[j]) * second_scale + eps);
        }
        store_eight(master + i, w, n - i);
        store_eight(first + i, m, n - i);
        store_eight(second + i, v, n - i);
        store_eight(weights + i, w, n - i);
    }
}

/// Sets *found to 1 where a number is not finite, and else leaves it. Any grid.
extern "C" __global__ void all_finite(int* found, const float* x, long long n) {
    int bad = 0;
    for (long long i = first_eight_of_grid(); i < n; i += next_eight_of_grid()) {
        float values[8];
        load_eight(values, x + i, n - i);
        for (int j = 0; j < 8; j++) bad |= !(fabsf(values[j]) < INFINITE);
    }
    bad = __syncthreads_or(bad);
    if (bad && threadIdx.x == 0) *found = 1;
}

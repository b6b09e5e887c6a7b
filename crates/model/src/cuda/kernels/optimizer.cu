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

/// A moment in f32, as it is.
__device__ __forceinline__ float held(const float*, float x, unsigned) { return x; }

/// A moment in bf16: rounded up as often as what would be cut off is large, by 16 random bits, so that what moves it by
/// less than half a step still moves it on average (Gupta et al. 2015, https://arxiv.org/abs/1502.02551).
__device__ __forceinline__ float held(const bf16*, float x, unsigned dice) {
    return __uint_as_float((__float_as_uint(x) + (dice & 0xFFFFu)) & 0xFFFF0000u);
}

/// 32 random bits for each number (the finaliser of SplitMix64, Steele et al. 2014).
__device__ __forceinline__ unsigned random_of(unsigned long long x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return static_cast<unsigned>((x ^ (x >> 31)) >> 32);
}

/// What a step is of.
struct Rule {
    float beta1, beta2, eps, grad_scale, step_size, second_scale, shrink;
    /// Of the step's random numbers.
    unsigned long long seed;
};

template <typename Moment>
__device__ __forceinline__ void take_step(float* master, bf16* weights, const float* gradient, Moment* first,
                                          Moment* second, long long n, const Rule& rule) {
    for (long long i = first_eight_of_grid(); i < n; i += next_eight_of_grid()) {
        float w[8], g[8], m[8], v[8];
        load_eight(w, master + i, n - i);
        load_eight(g, gradient + i, n - i);
        load_eight(m, first + i, n - i);
        load_eight(v, second + i, n - i);
        for (int j = 0; j < 8; j++) {
            float scaled = g[j] * rule.grad_scale;
            m[j] += (1.0f - rule.beta1) * (scaled - m[j]);
            v[j] = rule.beta2 * v[j] + (1.0f - rule.beta2) * scaled * scaled;
            w[j] = w[j] * rule.shrink - rule.step_size * m[j] / (sqrtf(v[j]) * rule.second_scale + rule.eps);
            unsigned dice = random_of(rule.seed + i + j);
            m[j] = held(first, m[j], dice);
            v[j] = held(second, v[j], dice >> 16);
        }
        store_eight(master + i, w, n - i);
        store_eight(first + i, m, n - i);
        store_eight(second + i, v, n - i);
        store_eight(weights + i, w, n - i);
    }
}

/// AdamW (Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101) on master weights, and the weights that the
/// model reads, rounded. `step_size` is the learning rate over the first moment's bias correction, `second_scale`
/// what the second moment's root is multiplied by for its bias, `shrink` what a decaying weight keeps. Any grid.
extern "C" __global__ void adamw(float* master, bf16* weights, const float* gradient, float* first, float* second,
                                 long long n, float beta1, float beta2, float eps, float grad_scale, float step_size,
                                 float second_scale, float shrink) {
    take_step(master, weights, gradient, first, second, n,
              {beta1, beta2, eps, grad_scale, step_size, second_scale, shrink, 0});
}

/// The same with moments in bf16. `seed` is another for each step, and far from each other's by more than n.
extern "C" __global__ void adamw_narrow(float* master, bf16* weights, const float* gradient, bf16* first, bf16* second,
                                        long long n, float beta1, float beta2, float eps, float grad_scale,
                                        float step_size, float second_scale, float shrink, long long seed) {
    take_step(master, weights, gradient, first, second, n,
              {beta1, beta2, eps, grad_scale, step_size, second_scale, shrink, static_cast<unsigned long long>(seed)});
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

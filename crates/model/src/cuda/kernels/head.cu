// From logits to log-probabilities and entropies, and back. Logits are already divided by the temperature. A block
// works on one row.

/// What is known of part of a row: its largest logit, and with w = e^(logit - peak) the sums of w and of
/// w (logit - peak).
struct Softmax {
    float peak;
    double sum, weighted;
};

__device__ __forceinline__ float exponential(float x) { return fast_exp2(x * LOG2_E); }

/// Reads a row once, with an online softmax (Milakov & Gimelshein 2018, https://arxiv.org/abs/1805.02867). A NaN
/// among the logits makes the sums NaN.
__device__ Softmax softmax(const float* logits, int vocab) {
    float peak = -INFINITE, sum = 0.0f, weighted = 0.0f;
    for (int i = first_eight(); i < vocab; i += next_eight()) {
        float x[8];
        load_eight(x, logits + i, vocab - i);
        float largest = peak;
        for (int j = 0; j < 8; j++) largest = i + j < vocab ? fmaxf(largest, x[j]) : largest;
        // Before the first finite logit there is nothing to shift: minus infinity less itself is not a number.
        if (largest > peak && peak > -INFINITE) {
            float shift = peak - largest, factor = exponential(shift);
            weighted = factor * (weighted + sum * shift);
            sum *= factor;
        }
        peak = largest;
        float base = peak > -INFINITE ? peak : 0.0f;
        for (int j = 0; j < 8; j++) {
            float shifted = x[j] - base, weight = i + j < vocab ? exponential(shifted) : 0.0f;
            sum += weight;
            // Of minus infinity nothing remains, and 0 times infinity is not a number.
            weighted += weight == 0.0f ? 0.0f : weight * shifted;
        }
    }
    Softmax all;
    all.peak = block_max(peak);
    float shift = peak > -INFINITE ? peak - all.peak : 0.0f;
    double factor = exponential(shift);
    double sums[2] = {sum * factor, (weighted + static_cast<double>(sum) * shift) * factor};
    block_sums(sums);
    all.sum = sums[0];
    all.weighted = sums[1];
    return all;
}

/// Of each row's token the log-probability, and the row's entropy = log Z - E[logit], in nats. Grid: rows.
extern "C" __global__ void logprob(float* logprobs, float* entropies, const float* logits, const int* tokens, int rows,
                                   int vocab) {
    const float* row = row_of(logits, blockIdx.x, vocab);
    Softmax all = softmax(row, vocab);
    if (threadIdx.x > 0) return;
    double log_sum = log(all.sum);
    logprobs[blockIdx.x] = static_cast<float>(row[tokens[blockIdx.x]] - all.peak - log_sum);
    entropies[blockIdx.x] = static_cast<float>(log_sum - all.weighted / all.sum);
}

/// The gradient of c_logprob logprob(token) + c_entropy entropy, times `scale`: with p the row's probabilities,
/// c_logprob (1[token] - p) - c_entropy p (log p + entropy). Grid: rows.
extern "C" __global__ void logit_gradient(bf16* dlogits, const float* logits, const int* tokens,
                                          const float* c_logprob, const float* c_entropy, const float* entropies,
                                          float scale, int rows, int vocab) {
    const float* row = row_of(logits, blockIdx.x, vocab);
    bf16* out = row_of(dlogits, blockIdx.x, vocab);
    Softmax all = softmax(row, vocab);
    float inverse = static_cast<float>(1.0 / all.sum), log_sum = static_cast<float>(log(all.sum));
    float of_logprob = c_logprob[blockIdx.x] * scale, of_entropy = c_entropy[blockIdx.x] * scale;
    float entropy = entropies[blockIdx.x];
    int token = tokens[blockIdx.x];
    for (int i = first_eight(); i < vocab; i += next_eight()) {
        float x[8];
        load_eight(x, row + i, vocab - i);
        for (int j = 0; j < 8; j++) {
            float shifted = x[j] - all.peak, p = exponential(shifted) * inverse;
            float gradient = -of_logprob * p;
            if (of_entropy != 0.0f && p != 0.0f) gradient -= of_entropy * p * (shifted - log_sum + entropy);
            x[j] = i + j == token ? gradient + of_logprob : gradient;
        }
        store_eight(out + i, x, vocab - i);
    }
}

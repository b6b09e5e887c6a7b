// One token from each row of logits, as `sample` of sampling.rs chooses it: top-k, top-p and min-p, one after another,
// each of what the last one left. A block works on a row, whose weights are never stored: e^((logit - largest) /
// temperature) is computed again in each pass, to the same bits.

/// Bits of 1.0f, the largest weight. Floats that are not negative are ordered as their bits are.
#define ONE_BITS 0x3F800000u
/// Thresholds that a pass of a search tries at once.
#define TRIED 7
/// So few tokens are walked through by one warp.
#define FEW 1024

struct Row {
    const float* logits;
    int vocab;
    float peak, to_exponent;

    __device__ __forceinline__ float weight_of(float logit) const { return fast_exp2((logit - peak) * to_exponent); }
};

/// What is kept of a row: the tokens whose weights' bits are above `bits`, and of those that have just these the first
/// `ties`.
struct Cut {
    unsigned bits;
    int ties;
};

/// The highest threshold, from `cut.bits` on, such that what is kept of the tokens that reach it still measures at
/// least `wanted`, by number or by mass; then as few of those that just reach it as will do.
template <bool by_mass>
__device__ Cut keep_largest(const Row& row, Cut cut, double wanted) {
    unsigned low = cut.bits, high = ONE_BITS + 1;
    double above = 0.0;
    while (high - low > 1) {
        unsigned step = (high - low + TRIED) / (TRIED + 1);
        double reached[TRIED] = {};
        for (int i = first_eight(); i < row.vocab; i += next_eight()) {
            float x[8];
            load_eight(x, row.logits + i, row.vocab - i);
            for (int j = 0; j < 8; j++) {
                float weight = i + j < row.vocab ? row.weight_of(x[j]) : 0.0f;
                for (int t = 0; t < TRIED; t++)
                    if (i + j < row.vocab && __float_as_uint(weight) >= low + (t + 1) * step)
                        reached[t] += by_mass ? weight : 1.0;
            }
        }
        block_sums(reached);
        unsigned from = low;
        double above_next = above;
        unsigned next_high = high;
        for (int t = 0; t < TRIED; t++) {
            unsigned threshold = from + (t + 1) * step;
            double measure = reached[t];
            if (threshold >= high) break;
            if (measure >= wanted) {
                low = threshold;
            } else {
                next_high = threshold;
                above_next = measure;
                break;
            }
        }
        high = next_high;
        above = above_next;
    }
    double missing = wanted - above, each = by_mass ? __uint_as_float(low) : 1.0;
    int ties = each > 0.0 ? static_cast<int>(min(ceil(missing / each), static_cast<double>(row.vocab))) : row.vocab;
    // At the old threshold no more are there than were kept.
    if (low == cut.bits) ties = min(ties, cut.ties);
    return {low, max(ties, 1)};
}

/// What a part of a row weighs.
struct Part {
    double above;
    int equal;

    /// The mass of what is kept, where `before` tokens just at the threshold come before the part.
    __device__ __forceinline__ double kept(const Cut& cut, int before) const {
        int ties = min(max(cut.ties - before, 0), equal);
        return above + static_cast<double>(ties) * __uint_as_float(cut.bits);
    }
};

/// A warp weighs the tokens `from..to`.
__device__ Part weigh(const Row& row, const Cut& cut, int from, int to) {
    Part part = {};
    for (int i = from + threadIdx.x % WARP; i < to; i += WARP) {
        float weight = row.weight_of(row.logits[i]);
        unsigned bits = __float_as_uint(weight);
        if (bits > cut.bits) part.above += weight;
        part.equal += bits == cut.bits;
    }
    return {warp_sum(part.above), warp_sum(part.equal)};
}

/// The mass of all that is kept.
__device__ double mass(const Row& row, const Cut& cut) {
    __shared__ Part parts[WARP];
    int warp = threadIdx.x / WARP, warps = blockDim.x / WARP, each = (row.vocab + warps - 1) / warps;
    Part part = weigh(row, cut, min(row.vocab, warp * each), min(row.vocab, (warp + 1) * each));
    // Whoever still reads what the call before found must have done so.
    __syncthreads();
    if (threadIdx.x % WARP == 0) parts[warp] = part;
    __syncthreads();
    double sum = 0.0;
    int before = 0;
    for (int other = 0; other < warps; other++) {
        sum += parts[other].kept(cut, before);
        before += parts[other].equal;
    }
    return sum;
}

/// The token at which the running sum of what is kept passes `target`. Every thread narrows the range down to the part
/// that one warp weighed, until one warp can walk through it; warp 0 has the result.
__device__ int invert(const Row& row, const Cut& cut, double target) {
    __shared__ Part parts[WARP];
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    int from = 0, to = row.vocab, before = 0;
    while (to - from > FEW) {
        int each = (to - from + warps - 1) / warps;
        Part part = weigh(row, cut, min(to, from + warp * each), min(to, from + (warp + 1) * each));
        // Whoever still reads what the round before found must have done so.
        __syncthreads();
        if (lane == 0) parts[warp] = part;
        __syncthreads();
        // The last part that weighs anything, where rounding leaves the sum short of the target.
        int chosen = 0, ties = before, ties_of_chosen = before;
        double rest = target, rest_of_chosen = target;
        for (int other = 0; other < warps; other++) {
            double kept = parts[other].kept(cut, ties);
            if (kept > 0.0) {
                chosen = other;
                ties_of_chosen = ties;
                rest_of_chosen = rest;
                if (rest < kept) break;
            }
            rest -= kept;
            ties += parts[other].equal;
        }
        target = rest_of_chosen;
        before = ties_of_chosen;
        to = min(to, from + (chosen + 1) * each);
        from += chosen * each;
    }
    int token = from;
    if (warp > 0) return token;
    for (int first = from; first < to; first += WARP) {
        int i = first + lane;
        float weight = i < to ? row.weight_of(row.logits[i]) : 0.0f;
        unsigned bits = __float_as_uint(weight), equal = __ballot_sync(ALL_LANES, i < to && bits == cut.bits);
        int rank = before + __popc(equal & ((1u << lane) - 1));
        bool kept = i < to && (bits > cut.bits || (bits == cut.bits && rank < cut.ties));
        double sum = kept ? weight : 0.0;
        for (int distance = 1; distance < WARP; distance *= 2) {
            double other = __shfl_up_sync(ALL_LANES, sum, distance);
            if (lane >= distance) sum += other;
        }
        unsigned passed = __ballot_sync(ALL_LANES, target < sum);
        unsigned weighs = __ballot_sync(ALL_LANES, kept && weight > 0.0f);
        if (passed) return first + __ffs(passed) - 1;
        // The last that weighs anything, should rounding leave the sum short of the target.
        if (weighs) token = first + WARP - 1 - __clz(weighs);
        target -= __shfl_sync(ALL_LANES, sum, WARP - 1);
        before += __popc(equal);
    }
    return token;
}

/// `drawn`, [rows], is uniform in [0, 1). At temperature 0 the token is the likeliest, the first of equals, and its
/// log-probability that of the softmax at temperature 1. A row without a finite maximum gives token 0 and NaN.
/// Grid: rows.
extern "C" __global__ void sample(int* tokens, float* logprobs, const float* logits, const double* drawn,
                                  float temperature, int top_k, float top_p, float min_p, int rows, int vocab) {
    bool greedy = temperature == 0.0f;
    Row row{row_of(logits, blockIdx.x, vocab), vocab, -INFINITE, LOG2_E * (greedy ? 1.0f : 1.0f / temperature)};
    for (int i = first_eight(); i < vocab; i += next_eight()) {
        float x[8];
        load_eight(x, row.logits + i, vocab - i);
        for (int j = 0; j < 8; j++) row.peak = i + j < vocab ? fmaxf(row.peak, x[j]) : row.peak;
    }
    row.peak = block_max(row.peak);
    Cut cut{0, vocab};
    // A NaN among the logits makes this one.
    double total = mass(row, cut);
    if (!(fabsf(row.peak) < INFINITE) || !(total < static_cast<double>(INFINITE))) {
        if (threadIdx.x == 0) tokens[blockIdx.x] = 0, logprobs[blockIdx.x] = __uint_as_float(0x7FC00000u);
        return;
    }
    int token;
    if (greedy) {
        int first = vocab;
        for (int i = threadIdx.x; i < vocab && first == vocab; i += blockDim.x)
            if (row.logits[i] == row.peak) first = i;
        // Exact as a float: no vocabulary has 2^24 tokens.
        token = static_cast<int>(-block_max(static_cast<float>(-first)));
    } else {
        bool truncates = (top_k > 0 && top_k < vocab) || top_p < 1.0f || min_p > 0.0f;
        if (top_k > 0 && top_k < vocab) {
            cut = keep_largest<false>(row, cut, top_k);
            if (top_p < 1.0f) total = mass(row, cut);
        }
        if (top_p < 1.0f) cut = keep_largest<true>(row, cut, top_p * total);
        if (__float_as_uint(min_p) > cut.bits) cut = {__float_as_uint(min_p), vocab};
        if (truncates) total = mass(row, cut);
        token = invert(row, cut, drawn[blockIdx.x] * total);
    }
    if (threadIdx.x > 0) return;
    tokens[blockIdx.x] = token;
    logprobs[blockIdx.x] = static_cast<float>(log(static_cast<double>(row.weight_of(row.logits[token]))) - log(total));
}

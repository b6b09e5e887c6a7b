// Kernels over heads, HEAD_DIM wide, against references in double precision: rotary positions, and attention over
// random token trees.

#include "check.h"

namespace rotary {
#include "rotary.cu"
}
namespace attention {
#include "attention.cu"
}

/// Heads that share keys, and how many of each there are.
struct Shape {
    int heads, kv_heads;

    int rotated() const { return (heads + kv_heads) * HEAD_DIM; }
    int columns() const { return (heads + 2 * kv_heads) * HEAD_DIM; }
    int attended() const { return heads * HEAD_DIM; }
};

static void check_rotary(int rows, Shape shape, bool normed) {
    setting = "rotary, " + std::to_string(rows) + " rows" + (normed ? ", normed" : "");
    const int half = HEAD_DIM / 2, places = 50, turned = shape.heads + shape.kv_heads;
    const float eps = 1e-6f;
    auto projected = random_bf16(rows * shape.columns(), 2.0), q_gain = random_bf16(HEAD_DIM, 2.0);
    auto k_gain = random_bf16(HEAD_DIM, 2.0), gradient = random_bf16(rows * shape.columns());
    auto angles = random_floats(places * half, 3.0);
    std::vector<float> cosines, sines;
    for (float angle : angles) cosines.push_back(std::cos(angle)), sines.push_back(std::sin(angle));
    std::vector<int> positions(rows);
    for (int& position : positions) position = any_of(places);

    auto expected_d = wide(gradient);
    std::vector<double> expected(rows * shape.rotated()), dgains(2 * HEAD_DIM);
    for (int r = 0; r < rows; r++)
        for (int head = 0; head < turned; head++) {
            const bf16* x = &projected[r * shape.columns() + head * HEAD_DIM];
            const auto& gain = head < shape.heads ? q_gain : k_gain;
            double* dgain = &dgains[head < shape.heads ? 0 : HEAD_DIM];
            double squares = 0.0, y[HEAD_DIM], products = 0.0;
            for (int i = 0; i < HEAD_DIM; i++) squares += to_float(x[i]) * to_float(x[i]);
            double inverse = normed ? 1.0 / std::sqrt(squares / HEAD_DIM + eps) : 1.0;
            for (int i = 0; i < HEAD_DIM; i++) y[i] = to_float(x[i]) * inverse * (normed ? to_float(gain[i]) : 1.0);
            double* out = &expected[r * shape.rotated() + head * HEAD_DIM];
            double* d = &expected_d[r * shape.columns() + head * HEAD_DIM];
            for (int i = 0; i < half; i++) {
                double c = cosines[positions[r] * half + i], s = sines[positions[r] * half + i];
                out[i] = y[i] * c - y[i + half] * s;
                out[i + half] = y[i + half] * c + y[i] * s;
                double low = d[i] * c + d[i + half] * s;
                d[i + half] = d[i + half] * c - d[i] * s;
                d[i] = low;
            }
            for (int i = 0; i < HEAD_DIM && normed; i++) {
                dgain[i] += d[i] * to_float(x[i]) * inverse;
                d[i] *= to_float(gain[i]);
                products += d[i] * to_float(x[i]);
            }
            for (int i = 0; i < HEAD_DIM && normed; i++)
                d[i] = d[i] * inverse - to_float(x[i]) * products * inverse * inverse * inverse / HEAD_DIM;
        }
    auto rotated = unwritten<bf16>(rows * shape.rotated());
    const bf16 *q = normed ? q_gain.data() : nullptr, *k = normed ? k_gain.data() : nullptr;
    launch(rotary::rotate, {unsigned(rows)}, rotated.data(), projected.data(), positions.data(), cosines.data(),
           sines.data(), q, k, rows, shape.heads, shape.kv_heads, eps);
    near(rotated, expected, BF16, "rotate");
    int parts = ceil_div(rows, PARTIAL);
    auto partials = unwritten<float>(normed ? parts * 2 * HEAD_DIM : 0);
    launch(rotary::rotate_backward, {unsigned(parts)}, gradient.data(), partials.data(), projected.data(),
           positions.data(), cosines.data(), sines.data(), q, k, rows, shape.heads, shape.kv_heads, eps);
    near(gradient, expected_d, BF16, "rotate_backward");
    std::vector<double> sums(2 * HEAD_DIM);
    for (size_t i = 0; i < partials.size(); i++) sums[i % (2 * HEAD_DIM)] += partials[i];
    near(sums, dgains, F32, "rotate_backward's gains");
}

/// A random forest of about `tokens` tokens: for each, one past the last token below its node.
static std::vector<int> random_forest(int tokens) {
    std::vector<int> end;
    std::function<void(int)> grow = [&](int depth) {
        int first = end.size(), length = 1 + any_of(depth == 0 ? 90 : 30);
        end.resize(first + length);
        for (int children = depth < 4 ? any_of(4) : 0; children > 0 && int(end.size()) < tokens; children--)
            grow(depth + 1);
        for (int i = first; i < first + length; i++) end[i] = end.size();
    };
    while (int(end.size()) < tokens) grow(0);
    return end;
}

/// Which blocks of keys each tile of queries sees, as runs, and how far each block is seen.
struct Blocks {
    std::vector<int> ranges_at, ranges, reach;

    explicit Blocks(const std::vector<int>& end) {
        int tokens = end.size(), count = ceil_div(tokens, TILE);
        for (int tile = 0; tile < count; tile++) {
            ranges_at.push_back(ranges.size() / 2);
            for (int block = 0; block <= tile; block++) {
                bool seen = false;
                for (int q = tile * TILE; q < std::min(tokens, (tile + 1) * TILE); q++)
                    for (int k = block * TILE; k < (block + 1) * TILE && k <= q; k++) seen |= q < end[k];
                if (!seen) continue;
                if (int(ranges.size()) > 2 * ranges_at.back() && ranges.back() == block)
                    ranges.back()++;
                else
                    ranges.insert(ranges.end(), {block, block + 1});
            }
            int from = tile * TILE, to = std::min(tokens, from + TILE);
            reach.push_back(*std::max_element(&end[from], &end[from] + (to - from)));
        }
        ranges_at.push_back(ranges.size() / 2);
    }
};

/// Softmax attention as it is written in books, and its gradient.
struct Reference {
    std::vector<double> out, log_sum, dq, dk, dv;

    Reference(const std::vector<int>& end, Shape shape, float scale, const std::vector<double>& q_and_k,
              const std::vector<double>& values, const std::vector<double>& dout)
        : out(end.size() * shape.attended()),
          log_sum(end.size() * shape.heads),
          dq(out.size()),
          dk(end.size() * shape.kv_heads * HEAD_DIM),
          dv(dk.size()) {
        int tokens = end.size(), D = HEAD_DIM;
        for (int head = 0; head < shape.heads; head++)
            for (int i = 0; i < tokens; i++) {
                int kv = head / (shape.heads / shape.kv_heads), of_value = shape.rotated() + kv * D;
                auto q = &q_and_k[i * shape.rotated() + head * D];
                auto d = &dout[i * shape.attended() + head * D];
                auto o = &out[i * shape.attended() + head * D];
                std::vector<double> p(i + 1);
                double sum = 0.0, centre = 0.0;
                for (int j = 0; j <= i; j++) {
                    if (i >= end[j]) continue;
                    auto k = &q_and_k[j * shape.rotated() + shape.attended() + kv * D];
                    double score = 0.0;
                    for (int c = 0; c < D; c++) score += q[c] * k[c];
                    sum += p[j] = std::exp(score * scale);
                }
                log_sum[i * shape.heads + head] = std::log(sum);
                for (int j = 0; j <= i; j++) {
                    p[j] /= sum;
                    for (int c = 0; c < D && p[j] > 0.0; c++) {
                        o[c] += p[j] * values[j * shape.columns() + of_value + c];
                        dv[(j * shape.kv_heads + kv) * D + c] += p[j] * d[c];
                    }
                }
                for (int c = 0; c < D; c++) centre += o[c] * d[c];
                for (int j = 0; j <= i; j++) {
                    double dp = 0.0;
                    for (int c = 0; c < D; c++) dp += d[c] * values[j * shape.columns() + of_value + c];
                    double ds = p[j] * (dp - centre) * scale;
                    for (int c = 0; c < D && p[j] > 0.0; c++) {
                        double k = q_and_k[j * shape.rotated() + shape.attended() + kv * D + c];
                        dq[i * shape.attended() + head * D + c] += ds * k;
                        dk[(j * shape.kv_heads + kv) * D + c] += ds * q[c];
                    }
                }
            }
    }
};

/// Columns `from..from + width` of a matrix.
static std::vector<double> columns(const std::vector<bf16>& matrix, int stride, int from, int width) {
    std::vector<double> out;
    for (size_t row = 0; row < matrix.size(); row += stride)
        for (int c = 0; c < width; c++) out.push_back(to_float(matrix[row + from + c]));
    return out;
}

static void check_attention(std::vector<int> end, Shape shape) {
    int tokens = end.size();
    setting = "attention, " + std::to_string(tokens) + " tokens, " + std::to_string(shape.heads) + " / " +
              std::to_string(shape.kv_heads) + " heads of " + std::to_string(HEAD_DIM);
    float scale = 1.0f / std::sqrt(float(HEAD_DIM));
    // Scores of up to about 10, so that a softmax has peaks.
    auto rotated = random_bf16(tokens * shape.rotated(), 3.0), projected = random_bf16(tokens * shape.columns());
    auto dout = random_bf16(tokens * shape.attended());
    Blocks blocks(end);
    Reference expected(end, shape, scale, wide(rotated), wide(projected), wide(dout));

    const bf16 *q = rotated.data(), *k = q + shape.attended(), *v = projected.data() + shape.rotated();
    int qk_stride = shape.rotated(), v_stride = shape.columns(), count = ceil_div(tokens, TILE);
    auto out = unwritten<bf16>(tokens * shape.attended());
    auto log_sum = unwritten<float>(tokens * shape.heads), delta = unwritten<float>(tokens * shape.heads);
    Grid grid{unsigned(count), unsigned(shape.heads), THREADS, 512 * HEAD_DIM + 512};
    launch(attention::attention_forward, grid, out.data(), log_sum.data(), q, k, qk_stride, v, v_stride, end.data(),
           blocks.ranges_at.data(), blocks.ranges.data(), tokens, shape.heads, shape.kv_heads, scale);
    near(out, expected.out, BF16, "attention_forward");
    near(log_sum, expected.log_sum, F32, "log_sum");

    unsigned eights = tokens * shape.attended() / 8;
    launch(attention::attention_delta, {(eights + 255) / 256}, delta.data(), out.data(), dout.data(), tokens,
           shape.heads);
    auto gradient = unwritten<bf16>(tokens * shape.columns());
    grid.shared = 640 * HEAD_DIM + 512;
    launch(attention::attention_backward_queries, grid, gradient.data(), v_stride, q, k, qk_stride, v, v_stride,
           dout.data(), log_sum.data(), delta.data(), end.data(), blocks.ranges_at.data(), blocks.ranges.data(), tokens,
           shape.heads, shape.kv_heads, scale);
    grid = {unsigned(count), unsigned(shape.kv_heads), THREADS, 512 * HEAD_DIM + 512};
    launch(attention::attention_backward_keys, grid, gradient.data() + shape.attended(),
           gradient.data() + shape.rotated(), v_stride, q, k, qk_stride, v, v_stride, dout.data(), log_sum.data(),
           delta.data(), end.data(), blocks.reach.data(), tokens, shape.heads, shape.kv_heads, scale);
    int of_kv = shape.kv_heads * HEAD_DIM;
    near(columns(gradient, v_stride, 0, shape.attended()), expected.dq, 1.5 * BF16, "dq");
    near(columns(gradient, v_stride, shape.attended(), of_kv), expected.dk, 1.5 * BF16, "dk");
    near(columns(gradient, v_stride, shape.rotated(), of_kv), expected.dv, 1.5 * BF16, "dv");
}

int main() {
    return run([] {
        for (bool normed : {false, true}) {
            check_rotary(70, {3, 1}, normed);
            check_rotary(5, {8, 2}, normed);
        }
        check_attention(random_forest(140), {4, 2});
        check_attention(random_forest(260), {3, 1});
        // A tree that ends just before the last query of a warp; one sequence of whole tiles; one token alone.
        std::vector<int> two(79, 79);
        two.resize(130, 130);
        check_attention(two, {2, 1});
        check_attention(std::vector<int>(192, 192), {2, 2});
        check_attention({1}, {1, 1});
    });
}

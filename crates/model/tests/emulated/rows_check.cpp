// Kernels over rows and flat buffers against references in double precision.

#include "check.h"

namespace rows {
#include "rows.cu"
}
namespace norm {
#include "norm.cu"
}
namespace swiglu {
#include "swiglu.cu"
}
namespace head {
#include "head.cu"
}
namespace optimizer {
#include "optimizer.cu"
}

static void check_rows(int count, int width) {
    setting = "rows " + std::to_string(count) + " x " + std::to_string(width);
    const int vocab = 11;
    auto table = random_bf16(vocab * width);
    std::vector<int> ids(count);
    for (int& id : ids) id = any_of(vocab);

    auto x = unwritten<float>(count * width);
    launch(rows::embed, {unsigned(count)}, x.data(), table.data(), ids.data(), width);
    std::vector<double> expected;
    for (int id : ids)
        for (int j = 0; j < width; j++) expected.push_back(to_float(table[id * width + j]));
    near(x, expected, 0.0, "embed");

    auto gathered = unwritten<float>(count * width);
    std::vector<int> back(count);
    for (int i = 0; i < count; i++) back[i] = count - 1 - i;
    launch(rows::gather_rows, {unsigned(count)}, gathered.data(), x.data(), back.data(), width);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < width; j++) expected[i * width + j] = x[back[i] * width + j];
    near(gathered, expected, 0.0, "gather_rows");

    // Every second token's rows, token by token.
    std::vector<int> order, starts, of;
    for (int id = 0; id < vocab; id += 2) {
        of.push_back(id);
        starts.push_back(order.size());
        for (int i = 0; i < count; i++)
            if (ids[i] == id) order.push_back(i);
    }
    starts.push_back(order.size());
    auto sums = random_floats(vocab * width);
    expected = wide(sums);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < width && ids[i] % 2 == 0; j++) expected[ids[i] * width + j] += x[i * width + j];
    launch(rows::add_rows, {unsigned(of.size())}, sums.data(), x.data(), order.data(), starts.data(), of.data(), width);
    near(sums, expected, F32, "add_rows");

    auto narrowed = unwritten<bf16>(count * width);
    launch(rows::narrow, {3}, narrowed.data(), sums.data(), std::min<long long>(sums.size(), narrowed.size()));
    auto widened = unwritten<float>(count * width);
    launch(rows::widen, {2}, widened.data(), table.data(), std::min<long long>(table.size(), widened.size()));
    for (size_t i = 0; i < std::min(table.size(), widened.size()); i++)
        check(widened[i] == to_float(table[i]), "widen");
    for (size_t i = 0; i < std::min(sums.size(), narrowed.size()); i++)
        check(narrowed[i].bits == to_bf16(sums[i]).bits, "narrow");

    auto biased = random_bf16(count * width), bias = random_bf16(width);
    expected = wide(biased);
    for (int i = 0; i < count * width; i++) expected[i] += to_float(bias[i % width]);
    launch(rows::add_bias, {unsigned(count)}, biased.data(), bias.data(), count, width);
    near(biased, expected, BF16, "add_bias");

    int parts = ceil_div(count, PARTIAL);
    auto partials = unwritten<float>(parts * width);
    unsigned blocks = ceil_div(width, 8 * 256);
    launch(rows::column_sums, {unsigned(parts), blocks}, partials.data(), biased.data(), count, width);
    auto total = random_floats(width);
    expected = wide(total);
    for (int i = 0; i < count * width; i++) expected[i % width] += to_float(biased[i]);
    launch(rows::add_partials, {unsigned(ceil_div(width, 32))}, total.data(), partials.data(), parts, width);
    near(total, expected, F32, "column_sums and add_partials");
}

static void check_norm(int count, int hidden) {
    setting = "norm " + std::to_string(count) + " x " + std::to_string(hidden);
    const float eps = 1e-5f;
    auto x = random_floats(count * hidden, 3.0);
    auto gain = random_bf16(hidden, 2.0), dout = random_bf16(count * hidden);
    auto out = unwritten<bf16>(count * hidden);
    auto dx = random_floats(count * hidden);
    int parts = ceil_div(count, PARTIAL);
    auto partials = unwritten<float>(parts * hidden);

    std::vector<double> normed(count * hidden), expected_dx = wide(dx), dgain(hidden);
    for (int r = 0; r < count; r++) {
        const float* row = &x[r * hidden];
        double squares = 0.0, products = 0.0;
        for (int j = 0; j < hidden; j++) squares += double(row[j]) * row[j];
        double inverse = 1.0 / std::sqrt(squares / hidden + eps);
        for (int j = 0; j < hidden; j++) {
            double g = to_float(gain[j]), d = to_float(dout[r * hidden + j]);
            normed[r * hidden + j] = row[j] * inverse * g;
            dgain[j] += d * row[j] * inverse;
            products += d * g * row[j];
        }
        for (int j = 0; j < hidden; j++) {
            double d = to_float(dout[r * hidden + j]) * to_float(gain[j]);
            expected_dx[r * hidden + j] += d * inverse - row[j] * inverse * inverse * inverse * products / hidden;
        }
    }
    launch(norm::rms_norm, {unsigned(count)}, out.data(), x.data(), gain.data(), count, hidden, eps);
    near(out, normed, BF16, "rms_norm");
    Grid grid{unsigned(parts), 1, 256, hidden * sizeof(float)};
    launch(norm::rms_norm_backward, grid, dx.data(), partials.data(), x.data(), gain.data(), dout.data(), count, hidden,
           eps);
    near(dx, expected_dx, F32, "rms_norm_backward's dx");
    std::vector<double> sums(hidden);
    for (int i = 0; i < parts * hidden; i++) sums[i % hidden] += partials[i];
    near(sums, dgain, F32, "rms_norm_backward's dgain");
}

static void check_swiglu(int count, int ffn) {
    setting = "swiglu " + std::to_string(count) + " x " + std::to_string(ffn);
    auto gate_up = random_bf16(count * 2 * ffn, 8.0), dgated = random_bf16(count * ffn);
    auto gated = unwritten<bf16>(count * ffn);
    std::vector<double> forward, backward(count * 2 * ffn);
    for (int r = 0; r < count; r++)
        for (int j = 0; j < ffn; j++) {
            double g = to_float(gate_up[r * 2 * ffn + j]), u = to_float(gate_up[r * 2 * ffn + ffn + j]);
            double d = to_float(dgated[r * ffn + j]), s = 1.0 / (1.0 + std::exp(-g));
            forward.push_back(g * s * u);
            backward[r * 2 * ffn + j] = d * u * s * (1.0 + g * (1.0 - s));
            backward[r * 2 * ffn + ffn + j] = d * g * s;
        }
    launch(swiglu::swiglu, {unsigned(count)}, gated.data(), gate_up.data(), count, ffn);
    near(gated, forward, BF16, "swiglu");
    launch(swiglu::swiglu_backward, {unsigned(count)}, gate_up.data(), dgated.data(), count, ffn);
    near(gate_up, backward, BF16, "swiglu_backward");
}

static void check_head(int count, int vocab) {
    setting = "head " + std::to_string(count) + " x " + std::to_string(vocab);
    const float scale = 0.7f;
    auto logits = random_floats(count * vocab, 9.0);
    // Some tokens are impossible, a whole eight of them at the beginning of a row.
    for (int j = 0; j < 8 && j < vocab - 1; j++) logits[j] = -INFINITY;
    auto c_logprob = random_floats(count), c_entropy = random_floats(count);
    c_entropy[0] = 0.0f;
    std::vector<int> tokens(count);
    for (int& token : tokens) token = any_of(vocab);
    tokens[0] = vocab - 1;

    std::vector<double> logprobs, entropies, gradient;
    for (int r = 0; r < count; r++) {
        double sum = 0.0, entropy = 0.0;
        for (int j = 0; j < vocab; j++) sum += std::exp(double(logits[r * vocab + j]));
        for (int j = 0; j < vocab; j++) {
            double p = std::exp(double(logits[r * vocab + j])) / sum;
            if (p > 0.0) entropy -= p * std::log(p);
        }
        for (int j = 0; j < vocab; j++) {
            double p = std::exp(double(logits[r * vocab + j])) / sum;
            double of_entropy = p > 0.0 ? p * (std::log(p) + entropy) : 0.0;
            gradient.push_back(scale * (c_logprob[r] * ((j == tokens[r]) - p) - c_entropy[r] * of_entropy));
        }
        logprobs.push_back(logits[r * vocab + tokens[r]] - std::log(sum));
        entropies.push_back(entropy);
    }
    auto out = unwritten<float>(count), out_entropies = unwritten<float>(count);
    launch(head::logprob, {unsigned(count), 1, 512}, out.data(), out_entropies.data(), logits.data(), tokens.data(),
           count, vocab);
    near(out, logprobs, 1e-6, "logprob");
    near(out_entropies, entropies, F32, "entropies");
    auto dlogits = unwritten<bf16>(count * vocab);
    launch(head::logit_gradient, {unsigned(count), 1, 512}, dlogits.data(), logits.data(), tokens.data(),
           c_logprob.data(), c_entropy.data(), out_entropies.data(), scale, count, vocab);
    near(dlogits, gradient, BF16, "logit_gradient");

    logits[(count - 1) * vocab + vocab / 2] = NAN;
    launch(head::logprob, {unsigned(count), 1, 512}, out.data(), out_entropies.data(), logits.data(), tokens.data(),
           count, vocab);
    check(std::isnan(out[count - 1]), "a row with NaN has no log-probability");
}

static void check_optimizer(int n) {
    setting = "optimizer " + std::to_string(n);
    auto master = random_floats(n), gradient = random_floats(n, 10.0), first = random_floats(n);
    auto second = random_floats(n);
    for (float& value : second) value *= value;
    auto weights = unwritten<bf16>(n);
    const int parts = 7;
    auto partials = unwritten<double>(parts);
    launch(optimizer::square_sums, {parts}, partials.data(), gradient.data(), static_cast<long long>(n), parts);
    double squares = 0.0, expected_squares = 0.0;
    for (double partial : partials) squares += partial;
    for (float g : gradient) expected_squares += double(g) * g;
    check(std::abs(squares / expected_squares - 1.0) < 1e-12, "square_sums");

    const double beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f, scale = 0.3f, step = 0.01f, second_scale = 1.7f;
    const double shrink = 0.99f;
    auto w = wide(master), m = wide(first), v = wide(second);
    for (int i = 0; i < n; i++) {
        double g = gradient[i] * scale;
        m[i] += (1.0 - beta1) * (g - m[i]);
        v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
        w[i] = w[i] * shrink - step * m[i] / (std::sqrt(v[i]) * second_scale + eps);
    }
    launch(optimizer::adamw, {2}, master.data(), weights.data(), gradient.data(), first.data(), second.data(),
           static_cast<long long>(n), 0.9f, 0.999f, 1e-8f, 0.3f, 0.01f, 1.7f, 0.99f);
    near(master, w, F32, "adamw's weights");
    near(first, m, F32, "adamw's first moment");
    near(second, v, F32, "adamw's second moment");
    for (int i = 0; i < n; i++) check(weights[i].bits == to_bf16(master[i]).bits, "adamw rounds the weights");

    int found = 0;
    launch(optimizer::all_finite, {2}, &found, master.data(), static_cast<long long>(n));
    check(found == 0, "all_finite finds nothing");
    for (float bad : {NAN, INFINITY, -INFINITY}) {
        auto spoilt = master;
        spoilt[any_of(n)] = bad;
        found = 0;
        launch(optimizer::all_finite, {2}, &found, spoilt.data(), static_cast<long long>(n));
        check(found == 1, "all_finite finds what is not");
    }
}

int main() {
    return run([] {
        // The second width is no multiple of 8, the last takes several rounds of a block.
        for (auto [count, width] : {std::pair{70, 64}, {5, 37}, {3, 2056}}) {
            check_rows(count, width);
            check_norm(count, width);
            check_swiglu(count, width);
        }
        for (auto [count, vocab] : {std::pair{3, 50}, {2, 10'003}, {2, 4096}}) check_head(count, vocab);
        for (int n : {1, 100, 10'001}) check_optimizer(n);
    });
}

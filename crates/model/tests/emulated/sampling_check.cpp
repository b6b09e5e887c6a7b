// Sampling against the plain rule: sort the tokens, cut, and walk through what is left.

#include "check.h"

namespace sampling {
#include "sampling.cu"
}

struct Settings {
    float temperature;
    int top_k;
    float top_p, min_p;
};

struct Expected {
    int token;
    double logprob;
    /// Whether the draw is so near the boundary between two tokens that rounding may decide.
    bool close;
};

static Expected reference(const float* logits, int vocab, Settings settings, double drawn) {
    std::vector<int> kept(vocab);
    for (int i = 0; i < vocab; i++) kept[i] = i;
    std::stable_sort(kept.begin(), kept.end(), [&](int a, int b) { return logits[a] > logits[b]; });
    bool greedy = settings.temperature == 0.0f;
    float temperature = greedy ? 1.0f : settings.temperature;
    std::vector<double> weights(vocab);
    for (int i = 0; i < vocab; i++) weights[i] = std::exp((double(logits[i]) - logits[kept[0]]) / temperature);
    auto mass = [&] {
        double sum = 0.0;
        for (int token : kept) sum += weights[token];
        return sum;
    };
    if (greedy) return {kept[0], -std::log(mass()), false};
    if (settings.top_k > 0 && settings.top_k < vocab) kept.resize(settings.top_k);
    double missing = settings.top_p * mass();
    for (size_t i = 0; i < kept.size() && settings.top_p < 1.0f; i++)
        if ((missing -= weights[kept[i]]) <= 1e-9) kept.resize(i + 1);
    kept.erase(std::remove_if(kept.begin(), kept.end(), [&](int token) { return weights[token] < settings.min_p; }),
               kept.end());
    std::sort(kept.begin(), kept.end());
    double total = mass(), target = drawn * total;
    for (int token : kept) {
        double rest = target - weights[token];
        if (rest < 0.0)
            return {token, std::log(weights[token] / total), std::min(target, -rest) < 1e-5 * total};
        target = rest;
    }
    return {kept.back(), std::log(weights[kept.back()] / total), true};
}

static int compared = 0;

static void check_rows(const std::vector<float>& logits, int rows, int vocab, Settings settings) {
    setting = "sampling of " + std::to_string(vocab) + " tokens, temperature " + std::to_string(settings.temperature) +
              ", top-k " + std::to_string(settings.top_k) + ", top-p " + std::to_string(settings.top_p) + ", min-p " +
              std::to_string(settings.min_p);
    std::vector<double> drawn(rows);
    for (double& value : drawn) value = uniform(0.0, 1.0);
    drawn[0] = 0.0;
    auto tokens = unwritten<int>(rows);
    auto logprobs = unwritten<float>(rows);
    launch(sampling::sample, {unsigned(rows), 1, 64}, tokens.data(), logprobs.data(), logits.data(), drawn.data(),
           settings.temperature, settings.top_k, settings.top_p, settings.min_p, rows, vocab);
    for (int r = 0; r < rows; r++) {
        Expected expected = reference(&logits[r * vocab], vocab, settings, drawn[r]);
        if (expected.close && drawn[r] > 0.0) continue;
        compared++;
        check(tokens[r] == expected.token,
              "token " + std::to_string(tokens[r]) + " instead of " + std::to_string(expected.token));
        check(std::abs(logprobs[r] - expected.logprob) < 1e-5, "log-probability");
    }
}

static void check_sampling(int rows, int vocab) {
    auto logits = random_floats(rows * vocab, 6.0);
    // Many equals: what is cut among them goes by their order.
    auto coarse = logits;
    for (float& logit : coarse) logit = std::round(logit * 0.5f);
    for (const auto& row : {logits, coarse})
        for (Settings settings : {Settings{1.0f, 0, 1.0f, 0.0f},
                                  {0.0f, 0, 1.0f, 0.0f},
                                  {0.7f, 0, 1.0f, 0.0f},
                                  {1.0f, 5, 1.0f, 0.0f},
                                  {1.5f, vocab, 1.0f, 0.0f},
                                  {1.0f, 0, 0.8f, 0.0f},
                                  {0.5f, 0, 0.3f, 0.0f},
                                  {1.0f, 0, 1.0f, 0.05f},
                                  {1.3f, 40, 0.9f, 0.02f}})
            check_rows(row, rows, vocab, settings);
}

static void check_divergence() {
    setting = "logits without a finite maximum";
    const int vocab = 700;
    for (float bad : {NAN, INFINITY, -INFINITY})
        for (float temperature : {0.0f, 1.0f}) {
            std::vector<float> logits(vocab, bad);
            int token = -1;
            float logprob = 0.0f;
            double drawn = 0.5;
            launch(sampling::sample, {1, 1, 512}, &token, &logprob, logits.data(), &drawn, temperature, 3, 0.9f, 0.0f,
                   1, vocab);
            check(token == 0 && std::isnan(logprob), "it is told");
        }
}

int main() {
    int outcome = run([] {
        check_sampling(20, 9);
        check_sampling(6, 1500);
        check_sampling(2, 5'003);
        check_divergence();
    });
    check(compared > 400 * ORDERS, "nearly all draws are compared");
    return failures ? 1 : outcome;
}

// What the checks of the kernels share: random numbers, launches, and how far a result may be from a plain reference
// in double precision.
#pragma once

#include "prelude.cuh"

#include <functional>
#include <random>
#include <string>

static std::mt19937_64 generator(1);

static inline double uniform(double low, double high) {
    return low + (high - low) * (generator() >> 11) * 0x1p-53;
}

static inline int any_of(int below) { return static_cast<int>(generator() % below); }

/// Buffers are of the exact size, so that a sanitizer sees whoever leaves them.
static inline std::vector<float> random_floats(size_t n, double range = 1.0) {
    std::vector<float> x(n);
    for (float& value : x) value = static_cast<float>(uniform(-range, range));
    return x;
}

static inline std::vector<bf16> random_bf16(size_t n, double range = 1.0) {
    std::vector<bf16> x(n);
    for (bf16& value : x) value = to_bf16(static_cast<float>(uniform(-range, range)));
    return x;
}

static inline std::vector<double> wide(const std::vector<float>& x) { return {x.begin(), x.end()}; }

static inline std::vector<double> wide(const std::vector<bf16>& x) {
    std::vector<double> out;
    for (bf16 value : x) out.push_back(to_float(value));
    return out;
}

/// What a kernel must write everywhere that it is to write.
template <class T>
static inline std::vector<T> unwritten(size_t n) {
    std::vector<T> x(n);
    if (n > 0) std::memset(static_cast<void*>(x.data()), 0xFF, n * sizeof(T));
    return x;
}

struct Grid {
    unsigned x, y = 1;
    unsigned threads = 256;
    size_t shared = 0;
};

template <class... Parameters, class... Arguments>
static void launch(void (*kernel)(Parameters...), Grid grid, Arguments... arguments) {
    std::tuple<Parameters...> values{arguments...};
    std::apply(
        [&](auto&... value) {
            void* params[] = {&value...};
            emulate::launch_kernel(kernel, params, grid.x, grid.y, 1, grid.threads, 1, 1, grid.shared);
        },
        values);
}

static inline int failures = 0;
static std::string setting;

static void check(bool good, const std::string& what) {
    if (good) return;
    failures++;
    std::fprintf(stderr, "wrong: %s (%s)\n", what.c_str(), setting.c_str());
}

/// The norm of the difference, as a part of the reference's norm.
static inline double distance(const std::vector<double>& found, const std::vector<double>& expected) {
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < expected.size(); i++) {
        difference += (found[i] - expected[i]) * (found[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    return std::sqrt(difference / (norm > 0.0 ? norm : 1.0));
}

/// A rounding to bf16 is off by at most 2^-9 of a number.
static const double BF16 = 0x1p-8, F32 = 1e-5;

static inline void near(const std::vector<double>& found, const std::vector<double>& expected, double within,
                 const std::string& what) {
    double off = found.size() == expected.size() ? distance(found, expected) : NAN;
    check(off <= within, what + " is off by " + std::to_string(off));
}

template <class T>
static void near(const std::vector<T>& found, const std::vector<double>& expected, double within,
                 const std::string& what) {
    near(wide(found), expected, within, what);
}

static inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

#ifndef ORDERS
#define ORDERS 4
#endif

/// Runs all checks under several orders of the threads.
static inline int run(const std::function<void()>& checks) {
    for (int seed = 0; seed < ORDERS; seed++) {
        emulate::order(seed);
        generator.seed(seed + 1);
        checks();
    }
    if (failures) return 1;
    std::printf("all kernels agree with their references under %d orders of the threads\n", ORDERS);
    return 0;
}

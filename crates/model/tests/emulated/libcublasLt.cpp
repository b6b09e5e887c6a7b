// cuBLASLt's product of matrices, as far as `model::cuda` asks for it: column-major matrices of bf16, sums in float,
// in the order of k. An algorithm is the hash of what it was asked for, and does nothing else.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "emulated.h"

namespace {

enum Status { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum Type { FLOAT = 0, BF16 = 14, COMPUTE_FLOAT = 68 };

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "emulated cuBLASLt: %s\n", what.c_str());
    std::abort();
}

struct Operation {
    int transpose[2];
};

struct Layout {
    uint32_t type;
    uint64_t rows, columns;
    int64_t stride;

    size_t size() const { return type == BF16 ? 2 : 4; }
    size_t bytes() const { return ((columns - 1) * uint64_t(stride) + rows) * size(); }
};

struct Preference {
    uint64_t workspace = 0;
    uint32_t reduction = 7;
    /// Of A, B, C and D.
    uint32_t alignment[4] = {256, 256, 256, 256};
};

/// What is in the 64 bytes of an algorithm.
struct Algorithm {
    uint64_t hash, workspace;
    uint32_t alignment[4];
    char rest[32];
};

struct Heuristic {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

uint64_t hash_of(const Operation& operation, const Layout* const (&layouts)[4]) {
    uint64_t hash = 14695981039346656037u;
    auto add = [&](uint64_t value) { hash = (hash ^ value) * 1099511628211u; };
    for (int transpose : operation.transpose) add(uint64_t(transpose));
    for (const Layout* layout : layouts)
        for (uint64_t value : {uint64_t(layout->type), layout->rows, layout->columns, uint64_t(layout->stride)}) add(value);
    return hash;
}

/// Rows, columns and depth fit together, and the types are those that are emulated.
bool fits(const Operation& operation, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
    for (const Layout* layout : {&a, &b, &c, &d})
        if (!layout->rows || !layout->columns || uint64_t(layout->stride) < layout->rows) return false;
    uint64_t m = operation.transpose[0] ? a.columns : a.rows, k = operation.transpose[0] ? a.rows : a.columns;
    uint64_t n = operation.transpose[1] ? b.rows : b.columns, other = operation.transpose[1] ? b.columns : b.rows;
    bool shapes = k == other && d.rows == m && d.columns == n && c.rows == m && c.columns == n;
    return shapes && a.type == BF16 && b.type == BF16 && c.type == d.type && (d.type == BF16 || d.type == FLOAT);
}

float load(const void* at, size_t i, uint32_t type) {
    float value;
    if (type == BF16) {
        uint32_t bits = uint32_t(static_cast<const uint16_t*>(at)[i]) << 16;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
    return static_cast<const float*>(at)[i];
}

void store(void* at, size_t i, uint32_t type, float value) {
    if (type != BF16) {
        static_cast<float*>(at)[i] = value;
        return;
    }
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (value == value) bits += 0x7FFF + (bits >> 16 & 1);
    static_cast<uint16_t*>(at)[i] = uint16_t(value == value ? bits >> 16 : 0x7FFF);
}

struct Product {
    Operation operation;
    Layout a, b, c, d;
    const void *at_a, *at_b, *at_c;
    void* at_d;
    float alpha, beta;

    void compute() const {
        emulated_check(at_a, a.bytes(), "a product's A");
        emulated_check(at_b, b.bytes(), "a product's B");
        emulated_check(at_d, d.bytes(), "a product's D");
        if (beta != 0) emulated_check(at_c, c.bytes(), "a product's C");
        size_t m = d.rows, n = d.columns, k = operation.transpose[0] ? a.rows : a.columns;
        std::vector<float> left(m * k), sums(m);
        for (size_t l = 0; l < k; l++)
            for (size_t i = 0; i < m; i++) {
                size_t at = operation.transpose[0] ? l + i * size_t(a.stride) : i + l * size_t(a.stride);
                left[l * m + i] = load(at_a, at, a.type);
            }
        for (size_t j = 0; j < n; j++) {
            std::fill(sums.begin(), sums.end(), 0.0f);
            for (size_t l = 0; l < k; l++) {
                size_t at = operation.transpose[1] ? j + l * size_t(b.stride) : l + j * size_t(b.stride);
                float factor = load(at_b, at, b.type);
                const float* column = &left[l * m];
                for (size_t i = 0; i < m; i++) sums[i] += column[i] * factor;
            }
            for (size_t i = 0; i < m; i++) {
                // What is there is not read for a beta of zero: it may be anything.
                float before = beta == 0 ? 0 : beta * load(at_c, i + j * size_t(c.stride), c.type);
                store(at_d, i + j * size_t(d.stride), d.type, alpha * sums[i] + before);
            }
        }
    }
};

bool aligned(const void* at, uint32_t alignment) { return reinterpret_cast<uintptr_t>(at) % alignment == 0; }

}  // namespace

extern "C" {

size_t cublasLtGetVersion() {
    const char* text = std::getenv("EMULATED_CUBLASLT_VERSION");
    return text ? size_t(std::atoll(text)) : 120405;
}

int cublasLtCreate(void** handle) {
    if (!emulated_has_context()) return NOT_INITIALIZED;
    *handle = new int();
    return SUCCESS;
}

int cublasLtDestroy(void* handle) {
    delete static_cast<int*>(handle);
    return SUCCESS;
}

int cublasLtMatmulDescCreate(void** made, uint32_t compute, uint32_t scale) {
    if (compute != COMPUTE_FLOAT || scale != FLOAT) return NOT_SUPPORTED;
    *made = new Operation{};
    return SUCCESS;
}

int cublasLtMatmulDescDestroy(void* operation) {
    delete static_cast<Operation*>(operation);
    return SUCCESS;
}

int cublasLtMatmulDescSetAttribute(void* operation, uint32_t attribute, const void* value, size_t bytes) {
    if (bytes != sizeof(int) || (attribute != 3 && attribute != 4)) return INVALID_VALUE;
    int transpose;
    std::memcpy(&transpose, value, sizeof transpose);
    if (transpose != 0 && transpose != 1) return INVALID_VALUE;
    static_cast<Operation*>(operation)->transpose[attribute - 3] = transpose;
    return SUCCESS;
}

int cublasLtMatrixLayoutCreate(void** made, uint32_t type, uint64_t rows, uint64_t columns, int64_t stride) {
    *made = new Layout{type, rows, columns, stride};
    return SUCCESS;
}

int cublasLtMatrixLayoutDestroy(void* layout) {
    delete static_cast<Layout*>(layout);
    return SUCCESS;
}

int cublasLtMatmulPreferenceCreate(void** made) {
    *made = new Preference();
    return SUCCESS;
}

int cublasLtMatmulPreferenceDestroy(void* preference) {
    delete static_cast<Preference*>(preference);
    return SUCCESS;
}

int cublasLtMatmulPreferenceSetAttribute(void* handle, uint32_t attribute, const void* value, size_t bytes) {
    auto preference = static_cast<Preference*>(handle);
    void* to = nullptr;
    size_t size = sizeof(uint32_t);
    if (attribute == 1) to = &preference->workspace, size = sizeof(uint64_t);
    if (attribute == 3) to = &preference->reduction;
    if (attribute >= 5 && attribute <= 8) to = &preference->alignment[attribute - 5];
    if (!to || bytes != size) return INVALID_VALUE;
    std::memcpy(to, value, size);
    return SUCCESS;
}

int cublasLtMatmulAlgoGetHeuristic(void* handle, void* operation, void* a, void* b, void* c, void* d, void* preferred,
                                   int asked, void* results, int* found) {
    *found = 0;
    if (!handle || asked < 1) return INVALID_VALUE;
    auto preference = static_cast<const Preference*>(preferred);
    const Layout* const layouts[4] = {static_cast<Layout*>(a), static_cast<Layout*>(b), static_cast<Layout*>(c),
                                      static_cast<Layout*>(d)};
    const auto& what = *static_cast<Operation*>(operation);
    if (!fits(what, *layouts[0], *layouts[1], *layouts[2], *layouts[3])) return INVALID_VALUE;
    if (preference->reduction & 1) fail("sums cut into parts that are added up in place, in any order");
    Heuristic result = {};
    result.algorithm.hash = hash_of(what, layouts);
    result.algorithm.workspace = result.workspace = preference->workspace / 2;
    std::memcpy(result.algorithm.alignment, preference->alignment, sizeof preference->alignment);
    std::memcpy(results, &result, sizeof result);
    *found = 1;
    return SUCCESS;
}

int cublasLtMatmul(void* handle, void* operation, const void* alpha, const void* at_a, void* a, const void* at_b,
                   void* b, const void* beta, const void* at_c, void* c, void* at_d, void* d, const void* algorithm,
                   void* workspace, size_t workspace_bytes, void* stream) {
    if (!handle || !algorithm) return INVALID_VALUE;
    if (!emulated_has_context()) return EXECUTION_FAILED;
    const Layout* const layouts[4] = {static_cast<Layout*>(a), static_cast<Layout*>(b), static_cast<Layout*>(c),
                                      static_cast<Layout*>(d)};
    const auto& what = *static_cast<Operation*>(operation);
    if (!fits(what, *layouts[0], *layouts[1], *layouts[2], *layouts[3])) return INVALID_VALUE;
    Algorithm chosen;
    std::memcpy(&chosen, algorithm, sizeof chosen);
    if (chosen.hash != hash_of(what, layouts)) fail("an algorithm that was chosen for another product");
    if (workspace_bytes < chosen.workspace) return INVALID_VALUE;
    emulated_check(workspace, workspace_bytes, "a product's workspace");
    const void* const places[4] = {at_a, at_b, at_c, at_d};
    for (int i = 0; i < 4; i++)
        if (!aligned(places[i], chosen.alignment[i])) fail("a matrix that is not aligned as its algorithm needs");
    if (at_c != at_d) fail("a product whose C is not its D");
    auto product = new Product{what, *layouts[0], *layouts[1], *layouts[2], *layouts[3], at_a, at_b, at_c, at_d, 0, 0};
    std::memcpy(&product->alpha, alpha, sizeof(float));
    std::memcpy(&product->beta, beta, sizeof(float));
    auto run = [](void* data) { static_cast<Product*>(data)->compute(); };
    auto drop = [](void* data) { delete static_cast<Product*>(data); };
    return emulated_work(stream, run, product, drop) ? EXECUTION_FAILED : SUCCESS;
}

}  // extern "C"

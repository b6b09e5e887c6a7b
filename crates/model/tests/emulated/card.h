// What both halves of the emulated driver know: the card, what was made on it, and how calls begin and end.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "emulated.h"

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    CAPTURE_UNSUPPORTED = 900,
};

inline long long setting(const char* name, long long otherwise) {
    const char* text = std::getenv(name);
    return text ? std::atoll(text) : otherwise;
}

[[noreturn]] inline void fail(const std::string& what) {
    std::fprintf(stderr, "emulated GPU: %s\n", what.c_str());
    std::abort();
}

struct Allocation {
    size_t bytes;
    unsigned char* mapped;
    size_t mapped_bytes;
};

struct Work {
    void (*run)(void*);
    void* data;
    void (*drop)(void*);
};

struct Graph {
    std::vector<Work> works;
    /// A graph, and what was instantiated of it, are destroyed one by one.
    int holders;
};

struct Stream {
    Graph* recording;
};

struct Module {
    void* library;
    int file;
    std::vector<struct Function*> functions;
};

struct Function {
    void (*run)(void**, const unsigned*, size_t);
    std::vector<unsigned> sizes;
    size_t shared;
};

/// The one card that has a context, and what was made in it.
struct Card {
    int retained, streams, modules, graphs, execs;
    size_t used;
    std::map<uintptr_t, Allocation> allocations;
    long long launches;
    bool failed;
};

extern Card card;
extern std::recursive_mutex lock;
extern thread_local void* current;

inline int capability() { return int(setting("EMULATED_CUDA_CAPABILITY", 90)); }

inline size_t largest_shared() {
    switch (capability()) {
        case 80: return 163 << 10;
        case 86: case 89: return 99 << 10;
        case 75: return 64 << 10;
        default: return 227 << 10;
    }
}

inline size_t total() { return size_t(setting("EMULATED_CUDA_MEMORY", 4LL << 30)); }

inline size_t free_bytes() {
    size_t taken = card.used + size_t(setting("EMULATED_CUDA_OTHERS", 0));
    return taken < total() ? total() - taken : 0;
}

/// What each call that needs a context begins with.
inline Result ready() {
    if (!current) return INVALID_CONTEXT;
    return card.failed ? ILLEGAL_ADDRESS : SUCCESS;
}

/// Work of this file: `body` is kept by value.
template <class Body>
Result work(void* stream, Body body) {
    if (Result result = ready()) return result;
    auto run = [](void* data) { (*static_cast<Body*>(data))(); };
    auto drop = [](void* data) { delete static_cast<Body*>(data); };
    return Result(emulated_work(stream, run, new Body(body), drop));
}

inline bool recording(void* stream) { return static_cast<Stream*>(stream)->recording; }

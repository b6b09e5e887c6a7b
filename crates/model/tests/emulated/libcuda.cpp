// NVIDIA's driver, as far as `model::cuda` and cudarc call it, on a CPU. Work is done at once, in the order of the
// calls. Every allocation ends where an unmapped page begins, begins full of NaN, and is looked for before each copy,
// so that no access outside goes unseen; what a real driver would leave undefined ends the process with a message.
//
// The card that it plays is set in the environment:
//   EMULATED_CUDA_VERSION=12040     the CUDA version that the driver is for
//   EMULATED_CUDA_INIT=0            what cuInit returns
//   EMULATED_CUDA_DEVICES=1         how many cards there are
//   EMULATED_CUDA_CAPABILITY=90     their compute capability
//   EMULATED_CUDA_MEMORY=4294967296 bytes of memory of each
//   EMULATED_CUDA_OTHERS=0          bytes that other processes have of them
//   EMULATED_CUDA_FAILS_AT=0        the launch that fails, and everything after it; 0 is none
//   EMULATED_CUDA_ORDER=0           in which order threads take turns, as `runtime.h` says
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emulated.h"

namespace {

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

const size_t PAGE = 4096;
const unsigned char FRESH = 0xFF, GUARD = 0xA5;

long long setting(const char* name, long long otherwise) {
    const char* text = std::getenv(name);
    return text ? std::atoll(text) : otherwise;
}

[[noreturn]] void fail(const std::string& what) {
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

Card card;
std::recursive_mutex lock;
bool started;
thread_local void* current;

int capability() { return int(setting("EMULATED_CUDA_CAPABILITY", 90)); }

size_t largest_shared() {
    switch (capability()) {
        case 80: return 163 << 10;
        case 86: case 89: return 99 << 10;
        case 75: return 64 << 10;
        default: return 227 << 10;
    }
}

size_t total() { return size_t(setting("EMULATED_CUDA_MEMORY", 4LL << 30)); }

size_t free_bytes() {
    size_t taken = card.used + size_t(setting("EMULATED_CUDA_OTHERS", 0));
    return taken < total() ? total() - taken : 0;
}

/// What each call that needs a context begins with.
Result ready() {
    if (!current) return INVALID_CONTEXT;
    return card.failed ? ILLEGAL_ADDRESS : SUCCESS;
}

/// Says whose memory an access missed, and by how much.
void on_fault(int, siginfo_t* info, void*) {
    auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    auto next = card.allocations.upper_bound(address);
    char text[256];
    int len = std::snprintf(text, sizeof text, "emulated GPU: a kernel or product reads or writes %#zx", size_t(address));
    if (next != card.allocations.begin()) {
        auto before = std::prev(next);
        size_t past = address - before->first - before->second.bytes;
        len += std::snprintf(text + len, sizeof text - size_t(len), ", %zu bytes past the end of an allocation of %zu",
                             past, before->second.bytes);
    }
    text[len++] = '\n';
    if (write(2, text, size_t(len)) < 0) _exit(134);
    std::abort();
}

void drop_graph(Graph* graph) {
    if (--graph->holders > 0) return;
    for (const Work& work : graph->works) work.drop(work.data);
    delete graph;
}

void unmap(const Allocation& allocation) {
    munmap(allocation.mapped, allocation.mapped_bytes);
    card.used -= allocation.bytes;
}

/// Work of this file: `body` is kept by value.
template <class Body>
Result work(void* stream, Body body) {
    if (Result result = ready()) return result;
    auto run = [](void* data) { (*static_cast<Body*>(data))(); };
    auto drop = [](void* data) { delete static_cast<Body*>(data); };
    return Result(emulated_work(stream, run, new Body(body), drop));
}

bool recording(void* stream) { return static_cast<Stream*>(stream)->recording; }

}  // namespace

extern "C" {

int emulated_work(void* stream, void (*run)(void*), void* data, void (*drop)(void*)) {
    std::lock_guard guard(lock);
    if (!stream) fail("work for the default stream, of which nothing should know");
    if (Graph* graph = static_cast<Stream*>(stream)->recording) {
        graph->works.push_back({run, data, drop});
    } else {
        run(data);
        drop(data);
    }
    return SUCCESS;
}

void emulated_check(const void* address, size_t bytes, const char* what) {
    std::lock_guard guard(lock);
    auto at = reinterpret_cast<uintptr_t>(address);
    auto next = card.allocations.upper_bound(at);
    if (bytes == 0) return;
    if (next != card.allocations.begin()) {
        auto owner = std::prev(next);
        if (at - owner->first <= owner->second.bytes && bytes <= owner->second.bytes - (at - owner->first)) return;
    }
    fail(std::string(what) + ": " + std::to_string(bytes) + " bytes that are not all one allocation's");
}

bool emulated_has_context() { return current != nullptr; }

int cuDriverGetVersion(int* version) {
    *version = int(setting("EMULATED_CUDA_VERSION", 12040));
    return SUCCESS;
}

int cuInit(unsigned) {
    if (int code = int(setting("EMULATED_CUDA_INIT", 0))) return code;
    started = true;
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
    return SUCCESS;
}

int cuGetErrorName(int code, const char** name) {
    static const std::map<int, const char*> names = {
        {1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"}, {3, "CUDA_ERROR_NOT_INITIALIZED"},
        {34, "CUDA_ERROR_STUB_LIBRARY"}, {46, "CUDA_ERROR_DEVICE_UNAVAILABLE"}, {100, "CUDA_ERROR_NO_DEVICE"},
        {101, "CUDA_ERROR_INVALID_DEVICE"}, {200, "CUDA_ERROR_INVALID_IMAGE"}, {201, "CUDA_ERROR_INVALID_CONTEXT"},
        {209, "CUDA_ERROR_NO_BINARY_FOR_GPU"}, {400, "CUDA_ERROR_INVALID_HANDLE"}, {500, "CUDA_ERROR_NOT_FOUND"},
        {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
        {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}, {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
        {999, "CUDA_ERROR_UNKNOWN"}};
    auto found = names.find(code);
    if (found == names.end()) return INVALID_VALUE;
    *name = found->second;
    return SUCCESS;
}

int cuGetErrorString(int code, const char** text) {
    if (cuGetErrorName(code, text)) return INVALID_VALUE;
    *text = "as the emulated driver was told";
    return SUCCESS;
}

int cuDeviceGetCount(int* count) {
    if (!started) return NOT_INITIALIZED;
    *count = int(setting("EMULATED_CUDA_DEVICES", 1));
    return SUCCESS;
}

int cuDeviceGet(int* device, int ordinal) {
    if (!started) return NOT_INITIALIZED;
    if (ordinal < 0 || ordinal >= setting("EMULATED_CUDA_DEVICES", 1)) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}

int cuDeviceGetName(char* name, int len, int) {
    std::snprintf(name, size_t(len), "Emulated GPU");
    return SUCCESS;
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 16: *value = 4; break;                        // multiprocessors
        case 75: *value = capability() / 10; break;        // compute capability, before the point
        case 76: *value = capability() % 10; break;        // and behind
        case 97: *value = int(largest_shared()); break;    // shared memory per block that asks for it
        case 115: *value = 1; break;                       // memory pools
        default: fail("attribute " + std::to_string(attribute) + " of a device, which is not emulated");
    }
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void** context, int) {
    std::lock_guard guard(lock);
    if (free_bytes() == 0) return OUT_OF_MEMORY;
    card.retained++;
    *context = &card;
    return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int) {
    std::lock_guard guard(lock);
    if (--card.retained > 0) return SUCCESS;
    if (!card.allocations.empty()) fail("the card is closed, and memory was never given back");
    if (card.streams || card.modules || card.graphs || card.execs) fail("the card is closed, and not all made in it");
    card = Card();
    current = nullptr;
    return SUCCESS;
}

int cuCtxGetCurrent(void** context) {
    *context = current;
    return SUCCESS;
}

int cuCtxSetCurrent(void* context) {
    current = context;
    return SUCCESS;
}

int cuCtxSynchronize() { return ready(); }

int cuMemGetInfo_v2(size_t* free, size_t* all) {
    std::lock_guard guard(lock);
    *free = free_bytes();
    *all = total();
    return ready();
}

int cuMemAlloc_v2(uintptr_t* address, size_t bytes) {
    std::lock_guard guard(lock);
    if (Result result = ready()) return result;
    if (bytes == 0) return INVALID_VALUE;
    if (bytes > free_bytes()) return OUT_OF_MEMORY;
    size_t aligned = (bytes + 255) / 256 * 256, pages = (aligned + PAGE - 1) / PAGE * PAGE;
    size_t mapped_bytes = pages + 2 * PAGE;
    void* mapped = mmap(nullptr, mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) fail("this machine has no memory for what its emulated card should have");
    auto base = static_cast<unsigned char*>(mapped);
    mprotect(base + PAGE, pages, PROT_READ | PROT_WRITE);
    unsigned char* begin = base + PAGE + pages - aligned;
    std::memset(base + PAGE, GUARD, pages - aligned);
    std::memset(begin, FRESH, aligned);
    *address = reinterpret_cast<uintptr_t>(begin);
    card.allocations[*address] = {bytes, base, mapped_bytes};
    card.used += bytes;
    return SUCCESS;
}

int cuMemFree_v2(uintptr_t address) {
    std::lock_guard guard(lock);
    auto found = card.allocations.find(address);
    if (found == card.allocations.end()) fail("memory is given back that nobody has: twice, or never taken");
    for (unsigned char* at = found->second.mapped + PAGE; at < reinterpret_cast<unsigned char*>(address); at++)
        if (*at != GUARD) fail("something wrote before the begin of an allocation");
    unmap(found->second);
    card.allocations.erase(found);
    return ready();
}

int cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t bytes, void* stream) {
    std::lock_guard guard(lock);
    if (recording(stream)) return CAPTURE_UNSUPPORTED;
    emulated_check(reinterpret_cast<void*>(to), bytes, "copy to the card");
    return work(stream, [=] { std::memcpy(reinterpret_cast<void*>(to), from, bytes); });
}

int cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t bytes, void* stream) {
    std::lock_guard guard(lock);
    if (recording(stream)) return CAPTURE_UNSUPPORTED;
    emulated_check(reinterpret_cast<void*>(from), bytes, "copy from the card");
    return work(stream, [=] { std::memcpy(to, reinterpret_cast<void*>(from), bytes); });
}

int cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void* stream) {
    std::lock_guard guard(lock);
    return work(stream, [=] {
        emulated_check(reinterpret_cast<void*>(from), bytes, "copy within the card, from");
        emulated_check(reinterpret_cast<void*>(to), bytes, "copy within the card, to");
        if (to < from + bytes && from < to + bytes && bytes) fail("a copy within the card to where it reads");
        std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
    });
}

int cuMemsetD8Async(uintptr_t to, unsigned char value, size_t bytes, void* stream) {
    std::lock_guard guard(lock);
    return work(stream, [=] {
        emulated_check(reinterpret_cast<void*>(to), bytes, "set bytes");
        std::memset(reinterpret_cast<void*>(to), value, bytes);
    });
}

int cuStreamCreate(void** stream, unsigned flags) {
    std::lock_guard guard(lock);
    if (Result result = ready()) return result;
    if (flags != 1) fail("a stream that waits for the default stream");
    card.streams++;
    *stream = new Stream();
    return SUCCESS;
}

int cuStreamDestroy_v2(void* stream) {
    std::lock_guard guard(lock);
    card.streams--;
    delete static_cast<Stream*>(stream);
    return SUCCESS;
}

int cuStreamSynchronize(void* stream) {
    std::lock_guard guard(lock);
    return recording(stream) ? CAPTURE_UNSUPPORTED : ready();
}

int cuStreamBeginCapture_v2(void* stream, int) {
    std::lock_guard guard(lock);
    if (Result result = ready()) return result;
    if (recording(stream)) return INVALID_VALUE;
    card.graphs++;
    static_cast<Stream*>(stream)->recording = new Graph{{}, 1};
    return SUCCESS;
}

int cuStreamEndCapture(void* stream, void** graph) {
    std::lock_guard guard(lock);
    if (!recording(stream)) return INVALID_VALUE;
    *graph = static_cast<Stream*>(stream)->recording;
    static_cast<Stream*>(stream)->recording = nullptr;
    return SUCCESS;
}

int cuGraphInstantiateWithFlags(void** exec, void* graph, unsigned long long) {
    std::lock_guard guard(lock);
    card.execs++;
    static_cast<Graph*>(graph)->holders++;
    *exec = graph;
    return SUCCESS;
}

int cuGraphLaunch(void* exec, void* stream) {
    std::lock_guard guard(lock);
    if (recording(stream)) return CAPTURE_UNSUPPORTED;
    for (const Work& work : static_cast<Graph*>(exec)->works) {
        if (Result result = ready()) return result;
        work.run(work.data);
    }
    return ready();
}

int cuGraphExecDestroy(void* exec) {
    std::lock_guard guard(lock);
    card.execs--;
    drop_graph(static_cast<Graph*>(exec));
    return SUCCESS;
}

int cuGraphDestroy(void* graph) {
    std::lock_guard guard(lock);
    card.graphs--;
    drop_graph(static_cast<Graph*>(graph));
    return SUCCESS;
}

/// An image is what the emulated NVRTC makes: 8 bytes of magic, the architecture, the size, a shared library.
int cuModuleLoadData(void** module, const void* image) {
    std::lock_guard guard(lock);
    if (Result result = ready()) return result;
    uint64_t head[3];
    std::memcpy(head, image, sizeof head);
    if (std::memcmp(head, "EMULATED", 8) != 0) return INVALID_IMAGE;
    if (int(head[1]) != capability()) return NO_BINARY_FOR_GPU;
    int file = memfd_create("module", 0);
    auto bytes = static_cast<const char*>(image) + sizeof head;
    for (uint64_t done = 0; done < head[2];) {
        ssize_t count = write(file, bytes + done, head[2] - done);
        if (count <= 0) fail("a module cannot be written");
        done += uint64_t(count);
    }
    void* library = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return INVALID_IMAGE;
    if (auto order = reinterpret_cast<void (*)(uint64_t)>(dlsym(library, "emulated_order")))
        order(uint64_t(setting("EMULATED_CUDA_ORDER", 0)));
    card.modules++;
    *module = new Module{library, file, {}};
    return SUCCESS;
}

int cuModuleUnload(void* handle) {
    std::lock_guard guard(lock);
    auto module = static_cast<Module*>(handle);
    card.modules--;
    for (Function* function : module->functions) delete function;
    dlclose(module->library);
    // The next one may get the same name, and would be this one again.
    std::string name = "/proc/self/fd/" + std::to_string(module->file);
    if (dlopen(name.c_str(), RTLD_NOW | RTLD_NOLOAD)) fail("a module that cannot be unloaded");
    close(module->file);
    delete module;
    return SUCCESS;
}

int cuModuleGetFunction(void** function, void* handle, const char* name) {
    std::lock_guard guard(lock);
    auto module = static_cast<Module*>(handle);
    void* run = dlsym(module->library, (std::string("emulated_run_") + name).c_str());
    void* sizes = dlsym(module->library, (std::string("emulated_sizes_") + name).c_str());
    if (!run || !sizes) return NOT_FOUND;
    auto made = new Function{reinterpret_cast<void (*)(void**, const unsigned*, size_t)>(run), {}, 48 << 10};
    made->sizes.resize(64);
    made->sizes.resize(reinterpret_cast<unsigned (*)(unsigned*)>(sizes)(made->sizes.data()));
    module->functions.push_back(made);
    *function = made;
    return SUCCESS;
}

int cuFuncSetAttribute(void* function, int attribute, int value) {
    std::lock_guard guard(lock);
    if (attribute != 8) fail("an attribute of a function that is not emulated");
    if (value < 0 || size_t(value) > largest_shared()) return INVALID_VALUE;
    static_cast<Function*>(function)->shared = size_t(value);
    return SUCCESS;
}

int cuLaunchKernel(void* handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void* stream, void** params, void** extra) {
    std::lock_guard guard(lock);
    if (Result result = ready()) return result;
    if (extra) fail("a launch with its arguments packed");
    auto function = static_cast<Function*>(handle);
    if (!gx || !gy || !gz || gx > 0x7FFFFFFFu || gy > 65535 || gz > 65535) return INVALID_VALUE;
    if (!bx || !by || !bz || size_t(bx) * by * bz > 1024 || shared > function->shared) return INVALID_VALUE;
    // Arguments are copied now, as the driver does.
    std::vector<std::vector<char>> arguments;
    for (size_t i = 0; i < function->sizes.size(); i++) {
        auto bytes = static_cast<const char*>(params[i]);
        arguments.emplace_back(bytes, bytes + function->sizes[i]);
    }
    return work(stream, [=]() mutable {
        if (++card.launches == setting("EMULATED_CUDA_FAILS_AT", 0)) {
            card.failed = true;
            return;
        }
        std::vector<void*> places;
        for (auto& argument : arguments) places.push_back(argument.data());
        const unsigned size[6] = {gx, gy, gz, bx, by, bz};
        function->run(places.data(), size, shared);
    });
}

}  // extern "C"

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
//   EMULATED_CUDA_GRAPHS=1          whether work can be recorded
//   EMULATED_CUDA_ORDER=0           in which order threads take turns, as `runtime.h` says
#include <algorithm>
#include <csignal>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

#include "card.h"

Card card;
std::recursive_mutex lock;
thread_local void* current;

namespace {

const size_t PAGE = 4096;
const unsigned char FRESH = 0xFF, GUARD = 0xA5;

bool started;

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

void unmap(const Allocation& allocation) {
    munmap(allocation.mapped, allocation.mapped_bytes);
    card.used -= allocation.bytes;
}

}  // namespace

extern "C" {

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

}  // extern "C"

// The other half of the emulated driver: streams, graphs, modules and launches.
#include <cstring>

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include "card.h"

namespace {

void drop_graph(Graph* graph) {
    if (--graph->holders > 0) return;
    for (const Work& work : graph->works) work.drop(work.data);
    delete graph;
}

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
    if (!setting("EMULATED_CUDA_GRAPHS", 1)) return CAPTURE_UNSUPPORTED;
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
    // A card gives 48 KiB unasked, less what the source declares. How much that is is not known here, so all is asked for.
    auto made = new Function{reinterpret_cast<void (*)(void**, const unsigned*, size_t)>(run), {}, 0};
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

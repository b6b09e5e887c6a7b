// NVRTC with g++ as its compiler: what it makes is a shared library, which the emulated driver loads. For each kernel
// it adds a function that launches it on `runtime.h`'s threads.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace {

enum Result { SUCCESS = 0, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6 };

struct Program {
    std::string source, name, log, cubin;
};

const char* LAUNCHERS = R"(
template <class... A>
static unsigned emulated_sizes(void (*)(A...), unsigned* sizes) {
    unsigned count = 0;
    ((sizes[count++] = sizeof(A)), ...);
    return count;
}
extern "C" void emulated_order(unsigned long seed) { emulate::order(seed); }
)";

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
}

/// The source, and a launcher for each of its kernels.
std::string with_launchers(const std::string& source) {
    static const std::regex kernel(
        R"(extern\s+"C"\s+__global__\s+(?:void\s+)?(?:__launch_bounds__\([^)]*\)\s*)?(?:void\s+)?(\w+)\s*\()");
    std::string text = source + LAUNCHERS;
    for (std::sregex_iterator at(source.begin(), source.end(), kernel), end; at != end; ++at) {
        std::string launcher = R"(
extern "C" void emulated_run_NAME(void** params, const unsigned* n, unsigned long shared) {
    emulate::launch_kernel(&NAME, params, n[0], n[1], n[2], n[3], n[4], n[5], shared);
}
extern "C" unsigned emulated_sizes_NAME(unsigned* sizes) { return emulated_sizes(&NAME, sizes); }
)";
        replace_all(launcher, "NAME", (*at)[1]);
        text += launcher;
    }
    return text;
}

/// Runs g++; what it prints goes to `log`.
bool run(std::vector<std::string> words, const std::string& log) {
    pid_t child = fork();
    if (child == 0) {
        if (!std::freopen(log.c_str(), "w", stderr)) _exit(127);
        std::vector<char*> arguments;
        for (std::string& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        execvp(arguments[0], arguments.data());
        _exit(127);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

extern "C" {

int nvrtcVersion(int* major, int* minor) {
    const char* text = std::getenv("EMULATED_NVRTC_VERSION");
    int version = text ? std::atoi(text) : 12040;
    *major = version / 1000;
    *minor = version % 1000 / 10;
    return SUCCESS;
}

int nvrtcCreateProgram(void** program, const char* source, const char* name, int headers, const char* const*,
                       const char* const*) {
    if (!source || headers) return INVALID_INPUT;
    *program = new Program{source, name ? name : "default_program", "", ""};
    return SUCCESS;
}

int nvrtcCompileProgram(void* handle, int count, const char* const* options) {
    auto program = static_cast<Program*>(handle);
    // No unique symbols: modules share nothing, and can be unloaded.
    std::vector<std::string> words = {"g++", "-std=c++17", "-O2", "-g1", "-fPIC", "-shared", "-fno-gnu-unique", "-w",
                                      "-DEMULATED", "-I" EMULATED_FOLDER, "-x", "c++"};
    uint64_t architecture = 0;
    for (int i = 0; i < count; i++) {
        std::string option = options[i];
        static const std::set<std::string> known = {"75", "80", "86", "87", "89", "90"};
        const std::string which = "--gpu-architecture=sm_";
        if (option.rfind("-D", 0) == 0) {
            words.push_back(option);
        } else if (option.rfind(which, 0) == 0 && known.count(option.substr(which.size()))) {
            architecture = std::stoull(option.substr(which.size()));
        } else if (option != "--std=c++17") {
            program->log = "nvrtc: error: invalid value for " + option + "\n";
            return INVALID_OPTION;
        }
    }
    char folder[] = "/tmp/emulated-nvrtc-XXXXXX";
    if (!mkdtemp(folder)) return COMPILATION;
    std::string base = folder, source = base + "/source.cpp", library = base + "/library.so", log = base + "/log";
    std::ofstream(source) << with_launchers(program->source);
    words.insert(words.end(), {source, "-o", library});
    bool compiled = run(words, log);
    program->log = read(log);
    if (compiled) {
        std::string bytes = read(library);
        uint64_t head[3] = {0, architecture, bytes.size()};
        std::memcpy(head, "EMULATED", 8);
        program->cubin.assign(reinterpret_cast<char*>(head), sizeof head);
        program->cubin += bytes;
    }
    for (const std::string& path : {source, library, log}) unlink(path.c_str());
    rmdir(folder);
    return compiled ? SUCCESS : COMPILATION;
}

int nvrtcGetProgramLogSize(void* program, size_t* size) {
    *size = static_cast<Program*>(program)->log.size() + 1;
    return SUCCESS;
}

int nvrtcGetProgramLog(void* program, char* log) {
    std::strcpy(log, static_cast<Program*>(program)->log.c_str());
    return SUCCESS;
}

int nvrtcGetCUBINSize(void* program, size_t* size) {
    *size = static_cast<Program*>(program)->cubin.size();
    return *size ? SUCCESS : INVALID_PROGRAM;
}

int nvrtcGetCUBIN(void* program, char* cubin) {
    const std::string& bytes = static_cast<Program*>(program)->cubin;
    std::memcpy(cubin, bytes.data(), bytes.size());
    return SUCCESS;
}

int nvrtcDestroyProgram(void** program) {
    delete static_cast<Program*>(*program);
    *program = nullptr;
    return SUCCESS;
}

}  // extern "C"

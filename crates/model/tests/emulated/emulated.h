// What the emulated libraries share: the driver does all work, so that work of the others is recorded in graphs too.
#pragma once

#include <cstddef>

extern "C" {
/// Does `run(data)` now or, where the stream is being recorded, each time that its graph is launched. `drop(data)`
/// comes once, when it will not be needed again. Returns what the driver would.
int emulated_work(void* stream, void (*run)(void*), void* data, void (*drop)(void*));

/// Fails unless all these bytes are one allocation's; `what` says who wants them.
void emulated_check(const void* address, size_t bytes, const char* what);

/// Whether this thread has a context.
bool emulated_has_context();
}

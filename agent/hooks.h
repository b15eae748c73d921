// The functions that stand in for the target's allocation functions. Exported under the names that they
// replace (preloading), and known to an injector by their addresses (patching): the names asyncdump_hook_*
// are hidden, so that they mean the agent's own wherever it was loaded.
#pragma once

#include <cstddef>

#include "real_functions.h"
#include "recorder.h"

extern "C" {
void* asyncdump_hook_malloc(std::size_t size);
void* asyncdump_hook_calloc(std::size_t count, std::size_t size);
void* asyncdump_hook_realloc(void* block, std::size_t size);
void asyncdump_hook_free(void* block);
void* asyncdump_hook_aligned_alloc(std::size_t alignment, std::size_t size);
void* asyncdump_hook_memalign(std::size_t alignment, std::size_t size);
int asyncdump_hook_posix_memalign(void** block, std::size_t alignment, std::size_t size);
}

namespace asyncdump::agent {

/// The one recorder of the process. Zero until the constructor has run, and usable then too.
extern Recorder recorder;
/// From now on blocks of malloc, calloc and realloc are registered too.
void record_malloc();

ThreadState& this_thread();

const void* hook_of_form(Form form);

}  // namespace asyncdump::agent

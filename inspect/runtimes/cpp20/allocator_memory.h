#pragma once

#include <span>
#include <vector>

#include "modules/module.h"
#include "process/memory.h"
#include "process/memory_map.h"

namespace asyncdump::cpp20 {

/// Where an allocator that replaces the C library's (jemalloc, tcmalloc, mimalloc as a shared library) keeps
/// its own variables: its module's data, and its thread-local variables of each thread. What it says of
/// blocks there is no use of them. Sorted; empty when the C library's own allocator serves, or one that is
/// linked into the executable and cannot be told from it.
///
/// `thread_pointers` are the threads' fs registers. Thread-local variables are found through the C library's
/// vector of them (ELF Handling For Thread-Local Storage, variant II: the blocks of the modules that were
/// loaded at the start lie one below the other under the thread pointer), by the size of the module's block.
std::vector<AddressRange> allocator_variables(const ModuleSet& modules, const MemoryMap& map,
                                              const Memory& memory,
                                              std::span<const RemoteAddress> thread_pointers);

/// The C library's own variables: malloc's lists of free memory and the buffers of its streams are there, and
/// no use of a frame. Sorted.
std::vector<AddressRange> c_library_variables(const ModuleSet& modules, const MemoryMap& map);

/// Whether another malloc than glibc's may serve: a module other than the C library defines it. A static
/// executable without symbols is taken for one that brings its own.
bool may_replace_malloc(const ModuleSet& modules);

}  // namespace asyncdump::cpp20

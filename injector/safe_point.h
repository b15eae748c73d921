#pragma once

#include <string>

#include "modules/module.h"
#include "modules/unwinder.h"
#include "process/memory_map.h"
#include "process/stopped_process.h"

namespace asyncdump {

/// Whether a stopped thread may be made to call dlopen: it must hold neither the allocator's nor the loader's
/// locks, for which the call would wait for ever. So none of its calls may be in the loader, in an allocator
/// or in a signal handler (which may have interrupted those), and in the C library only a blocking system
/// call may be. Returns why not, "" when it may.
std::string obstacle_to_loading(const StoppedThread& thread, const UnwoundStack& stack,
                                const ModuleSet& modules, const MemoryMap& map);

/// A thread in the loader may be about to bind a symbol: what it writes then would replace what we wrote.
bool is_in_loader(const UnwoundStack& stack, const ModuleSet& modules);

bool is_loader(const Module& module);
bool is_c_library(const Module& module);

}  // namespace asyncdump

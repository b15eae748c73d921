#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "modules/module.h"
#include "process/live_memory.h"

namespace asyncdump {

/// What the agent wants to stand in for (asyncdump_hook of its registry).
struct Hook {
    std::string name;
    std::uint64_t address = 0;
    std::uint32_t phase = 0;
};

/// One slot of a global offset table: what stands there now and what is to stand there.
struct Slot {
    RemoteAddress address;
    std::uint64_t before = 0, after = 0;
    std::uint32_t phase = 0;
};

/// The slots of all modules that bind one of the hooks' names to its ordinary definition, those that free
/// first. Slots that lead elsewhere (somebody else stands in already) are left alone.
std::vector<Slot> find_slots(const ModuleSet& modules, const Memory& memory, const std::vector<Hook>& hooks);

/// Writes the slots, in their order. While all threads are stopped. On failure everything is as before.
Result<void> patch(const std::vector<Slot>& slots, const FileDescriptor& memory);

}  // namespace asyncdump

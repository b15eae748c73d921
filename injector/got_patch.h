#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
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

/// Finds the slots of all modules that bind one of the hooks' names to its ordinary definition. Slots that
/// lead elsewhere (somebody else stands in already) are left alone.
class SlotFinder {
  public:
    SlotFinder(const ModuleSet& modules, const Memory& memory, const std::vector<Hook>& hooks);

    /// Those that free first. May take long: while the target runs.
    std::vector<Slot> find();
    /// What stands in the slots now, where symbols were bound meanwhile. Quick: while it is stopped.
    std::vector<Slot> look_again(const std::vector<Slot>& slots);

  private:
    struct Place {
        const Module* module;
        const Hook* hook;
    };
    void add_slots(const Module& module, const AddressRange& table, RemoteAddress symbols,
                   RemoteAddress strings);
    bool is_ordinary(const Place& place, std::uint64_t value);

    const ModuleSet& modules_;
    const Memory& memory_;
    std::unordered_map<std::string, const Hook*> hooks_;
    std::unordered_map<std::string, std::unordered_set<std::uint64_t>> definitions_;  ///< by name
    std::unordered_set<std::uint64_t> own_;            ///< the hooks themselves
    std::unordered_map<RemoteAddress, Place> places_;  ///< by slot
    std::vector<Slot> slots_;
};

/// Writes the slots, in their order. While all threads are stopped. On failure everything is as before.
Result<void> patch(const std::vector<Slot>& slots, const FileDescriptor& memory);

}  // namespace asyncdump

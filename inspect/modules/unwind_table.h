#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "modules/module.h"
#include "process/memory.h"

namespace asyncdump {

/// Where the unwinding information of a module is, in the form that libunwind searches: a sorted table of
/// pairs of 32-bit offsets (function, frame description entry) from a base.
struct UnwindTable {
    std::uint64_t base = 0;
    std::uint64_t entries = 0;  ///< address of the first pair
    std::uint64_t entry_count = 0;
};

/// Finds the tables. A linker makes one (.eh_frame_hdr) for everything but static executables; for those it
/// is made here from .eh_frame, and for code that only .debug_frame describes from that. What is made here
/// lives at addresses that the target does not use and is read by read().
class UnwindTables {
  public:
    UnwindTables(const ModuleSet& modules, const Memory& memory) : modules_(modules), memory_(memory) {}

    /// The linker's table or one made of .eh_frame; empty when the module has neither.
    const std::optional<UnwindTable>& of_eh_frame(const Module& module);

    /// For code that the former does not know. Asks the module for its debug information.
    const std::optional<UnwindTable>& of_debug_frame(const Module& module);

    /// Bytes of tables made here; 0 for every other address.
    std::size_t read(std::uint64_t address, std::span<std::byte> destination) const;

  private:
    struct Pair {
        std::int32_t function, entry;
    };

    static std::optional<UnwindTable> linker_table(const Module& module);
    std::optional<UnwindTable> table_of_eh_frame(const Module& module);
    std::optional<UnwindTable> table_of_debug_frame(const Module& module);
    UnwindTable publish(std::uint64_t base, std::vector<Pair> pairs);
    bool is_unused(std::uint64_t begin, std::uint64_t size) const;
    std::optional<std::uint64_t> unused_addresses_near(const Module& module, std::uint64_t size) const;

    const ModuleSet& modules_;
    const Memory& memory_;
    std::map<const Module*, std::optional<UnwindTable>> eh_frame_tables_, debug_frame_tables_;
    std::map<std::uint64_t, std::vector<std::byte>> made_;  ///< by the address given to it
    std::uint64_t next_table_address_ =
        0x8000'0000'0000'0000;  // not canonical: no x86-64 process has memory there
};

}  // namespace asyncdump

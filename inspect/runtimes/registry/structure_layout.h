// Structures of the agent's registry as the agent at hand was compiled: where its debug information places
// their members, or else where agent/registry_layout.h does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "agent/registry_layout.h"
#include "modules/module.h"

namespace asyncdump {

/// A structure's members in the agent, beside those of our own copy of it.
class StructureLayout {
  public:
    struct Member {
        std::string_view name;
        std::uint32_t offset = 0, size = 0;  ///< in our own structure
        bool is_part = false;                ///< an asyncdump_part, whose members are placed by themselves
    };

    /// As registry_layout.h has it. `members` must outlive the layout.
    explicit StructureLayout(std::span<const Member> members);

    /// Places the members as a DWARF type has them. One that it lacks becomes 0 in every converted structure.
    void place_as(Dwarf_Die type);

    /// Fills our own structure (zeroed before) from the bytes of the agent's. What `bytes` does not reach is
    /// 0. `part`: the layout of asyncdump_part.
    void convert(std::span<const std::byte> bytes, std::span<std::byte> own,
                 const StructureLayout* part) const;

  private:
    struct Place {
        std::uint32_t offset = 0, size = 0;  ///< in the agent's structure; size 0: it has no such member
    };
    std::span<const Member> members_;
    std::vector<Place> places_;
};

/// All structures that a reader takes apart.
struct RegistryLayout {
    RegistryLayout();
    /// Takes the places from the agent's debug information where there is some; tells whether there was. The
    /// debug information is the target's file and as little trusted as its memory: at worst values are wrong.
    bool place_by_debug_information(const Module& agent);

    asyncdump_registry_header header(std::span<const std::byte> bytes) const;
    asyncdump_counters counters(std::span<const std::byte> bytes) const;
    asyncdump_record record(std::span<const std::byte> bytes) const;
    asyncdump_origin origin(std::span<const std::byte> bytes) const;
    asyncdump_annotation annotation(std::span<const std::byte> bytes) const;
    asyncdump_hook hook(std::span<const std::byte> bytes) const;

  private:
    StructureLayout part_, header_, counters_, record_, origin_, annotation_, hook_;
};

}  // namespace asyncdump

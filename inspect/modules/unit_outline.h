#pragma once

#include <elfutils/libdw.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace asyncdump {

/// The scopes of a unit with their parents, which DIEs do not tell, and where its functions' code lies: found
/// in one pass over the unit's bytes that looks at attributes only where it must. Asking libdw takes ten
/// times as long, and for a parent each time.
struct UnitOutline {
    static constexpr std::uint32_t none = 0xFFFFFFFF;

    /// A namespace, class, union or enumeration.
    struct Scope {
        std::uint32_t place;   ///< bytes from the unit's root DIE
        std::uint32_t parent;  ///< in `scopes`, before this one; none at the unit itself
        std::uint16_t tag;
        std::uint16_t is_declaration;  ///< 1: it is described elsewhere
    };
    struct Code {
        std::uint64_t begin, end;  ///< addresses of the Dwarf
        std::uint64_t place;       ///< of the subprogram: bytes from the unit's root DIE
    };

    std::vector<Scope> scopes;  ///< sorted by place
    std::vector<Code> code;     ///< in the order of the subprograms

    /// A malformed unit ends where it becomes so.
    static UnitOutline read(Dwarf_Die root);

    /// For a cache. What is read again fits the unit: it has that size, and no place lies outside of it.
    std::vector<std::byte> to_bytes(const Dwarf_Die& root) const;
    static std::optional<UnitOutline> from_bytes(const Dwarf_Die& root, std::span<const std::byte> bytes);

    /// Index in `scopes`; none for a DIE that is no scope of this unit.
    std::uint32_t find(const Dwarf_Die& root, const Dwarf_Die& die) const;
};

/// The DIE at a place of an outline.
inline Dwarf_Die die_at(const Dwarf_Die& root, std::uint64_t place) {
    Dwarf_Die die{};
    die.addr = static_cast<char*>(root.addr) + place;
    die.cu = root.cu;
    return die;
}

}  // namespace asyncdump

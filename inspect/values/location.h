#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "process/memory.h"

namespace asyncdump {

/// What a location expression (DWARF 5, section 2.5 and 2.6) is evaluated with. A value that is not known
/// makes what needs it unknown: nothing is guessed.
struct LocationContext {
    const Memory& memory;
    Dwarf_Addr pc = 0;       ///< in the Dwarf's own addresses
    std::uint64_t bias = 0;  ///< target address = address in the Dwarf + bias
    /// By DWARF number.
    std::function<std::optional<std::uint64_t>(unsigned number)> register_value;
    /// A register's value when the function was entered.
    std::function<std::optional<std::uint64_t>(unsigned number)> entry_value;
    std::optional<std::uint64_t> canonical_frame_address;
    /// The subprogram's DW_AT_frame_base; no attribute: none.
    std::optional<Dwarf_Attribute> frame_base;
};

/// A part of an object, or the whole of it.
struct LocationPiece {
    enum class Kind : std::uint8_t { memory, value, unknown };
    Kind kind = Kind::unknown;
    RemoteAddress address;         ///< memory
    std::vector<std::byte> bytes;  ///< value, least significant first; may be longer than `size`
    std::uint64_t size = 0;        ///< in bytes; 0: the whole object
    bool is_constant = false;      ///< value: nothing of the target went into it
};

/// Where the variable or parameter `die` is at the context's pc. Empty when debug information gives no place
/// for it there: it was optimised out.
std::vector<LocationPiece> locate(Dwarf_Die die, const LocationContext& context);

/// Whether debug information gives it a place at a pc at all.
bool has_location(Dwarf_Die die, Dwarf_Addr pc);

}  // namespace asyncdump

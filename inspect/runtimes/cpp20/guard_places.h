// Where an object keeps guards of locks: it is one, has one as a member, or owns some by a standard
// container.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "process/memory.h"
#include "runtimes/cpp20/lock_types.h"

namespace asyncdump::cpp20 {

struct GuardPlace {
    enum class Way : std::uint8_t {
        inside,
        owned,     ///< by a std::unique_ptr
        elements,  ///< of a std::vector
    };
    Way way = Way::inside;
    std::uint32_t offset = 0;      ///< in the object: of the guard, or of the pointer to the first one
    std::uint32_t end_offset = 0;  ///< of the pointer behind the last element
    std::uint32_t size = 0;        ///< of a guard
    std::optional<std::uint32_t> engaged;  ///< offset of the flag of the std::optional around it
    GuardShape shape;
};

/// In an object of a class (or array): itself, its members and theirs, std::optional, pair, tuple and array,
/// and what a std::unique_ptr or std::vector among them owns. What it merely refers to is not its own.
std::vector<GuardPlace> guard_places(Dwarf_Die type, TypeTable& types);

/// The guards that are there now, in an object at `object`; none where a flag says that there is none.
std::vector<RemoteAddress> guards_at(const Memory& memory, RemoteAddress object, const GuardPlace& place);

}  // namespace asyncdump::cpp20

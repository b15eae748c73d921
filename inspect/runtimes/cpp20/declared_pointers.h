#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace asyncdump::cpp20 {

/// Words of a type's objects, by what debug information declares that they lead to; offsets in bytes from the
/// object's beginning.
struct DeclaredPointers {
    std::vector<std::uint32_t> to_plain_data;  ///< characters and numbers
    /// To an array of handles or pointers, or the bounds of a standard container's memory: no frame begins
    /// there but the one that an allocator puts behind the array's end.
    std::vector<std::uint32_t> to_arrays;
    /// Other objects of a known size, which cannot be those of a derived class.
    struct ToObject {
        std::uint32_t offset = 0, bytes = 0;
    };
    std::vector<ToObject> to_objects;
};

/// Remembers each type: a standard library's strings and vectors are members of nearly every frame. Must not
/// outlive the modules.
class DeclaredPointersOfTypes {
  public:
    /// Valid as long as this object.
    const DeclaredPointers& of(Dwarf_Die type);

  private:
    const DeclaredPointers& find(Dwarf_Die type, int depth);

    std::unordered_map<const void*, DeclaredPointers> known_;  ///< by the type's DIE
};

}  // namespace asyncdump::cpp20

#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace asyncdump::cpp20 {

/// Which words of a type's objects are declared to lead to plain data: pointers to characters and numbers.
/// Remembers each type: a standard library's strings and vectors are members of nearly every frame. Must not
/// outlive the modules.
class PlainDataWords {
  public:
    /// Offsets in bytes from the object's beginning. Valid as long as this object.
    std::span<const std::uint32_t> of(Dwarf_Die type);

  private:
    std::span<const std::uint32_t> find(Dwarf_Die type, int depth);

    std::unordered_map<const void*, std::vector<std::uint32_t>> known_;  ///< by the type's DIE
};

}  // namespace asyncdump::cpp20

#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace asyncdump {

/// Qualified names of named types. DIEs have no link to their parents: the types of a unit are read in one
/// walk when the first of them is asked for (asking libdw walks the unit for each).
class TypeScopes {
  public:
    /// "std::__cxx11::basic_string<char, ...>" as debug information has it; "" for a type without a name.
    std::string qualified_name(Dwarf_Die type);

  private:
    struct Scope {
        Dwarf_Die die;
        std::uint32_t parent;
    };
    static constexpr std::uint32_t none = 0xFFFFFFFF;

    void read_unit(Dwarf_Die unit);

    std::vector<Scope> scopes_;
    std::unordered_map<const void*, std::uint32_t> index_;
    std::unordered_map<const void*, bool> units_;  ///< by root DIE: whether it was read
};

}  // namespace asyncdump

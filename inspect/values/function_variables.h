#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace asyncdump {

/// A parameter or local variable of a function as debug information lists it.
struct VariableEntry {
    Dwarf_Die die{};
    std::string name;
    Dwarf_Die type{};
    bool is_parameter = false;
    bool is_artificial = false;          ///< the compiler's own; `this` is one
    std::uint32_t line = 0, column = 0;  ///< of its declaration; 0 when unknown
    std::uint32_t block = 0;             ///< in FunctionVariables::blocks: the innermost around it
};

/// The variables of one function (or of one call inlined into another function), without those of calls
/// inlined into it.
struct FunctionVariables {
    struct Block {
        std::uint32_t parent = 0;
        std::vector<std::pair<Dwarf_Addr, Dwarf_Addr>> ranges;  ///< in the Dwarf's own addresses
    };
    std::vector<Block> blocks;             ///< the first is the function itself, and covers everything
    std::vector<VariableEntry> variables;  ///< in the order of the source

    bool covers(std::uint32_t block, Dwarf_Addr address) const;
};

/// Bounded in number and depth.
FunctionVariables read_function_variables(Dwarf_Die function);

/// The same variable of the source in another function that was made of it, by its name and the place of its
/// declaration. nullptr when there is none, or two.
const VariableEntry* find_same(const FunctionVariables& variables, const VariableEntry& variable);

}  // namespace asyncdump

#include "values/function_variables.h"

#include <dwarf.h>

#include <algorithm>
#include <optional>

#include "modules/dwarf_types.h"
#include "modules/dwarf_walk.h"

namespace asyncdump {
namespace {

constexpr int deepest_block = 32;
constexpr std::size_t most_variables = 4096;
constexpr std::size_t most_ranges = 4096;

std::uint32_t number_of(Dwarf_Die die, unsigned name) {
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    if (dwarf_formudata(dwarf_attr_integrate(&die, name, &attribute), &value) != 0 || value > 0xFFFFFFFF)
        return 0;
    return static_cast<std::uint32_t>(value);
}

std::vector<std::pair<Dwarf_Addr, Dwarf_Addr>> ranges_of(Dwarf_Die die) {
    std::vector<std::pair<Dwarf_Addr, Dwarf_Addr>> ranges;
    Dwarf_Addr base = 0, begin = 0, end = 0;
    std::ptrdiff_t offset = 0;
    while (ranges.size() < most_ranges && (offset = dwarf_ranges(&die, offset, &base, &begin, &end)) > 0)
        ranges.emplace_back(begin, end);
    return ranges;
}

void read_block(Dwarf_Die scope, std::uint32_t block, int depth, OncePerDie& once,
                FunctionVariables& result) {
    Dwarf_Die child;
    if (depth > deepest_block || dwarf_child(&scope, &child) != 0) return;
    do {
        if (!once.is_new(child)) return;
        const int tag = dwarf_tag(&child);
        if (tag == DW_TAG_lexical_block) {
            const auto inner = static_cast<std::uint32_t>(result.blocks.size());
            result.blocks.push_back({block, ranges_of(child)});
            read_block(child, inner, depth + 1, once, result);
        } else if (tag == DW_TAG_variable || tag == DW_TAG_formal_parameter) {
            if (result.variables.size() >= most_variables) return;
            Dwarf_Attribute attribute;
            // An extern declaration in the function, or a static variable: no local.
            if (dwarf_attr_integrate(&child, DW_AT_external, &attribute) != nullptr ||
                dwarf_attr_integrate(&child, DW_AT_declaration, &attribute) != nullptr) {
                continue;
            }
            const auto type = type_of(child);
            if (!type) continue;
            VariableEntry entry;
            entry.die = child;
            entry.name = die_name(child);
            entry.type = *type;
            entry.is_parameter = tag == DW_TAG_formal_parameter;
            entry.is_artificial = dwarf_attr_integrate(&child, DW_AT_artificial, &attribute) != nullptr;
            entry.line = number_of(child, DW_AT_decl_line);
            entry.column = number_of(child, DW_AT_decl_column);
            entry.block = block;
            result.variables.push_back(std::move(entry));
        }
    } while (go_to_sibling(child));
}

}  // namespace

bool FunctionVariables::covers(std::uint32_t block, Dwarf_Addr address) const {
    if (block == 0) return true;
    return std::ranges::any_of(blocks[block].ranges, [&](const auto& range) {
        return address >= range.first && address < range.second;
    });
}

FunctionVariables read_function_variables(Dwarf_Die function) {
    FunctionVariables result;
    result.blocks.emplace_back();
    OncePerDie once;
    read_block(function, 0, 0, once, result);
    if (result.variables.empty()) {
        // GCC leaves out of an instance what it could not place in it: then the abstract function names them.
        Dwarf_Attribute attribute;
        Dwarf_Die origin;
        if (dwarf_attr(&function, DW_AT_abstract_origin, &attribute) != nullptr &&
            dwarf_formref_die(&attribute, &origin) != nullptr) {
            OncePerDie once_of_origin;
            read_block(origin, 0, 0, once_of_origin, result);
        }
    }
    std::ranges::stable_sort(result.variables, [](const VariableEntry& a, const VariableEntry& b) {
        return std::pair(!a.is_parameter, a.is_parameter ? 0 : a.line) <
               std::pair(!b.is_parameter, b.is_parameter ? 0 : b.line);
    });
    return result;
}

const VariableEntry* find_same(const FunctionVariables& variables, const VariableEntry& variable) {
    const VariableEntry* found = nullptr;
    for (const VariableEntry& candidate : variables.variables) {
        const bool is_same = candidate.name == variable.name && candidate.line == variable.line &&
                             candidate.column == variable.column &&
                             candidate.is_parameter == variable.is_parameter;
        if (!is_same) continue;
        if (found != nullptr) return nullptr;
        found = &candidate;
    }
    return found;
}

}  // namespace asyncdump

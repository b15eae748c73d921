#include "runtimes/cpp20/frame_locals.h"

#include <dwarf.h>

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string_view>

#include "modules/dwarf_functions.h"
#include "modules/dwarf_walk.h"
#include "modules/line_table.h"
#include "values/function_variables.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint64_t largest_offset = 1 << 20;
constexpr Dwarf_Word frame_pointer_register = 6, stack_pointer_register = 7;

bool is_base_register(Dwarf_Word number) {
    return number != frame_pointer_register && number != stack_pointer_register;
}

/// The number in "frame + number", where the frame's address is in a register, was the function's argument,
/// or lies in a word of the stack. Empty for any other expression.
std::optional<std::uint64_t> offset_of(std::span<const Dwarf_Op> operations) {
    if (operations.empty()) return std::nullopt;
    const Dwarf_Op& first = operations[0];
    std::uint64_t offset = 0;
    bool at_frame = false;
    if (first.atom >= DW_OP_breg0 && first.atom <= DW_OP_breg31) {
        const Dwarf_Word number = first.atom - DW_OP_breg0;
        const bool dereferenced = operations.size() > 1 && operations[1].atom == DW_OP_deref;
        at_frame = is_base_register(number) && !dereferenced;
        if (at_frame) offset = first.number;
        if (!at_frame && !dereferenced) return std::nullopt;
    } else if (first.atom == DW_OP_entry_value || first.atom == DW_OP_GNU_entry_value) {
        at_frame = true;
    } else if (first.atom != DW_OP_fbreg) {
        return std::nullopt;
    }
    for (std::size_t i = 1; i < operations.size(); ++i) {
        switch (operations[i].atom) {
            case DW_OP_deref:
                if (at_frame) return std::nullopt;
                at_frame = true;
                break;
            case DW_OP_plus_uconst:
                if (!at_frame) return std::nullopt;
                offset += operations[i].number;
                break;
            default:
                return std::nullopt;
        }
    }
    if (!at_frame || offset < 16 || offset > largest_offset) return std::nullopt;
    return offset;
}

struct FramePlace {
    std::uint32_t offset = 0;
    std::vector<AddressRange> located;
};

/// All places that a variable is given have to agree.
std::optional<FramePlace> frame_place(const Module& module, Dwarf_Die variable) {
    Dwarf_Attribute attribute;
    if (dwarf_attr(&variable, DW_AT_location, &attribute) == nullptr) return std::nullopt;
    std::optional<std::uint64_t> agreed;
    FramePlace place;
    bool is_everywhere = false;
    LocationList locations(attribute);
    while (const auto location = locations.next()) {
        const auto offset = offset_of(location->operations);
        if (!offset || (agreed && *agreed != *offset)) return std::nullopt;
        agreed = offset;
        is_everywhere = is_everywhere || (location->begin == 0 && location->end == ~Dwarf_Addr{0});
        place.located.push_back({module.from_dwarf(location->begin), module.from_dwarf(location->end)});
    }
    if (!agreed) return std::nullopt;
    place.offset = static_cast<std::uint32_t>(*agreed);
    if (is_everywhere) place.located.clear();
    return place;
}

/// Of a variable of which an optimiser tells no place that GCC's frame type describes. Of several with one
/// name nobody knows which.
std::optional<FramePlace> place_of_member(const FrameLayout& layout, std::string_view name) {
    const FrameField* found = nullptr;
    for (const FrameField& member : layout.members) {
        if (member.role != FrameField::Role::local || member.name != name) continue;
        if (found != nullptr) return std::nullopt;
        found = &member;
    }
    if (found == nullptr) return std::nullopt;
    return FramePlace{found->offset, {}};
}

/// The code of the block that declares a variable: of the nearest one around it that has code of its own;
/// none for the function itself.
std::vector<AddressRange> scope_of(const Module& module, const FunctionVariables& variables,
                                   std::uint32_t block) {
    while (block != 0 && variables.blocks[block].ranges.empty()) block = variables.blocks[block].parent;
    std::vector<AddressRange> scope;
    for (const auto& [begin, end] : variables.blocks[block].ranges)
        scope.push_back({module.from_dwarf(begin), module.from_dwarf(end)});
    return scope;
}

/// Positions in the file that declares `variable` with code in `ranges`.
std::vector<TextPosition> positions_in(const Module& module, const std::vector<AddressRange>& ranges,
                                       Dwarf_Die variable) {
    const std::string file = declaration_file(variable);
    Dwarf_Die unit;
    if (file.empty() || dwarf_diecu(&variable, &unit, nullptr, nullptr) == nullptr) return {};
    const LineTable* const table = LineTable::of(unit);
    if (table == nullptr) return {};
    const auto rows = table->rows();
    std::vector<TextPosition> positions;
    std::map<std::uint16_t, bool> is_of_file;
    for (const AddressRange& range : ranges) {
        auto row = std::ranges::lower_bound(rows, module.to_dwarf(range.begin), {}, &LineTable::Row::address);
        for (; row != rows.end() && row->address < module.to_dwarf(range.end); ++row) {
            if (row->line == 0 || row->ends_sequence()) continue;
            const auto [known, is_new] = is_of_file.try_emplace(row->file);
            if (is_new) known->second = table->file_of(*row) == file;
            if (known->second) positions.push_back({row->line, row->column});
        }
    }
    std::ranges::sort(positions);
    const auto [first, last] = std::ranges::unique(positions);
    positions.erase(first, last);
    return positions;
}

}  // namespace

std::vector<FrameLocal> read_frame_locals(const CoroutineCode& code, const FrameLayout& layout) {
    const Module& module = *code.module;
    const auto function = module.subprogram_at(code.resume.begin);
    if (!function) return {};
    const FunctionVariables variables = read_function_variables(*function);
    std::vector<FrameLocal> locals;
    for (const VariableEntry& entry : variables.variables) {
        auto place = frame_place(module, entry.die);
        if (!place) place = place_of_member(layout, entry.name);
        if (!place) continue;
        FrameLocal local;
        local.name = entry.name;
        local.type = entry.type;
        local.offset = place->offset;
        local.located = std::move(place->located);
        local.line = entry.line;
        local.column = entry.column;
        // GCC tells a parameter's copy in the frame as a variable of the function.
        const bool is_copy_of_parameter = std::ranges::any_of(layout.members, [&](const FrameField& member) {
            return member.role == FrameField::Role::parameter && member.offset == local.offset &&
                   member.name == local.name;
        });
        local.is_parameter = entry.is_parameter || is_copy_of_parameter;
        local.scope = scope_of(module, variables, entry.block);
        if (!local.is_parameter && !local.scope.empty())
            local.positions = positions_in(module, local.scope, entry.die);
        locals.push_back(std::move(local));
    }
    return locals;
}

bool is_declared_before(std::string_view name, std::uint32_t line, std::uint32_t column,
                        const SuspendPoint& point) {
    if (line == 0 || !point.location) return false;
    const AwaitingStatement& statement = point.statement;
    const std::uint32_t statement_line =
        statement.begin.line != 0 ? statement.begin.line : point.location->line;
    if (line != statement_line) return line < statement_line;
    return is_visible_at_statement(statement.names, name, column);
}

bool is_live(const FrameLocal& local, const SuspendPoint& point) {
    if (point.kind != SuspendPoint::Kind::await && point.kind != SuspendPoint::Kind::yield) return false;
    if (local.is_parameter) return true;
    if (!is_declared_before(local.name, local.line, local.column, point)) return false;
    if (local.scope.empty()) return true;
    const bool has_code_of_statement =
        std::ranges::any_of(local.positions, [&](const TextPosition& position) {
            // Code without a column may belong to any statement of its line, also to the declaration.
            if (point.statement.is_certain() && position.column != 0)
                return point.statement.contains(position);
            return position.line == point.location->line && local.line < position.line;
        });
    if (has_code_of_statement) return true;
    return std::ranges::any_of(local.scope, [&](const AddressRange& range) {
        return range.contains(point.resumes_at) ||
               std::ranges::any_of(point.stored_at,
                                   [&](RemoteAddress store) { return range.contains(store); });
    });
}

}  // namespace asyncdump::cpp20

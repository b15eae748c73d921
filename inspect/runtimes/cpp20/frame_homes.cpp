#include "runtimes/cpp20/frame_homes.h"

#include <dwarf.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "modules/dwarf_types.h"
#include "modules/dwarf_walk.h"
#include "runtimes/cpp20/dwarf_registers.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t most_operations = 64;
constexpr std::uint64_t header_size = 16, largest_offset = 1 << 20;
constexpr std::size_t most_members = 1000;

/// One place of a location list: as many bytes of the variable from its begin as are known, one after the
/// other in memory at a register plus a number.
struct Place {
    Register base = Register::none;
    std::uint64_t displacement = 0;
    std::uint64_t bytes = 0;  ///< 0: all
};

std::optional<Place> memory_place(std::span<const Dwarf_Op> operations) {
    if (operations.empty() || operations.size() > most_operations) return std::nullopt;
    std::optional<Place> place;
    for (std::size_t i = 0; i < operations.size();) {
        const Dwarf_Op& operation = operations[i++];
        if (operation.atom < DW_OP_breg0 || operation.atom > DW_OP_breg15) return std::nullopt;
        const Register base = register_of_dwarf_number[operation.atom - DW_OP_breg0];
        const bool is_piece = i < operations.size() && operations[i].atom == DW_OP_piece;
        if (!is_piece && operations.size() != 1) return std::nullopt;
        if (!place) place = Place{base, operation.number, 0};
        if (place->base != base || place->displacement + place->bytes != operation.number)
            return std::nullopt;
        if (is_piece) place->bytes += operations[i++].number;
    }
    return place;
}

/// A string of which begin and length are known is known: they lead to its text on the heap, or back to the
/// string itself.
bool is_enough(std::uint64_t bytes, const Dwarf_Die& type) {
    constexpr std::uint64_t begin_and_length = 16;
    const auto size = type_size(type);
    if (bytes == 0 || !size || bytes >= *size) return true;
    return bytes >= begin_and_length && die_name(strip_typedefs(type)).starts_with("basic_string<");
}

bool is_value(const Dwarf_Op& operation) {
    return operation.atom == DW_OP_stack_value || operation.atom == DW_OP_implicit_value ||
           operation.atom == DW_OP_regx || (operation.atom >= DW_OP_reg0 && operation.atom <= DW_OP_reg31);
}

bool is_reference(const Dwarf_Die& type) {
    Dwarf_Die stripped = strip_typedefs(type);
    const int tag = dwarf_tag(&stripped);
    return tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type;
}

bool has_destructor(const Dwarf_Die& type) {
    Dwarf_Die stripped = strip_typedefs(type);
    const int tag = dwarf_tag(&stripped);
    if (tag != DW_TAG_class_type && tag != DW_TAG_structure_type) return false;
    Dwarf_Die child;
    if (dwarf_child(&stripped, &child) != 0) return false;
    std::size_t members = 0;
    do {
        if (dwarf_tag(&child) == DW_TAG_subprogram && die_name(child).starts_with('~')) return true;
    } while (++members < most_members && dwarf_siblingof(&child, &child) == 0);
    return false;
}

}  // namespace

FrameHomes::FrameHomes(const CoroutineCode& code, const ImportedFunctions& imported)
    : module_(*code.module),
      code_(*code.module, imported, std::span(&code.ramp, code.ramp.size() == 0 ? 0 : 1)),
      values_(code_, code.ramp.begin),
      bases_(imported, code_, values_, FunctionRole::ramp, code.resume.begin) {
    if (code.ramp.size() == 0) return;
    if (const auto function = code.module->subprogram_at(code.ramp.begin))
        variables_ = read_function_variables(*function);
}

std::optional<FrameHome> FrameHomes::of(const VariableEntry& variable) const {
    const VariableEntry* found = find_same(variables_, variable);
    return found != nullptr ? home_of(*found) : std::nullopt;
}

std::optional<FrameHome> FrameHomes::home_of(const VariableEntry& in_ramp) const {
    Dwarf_Die die = in_ramp.die;
    Dwarf_Attribute attribute;
    if (dwarf_attr_integrate(&die, DW_AT_location, &attribute) == nullptr) return std::nullopt;
    std::optional<FrameHome> home;
    std::uint64_t displacement = 0;  // of the place that led to it
    Dwarf_Addr last = 0;
    bool was_a_value = false;
    LocationList locations(attribute);
    while (const auto location = locations.next()) {
        if (location->begin == location->end) continue;
        was_a_value = was_a_value || std::ranges::any_of(location->operations, is_value);
        const bool is_last = location->end > last;
        last = std::max(last, location->end);
        const auto place = memory_place(location->operations);
        // A handler goes on with what its function had in a register, which is not followed there.
        const bool is_the_same =
            place && place->displacement == displacement && is_enough(place->bytes, in_ramp.type);
        if (is_last && home && !is_the_same) home->until_end = false;
        const FunctionCode::Position at = code_.find(module_.from_dwarf(location->begin));
        if (!place || at == FunctionCode::nowhere) continue;
        const auto in_frame = bases_.offset_in_frame(place->base, at);
        if (!in_frame || !is_enough(place->bytes, in_ramp.type)) continue;
        const std::uint64_t offset = *in_frame + place->displacement;
        if (offset < header_size || offset > largest_offset || (home && home->offset != offset))
            return std::nullopt;
        home = FrameHome{static_cast<std::uint32_t>(offset), is_last, false};
        displacement = place->displacement;
    }
    if (home)
        home->is_always_current =
            is_reference(in_ramp.type) || (!was_a_value && has_destructor(in_ramp.type));
    return home;
}

}  // namespace asyncdump::cpp20

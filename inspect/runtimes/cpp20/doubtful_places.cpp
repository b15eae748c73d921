#include "runtimes/cpp20/doubtful_places.h"

#include <dwarf.h>

#include <algorithm>

#include "modules/dwarf_types.h"
#include "modules/dwarf_walk.h"
#include "runtimes/cpp20/dwarf_registers.h"

namespace asyncdump::cpp20 {
namespace {

class NoMemory final : public Memory {
  public:
    std::size_t read(RemoteAddress, std::span<std::byte>) const override { return 0; }
};

/// What is said of the variable at one place after the other, as far as it needs no state of the target.
std::vector<std::vector<LocationPiece>> told_of(Dwarf_Die variable) {
    const NoMemory memory;
    LocationContext context{memory, 0, 0, {}, {}, {}, {}};
    Dwarf_Attribute attribute;
    if (dwarf_attr_integrate(&variable, DW_AT_location, &attribute) == nullptr) {
        if (dwarf_attr_integrate(&variable, DW_AT_const_value, &attribute) == nullptr) return {};
        return {locate(variable, context)};
    }
    std::vector<std::vector<LocationPiece>> told;
    LocationList locations(attribute);
    while (const auto location = locations.next()) {
        if (location->begin == location->end) continue;
        context.pc = location->begin;
        told.push_back(locate(variable, context));
    }
    return told;
}

bool is_same(const LocationPiece& one, const LocationPiece& other) {
    return one.kind == other.kind && one.is_constant == other.is_constant && one.bytes == other.bytes;
}

bool has_constant(const std::vector<LocationPiece>& pieces) {
    return std::ranges::any_of(pieces, &LocationPiece::is_constant);
}

}  // namespace

bool has_constants(const VariableEntry& variable) {
    return std::ranges::any_of(told_of(variable.die), has_constant);
}

bool is_constant_throughout(const VariableEntry& in_resume, const VariableEntry* in_ramp) {
    const auto lives_in_memory = is_returned_in_memory(in_resume.type);
    if (lives_in_memory == true) return false;
    auto told = told_of(in_resume.die);
    const auto by_ramp = in_ramp != nullptr ? told_of(in_ramp->die) : decltype(told)();
    if (by_ramp.empty() && lives_in_memory) return false;
    told.insert(told.end(), by_ramp.begin(), by_ramp.end());
    return std::ranges::all_of(told, [&](const std::vector<LocationPiece>& pieces) {
        return std::ranges::equal(pieces, told.front(), is_same) && has_constant(pieces);
    });
}

std::vector<AddressRange> optimised_places(const VariableEntry& variable, Dwarf_Addr pc,
                                           const FrameKnowledge& knowledge) {
    const NoMemory memory;
    LocationContext context{memory, pc, 0, {}, {}, {}, {}};
    context.register_value = [&](unsigned number) -> std::optional<std::uint64_t> {
        if (number >= register_of_dwarf_number.size()) return std::nullopt;
        return knowledge.registers[static_cast<std::size_t>(register_of_dwarf_number[number])];
    };
    context.entry_value = [](unsigned) { return std::optional(FrameKnowledge::frame); };
    std::vector<AddressRange> places;
    for (const LocationPiece& piece : locate(variable.die, context)) {
        if (piece.kind != LocationPiece::Kind::memory || !FrameKnowledge::is_in_frame(piece.address.value()))
            continue;
        const std::uint64_t size = piece.size != 0 ? piece.size : type_size(variable.type).value_or(1);
        places.push_back({piece.address, piece.address + size});
    }
    return places;
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/awaiter_slots.h"

#include <algorithm>
#include <set>
#include <vector>

namespace asyncdump::cpp20 {
namespace {

using Position = FunctionCode::Position;

constexpr std::size_t most_instructions = 400;

std::optional<std::size_t> slot_at(std::span<const AwaiterSlot> slots, std::uint64_t offset) {
    const auto slot =
        std::ranges::find_if(slots, [&](const AwaiterSlot& one) { return one.contains(offset); });
    if (slot == slots.end()) return std::nullopt;
    return static_cast<std::size_t>(slot - slots.begin());
}

enum class Direction : bool { backward, forward };

/// The first slots on all ways from `start`, which itself is not looked at. Forward, up to the next call.
/// Empty when the ways are too many to be followed to their ends.
std::optional<std::set<std::size_t>> nearest_slots(const FunctionCode& code, const FrameBases& bases,
                                                   Position start, Direction direction,
                                                   std::span<const AwaiterSlot> slots) {
    std::set<std::size_t> found;
    std::vector<Position> open;
    std::set<Position> seen;
    const auto go_on_from = [&](Position at) {
        for (const Position next :
             direction == Direction::backward ? code.predecessors(at) : code.successors(at)) {
            if (next < code.instructions().size() && seen.insert(next).second) open.push_back(next);
        }
    };
    go_on_from(start);
    while (!open.empty()) {
        if (seen.size() > most_instructions) return std::nullopt;
        const Position at = open.back();
        open.pop_back();
        const auto touched = bases.touched_by(code.at(at), at);
        if (const auto slot = touched ? slot_at(slots, *touched) : std::nullopt) {
            found.insert(*slot);
            continue;
        }
        if (direction == Direction::forward && code.at(at).operation == Operation::call) continue;
        go_on_from(at);
    }
    return found;
}

/// Where the instruction stores the frame's own address into the frame.
std::optional<std::uint32_t> own_address_stored_at(const FunctionCode& code, const FrameBases& bases,
                                                   Position at) {
    constexpr std::uint64_t largest_frame = 1 << 20;
    const Instruction& instruction = code.at(at);
    const Operand& to = instruction.operands[0];
    const Operand& from = instruction.operands[1];
    if (instruction.operation != Operation::mov || !to.has_only_base() || to.size != 8 || !from.is_register())
        return std::nullopt;
    if (bases.offset_in_frame(from.reg, at) != 0U) return std::nullopt;
    const auto place = bases.touched_by(instruction, at);
    if (!place || *place >= largest_frame) return std::nullopt;
    return static_cast<std::uint32_t>(*place);
}

}  // namespace

std::set<std::uint32_t> own_address_stored_beside(const FunctionCode& code, const FrameBases& bases,
                                                  std::span<const StoreSite> stores, std::uint64_t index) {
    constexpr std::size_t most_steps = 64;
    std::set<std::uint32_t> places;
    const auto look_at = [&](Position at) {
        if (const auto place = own_address_stored_at(code, bases, at)) places.insert(*place);
    };
    for (const StoreSite& site : stores) {
        if (site.index != index) continue;
        const Position own = site.through_join ? site.constant : site.store;
        Position at = own;
        for (std::size_t i = 0; i < most_steps; ++i) {
            const auto successors = code.successors(at);
            if (successors.size() != 1 || code.is_join(successors[0])) break;
            look_at(at = successors[0]);
        }
        at = own;
        for (std::size_t i = 0; i < most_steps; ++i) {
            const auto predecessors = code.predecessors(at);
            if (predecessors.size() != 1 || code.successors(predecessors[0]).size() != 1) break;
            look_at(at = predecessors[0]);
        }
    }
    return places;
}

std::set<std::uint32_t> own_address_stored_in(const FunctionCode& code, const FrameBases& bases) {
    std::set<std::uint32_t> places;
    for (Position at = 0; at < code.instructions().size(); ++at) {
        if (const auto place = own_address_stored_at(code, bases, at)) places.insert(*place);
    }
    return places;
}

bool makes_address_in(const FunctionCode& code, const FrameBases& bases, const AwaiterSlot& slot) {
    for (Position at = 0; at < code.instructions().size(); ++at) {
        const Operation operation = code.at(at).operation;
        if (operation != Operation::lea && operation != Operation::add) continue;
        const auto place = bases.touched_by(code.at(at), at);
        if (place && slot.contains(*place)) return true;
    }
    return false;
}

std::optional<std::size_t> slot_touched_before_suspension(const FunctionCode& code, const FrameBases& bases,
                                                          std::span<const StoreSite> stores,
                                                          std::uint64_t index,
                                                          std::span<const AwaiterSlot> slots) {
    std::set<std::size_t> before, behind;
    for (const StoreSite& site : stores) {
        if (site.index != index) continue;
        // A store behind a join serves several suspend points.
        const Position own = site.through_join ? site.constant : site.store;
        auto nearest = nearest_slots(code, bases, own, Direction::backward, slots);
        if (!nearest) return std::nullopt;
        before.merge(*nearest);
        if (site.through_join) continue;
        nearest = nearest_slots(code, bases, own, Direction::forward, slots);
        if (!nearest) return std::nullopt;
        behind.merge(*nearest);
    }
    if (before.size() != 1 || (!behind.empty() && behind != before)) return std::nullopt;
    return *before.begin();
}

std::optional<std::size_t> slot_read_on_resumption(const FunctionCode& code, const DispatchTrace& trace,
                                                   std::span<const AwaiterSlot> slots) {
    for (const DispatchTrace::Place& place : trace.places) {
        const Position position = code.find(place.address);
        if (position == FunctionCode::nowhere) return std::nullopt;
        const Instruction& instruction = code.at(position);
        for (std::size_t i = 0; i < std::size(instruction.operands); ++i) {
            const auto offset = place.knowledge.offset_in_frame(instruction.operands[i]);
            const auto slot = offset ? slot_at(slots, *offset) : std::nullopt;
            if (!slot) continue;
            if (instruction.writes_operand(i)) return std::nullopt;
            return slot;
        }
    }
    return std::nullopt;
}

}  // namespace asyncdump::cpp20

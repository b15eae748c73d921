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

/// A memory operand at a fixed distance of a register, other than the stack's.
bool may_be_in_frame(const Operand& operand) {
    return operand.is_memory() && operand.reg != Register::none && operand.reg != Register::rsp &&
           operand.index == Register::none && !operand.thread_local_segment && !operand.rip_relative;
}

/// The slot that an instruction reads, writes or makes an address of.
std::optional<std::size_t> touched_slot(const FunctionCode& code, const FrameBases& bases, Position at,
                                        std::span<const AwaiterSlot> slots) {
    for (const Operand& operand : code.at(at).operands) {
        if (!may_be_in_frame(operand)) continue;
        const auto base = bases.offset_in_frame(operand.reg, at);
        if (!base) continue;
        if (const auto slot = slot_at(slots, *base + static_cast<std::uint64_t>(operand.value))) return slot;
    }
    return std::nullopt;
}

enum class Direction : bool { backward, forward };

/// The first slots on all ways from `start`, which itself is not looked at. Forward, up to the next call.
std::set<std::size_t> nearest_slots(const FunctionCode& code, const FrameBases& bases, Position start,
                                    Direction direction, std::span<const AwaiterSlot> slots) {
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
    while (!open.empty() && seen.size() < most_instructions) {
        const Position at = open.back();
        open.pop_back();
        if (const auto slot = touched_slot(code, bases, at, slots)) {
            found.insert(*slot);
            continue;
        }
        if (direction == Direction::forward && code.at(at).operation == Operation::call) continue;
        go_on_from(at);
    }
    return found;
}

}  // namespace

std::optional<std::size_t> slot_touched_before_suspension(const FunctionCode& code, const FrameBases& bases,
                                                          std::span<const StoreSite> stores,
                                                          std::uint64_t index,
                                                          std::span<const AwaiterSlot> slots) {
    std::set<std::size_t> before, behind;
    for (const StoreSite& site : stores) {
        if (site.index != index) continue;
        // A store behind a join serves several suspend points.
        const Position own = site.through_join ? site.constant : site.store;
        before.merge(nearest_slots(code, bases, own, Direction::backward, slots));
        if (!site.through_join) behind.merge(nearest_slots(code, bases, own, Direction::forward, slots));
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
            const Operand& operand = instruction.operands[i];
            if (!may_be_in_frame(operand)) continue;
            const auto base = place.knowledge.registers[static_cast<std::size_t>(operand.reg)];
            if (!base || !FrameKnowledge::is_in_frame(*base)) continue;
            const auto slot =
                slot_at(slots, *base - FrameKnowledge::frame + static_cast<std::uint64_t>(operand.value));
            if (!slot) continue;
            const bool writes = i == 0 && (instruction.operation == Operation::mov ||
                                           instruction.operation == Operation::opaque);
            if (writes) return std::nullopt;
            return slot;
        }
    }
    return std::nullopt;
}

}  // namespace asyncdump::cpp20

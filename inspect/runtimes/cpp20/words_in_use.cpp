#include "runtimes/cpp20/words_in_use.h"

#include <algorithm>
#include <array>
#include <set>
#include <vector>

namespace asyncdump::cpp20 {
namespace {

using Position = FunctionCode::Position;

constexpr std::uint64_t bytes_of_vector = 16;
constexpr std::array argument_registers = {Register::rdi, Register::rsi, Register::rdx,
                                           Register::rcx, Register::r8,  Register::r9};

enum class Use : std::uint8_t { none, looks, ends };

/// The registers that may be arguments of a call: the first, and those in the calling convention's order that
/// are written between the place before it where ways meet, or another call, and the call. It misses an
/// argument that was made earlier.
std::span<const Register> arguments_of(const FunctionCode& code, Position call) {
    constexpr std::size_t most_steps = 64;
    std::set<Register> written;
    Position at = call;
    for (std::size_t i = 0; i < most_steps; ++i) {
        const auto predecessors = code.predecessors(at);
        if (predecessors.size() != 1 || code.at(predecessors[0]).operation == Operation::call) break;
        at = predecessors[0];
        for (const Register reg : argument_registers) {
            if (may_write(code.at(at), reg)) written.insert(reg);
        }
    }
    const auto end = std::ranges::find_if(
        argument_registers, [&](Register reg) { return reg != Register::rdi && !written.contains(reg); });
    return {argument_registers.begin(), end};
}

/// Whether an address in the bytes, made before, is handed to a function or kept somewhere.
bool passes_address(const FunctionCode& code, const FrameBases& bases, Position at, std::uint64_t begin,
                    std::uint64_t end) {
    const Instruction& instruction = code.at(at);
    const auto leads_there = [&](Register reg) {
        const auto offset = bases.offset_in_frame(reg, at);
        return offset && *offset >= begin && *offset < end;
    };
    if (instruction.operation == Operation::call)
        return std::ranges::any_of(arguments_of(code, at), leads_there);
    return instruction.operation == Operation::mov && instruction.operands[0].is_memory() &&
           instruction.operands[1].is_register() && leads_there(instruction.operands[1].reg);
}

/// Whether something is read through an address that was made at `made`, where other ways bring another one:
/// there nothing tells what the register leads to.
bool reads_behind_join(const FunctionCode& code, const FrameBases& bases, Position made) {
    constexpr std::size_t most_steps = 64;
    const Register address = code.at(made).operands[0].reg;
    std::set<Position> seen;
    std::vector<Position> open(code.successors(made).begin(), code.successors(made).end());
    while (!open.empty() && seen.size() < most_steps) {
        const Position at = open.back();
        open.pop_back();
        if (at >= code.instructions().size() || !seen.insert(at).second) continue;
        const Instruction& instruction = code.at(at);
        for (std::size_t i = 0; i < std::size(instruction.operands); ++i) {
            const Operand& operand = instruction.operands[i];
            if (operand.is_memory() && operand.reg == address && !instruction.writes_operand(i) &&
                !bases.offset_in_frame(address, at))
                return true;
        }
        if (may_write(instruction, address)) continue;
        open.insert(open.end(), code.successors(at).begin(), code.successors(at).end());
    }
    return false;
}

Use use_at(const FunctionCode& code, const FrameBases& bases, Position at, std::uint64_t begin,
           std::uint64_t end) {
    const Instruction& instruction = code.at(at);
    if (passes_address(code, bases, at, begin, end)) return Use::looks;
    const auto touched = bases.touched_by(instruction, at);
    if (!touched) return Use::none;
    const bool makes_address =
        instruction.operation == Operation::lea || instruction.operation == Operation::add;
    if (makes_address && instruction.operands[0].is_register() && *touched >= begin && *touched < end &&
        reads_behind_join(code, bases, at))
        return Use::looks;
    std::uint64_t size = 0;
    bool is_store = false;
    for (std::size_t i = 0; i < std::size(instruction.operands); ++i) {
        const Operand& operand = instruction.operands[i];
        if (!operand.is_memory() || instruction.operation == Operation::lea) continue;
        size = operand.size != 0 ? operand.size : bytes_of_vector;
        is_store = instruction.writes_operand(i);
    }
    if (size == 0) return Use::none;
    // The function's address becomes null at the final suspend point: nothing goes on from there.
    if (is_store && *touched == 0) return Use::ends;
    if (*touched >= end || *touched + size <= begin) return Use::none;
    return is_store ? Use::ends : Use::looks;
}

/// The same as use_at, by what the interpreter knew before the instruction.
Use use_at(const FunctionCode& code, Position at, const FrameKnowledge& knowledge, std::uint64_t begin,
           std::uint64_t end) {
    const Instruction& instruction = code.at(at);
    const auto leads_there = [&](Register reg) {
        const auto held = knowledge.registers[static_cast<std::size_t>(reg)];
        return held && *held >= FrameKnowledge::frame + begin && *held < FrameKnowledge::frame + end;
    };
    if (instruction.operation == Operation::lea) return Use::none;
    if (instruction.operation == Operation::call && std::ranges::any_of(arguments_of(code, at), leads_there))
        return Use::looks;
    for (std::size_t i = 0; i < std::size(instruction.operands); ++i) {
        const Operand& operand = instruction.operands[i];
        const auto offset = knowledge.offset_in_frame(operand);
        const std::uint64_t size = operand.size != 0 ? operand.size : bytes_of_vector;
        const bool overlaps = offset && *offset < end && begin < *offset + size;
        if (overlaps) return instruction.writes_operand(i) ? Use::ends : Use::looks;
    }
    const bool keeps = instruction.operation == Operation::mov && instruction.operands[0].is_memory() &&
                       instruction.operands[1].is_register() && leads_there(instruction.operands[1].reg);
    return keeps ? Use::looks : Use::none;
}

}  // namespace

bool is_used_from(const FunctionCode& code, const FrameBases& bases, const DispatchTrace& trace,
                  const ResumedPositions& resumed, std::uint64_t begin, std::uint64_t end) {
    std::vector<bool> seen(code.instructions().size());
    std::vector<Position> open;
    const auto go_to = [&](Position at) {
        if (at >= seen.size() || seen[at]) return;
        seen[at] = true;
        open.push_back(at);
    };
    Position start = 0;
    for (const DispatchTrace::Place& place : trace.places) {
        start = code.find(place.address);
        if (start == FunctionCode::nowhere) return true;
        const Use use = use_at(code, start, place.knowledge, begin, end);
        if (use != Use::none) return use == Use::looks;
    }
    go_to(start);
    while (!open.empty()) {
        const Position at = open.back();
        open.pop_back();
        const Use use = use_at(code, bases, at, begin, end);
        if (use == Use::looks) return true;
        if (use == Use::ends) continue;
        const auto [first, last] = resumed.equal_range(at);
        for (auto next = first; next != last; ++next) go_to(next->second);
        for (const Position next : code.successors(at)) go_to(next);
    }
    return false;
}

}  // namespace asyncdump::cpp20

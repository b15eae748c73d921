#include "runtimes/cpp20/reused_words.h"

#include <algorithm>
#include <set>
#include <vector>

namespace asyncdump::cpp20 {
namespace {

using Position = FunctionCode::Position;

constexpr std::uint64_t bytes_of_vector = 16;

/// Of a register: what a constant empties is empty, and nothing else.
bool stores_register(const FunctionCode& code, const FrameBases& bases, Position at, std::uint64_t offset) {
    const Instruction& instruction = code.at(at);
    const Operand& to = instruction.operands[0];
    if (!to.is_memory() || !instruction.writes_operand(0) || instruction.operands[1].is_immediate())
        return false;
    const auto touched = bases.touched_by(instruction, at);
    const std::uint64_t size = to.size != 0 ? to.size : bytes_of_vector;
    return touched && *touched <= offset && offset < *touched + size;
}

}  // namespace

bool is_reused(const FunctionCode& code, const FrameBases& bases, std::uint64_t offset,
               std::span<const AddressRange> located) {
    std::set<Position> stores;
    for (Position at = 0; at < code.instructions().size(); ++at) {
        if (stores_register(code, bases, at, offset)) stores.insert(at);
    }
    const auto is_located = [&](Position at) {
        return std::ranges::any_of(
            located, [&](const AddressRange& range) { return range.contains(code.at(at).address); });
    };
    const auto leads_there = [&](Position store) {
        std::set<Position> seen;
        std::vector<Position> open(code.successors(store).begin(), code.successors(store).end());
        while (!open.empty()) {
            const Position at = open.back();
            open.pop_back();
            if (at >= code.instructions().size() || !seen.insert(at).second) continue;
            if (is_located(at)) return true;
            if (stores.contains(at)) continue;
            open.insert(open.end(), code.successors(at).begin(), code.successors(at).end());
        }
        return false;
    };
    return !std::ranges::all_of(stores, leads_there);
}

}  // namespace asyncdump::cpp20

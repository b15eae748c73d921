#include "runtimes/cpp20/value_sources.h"

#include <algorithm>
#include <iterator>

namespace asyncdump::cpp20 {

namespace {

using Position = FunctionCode::Position;

constexpr std::size_t max_values = 512;    // of one register at one place
constexpr std::size_t max_work = 20'000;   // instructions looked at for one register
constexpr std::size_t max_slot_depth = 4;  // stack slots that hold what came from a stack slot

bool is_stack_slot(const Operand& operand) {
    return (operand.reg == Register::rsp || operand.reg == Register::rbp) && operand.index == Register::none;
}

}  // namespace

ValueSources::ValueSources(const FunctionCode& code, RemoteAddress entry)
    : code_(code), entry_(code.find(entry)) {
    for (Position i = 0; i < code.instructions().size(); ++i) {
        const Instruction& instruction = code.at(i);
        const Operand& to = instruction.operands[0];
        if (instruction.operation == Operation::mov && to.is_memory() && to.size == 8 && is_stack_slot(to)) {
            slot_stores_[{to.reg, to.value}].push_back(i);
        }
    }
}

std::vector<ValueSource> ValueSources::of(Register reg, Position position, AfterCall after_call,
                                          std::size_t depth) const {
    std::set<ValueSource> found;
    std::set<std::tuple<Register, Position, bool>> visited;
    struct Task {
        Register reg;
        Position before;  // the value before this instruction
        bool through_join;
        std::uint64_t added;  // to the value, on the way from there
    };
    std::vector<Task> tasks{{reg, position, false, 0}};
    std::size_t work = 0;
    while (!tasks.empty() && found.size() < max_values) {
        Task task = tasks.back();
        tasks.pop_back();
        while (true) {
            if (++work > max_work) {
                found.insert(ValueSource{});
                return {found.begin(), found.end()};
            }
            const auto before = code_.predecessors(task.before);
            if (task.before == entry_) {
                found.insert(
                    {task.reg == Register::rdi ? ValueSource::Kind::argument : ValueSource::Kind::unknown,
                     task.added, 0, task.through_join});
                if (before.empty()) break;
            } else if (before.empty()) {
                found.insert({ValueSource::Kind::elsewhere, 0, 0, task.through_join});
                break;
            }
            if (before.size() > 1) {
                if (!visited.emplace(task.reg, task.before, task.through_join).second) break;
                task.through_join = true;
                for (std::size_t i = 1; i < before.size(); ++i) {
                    Task other = task;
                    if (step(other.reg, other.added, before[i], other.through_join, found, after_call,
                             depth)) {
                        other.before = before[i];
                        tasks.push_back(other);
                    }
                }
            }
            if (!step(task.reg, task.added, before[0], task.through_join, found, after_call, depth)) break;
            task.before = before[0];
        }
    }
    return {found.begin(), found.end()};
}

bool ValueSources::step(Register& reg, std::uint64_t& added, Position at, bool through_join,
                        std::set<ValueSource>& found, AfterCall after_call, std::size_t depth) const {
    const Instruction& instruction = code_.at(at);
    const bool is_result = reg == Register::rax && after_call == AfterCall::rax_is_result;
    if (instruction.operation == Operation::call && !is_result) return true;
    if (!may_write(instruction, reg)) return true;
    const Operand& to = instruction.operands[0];
    const Operand& from = instruction.operands[1];
    ValueSource source{ValueSource::Kind::unknown, added, at, through_join};
    switch (instruction.operation) {
        case Operation::mov:
            if (from.is_immediate() && to.size >= 1) {
                source.kind = ValueSource::Kind::constant;
                source.value = added + static_cast<std::uint64_t>(from.value);
            } else if (from.is_register() && to.size >= 4) {
                reg = from.reg;
                return true;
            } else if (from.is_memory() && to.size == 8 && is_stack_slot(from) && depth < max_slot_depth) {
                const auto stores = slot_stores_.find({from.reg, from.value});
                if (stores == slot_stores_.end()) break;
                for (ValueSource inner : stored_in(*stores, after_call, depth + 1)) {
                    inner.through_join = inner.through_join || through_join;
                    inner.value += added;
                    found.insert(inner);
                }
                return false;
            }
            break;
        case Operation::add:
            if (from.is_immediate() && to.is_register() && to.size == 8) {
                added += static_cast<std::uint64_t>(from.value);
                return true;
            }
            break;
        case Operation::xor_:
            if (from.is_register() && from.reg == to.reg) source.kind = ValueSource::Kind::constant;
            break;
        case Operation::lea:
            if (from.rip_relative) {
                source.kind = ValueSource::Kind::constant;
                source.value = added + static_cast<std::uint64_t>(from.value);
            } else if (is_stack_slot(from)) {
                source.kind = ValueSource::Kind::stack;
                source.value = added + static_cast<std::uint64_t>(from.value);
            } else if (from.reg != Register::none && from.index == Register::none) {
                reg = from.reg;
                added += static_cast<std::uint64_t>(from.value);
                return true;
            }
            break;
        case Operation::call:
            if (reg == Register::rax) source.kind = ValueSource::Kind::call_result;
            break;
        default:
            break;
    }
    found.insert(source);
    return false;
}

// Which store a load sees is not followed: all stores to the slot count, so that a slot used for two values
// gives no answer at all.
const std::set<ValueSource>& ValueSources::stored_in(const SlotStores::value_type& slot, AfterCall after_call,
                                                     std::size_t depth) const {
    const auto [entry, is_new] = stored_.try_emplace({slot.first, after_call, depth});
    if (!is_new) return entry->second;
    std::set<ValueSource> found;
    for (const Position store : slot.second) {
        const Operand& stored = code_.at(store).operands[1];
        if (stored.is_register())
            std::ranges::copy(of(stored.reg, store, after_call, depth), std::inserter(found, found.end()));
        else
            found.insert(ValueSource{});
    }
    return entry->second = std::move(found);
}

}  // namespace asyncdump::cpp20

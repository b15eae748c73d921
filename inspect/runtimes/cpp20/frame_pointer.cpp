#include "runtimes/cpp20/frame_pointer.h"

#include <algorithm>
#include <limits>

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t most_slots = 64;
constexpr std::size_t most_merges = 2'000'000;
/// Beyond this an offset is none.
constexpr std::int64_t farthest = std::int64_t{1} << 47;

/// DWARF's numbers of the general registers (System V psABI, figure 3.36) by the processor's encoding.
constexpr auto unwound_number = std::to_array<Registers::Number>(
    {Registers::rax, Registers::rcx, Registers::rdx, Registers::rbx, Registers::rsp, Registers::rbp,
     Registers::rsi, Registers::rdi, Registers::r8, Registers::r9, Registers::r10, Registers::r11,
     Registers::r12, Registers::r13, Registers::r14, Registers::r15});

bool is_plain_memory(const Operand& operand) {
    return operand.is_memory() && !operand.rip_relative && !operand.thread_local_segment;
}

}  // namespace

FramePointerPlaces::Value FramePointerPlaces::Value::plus(std::int64_t more) const {
    if (!is_known() || more > farthest || more < -farthest || offset > farthest || offset < -farthest)
        return {};
    Value moved = *this;
    moved.offset += more;
    return moved;
}

FramePointerPlaces::FramePointerPlaces(const FunctionCode& code, RemoteAddress entry, Function function,
                                       RemoteAddress resume)
    : code_(code), entry_(entry), resume_(resume), function_(function) {
    if (code.instructions().size() > most_instructions) return;
    if (function == Function::resume_or_destroy) lesson_.frame = {Value::Base::argument, 0, 0};
    const auto count = static_cast<Position>(code_.instructions().size());
    const Position first = code_.find(entry_);
    for (Position i = 0; i < count; ++i) {
        if (i != first && code_.predecessors(i).empty() && code_.at(i).operation != Operation::nop)
            unexplained_.push_back(i);
    }
    analyse();
}

bool FramePointerPlaces::is_block_begin(Position position) const {
    const auto before = code_.predecessors(position);
    return before.size() != 1 || before.front() + 1 != position ||
           code_.successors(before.front()).size() != 1;
}

void FramePointerPlaces::analyse() {
    const Position first = code_.find(entry_);
    if (first == FunctionCode::nowhere) return;
    State start;
    start[Register::rdi] = {Value::Base::argument, 0, 0};
    start[Register::rsp] = {Value::Base::entry_stack, 0, 0};
    states_[first] = start;
    std::vector<Position> open{first};
    for (std::size_t merges = 0; !open.empty(); ++merges) {
        if (merges > most_merges) {
            states_.clear();
            return;
        }
        const Position begin = open.back();
        open.pop_back();
        run_block(begin, states_.at(begin), open);
    }
}

void FramePointerPlaces::run_block(Position begin, State state, std::vector<Position>& changed) {
    for (Position position = begin;;) {
        const Instruction& instruction = code_.at(position);
        apply(position, state, lesson_);
        const auto next = code_.successors(position);
        const bool may_throw = instruction.operation == Operation::call;
        // A jump to nobody knows where: with the stack as it was at the entry it leaves the function.
        const bool is_lost = instruction.operation == Operation::jmp && next.empty() &&
                             !instruction.direct_target() &&
                             state[Register::rsp] != Value{Value::Base::entry_stack, 0, 0};
        if (may_throw || is_lost) merge_into_unexplained(state, changed);
        if (next.size() == 1 && !is_block_begin(next.front())) {
            position = next.front();
            continue;
        }
        for (const Position to : next) {
            const auto [entry, is_new] = states_.try_emplace(to, state);
            if (is_new || merge(entry->second, state)) changed.push_back(to);
        }
        return;
    }
}

/// Keeps what both agree on, and all that may have escaped; whether that is less than before.
bool FramePointerPlaces::merge(State& kept, const State& other) {
    bool is_less = false;
    for (std::size_t i = 0; i < register_count; ++i) {
        if (!kept.registers[i].is_known() || kept.registers[i] == other.registers[i]) continue;
        kept.registers[i] = {};
        is_less = true;
    }
    const auto erased = std::erase_if(kept.slots, [&](const auto& slot) {
        const auto found = other.slots.find(slot.first);
        return found == other.slots.end() || found->second != slot.second;
    });
    const std::size_t had_escaped = kept.escaped.size();
    kept.escaped.insert(other.escaped.begin(), other.escaped.end());
    return is_less || erased > 0 || kept.escaped.size() > had_escaped;
}

void FramePointerPlaces::merge_into_unexplained(const State& state, std::vector<Position>& changed) {
    if (before_unexplained_ && !merge(*before_unexplained_, state)) return;
    if (!before_unexplained_) before_unexplained_ = state;
    for (const Position position : unexplained_) {
        states_[position] = *before_unexplained_;
        changed.push_back(position);
    }
}

FramePointerPlaces::Value FramePointerPlaces::address_in(const Operand& operand, const State& state) {
    if (operand.rip_relative) return {Value::Base::constant, 0, operand.value};
    if (operand.thread_local_segment || operand.reg == Register::none || operand.index != Register::none)
        return {};
    return state[operand.reg].plus(operand.value);
}

FramePointerPlaces::Value FramePointerPlaces::value_of(const Operand& operand, const State& state) {
    if (operand.is_immediate()) return {Value::Base::constant, 0, operand.value};
    if (operand.size != 8) return {};
    if (operand.is_register()) return state[operand.reg];
    if (!is_plain_memory(operand)) return {};
    const Value address = address_in(operand, state);
    if (!address.is_on_stack()) return {};
    const auto slot = state.slots.find({address.base, address.offset});
    return slot == state.slots.end() ? Value{} : slot->second;
}

void FramePointerPlaces::State::let_escape(const Value& value) {
    if (value.is_on_stack()) escaped.insert({value.base, value.offset});
}

/// What others may write to: an object whose address went elsewhere reaches from there upwards, nobody knows
/// how far. GCC puts its own spilled registers below all objects, clang where it likes.
void FramePointerPlaces::forget_escaped(State& state) {
    std::erase_if(state.slots, [&](const auto& slot) {
        const auto object =
            state.escaped.lower_bound({slot.first.first, std::numeric_limits<std::int64_t>::min()});
        return object != state.escaped.end() && object->first == slot.first.first &&
               object->second <= slot.first.second;
    });
}

void FramePointerPlaces::store(const Operand& to, std::uint64_t size, const Value& value, State& state,
                               Lesson& lesson) const {
    if (!is_plain_memory(to)) return;
    const Value base = to.reg == Register::none ? Value{} : state[to.reg];
    if (!base.is_on_stack()) {
        if (to.reg == Register::rsp) state.slots.clear();
        const bool is_resume_pointer =
            function_ == Function::ramp && to.index == Register::none && base.is_known() &&
            value == Value{Value::Base::constant, 0, static_cast<std::int64_t>(resume_.value())};
        if (is_resume_pointer) {
            const Value frame = base.plus(to.value);
            lesson.has_several_frames |= lesson.frame.is_known() && lesson.frame != frame;
            lesson.frame = frame;
        }
        forget_escaped(state);
        return;
    }
    const std::int64_t begin = base.plus(to.value).offset;
    const bool is_indexed = to.index != Register::none;
    const std::int64_t end = is_indexed ? farthest : begin + static_cast<std::int64_t>(size);
    std::erase_if(state.slots, [&](const auto& slot) {
        return slot.first.first == base.base && slot.first.second + 8 > begin && slot.first.second < end;
    });
    if (!is_indexed && size == 8 && value.is_known() && state.slots.size() < most_slots)
        state.slots[{base.base, begin}] = value;
    state.let_escape(value);
}

void FramePointerPlaces::apply_call(Position position, State& state) const {
    for (std::size_t i = 0; i < register_count; ++i) {
        if (may_write(code_.at(position), static_cast<Register>(i))) state.registers[i] = {};
    }
    const auto is_older = [&](const Value& value) {
        return value.base == Value::Base::call_result && value.call == position;
    };
    for (Value& value : state.registers) {
        if (is_older(value)) value = {};
    }
    const Value stack = state[Register::rsp];
    std::erase_if(state.slots, [&](const auto& slot) {
        const bool is_free = slot.first.first == stack.base && slot.first.second < stack.offset;
        return is_free || is_older(slot.second);
    });
    forget_escaped(state);
    state[Register::rax] = {Value::Base::call_result, position, 0};
}

void FramePointerPlaces::apply(Position position, State& state, Lesson& lesson) const {
    const Instruction& instruction = code_.at(position);
    const Operand& to = instruction.operands[0];
    const Operand& from = instruction.operands[1];
    Value& stack = state[Register::rsp];
    const auto set = [&](Register reg, const Value& value) {
        if (reg != Register::rsp && reg != Register::rbp) state.let_escape(value);
        state[reg] = value;
    };
    switch (instruction.operation) {
        case Operation::unsupported:
            if (instruction.written_registers == all_registers) {
                state.registers = {};
                state.slots.clear();
                return;
            }
            break;
        case Operation::call:
            apply_call(position, state);
            return;
        case Operation::mov:
            if (to.is_register() && to.size == 8) {
                set(to.reg, value_of(from, state));
                return;
            }
            store(to, to.size, value_of(from, state), state, lesson);
            if (to.is_memory()) return;
            break;
        case Operation::lea:
            if (to.is_register() && to.size == 8) {
                const bool indexed = from.index != Register::none && from.reg != Register::none;
                if (indexed) state.let_escape(state[from.reg].plus(from.value));
                set(to.reg, address_in(from, state));
                return;
            }
            break;
        case Operation::add:
        case Operation::sub:
            if (to.is_register() && to.size == 8 && from.is_immediate()) {
                set(to.reg,
                    state[to.reg].plus(instruction.operation == Operation::add ? from.value : -from.value));
                return;
            }
            break;
        case Operation::and_:
            if (to.is_register() && to.reg == Register::rsp) {
                const std::int64_t lowest = stack.offset;
                std::erase_if(state.slots, [&](const auto& slot) {
                    return slot.first.first == Value::Base::aligned_stack || slot.first.second < lowest;
                });
                for (Value& value : state.registers) {
                    if (value.base == Value::Base::aligned_stack) value = {};
                }
                state[Register::rsp] = {Value::Base::aligned_stack, 0, 0};
                return;
            }
            break;
        case Operation::push: {
            const Value value = value_of(to, state);
            stack = stack.plus(-8);
            Operand word;
            word.kind = Operand::Kind::memory;
            word.reg = Register::rsp;
            store(word, 8, value, state, lesson);
            return;
        }
        case Operation::pop: {
            Operand word;
            word.kind = Operand::Kind::memory;
            word.size = 8;
            word.reg = Register::rsp;
            const Value value = value_of(word, state);
            stack = stack.plus(8);
            if (to.is_register()) state[to.reg] = value;
            if (to.is_memory()) store(to, 8, value, state, lesson);
            return;
        }
        case Operation::leave: {
            stack = state[Register::rbp].plus(8);
            const Value saved = state[Register::rbp];
            const auto slot = state.slots.find({saved.base, saved.offset});
            state[Register::rbp] = slot == state.slots.end() ? Value{} : slot->second;
            return;
        }
        case Operation::string: {
            const Value destination = state[Register::rdi];
            std::erase_if(state.slots, [&](const auto& slot) {
                return slot.first.first == destination.base && slot.first.second + 8 > destination.offset;
            });
            forget_escaped(state);
            break;
        }
        default:
            break;
    }
    for (const Operand& operand : instruction.operands) {
        const bool is_read_only =
            instruction.operation == Operation::cmp || instruction.operation == Operation::test ||
            instruction.operation == Operation::bt || instruction.operation == Operation::jmp ||
            instruction.operation == Operation::nop;
        const bool is_written = &operand == &to || instruction.operation == Operation::xchg;
        if (operand.is_memory() && is_written && !is_read_only)
            store(operand, operand.size == 0 ? 64 : operand.size, {}, state, lesson);
    }
    for (std::size_t i = 0; i < register_count; ++i) {
        if (may_write(instruction, static_cast<Register>(i))) state.registers[i] = {};
    }
}

std::optional<FramePointerPlaces::State> FramePointerPlaces::state_at(const UnwoundFrame& activation) const {
    const auto& instructions = code_.instructions();
    // The instruction that contains the address before a return address is the call.
    auto after = std::ranges::upper_bound(instructions,
                                          activation.is_return_address ? activation.pc - 1 : activation.pc,
                                          {}, &Instruction::address);
    if (after == instructions.begin()) return std::nullopt;
    const auto position = static_cast<Position>(after - instructions.begin() - 1);
    const Instruction& instruction = code_.at(position);
    const bool is_exact = activation.is_return_address ? instruction.next() == activation.pc &&
                                                             instruction.operation == Operation::call
                                                       : instruction.address == activation.pc;
    if (!is_exact) return std::nullopt;
    Position begin = position;
    while (!states_.contains(begin)) {
        if (is_block_begin(begin)) return std::nullopt;
        begin = code_.predecessors(begin).front();
    }
    State state = states_.at(begin);
    Lesson known_already;
    // Behind a call there is only what the callee may not change.
    const Position end = activation.is_return_address ? position + 1 : position;
    for (Position i = begin; i < end; ++i) apply(i, state, known_already);
    return state;
}

bool FramePointerPlaces::knows(const UnwoundFrame& activation) const {
    return state_at(activation).has_value();
}

std::optional<RemoteAddress> FramePointerPlaces::frame_of(const UnwoundFrame& activation,
                                                          const Memory& memory) const {
    const Value& frame_value = lesson_.frame;
    if (!frame_value.is_known() || lesson_.has_several_frames) return std::nullopt;
    const auto state = state_at(activation);
    if (!state) return std::nullopt;
    std::optional<std::uint64_t> agreed;
    bool contradicts = false;
    const auto add = [&](std::uint64_t held, const Value& value) {
        const std::uint64_t frame = held - static_cast<std::uint64_t>(value.offset - frame_value.offset);
        contradicts = contradicts || (agreed && *agreed != frame);
        agreed = frame;
    };
    for (std::size_t i = 0; i < register_count; ++i) {
        const Value& value = state->registers[i];
        if (value.has_base_of(frame_value) && activation.registers.is_known(unwound_number[i]))
            add(activation.registers.get(unwound_number[i]), value);
    }
    const Value& stack = (*state)[Register::rsp];
    for (const auto& [slot, value] : state->slots) {
        if (!value.has_base_of(frame_value)) continue;
        std::optional<std::uint64_t> base;
        if (slot.first == Value::Base::entry_stack && !activation.canonical_frame_address.is_null())
            base = activation.canonical_frame_address.value() - 8;
        if (slot.first == stack.base)
            base = activation.registers.stack_pointer().value() - static_cast<std::uint64_t>(stack.offset);
        if (!base) continue;
        const auto held =
            memory.read_value<std::uint64_t>(RemoteAddress(*base + static_cast<std::uint64_t>(slot.second)));
        if (held) add(*held, value);
    }
    if (!agreed || contradicts) return std::nullopt;
    return RemoteAddress(*agreed);
}

}  // namespace asyncdump::cpp20

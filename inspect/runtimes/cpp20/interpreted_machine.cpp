#include "runtimes/cpp20/interpreted_machine.h"

#include "runtimes/cpp20/interpreted_words.h"

namespace asyncdump::cpp20 {

namespace {

// Far from everything and from each other: the interpreter's frame and stack are told from constants by
// address.
constexpr std::uint64_t frame_base = FrameKnowledge::frame;
constexpr std::uint64_t frame_limit = FrameKnowledge::frame_end;
constexpr std::uint64_t stack_top = FrameKnowledge::stack;
constexpr std::uint64_t header_bytes = 16;  // the addresses of the functions

}  // namespace

InterpretedMachine::InterpretedMachine(const ReadConstant& read_constant, std::optional<IndexField> field,
                                       std::uint64_t index)
    : read_constant_(read_constant), field_(field), index_(index) {
    for (Value& value : registers_) value = {0, true, {}};
    reg(Register::rdi).bits = frame_base;
    reg(Register::rsp).bits = stack_top;
}

std::optional<std::uint64_t> InterpretedMachine::held_in(std::size_t number) const {
    const Value& value = registers_[number];
    if (!value.known || !(FrameKnowledge::is_in_frame(value.bits) || FrameKnowledge::is_on_stack(value.bits)))
        return std::nullopt;
    return value.bits;
}

FrameKnowledge InterpretedMachine::knowledge() {
    FrameKnowledge result;
    for (std::size_t i = 0; i < register_count; ++i) result.registers[i] = held_in(i);
    for (const auto& entry : overlay_) {
        const std::uint64_t address = entry.first;
        if (address % 8 != 0 || !FrameKnowledge::is_on_stack(address)) continue;
        const Value word = load_at(address, 8);
        if (word.known && FrameKnowledge::is_in_frame(word.bits))
            result.words.emplace_back(address, word.bits);
    }
    return result;
}

Taint InterpretedMachine::joined(const Taint& a, const Taint& b) const {
    if (is_field(a)) return a;
    if (is_field(b)) return b;
    return a.any() ? a : b;
}

std::optional<std::uint64_t> InterpretedMachine::address_of(const Operand& operand) {
    if (operand.rip_relative) return static_cast<std::uint64_t>(operand.value);
    std::uint64_t address = static_cast<std::uint64_t>(operand.value);
    address_taint_ = {};
    if (operand.reg != Register::none) {
        const Value& base = reg(operand.reg);
        if (!base.known) return std::nullopt;
        address += base.bits;
        address_taint_ = joined(address_taint_, base.taint);
    }
    if (operand.index != Register::none) {
        const Value& index = reg(operand.index);
        if (!index.known) return std::nullopt;
        address += index.bits * operand.scale;
        address_taint_ = joined(address_taint_, index.taint);
    }
    return address;
}

InterpretedValue InterpretedMachine::load(const Operand& operand) {
    if (operand.thread_local_segment) return {0, true, {}};
    const auto address = address_of(operand);
    if (!address || operand.size == 0 || operand.size > 8) return {};
    Value value = load_at(*address, operand.size);
    // What a jump table holds at an index is decided by that index.
    value.taint = joined(value.taint, operand.rip_relative ? Taint{} : address_taint_);
    return value;
}

InterpretedValue InterpretedMachine::load_at(std::uint64_t address, unsigned size) {
    Value value{0, true, {}};
    std::array<std::byte, 8> constant{};
    const bool in_frame = address >= frame_base && address < frame_limit - size;
    const bool on_stack = FrameKnowledge::is_on_stack(address);
    if (!in_frame && !on_stack) {
        // What is not in the module's file (globals of other modules, ASan's shadow memory) reads as
        // zero.
        read_constant_(RemoteAddress(address), std::span(constant).first(size));
    }
    for (unsigned i = 0; i < size; ++i) {
        Value byte;
        if (const auto written = overlay_.find(address + i); written != overlay_.end()) {
            byte = written->second;
        } else if (in_frame) {
            byte = frame_byte(address + i - frame_base);
            const bool is_header = address - frame_base < header_bytes;
            if (!is_header) byte.taint = {static_cast<std::uint32_t>(address - frame_base), size};
        } else {
            byte = {std::to_integer<std::uint64_t>(constant[i]), true, {}};
        }
        value.bits |= (byte.bits & 0xff) << (8 * i);
        value.known = value.known && byte.known;
        value.taint = joined(value.taint, byte.taint);
    }
    return value;
}

InterpretedValue InterpretedMachine::frame_byte(std::uint64_t offset) const {
    if (overlaps_field(offset, 1)) return {(index_ >> (8 * (offset - field_->offset))) & 0xff, true, {}};
    // A destroy function asks first whether the coroutine has come to its end, where the header's first
    // word is null.
    return {offset < header_bytes ? 1ULL : 0ULL, true, {}};
}

void InterpretedMachine::store(const Operand& operand, const Value& value) {
    if (operand.thread_local_segment) return;
    const auto address = address_of(operand);
    if (!address) {
        store_problem_ = StoreProblem::nobody_knows_where;
        return;
    }
    store_at(*address, operand.size, value);
}

void InterpretedMachine::store_at(std::uint64_t address, unsigned size, const Value& value) {
    if (address >= frame_base && address < frame_limit && overlaps_field(address - frame_base, size)) {
        store_problem_ = StoreProblem::to_index_field;
    }
    for (unsigned i = 0; i < size; ++i) {
        overlay_[address + i] = {i < 8 ? (value.bits >> (8 * i)) & 0xff : 0, value.known && i < 8,
                                 value.taint};
    }
}

InterpretedValue InterpretedMachine::read(const Operand& operand) {
    switch (operand.kind) {
        case Operand::Kind::immediate:
            return {static_cast<std::uint64_t>(operand.value), true, {}};
        case Operand::Kind::memory:
            return load(operand);
        case Operand::Kind::reg: {
            Value value = reg(operand.reg);
            if (operand.high_byte) value.bits >>= 8;
            value.bits &= mask_of(operand.size);
            return value;
        }
        default:
            return {};
    }
}

void InterpretedMachine::write(const Operand& operand, Value value) {
    value.bits &= mask_of(operand.size);
    if (operand.is_memory()) {
        store(operand, value);
    } else if (operand.is_register()) {
        Value& target = reg(operand.reg);
        if (operand.size >= 4) {
            target = value;  // a 32-bit write clears the upper half
        } else {
            const unsigned shift = operand.high_byte ? 8 : 0;
            const std::uint64_t mask = mask_of(operand.size) << shift;
            target.bits = (target.bits & ~mask) | (value.bits << shift);
            target.known = target.known && value.known;
            target.taint = joined(value.taint, target.taint);
        }
    }
}

bool InterpretedMachine::compute(const Instruction& instruction) {
    const Operand& to = instruction.operands[0];
    const Operand& from = instruction.operands[1];
    const unsigned size = to.size == 0 ? 8 : to.size;
    store_problem_.reset();
    switch (instruction.operation) {
        case Operation::nop:
        case Operation::endbr:
            return true;
        case Operation::opaque:
            write(to, Value{});
            flags_.known = false;
            flags_.taint = {};
            return true;
        case Operation::mov:
        case Operation::movzx:
            write(to, read(from));
            return true;
        case Operation::movsx: {
            Value value = read(from);
            value.bits = sign_extended(value.bits, from.size);
            write(to, value);
            return true;
        }
        case Operation::lea: {
            const auto address = address_of(from);
            write(to,
                  address ? Value{*address, true, from.rip_relative ? Taint{} : address_taint_} : Value{});
            return true;
        }
        case Operation::push:
        case Operation::pop:
        case Operation::leave:
            use_stack(instruction);
            return true;
        case Operation::add:
            write(to, add(read(to), read(from), false, size));
            return true;
        case Operation::adc: {
            const InterpretedFlags before = flags_;
            Value result = add(read(to), read(from), before.carry, size);
            result.known = result.known && before.known;
            result.taint = joined(result.taint, before.taint);
            write(to, result);
            return true;
        }
        case Operation::sub: {
            const bool clears = to.is_register() && from.is_register() && to.reg == from.reg;
            write(to, clears ? cleared(size) : subtract(read(to), read(from), false, size));
            return true;
        }
        case Operation::sbb:
            subtract_with_borrow(instruction, size);
            return true;
        case Operation::cmp:
            subtract(read(to), read(from), false, size);
            return true;
        case Operation::and_:
        case Operation::or_:
        case Operation::xor_:
        case Operation::test:
            logic(instruction);
            return true;
        case Operation::not_: {
            Value value = read(to);
            value.bits = ~value.bits;
            write(to, value);
            return true;
        }
        case Operation::neg:
            write(to, subtract({0, true, {}}, read(to), false, size));
            return true;
        case Operation::inc:
        case Operation::dec: {
            const bool carry = flags_.carry;
            const Value one{1, true, {}};
            const Value value = read(to);
            write(to, instruction.operation == Operation::inc ? add(value, one, false, size)
                                                              : subtract(value, one, false, size));
            flags_.carry = carry;
            return true;
        }
        case Operation::shl:
        case Operation::shr:
        case Operation::sar:
            shift(instruction);
            return true;
        case Operation::bt: {
            const Value value = read(to), bit = read(from);
            flags_.carry = to.is_register() && ((value.bits >> (bit.bits & (size * 8 - 1))) & 1) != 0;
            flags_.known = to.is_register() && value.known && bit.known;
            flags_.taint = joined(value.taint, bit.taint);
            return true;
        }
        case Operation::xchg: {
            const Value first = read(to), second = read(from);
            write(to, second);
            write(from, first);
            return true;
        }
        case Operation::sign_extend_accumulator: {
            Value value = reg(Register::rax);
            value.bits = sign_extended(value.bits, size / 2);
            Operand accumulator = to;
            accumulator.kind = Operand::Kind::reg;
            accumulator.reg = Register::rax;
            write(accumulator, value);
            return true;
        }
        case Operation::sign_fill_rdx: {
            Value value = reg(Register::rax);
            value.bits = (value.bits & sign_bit_of(size)) != 0 ? ~0ULL : 0;
            Operand data = to;
            data.kind = Operand::Kind::reg;
            data.reg = Register::rdx;
            write(data, value);
            return true;
        }
        case Operation::setcc:
            write(to, {holds(instruction.condition) ? 1ULL : 0ULL, flags_.known, flags_.taint});
            return true;
        case Operation::cmovcc: {
            Value value = holds(instruction.condition) ? read(from) : read(to);
            value.known = value.known && flags_.known;
            value.taint = joined(flags_.taint, value.taint);
            write(to, value);
            return true;
        }
        default:
            return false;
    }
}

void InterpretedMachine::use_stack(const Instruction& instruction) {
    const Operand& operand = instruction.operands[0];
    Value& stack = reg(Register::rsp);
    if (instruction.operation == Operation::push) {
        const Value value = read(operand);
        stack.bits -= 8;
        if (stack.known) store_at(stack.bits, 8, value);
        return;
    }
    const bool leaves = instruction.operation == Operation::leave;
    if (leaves) stack = reg(Register::rbp);
    const Value value = stack.known ? load_at(stack.bits, 8) : Value{};
    stack.bits += 8;
    if (leaves)
        reg(Register::rbp) = value;
    else
        write(operand, value);
}

}  // namespace asyncdump::cpp20

#include <bit>

#include "runtimes/cpp20/interpreted_machine.h"
#include "runtimes/cpp20/interpreted_words.h"

namespace asyncdump::cpp20 {

void InterpretedMachine::set_result_flags(const Value& result, unsigned size) {
    const std::uint64_t bits = result.bits & mask_of(size);
    flags_.zero = bits == 0;
    flags_.sign = (bits & sign_bit_of(size)) != 0;
    flags_.parity = (std::popcount(bits & 0xff) & 1) == 0;
    flags_.known = result.known;
    flags_.taint = result.taint;
}

InterpretedValue InterpretedMachine::add(const Value& a, const Value& b, bool carry_in, unsigned size) {
    Value result{a.bits + b.bits + (carry_in ? 1 : 0), a.known && b.known, joined(a.taint, b.taint)};
    set_result_flags(result, size);
    const std::uint64_t mask = mask_of(size), top = sign_bit_of(size);
    const std::uint64_t left = a.bits & mask, right = b.bits & mask, sum = result.bits & mask;
    flags_.carry = sum < left || (carry_in && sum == left);
    flags_.overflow = ((left ^ sum) & (right ^ sum) & top) != 0;
    return result;
}

InterpretedValue InterpretedMachine::subtract(const Value& a, const Value& b, bool borrow_in, unsigned size) {
    Value result{a.bits - b.bits - (borrow_in ? 1 : 0), a.known && b.known, joined(a.taint, b.taint)};
    set_result_flags(result, size);
    const std::uint64_t mask = mask_of(size), top = sign_bit_of(size);
    const std::uint64_t left = a.bits & mask, right = b.bits & mask, difference = result.bits & mask;
    flags_.carry = left < right || (borrow_in && left == right);
    flags_.overflow = ((left ^ right) & (left ^ difference) & top) != 0;
    return result;
}

bool InterpretedMachine::holds(Condition condition) const {
    const auto code = static_cast<unsigned>(condition);
    bool result = false;
    switch (code >> 1) {
        case 0:
            result = flags_.overflow;
            break;
        case 1:
            result = flags_.carry;
            break;
        case 2:
            result = flags_.zero;
            break;
        case 3:
            result = flags_.carry || flags_.zero;
            break;
        case 4:
            result = flags_.sign;
            break;
        case 5:
            result = flags_.parity;
            break;
        case 6:
            result = flags_.sign != flags_.overflow;
            break;
        default:
            result = flags_.zero || flags_.sign != flags_.overflow;
            break;
    }
    return (code & 1) != 0 ? !result : result;
}

void InterpretedMachine::subtract_with_borrow(const Instruction& instruction, unsigned size) {
    const Operand& to = instruction.operands[0];
    const Operand& from = instruction.operands[1];
    const InterpretedFlags before = flags_;
    const bool spreads_carry = to.is_register() && from.is_register() && to.reg == from.reg;
    const Value a = spreads_carry ? Value{0, true, {}} : read(to);
    const Value b = spreads_carry ? Value{0, true, {}} : read(from);
    Value result = subtract(a, b, before.carry, size);
    result.known = result.known && before.known;
    result.taint = joined(result.taint, before.taint);
    flags_.known = result.known;
    flags_.taint = result.taint;
    write(to, result);
}

InterpretedValue InterpretedMachine::cleared(unsigned size) {
    const Value zero{0, true, {}};
    set_result_flags(zero, size);
    flags_.carry = flags_.overflow = false;
    return zero;
}

void InterpretedMachine::logic(const Instruction& instruction) {
    const Operand& to = instruction.operands[0];
    const Operand& from = instruction.operands[1];
    const unsigned size = to.size == 0 ? 8 : to.size;
    const bool same_register = to.is_register() && from.is_register() && to.reg == from.reg;
    if (instruction.operation == Operation::xor_ && same_register) {
        write(to, cleared(size));
        return;
    }
    const Value a = read(to), b = read(from);
    Value result{0, a.known && b.known, joined(a.taint, b.taint)};
    switch (instruction.operation) {
        case Operation::or_:
            result.bits = a.bits | b.bits;
            break;
        case Operation::xor_:
            result.bits = a.bits ^ b.bits;
            break;
        default:
            result.bits = a.bits & b.bits;
            break;
    }
    set_result_flags(result, size);
    flags_.carry = flags_.overflow = false;
    if (instruction.operation != Operation::test) write(to, result);
}

void InterpretedMachine::shift(const Instruction& instruction) {
    const Operand& to = instruction.operands[0];
    const unsigned size = to.size == 0 ? 8 : to.size;
    const Value value = read(to);
    const Value amount = instruction.operands[1].kind == Operand::Kind::none ? Value{1, true, {}}
                                                                             : read(instruction.operands[1]);
    const unsigned count = static_cast<unsigned>(amount.bits & (size == 8 ? 63 : 31));
    Value result{0, value.known && amount.known, joined(value.taint, amount.taint)};
    const std::uint64_t bits = value.bits & mask_of(size);
    bool carry = false;
    if (count == 0) {
        write(to, value);
        return;
    }
    switch (instruction.operation) {
        case Operation::shl:
            result.bits = bits << count;
            carry = count <= size * 8 && ((bits >> (size * 8 - count)) & 1) != 0;
            break;
        case Operation::shr:
            result.bits = bits >> count;
            carry = ((bits >> (count - 1)) & 1) != 0;
            break;
        default:
            result.bits =
                static_cast<std::uint64_t>(static_cast<std::int64_t>(sign_extended(bits, size)) >> count);
            carry = ((bits >> (count - 1)) & 1) != 0;
            break;
    }
    set_result_flags(result, size);
    flags_.carry = carry;
    flags_.overflow = false;
    write(to, result);
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/dispatch_interpreter.h"

#include <array>
#include <bit>
#include <unordered_map>

namespace asyncdump::cpp20 {

namespace {

constexpr std::size_t max_steps = 10'000;
// Far from everything and from each other: the interpreter's frame and stack are told from constants by
// address.
constexpr std::uint64_t frame_base = FrameKnowledge::frame;
constexpr std::uint64_t frame_limit = FrameKnowledge::frame_end;
constexpr std::uint64_t stack_top = FrameKnowledge::stack;

/// Which bytes of the frame a value was computed from; width 0: none. Of two, the index field wins.
struct Taint {
    std::uint32_t offset = 0;
    std::uint32_t width = 0;
    bool any() const { return width != 0; }
};

struct Value {
    std::uint64_t bits = 0;
    bool known = false;
    Taint taint;
};

struct Flags {
    bool carry = false, zero = false, sign = false, overflow = false, parity = false;
    bool known = false;
    Taint taint;
};

std::uint64_t mask_of(unsigned bytes) {
    return bytes >= 8 ? ~0ULL : (1ULL << (bytes * 8)) - 1;
}

std::uint64_t sign_bit_of(unsigned bytes) {
    return 1ULL << (bytes * 8 - 1);
}

std::uint64_t sign_extended(std::uint64_t bits, unsigned bytes) {
    if (bytes >= 8) return bits;
    bits &= mask_of(bytes);
    return (bits & sign_bit_of(bytes)) != 0 ? bits | ~mask_of(bytes) : bits;
}

class Interpreter {
  public:
    Interpreter(const InterpretedCode& code, std::optional<IndexField> field, std::uint64_t index,
                std::size_t most_places)
        : code_(code), field_(field), index_(index), most_places_(most_places) {
        for (Value& value : registers_) value = {0, true, {}};
        reg(Register::rdi).bits = frame_base;
        reg(Register::rsp).bits = stack_top;
    }

    DispatchTrace run(RemoteAddress entry) {
        RemoteAddress at = entry;
        for (std::size_t step = 0; step < max_steps; ++step) {
            const Instruction* instruction = code_.instruction_at(at);
            if (instruction == nullptr) return stopped(DispatchTrace::Stop::left_code);
            const bool decided = !trace_.resume_address.is_null();
            if (decided) trace_.path.push_back(at);
            if (trace_.places.size() < most_places_ && (decided || !called_before_decision_))
                trace_.places.push_back({at, knowledge()});
            next_ = instruction->next();
            stop_.reset();
            execute(*instruction);
            if (found_field_ && !field_) return stopped(DispatchTrace::Stop::unknown);
            if (stop_) return stopped(*stop_);
            at = next_;
        }
        return stopped(DispatchTrace::Stop::too_long);
    }

  private:
    Value& reg(Register name) { return registers_[static_cast<std::size_t>(name)]; }

    DispatchTrace stopped(DispatchTrace::Stop reason) {
        trace_.stop = reason;
        return std::move(trace_);
    }

    /// An address of the frame or the stack that a register holds.
    std::optional<std::uint64_t> held_in(std::size_t number) const {
        const Value& value = registers_[number];
        if (!value.known ||
            !(FrameKnowledge::is_in_frame(value.bits) || FrameKnowledge::is_on_stack(value.bits)))
            return std::nullopt;
        return value.bits;
    }

    FrameKnowledge knowledge() {
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

    bool overlaps_field(std::uint64_t offset, unsigned size) const {
        return field_ && offset < field_->offset + field_->width && field_->offset < offset + size;
    }

    bool is_field(const Taint& taint) const {
        return taint.any() && overlaps_field(taint.offset, taint.width);
    }

    Taint joined(const Taint& a, const Taint& b) const {
        if (is_field(a)) return a;
        if (is_field(b)) return b;
        return a.any() ? a : b;
    }

    // --- memory
    // ------------------------------------------------------------------------------------------------------

    std::optional<std::uint64_t> address_of(const Operand& operand) {
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

    Value load(const Operand& operand) {
        if (operand.thread_local_segment) return {0, true, {}};
        const auto address = address_of(operand);
        if (!address || operand.size == 0 || operand.size > 8) return {};
        Value value = load_at(*address, operand.size);
        // What a jump table holds at an index is decided by that index.
        value.taint = joined(value.taint, operand.rip_relative ? Taint{} : address_taint_);
        return value;
    }

    Value load_at(std::uint64_t address, unsigned size) {
        Value value{0, true, {}};
        std::array<std::byte, 8> constant{};
        const bool in_frame = address >= frame_base && address < frame_limit - size;
        const bool on_stack = FrameKnowledge::is_on_stack(address);
        if (!in_frame && !on_stack) {
            // What is not in the module's file (globals of other modules, ASan's shadow memory) reads as
            // zero.
            code_.read_constant(RemoteAddress(address), std::span(constant).first(size));
        }
        for (unsigned i = 0; i < size; ++i) {
            Value byte;
            if (const auto written = overlay_.find(address + i); written != overlay_.end()) {
                byte = written->second;
            } else if (in_frame) {
                byte = frame_byte(address + i - frame_base);
                byte.taint = {static_cast<std::uint32_t>(address - frame_base), size};
            } else {
                byte = {std::to_integer<std::uint64_t>(constant[i]), true, {}};
            }
            value.bits |= (byte.bits & 0xff) << (8 * i);
            value.known = value.known && byte.known;
            value.taint = joined(value.taint, byte.taint);
        }
        return value;
    }

    Value frame_byte(std::uint64_t offset) const {
        if (overlaps_field(offset, 1)) return {(index_ >> (8 * (offset - field_->offset))) & 0xff, true, {}};
        return {0, true, {}};
    }

    void store(const Operand& operand, const Value& value) {
        if (operand.thread_local_segment) return;
        const auto address = address_of(operand);
        // A store to nobody knows where could hit the stack or the frame: going on would guess.
        if (!address) {
            stop_ = DispatchTrace::Stop::unknown;
            return;
        }
        store_at(*address, operand.size, value);
    }

    void store_at(std::uint64_t address, unsigned size, const Value& value) {
        if (address >= frame_base && address < frame_limit && overlaps_field(address - frame_base, size)) {
            stop_ = DispatchTrace::Stop::stored_again;
        }
        for (unsigned i = 0; i < size; ++i) {
            overlay_[address + i] = {i < 8 ? (value.bits >> (8 * i)) & 0xff : 0, value.known && i < 8,
                                     value.taint};
        }
    }

    // --- operands
    // ----------------------------------------------------------------------------------------------------

    Value read(const Operand& operand) {
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

    void write(const Operand& operand, Value value) {
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

    void set_result_flags(const Value& result, unsigned size) {
        const std::uint64_t bits = result.bits & mask_of(size);
        flags_.zero = bits == 0;
        flags_.sign = (bits & sign_bit_of(size)) != 0;
        flags_.parity = (std::popcount(bits & 0xff) & 1) == 0;
        flags_.known = result.known;
        flags_.taint = result.taint;
    }

    Value add(const Value& a, const Value& b, bool carry_in, unsigned size) {
        Value result{a.bits + b.bits + (carry_in ? 1 : 0), a.known && b.known, joined(a.taint, b.taint)};
        set_result_flags(result, size);
        const std::uint64_t mask = mask_of(size), top = sign_bit_of(size);
        const std::uint64_t left = a.bits & mask, right = b.bits & mask, sum = result.bits & mask;
        flags_.carry = sum < left || (carry_in && sum == left);
        flags_.overflow = ((left ^ sum) & (right ^ sum) & top) != 0;
        return result;
    }

    Value subtract(const Value& a, const Value& b, bool borrow_in, unsigned size) {
        Value result{a.bits - b.bits - (borrow_in ? 1 : 0), a.known && b.known, joined(a.taint, b.taint)};
        set_result_flags(result, size);
        const std::uint64_t mask = mask_of(size), top = sign_bit_of(size);
        const std::uint64_t left = a.bits & mask, right = b.bits & mask, difference = result.bits & mask;
        flags_.carry = left < right || (borrow_in && left == right);
        flags_.overflow = ((left ^ right) & (left ^ difference) & top) != 0;
        return result;
    }

    bool holds(Condition condition) const {
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

    // --- control
    // -----------------------------------------------------------------------------------------------------

    void note_field(const Taint& taint) {
        if (!taint.any() || taint.offset < 16 || found_field_) return;
        if (taint.width != 1 && taint.width != 2 && taint.width != 4 && taint.width != 8) return;
        found_field_ = true;
        if (!field_) trace_.field = IndexField{taint.offset, taint.width};
    }

    /// A branch was decided by a value with this taint. False when it may not be followed.
    bool decide(bool known, const Taint& taint, RemoteAddress target) {
        note_field(taint);
        if (!known) {
            stop_ = DispatchTrace::Stop::unknown;
            return false;
        }
        if (is_field(taint)) {
            trace_.field = field_;
            trace_.resume_address = target;
            trace_.path.clear();
            trace_.places.clear();
        } else if (taint.any()) {
            stop_ = DispatchTrace::Stop::unknown;  // the user's data
            return false;
        }
        return true;
    }

    void call(const Instruction& instruction) {
        if (!trace_.resume_address.is_null()) {
            stop_ = DispatchTrace::Stop::call;
            trace_.called = instruction.direct_target().value_or(RemoteAddress());
            trace_.first_argument = held_in(static_cast<std::size_t>(Register::rdi));
            trace_.second_argument = held_in(static_cast<std::size_t>(Register::rsi));
            return;
        }
        called_before_decision_ = true;
        // Something before the dispatch (mcount, a sanitizer's entry hook): returns zero.
        for (const Register clobbered : {Register::rcx, Register::rdx, Register::rsi, Register::rdi,
                                         Register::r8, Register::r9, Register::r10, Register::r11}) {
            reg(clobbered) = {};
        }
        reg(Register::rax) = {0, true, {}};
        flags_.known = false;
    }

    void execute(const Instruction& instruction) {
        const Operand& to = instruction.operands[0];
        const Operand& from = instruction.operands[1];
        const unsigned size = to.size == 0 ? 8 : to.size;
        switch (instruction.operation) {
            case Operation::nop:
            case Operation::endbr:
                return;
            case Operation::trap:
            case Operation::string:
            case Operation::unsupported:
                stop_ = DispatchTrace::Stop::unsupported;
                return;
            case Operation::opaque:
                write(to, Value{});
                flags_.known = false;
                flags_.taint = {};
                return;
            case Operation::mov:
            case Operation::movzx:
                write(to, read(from));
                return;
            case Operation::movsx: {
                Value value = read(from);
                value.bits = sign_extended(value.bits, from.size);
                write(to, value);
                return;
            }
            case Operation::lea: {
                const auto address = address_of(from);
                write(to, address ? Value{*address, true, from.rip_relative ? Taint{} : address_taint_}
                                  : Value{});
                return;
            }
            case Operation::push: {
                const Value value = read(to);
                Value& stack = reg(Register::rsp);
                stack.bits -= 8;
                if (stack.known) store_at(stack.bits, 8, value);
                return;
            }
            case Operation::pop: {
                Value& stack = reg(Register::rsp);
                const Value value = stack.known ? load_at(stack.bits, 8) : Value{};
                stack.bits += 8;
                write(to, value);
                return;
            }
            case Operation::leave: {
                reg(Register::rsp) = reg(Register::rbp);
                Value& stack = reg(Register::rsp);
                reg(Register::rbp) = stack.known ? load_at(stack.bits, 8) : Value{};
                stack.bits += 8;
                return;
            }
            case Operation::add:
                write(to, add(read(to), read(from), false, size));
                return;
            case Operation::adc: {
                const Flags before = flags_;
                Value result = add(read(to), read(from), before.carry, size);
                result.known = result.known && before.known;
                result.taint = joined(result.taint, before.taint);
                write(to, result);
                return;
            }
            case Operation::sub: {
                const bool clears = to.is_register() && from.is_register() && to.reg == from.reg;
                write(to, clears ? cleared(size) : subtract(read(to), read(from), false, size));
                return;
            }
            case Operation::sbb: {
                const Flags before = flags_;
                const bool spreads_carry = to.is_register() && from.is_register() && to.reg == from.reg;
                const Value a = spreads_carry ? Value{0, true, {}} : read(to);
                const Value b = spreads_carry ? Value{0, true, {}} : read(from);
                Value result = subtract(a, b, before.carry, size);
                result.known = result.known && before.known;
                result.taint = joined(result.taint, before.taint);
                flags_.known = result.known;
                flags_.taint = result.taint;
                write(to, result);
                return;
            }
            case Operation::cmp:
                subtract(read(to), read(from), false, size);
                return;
            case Operation::and_:
            case Operation::or_:
            case Operation::xor_:
            case Operation::test:
                logic(instruction);
                return;
            case Operation::not_: {
                Value value = read(to);
                value.bits = ~value.bits;
                write(to, value);
                return;
            }
            case Operation::neg:
                write(to, subtract({0, true, {}}, read(to), false, size));
                return;
            case Operation::inc:
            case Operation::dec: {
                const bool carry = flags_.carry;
                const Value one{1, true, {}};
                const Value value = read(to);
                write(to, instruction.operation == Operation::inc ? add(value, one, false, size)
                                                                  : subtract(value, one, false, size));
                flags_.carry = carry;
                return;
            }
            case Operation::shl:
            case Operation::shr:
            case Operation::sar:
                shift(instruction);
                return;
            case Operation::bt: {
                const Value value = read(to), bit = read(from);
                flags_.carry = to.is_register() && ((value.bits >> (bit.bits & (size * 8 - 1))) & 1) != 0;
                flags_.known = to.is_register() && value.known && bit.known;
                flags_.taint = joined(value.taint, bit.taint);
                return;
            }
            case Operation::xchg: {
                const Value first = read(to), second = read(from);
                write(to, second);
                write(from, first);
                return;
            }
            case Operation::sign_extend_accumulator: {
                Value value = reg(Register::rax);
                value.bits = sign_extended(value.bits, size / 2);
                Operand accumulator = to;
                accumulator.kind = Operand::Kind::reg;
                accumulator.reg = Register::rax;
                write(accumulator, value);
                return;
            }
            case Operation::sign_fill_rdx: {
                Value value = reg(Register::rax);
                value.bits = (value.bits & sign_bit_of(size)) != 0 ? ~0ULL : 0;
                Operand data = to;
                data.kind = Operand::Kind::reg;
                data.reg = Register::rdx;
                write(data, value);
                return;
            }
            case Operation::setcc:
                note_field(flags_.taint);
                write(to, {holds(instruction.condition) ? 1ULL : 0ULL, flags_.known, flags_.taint});
                return;
            case Operation::cmovcc: {
                note_field(flags_.taint);
                Value value = holds(instruction.condition) ? read(from) : read(to);
                value.known = value.known && flags_.known;
                value.taint = joined(flags_.taint, value.taint);
                write(to, value);
                return;
            }
            case Operation::jcc: {
                const bool taken = flags_.known && holds(instruction.condition);
                const RemoteAddress target =
                    taken ? instruction.direct_target().value_or(RemoteAddress()) : instruction.next();
                if (decide(flags_.known, flags_.taint, target)) next_ = target;
                return;
            }
            case Operation::jmp: {
                if (const auto target = instruction.direct_target()) {
                    next_ = *target;
                    return;
                }
                const Value value = read(to);
                const RemoteAddress target(value.bits);
                if (decide(value.known, value.taint, target)) next_ = target;
                return;
            }
            case Operation::call:
                call(instruction);
                return;
            case Operation::ret:
                stop_ = DispatchTrace::Stop::returned;
                return;
        }
    }

    Value cleared(unsigned size) {
        const Value zero{0, true, {}};
        set_result_flags(zero, size);
        flags_.carry = flags_.overflow = false;
        return zero;
    }

    void logic(const Instruction& instruction) {
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

    void shift(const Instruction& instruction) {
        const Operand& to = instruction.operands[0];
        const unsigned size = to.size == 0 ? 8 : to.size;
        const Value value = read(to);
        const Value amount = instruction.operands[1].kind == Operand::Kind::none
                                 ? Value{1, true, {}}
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

    const InterpretedCode& code_;
    const std::optional<IndexField> field_;
    const std::uint64_t index_;
    const std::size_t most_places_;
    std::array<Value, register_count> registers_{};
    Flags flags_;
    std::unordered_map<std::uint64_t, Value> overlay_;
    Taint address_taint_;
    RemoteAddress next_;
    std::optional<DispatchTrace::Stop> stop_;
    bool found_field_ = false;
    bool called_before_decision_ = false;
    DispatchTrace trace_;
};

}  // namespace

DispatchTrace interpret_dispatch(const InterpretedCode& code, RemoteAddress entry,
                                 std::optional<IndexField> field, std::uint64_t index,
                                 std::size_t most_places) {
    return Interpreter(code, field, index, most_places).run(entry);
}

}  // namespace asyncdump::cpp20

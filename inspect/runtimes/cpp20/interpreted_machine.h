// A processor that executes instructions of a resume function on values that it may not know: registers,
// flags, a stack and a frame of which only the index is chosen. It tells which part of the frame a value was
// computed from. Control flow is dispatch_interpreter.h's.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtimes/cpp20/machine_code.h"
#include "runtimes/cpp20/suspend_point.h"

namespace asyncdump::cpp20 {

/// Constant data of the module (jump tables, literals): leading bytes read.
using ReadConstant = std::function<std::size_t(RemoteAddress, std::span<std::byte>)>;

/// What the interpreted function knows about the frame at a moment: registers and words of its stack that
/// hold the address of the frame (or of something in it) or of the stack.
struct FrameKnowledge {
    /// Addresses stand for the real ones: the frame begins at `frame`, the stack pointer at the entry was
    /// `stack`.
    static constexpr std::uint64_t frame = 0x7e00'0000'0000, frame_end = frame + 0x100'0000;
    static constexpr std::uint64_t stack = 0x7d00'0000'0000, stack_bytes = 0x100'0000;
    static constexpr bool is_in_frame(std::uint64_t address) {
        return address >= frame && address < frame_end;
    }
    static constexpr bool is_on_stack(std::uint64_t address) {
        return address >= stack - stack_bytes && address < stack + stack_bytes;
    }

    std::array<std::optional<std::uint64_t>, register_count> registers;  ///< by Register
    std::vector<std::pair<std::uint64_t, std::uint64_t>> words;  ///< on the stack: address and content

    /// Offset in the frame of what a memory operand with a fixed distance from a register stands for.
    std::optional<std::uint64_t> offset_in_frame(const Operand& operand) const {
        if (!operand.has_only_base()) return std::nullopt;
        const auto base = registers[static_cast<std::size_t>(operand.reg)];
        if (!base || !is_in_frame(*base)) return std::nullopt;
        return *base - frame + static_cast<std::uint64_t>(operand.value);
    }
};

/// Which bytes of the frame a value was computed from; width 0: none. Of two, the index field wins.
struct Taint {
    std::uint32_t offset = 0;
    std::uint32_t width = 0;
    bool any() const { return width != 0; }
};

struct InterpretedValue {
    std::uint64_t bits = 0;
    bool known = false;
    Taint taint;
};

struct InterpretedFlags {
    bool carry = false, zero = false, sign = false, overflow = false, parity = false;
    bool known = false;
    Taint taint;
};

class InterpretedMachine {
  public:
    using Value = InterpretedValue;

    /// With rdi = frame and the stack as FrameKnowledge has them. With `field` the frame holds `index` there.
    /// `read_constant` must stay valid.
    InterpretedMachine(const ReadConstant& read_constant, std::optional<IndexField> field,
                       std::uint64_t index);

    enum class StoreProblem : std::uint8_t {
        nobody_knows_where,  ///< it could hit the stack or the frame: going on would guess
        to_index_field,
    };

    /// Executes what only moves or computes values. False, with nothing changed, for everything else: control
    /// flow and what is not modelled. A problem with a store is in store_problem() until the next one.
    bool compute(const Instruction& instruction);
    const std::optional<StoreProblem>& store_problem() const { return store_problem_; }

    Value& reg(Register name) { return registers_[static_cast<std::size_t>(name)]; }
    Value read(const Operand& operand);
    InterpretedFlags& flags() { return flags_; }
    bool holds(Condition condition) const;
    bool is_field(const Taint& taint) const {
        return taint.any() && overlaps_field(taint.offset, taint.width);
    }

    /// An address of the frame or the stack that a register holds.
    std::optional<std::uint64_t> held_in(std::size_t number) const;
    FrameKnowledge knowledge();

  private:
    bool overlaps_field(std::uint64_t offset, unsigned size) const {
        return field_ && offset < field_->offset + field_->width && field_->offset < offset + size;
    }
    Taint joined(const Taint& a, const Taint& b) const;

    std::optional<std::uint64_t> address_of(const Operand& operand);
    Value load(const Operand& operand);
    Value load_at(std::uint64_t address, unsigned size);
    Value frame_byte(std::uint64_t offset) const;
    void store(const Operand& operand, const Value& value);
    void store_at(std::uint64_t address, unsigned size, const Value& value);
    void write(const Operand& operand, Value value);

    void set_result_flags(const Value& result, unsigned size);
    Value add(const Value& a, const Value& b, bool carry_in, unsigned size);
    Value subtract(const Value& a, const Value& b, bool borrow_in, unsigned size);
    Value cleared(unsigned size);
    void subtract_with_borrow(const Instruction& instruction, unsigned size);
    void logic(const Instruction& instruction);
    void shift(const Instruction& instruction);
    /// push, pop, leave
    void use_stack(const Instruction& instruction);

    const ReadConstant& read_constant_;
    const std::optional<IndexField> field_;
    const std::uint64_t index_;
    std::array<Value, register_count> registers_{};
    InterpretedFlags flags_;
    std::unordered_map<std::uint64_t, Value> overlay_;  ///< bytes that were written
    Taint address_taint_;
    std::optional<StoreProblem> store_problem_;
};

}  // namespace asyncdump::cpp20

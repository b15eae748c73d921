#include "runtimes/cpp20/frame_size.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint64_t most_code = 64 * 1024;
constexpr std::int64_t smallest_frame = 16;
constexpr std::int64_t largest_frame = 4 * 1024 * 1024;

/// Shows each instruction until `look` is false.
template <class Look>
void for_each_instruction(const Module& module, AddressRange range, const Look& look) {
    std::vector<std::byte> bytes(std::min(range.size(), most_code));
    bytes.resize(module.read_file_bytes(range.begin, bytes));
    for (std::size_t offset = 0; offset < bytes.size();) {
        const Instruction instruction = decode(std::span(bytes).subspan(offset), range.begin + offset);
        if (!look(instruction)) return;
        offset += instruction.length;
    }
}

std::optional<std::uint32_t> frame_size(const Operand& operand) {
    if (!operand.is_immediate() || operand.value < smallest_frame || operand.value > largest_frame)
        return std::nullopt;
    return static_cast<std::uint32_t>(operand.value);
}

/// By the last call of clang's destroy function that takes the frame and a size. What the frame owned is
/// given back before, with sizes of its own.
std::optional<std::uint32_t> size_given_to_delete(const CoroutineCode& code) {
    std::optional<std::uint32_t> size;
    for_each_call_with_frame(*code.module, code.destroy,
                             [&](const Instruction&, std::optional<std::uint32_t> argument) {
                                 if (argument) size = argument;
                             });
    return size;
}

/// Boost.Asio gives the frame back to a cache of its thread, inlined, and takes the mark that it keeps behind
/// the frame to the frame's first byte: a byte is read at the frame's size, and written at its beginning.
std::optional<std::uint32_t> size_before_mark_of_asio(const CoroutineCode& code) {
    std::optional<std::uint32_t> size;
    std::set<Register> frames;  // registers that the argument was saved to
    bool is_argument = true;    // what is in rdi
    Operand mark, read;         // the register into which a byte of a frame was read, and from where
    for_each_instruction(*code.module, code.destroy, [&](const Instruction& instruction) {
        const auto& [destination, source] = instruction.operands;
        const bool is_move = instruction.operation == Operation::mov;
        const bool is_mark = is_move && destination.has_only_base() && destination.size == 1 &&
                             destination.value == 0 && mark.is_register() && source.is_register() &&
                             source.reg == mark.reg && destination.reg == read.reg;
        if (is_mark && frames.contains(read.reg) && read.value >= smallest_frame &&
            read.value <= largest_frame)
            size = static_cast<std::uint32_t>(read.value);
        mark = {};
        const bool reads_byte = (is_move || instruction.operation == Operation::movzx) &&
                                destination.is_register() && source.has_only_base() && source.size == 1;
        if (reads_byte) {
            mark = destination;
            read = source;
        }
        if (is_move && destination.is_register() && source.is_register() && source.reg == Register::rdi &&
            is_argument)
            frames.insert(destination.reg);
        is_argument = is_argument && !may_write(instruction, Register::rdi);
        return true;
    });
    return size;
}

/// By the first call of GCC's ramp, which is that of operator new.
std::optional<std::uint32_t> size_asked_of_new(const CoroutineCode& code) {
    std::optional<std::uint32_t> in_rax, in_rdi;
    bool was_called = false;
    for_each_instruction(*code.module, code.ramp, [&](const Instruction& instruction) {
        const auto& [destination, source] = instruction.operands;
        if (instruction.operation == Operation::mov && destination.is_register()) {
            const bool from_rax = source.is_register() && source.reg == Register::rax;
            if (destination.reg == Register::rdi) in_rdi = from_rax ? in_rax : frame_size(source);
            if (destination.reg == Register::rax) in_rax = frame_size(source);
        }
        was_called = instruction.operation == Operation::call;
        return !was_called;
    });
    return was_called ? in_rdi : std::nullopt;
}

}  // namespace

void for_each_call_with_frame(
    const Module& module, AddressRange function,
    const std::function<void(const Instruction&, std::optional<std::uint32_t>)>& visit) {
    struct InRdi {
        bool is_frame = true;
        bool is_untouched = true;  ///< up to here nothing has changed it: it holds the argument
    };
    const auto is_of_stack = [](const Operand& operand) {
        return operand.has_only_base() && (operand.reg == Register::rsp || operand.reg == Register::rbp);
    };
    std::optional<std::uint32_t> size;  // in rsi since the last transfer of control
    std::set<Register> saved;           // registers that the argument was saved to
    std::set<Register> loaded;          // from the stack, since the last transfer of control
    InRdi rdi;
    std::map<RemoteAddress, InRdi> at_targets;  // of the jumps so far: true where it is for all of them
    bool falls_through = false;
    for_each_instruction(module, function, [&](const Instruction& instruction) {
        if (const auto known = at_targets.find(instruction.address); known != at_targets.end()) {
            const InRdi before = falls_through ? rdi : InRdi();
            rdi = {before.is_frame && known->second.is_frame,
                   before.is_untouched && known->second.is_untouched};
        }
        falls_through = !instruction.ends_block_without_fall_through();
        const bool is_jump =
            instruction.operation == Operation::jmp || instruction.operation == Operation::jcc;
        if (const auto target = instruction.direct_target(); target && is_jump) {
            InRdi& there = at_targets[*target];
            there = {there.is_frame && rdi.is_frame, there.is_untouched && rdi.is_untouched};
        }
        const auto& [destination, source] = instruction.operands;
        const bool is_move = instruction.operation == Operation::mov && destination.is_register();
        if (is_move && source.is_register() && source.reg == Register::rdi && rdi.is_frame)
            saved.insert(destination.reg);
        if (is_move && is_of_stack(source)) loaded.insert(destination.reg);
        if (is_move && destination.reg == Register::rsi) size = frame_size(source);
        if (instruction.operation == Operation::call || instruction.operation == Operation::jmp) {
            if (rdi.is_frame) visit(instruction, size);
            size.reset();
            loaded.clear();
            rdi.is_untouched = rdi.is_untouched && instruction.operation == Operation::jmp;
            rdi.is_frame = rdi.is_untouched;
        } else if (is_move && destination.reg == Register::rdi) {
            rdi.is_frame =
                is_of_stack(source) ||
                (source.is_register() && (saved.contains(source.reg) || loaded.contains(source.reg)));
            rdi.is_untouched = false;
        } else if (may_write(instruction, Register::rdi)) {
            rdi = {false, false};
        }
        return true;
    });
}

std::optional<std::uint32_t> frame_size_from_code(const CoroutineCode& code) {
    if (code.compiler == Compiler::gcc) return size_asked_of_new(code);
    const auto size = size_given_to_delete(code);
    return size ? size : size_before_mark_of_asio(code);
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/undescribed_frames.h"

#include <algorithm>
#include <set>

#include "runtimes/cpp20/function_debug_info.h"

namespace asyncdump::cpp20 {
namespace {

using Position = FunctionCode::Position;

constexpr std::uint32_t first_word = 16;  ///< after the resume and destroy pointers: the promise, mostly
constexpr std::uint64_t largest_frame = 1 << 22;
constexpr std::uint64_t largest_promise = 4096;
constexpr std::uint32_t most_before_index = 1 << 16;  ///< bytes of promise and parameters
constexpr std::uint64_t bytes_of_an_awaiter = 16;     ///< a handle, perhaps behind a word of its own
constexpr std::size_t most_final_instructions = 200;

/// Where the promise begins, if a function of it is called.
std::optional<std::uint64_t> begin_of_called_promise(const ImportedFunctions& imported,
                                                     const FunctionCode& code, const FrameBases& bases) {
    for (Position at = 0; at < code.instructions().size(); ++at) {
        const Instruction& instruction = code.at(at);
        if (instruction.operation == Operation::call &&
            await_role(imported.callee(instruction)) == AwaitRole::final_suspend)
            return bases.offset_in_frame(Register::rdi, at);
    }
    return std::nullopt;
}

/// What of the frame the code touches next behind an offset. Clang fills the gap in front of an over-aligned
/// promise first: then there may be nothing.
std::uint64_t nearest_behind(std::uint64_t begin, const FunctionCode& code, const FrameBases& bases) {
    std::uint64_t nearest = largest_promise;
    for (Position at = 0; at < code.instructions().size(); ++at) {
        const auto touched = bases.touched_by(code.at(at), at);
        if (touched && *touched > begin) nearest = std::min(nearest, *touched);
    }
    return nearest;
}

bool makes_resume_pointer_null(const FunctionCode& code, const FrameBases& bases, Position at) {
    const Instruction& instruction = code.at(at);
    const Operand& from = instruction.operands[1];
    return instruction.operation == Operation::mov && instruction.operands[0].is_memory() &&
           from.is_immediate() && from.value == 0 && bases.touched_by(instruction, at) == 0U;
}

bool reads_word(const Instruction& instruction) {
    if (instruction.operation == Operation::lea) return false;
    for (std::size_t i = 0; i < std::size(instruction.operands); ++i) {
        const Operand& operand = instruction.operands[i];
        if (operand.is_memory() && operand.size == 8 && !instruction.writes_operand(i)) return true;
    }
    return false;
}

/// The words of the frame that may be read after an instruction.
std::set<std::uint64_t> words_read_after(const FunctionCode& code, const FrameBases& bases, Position start) {
    std::set<std::uint64_t> words;
    std::set<Position> seen;
    std::vector<Position> open(code.successors(start).begin(), code.successors(start).end());
    while (!open.empty() && seen.size() < most_final_instructions) {
        const Position at = open.back();
        open.pop_back();
        if (at >= code.instructions().size() || !seen.insert(at).second) continue;
        const Instruction& instruction = code.at(at);
        const auto touched = bases.touched_by(instruction, at);
        if (touched && *touched >= first_word && reads_word(instruction)) words.insert(*touched);
        open.insert(open.end(), code.successors(at).begin(), code.successors(at).end());
    }
    return words;
}

AwaiterSlot find_promise(const ImportedFunctions& imported, const FunctionCode& code,
                         const FrameBases& bases) {
    std::uint64_t begin = first_word, end = 0;
    if (const auto called = begin_of_called_promise(imported, code, bases)) {
        begin = *called;
        end = nearest_behind(begin, code, bases);
    } else {
        for (Position at = 0; at < code.instructions().size(); ++at) {
            if (!makes_resume_pointer_null(code, bases, at)) continue;
            const auto words = words_read_after(code, bases, at);
            if (!words.empty()) end = std::max(end, *words.rbegin() + 8);
        }
    }
    if (begin >= end || end > largest_promise) return {};
    return {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
}

void find_stores_of_own_address(const FunctionCode& code, const FrameBases& bases, CodeKnowledge& knowledge) {
    std::set<std::uint32_t> distances, inside;
    for (Position at = 0; at < code.instructions().size(); ++at) {
        const Instruction& instruction = code.at(at);
        const Operand& to = instruction.operands[0];
        const Operand& from = instruction.operands[1];
        if (instruction.operation != Operation::mov || !to.has_only_base() || to.rip_relative ||
            to.reg == Register::rsp || to.reg == Register::rbp || !from.is_register())
            continue;
        if (bases.offset_in_frame(from.reg, at) != 0U) continue;
        const auto own = bases.offset_in_frame(to.reg, at);
        const std::uint64_t distance = own.value_or(0) + static_cast<std::uint64_t>(to.value);
        if (distance < largest_frame) (own ? inside : distances).insert(static_cast<std::uint32_t>(distance));
    }
    knowledge.gives_itself_at.assign(distances.begin(), distances.end());
    knowledge.gives_itself_inside.assign(inside.begin(), inside.end());
}

}  // namespace

CodeKnowledge knowledge_from_code(const ImportedFunctions& imported, const FunctionCode& resume,
                                  const FrameBases& bases) {
    CodeKnowledge knowledge;
    knowledge.promise = find_promise(imported, resume, bases);
    find_stores_of_own_address(resume, bases, knowledge);
    return knowledge;
}

std::optional<std::uint32_t> find_self_handle(const Memory& memory, const Frame& frame,
                                              const std::optional<IndexField>& index) {
    if (!index) return std::nullopt;
    const std::uint32_t end = std::min(index->offset & ~7U, frame.extent & ~7U);
    const std::uint32_t begin = end > most_before_index ? end - most_before_index : 0;
    std::vector<std::uint64_t> scratch;
    const auto words = memory.read_words({frame.address + begin, frame.address + end}, scratch);
    for (std::uint32_t offset = end; offset > std::max<std::uint32_t>(begin, first_word); offset -= 8) {
        const std::size_t word = (offset - 8 - begin) / 8;
        if (word < words.size() && words[word] == frame.address.value()) return offset - 8;
    }
    return std::nullopt;
}

std::vector<std::uint32_t> words_read_on_resumption(const FunctionCode& code, const DispatchTrace& trace) {
    std::vector<std::uint32_t> words;
    const auto add = [&](std::uint64_t offset) {
        if (offset >= first_word && offset % 8 == 0 && offset < largest_frame)
            words.push_back(static_cast<std::uint32_t>(offset));
    };
    for (const DispatchTrace::Place& place : trace.places) {
        const Position position = code.find(place.address);
        if (position == FunctionCode::nowhere) break;
        const Instruction& instruction = code.at(position);
        if (instruction.operation == Operation::call) {
            // The awaiter, or, where await_resume returns an object, the place for that and then the awaiter.
            for (const Register argument : {Register::rdi, Register::rsi}) {
                const auto object = place.knowledge.registers[static_cast<std::size_t>(argument)];
                if (!object || !FrameKnowledge::is_in_frame(*object)) continue;
                for (std::uint64_t at = 0; at < bytes_of_an_awaiter; at += 8)
                    add(*object - FrameKnowledge::frame + at);
            }
            break;
        }
        if (instruction.operation == Operation::lea) continue;
        for (std::size_t i = 0; i < std::size(instruction.operands); ++i) {
            const auto offset = place.knowledge.offset_in_frame(instruction.operands[i]);
            if (!offset) continue;
            // The resume pointer becomes null at the final suspend point, whose awaiter leads to the parent.
            if (instruction.writes_operand(i) && *offset == 0) return words;
            if (!instruction.writes_operand(i)) add(*offset);
        }
    }
    return words;
}

}  // namespace asyncdump::cpp20

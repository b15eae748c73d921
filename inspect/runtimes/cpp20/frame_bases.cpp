#include "runtimes/cpp20/frame_bases.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace asyncdump::cpp20 {

namespace {

using Position = FunctionCode::Position;

bool allocates(const ImportedFunctions& imported, const Instruction& call) {
    // `operator new`, the global one or the promise's.
    const std::string_view name = imported.callee(call);
    return name.starts_with("_Znw") || (name.starts_with("_Z") && name.find("nwE") != std::string_view::npos);
}

bool names(const FunctionCode& code, RemoteAddress function) {
    return std::ranges::any_of(code.instructions(), [&](const Instruction& instruction) {
        const Operand& from = instruction.operands[1];
        return (from.is_immediate() || from.rip_relative) &&
               static_cast<std::uint64_t>(from.value) == function.value();
    });
}

}  // namespace

FrameBases::FrameBases(const ImportedFunctions& imported, const FunctionCode& code,
                       const ValueSources& values, FunctionRole role, RemoteAddress resume_function)
    : values_(values), role_(role) {
    if (role == FunctionRole::resume && !names(code, resume_function)) return;
    std::set<Position> allocations;
    for (Position i = 0; i < code.instructions().size(); ++i) {
        const Instruction& instruction = code.at(i);
        if (role == FunctionRole::ramp && instruction.operation == Operation::call &&
            allocates(imported, instruction)) {
            allocations.insert(i);
        }
        const Operand& to = instruction.operands[0];
        const Operand& from = instruction.operands[1];
        if (instruction.operation != Operation::mov || !to.is_memory() || to.value != 0 || to.size != 8 ||
            to.reg == Register::none || to.index != Register::none) {
            continue;
        }
        std::vector<ValueSource> stored;
        if (from.is_register()) stored = values.of(from.reg, i, ValueSources::AfterCall::rax_is_result);
        if (from.is_immediate()) {
            stored.push_back({ValueSource::Kind::constant, static_cast<std::uint64_t>(from.value), i, false});
        }
        const bool stores_resume = std::ranges::any_of(stored, [&](const ValueSource& value) {
            return value.kind == ValueSource::Kind::constant && value.value == resume_function.value();
        });
        if (!stores_resume) continue;
        for (const ValueSource& base : values.of(to.reg, i, ValueSources::AfterCall::rax_is_result)) {
            if (base.kind == ValueSource::Kind::call_result && base.value == 0) frames_.insert(base.position);
        }
    }
    // Unoptimised code keeps the frame's address on the stack, where it is not followed. Optimised code may
    // have the frames of inlined coroutines beside this one's.
    if (frames_.empty()) frames_ = std::move(allocations);
}

std::optional<std::uint64_t> FrameBases::offset_in_frame(Register base, Position at) const {
    // A way that comes from elsewhere neither speaks for nor against: a handler keeps what its function
    // had in a register.
    std::optional<std::uint64_t> offset;
    bool is_own = role_ == FunctionRole::ramp;
    for (const ValueSource& source : values_.of(base, at, ValueSources::AfterCall::rax_is_result)) {
        if (source.kind == ValueSource::Kind::elsewhere) continue;
        const bool is_argument = role_ == FunctionRole::resume && source.kind == ValueSource::Kind::argument;
        // A resume function that starts another coroutine of its kind may go on with that one's frame: a
        // recursion that became a loop.
        const bool is_new =
            source.kind == ValueSource::Kind::call_result && frames_.contains(source.position);
        if ((!is_argument && !is_new) || (offset && *offset != source.value)) return std::nullopt;
        offset = source.value;
        is_own = is_own || is_argument;
    }
    return is_own ? offset : std::nullopt;
}

std::optional<std::uint64_t> FrameBases::touched_by(const Instruction& instruction, Position at) const {
    const auto behind = [&](Register base, std::int64_t distance) -> std::optional<std::uint64_t> {
        const auto offset = offset_in_frame(base, at);
        if (!offset) return std::nullopt;
        return *offset + static_cast<std::uint64_t>(distance);
    };
    const Operand& to = instruction.operands[0];
    const Operand& from = instruction.operands[1];
    if (instruction.operation == Operation::add && to.is_register() && from.is_immediate())
        return behind(to.reg, from.value);
    for (const Operand& operand : instruction.operands) {
        if (operand.has_only_base() && operand.reg != Register::rsp)
            return behind(operand.reg, operand.value);
    }
    return std::nullopt;
}

}  // namespace asyncdump::cpp20

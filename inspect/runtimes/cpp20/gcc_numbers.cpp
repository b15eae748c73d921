#include "runtimes/cpp20/gcc_numbers.h"

#include <algorithm>
#include <iterator>

namespace asyncdump::cpp20 {

namespace {

constexpr std::uint64_t max_numbered_index = 4096;

bool ends_in_trap(const InterpretedCode& code, const DispatchTrace& trace) {
    for (const RemoteAddress address : trace.path) {
        const Instruction* instruction = code.instruction_at(address);
        if (instruction == nullptr || instruction->operation == Operation::trap) return true;
        // Where the trap is in the cold part, a jump leads there.
        if (instruction->operation != Operation::jmp) return false;
    }
    return true;
}

}  // namespace

std::uint64_t last_gcc_index(const InterpretedCode& code, RemoteAddress entry, const IndexField& field) {
    std::uint64_t last = 0;
    for (std::uint64_t index = gcc_initial_index; index < max_numbered_index; index += 2) {
        const DispatchTrace trace = interpret_dispatch(code, entry, field, index);
        if (trace.resume_address.is_null() || ends_in_trap(code, trace)) break;
        last = index;
    }
    return last;
}

// Inner awaits come before outer ones.
NumberedAwaits::NumberedAwaits(std::vector<const AwaitExpression*> awaits, std::uint64_t last_index)
    : awaits_(std::move(awaits)), last_index_(last_index) {
    std::ranges::stable_sort(awaits_, [](const AwaitExpression* a, const AwaitExpression* b) {
        return a->operand_end != b->operand_end ? a->operand_end < b->operand_end : b->keyword < a->keyword;
    });
    certain_.emplace_back(gcc_initial_index, -1);
}

void NumberedAwaits::add_certain(std::uint64_t index, const AwaitExpression* await) {
    const auto rank = std::ranges::find(awaits_, await);
    if (await != nullptr && rank != awaits_.end()) certain_.emplace_back(index, rank - awaits_.begin());
}

// An await that comes from a macro or is discarded by `if constexpr` makes the counts differ. A for loop's
// increment comes after its body, and the sides of an assignment are not taken from left to right.
const AwaitExpression* NumberedAwaits::at(std::uint64_t index) const {
    if (index < gcc_first_await || index >= last_index_) return nullptr;
    const auto next =
        std::ranges::upper_bound(certain_, index, {}, &std::pair<std::uint64_t, std::ptrdiff_t>::first);
    const auto above =
        next == certain_.end() ? std::pair(last_index_, static_cast<std::ptrdiff_t>(awaits_.size())) : *next;
    const auto below = *std::prev(next);
    const auto numbers = static_cast<std::ptrdiff_t>((above.first - below.first) / 2);
    if (above.second - below.second != numbers) return nullptr;
    for (std::ptrdiff_t rank = below.second + 1; rank < above.second; ++rank) {
        const AwaitExpression& between = *awaits_[static_cast<std::size_t>(rank)];
        if (between.in_for_increment || between.after_assignment) return nullptr;
    }
    const std::ptrdiff_t rank = below.second + static_cast<std::ptrdiff_t>((index - below.first) / 2);
    return rank > below.second && rank < above.second ? awaits_[static_cast<std::size_t>(rank)] : nullptr;
}

}  // namespace asyncdump::cpp20

// GCC's numbers of suspend points: 2 for the initial one, 4, 6, ... for the awaits in the order of the
// source, the highest for the final one; odd ones while being destroyed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtimes/cpp20/dispatch_interpreter.h"
#include "runtimes/cpp20/source_text.h"
#include "runtimes/cpp20/suspend_point.h"

namespace asyncdump::cpp20 {

constexpr std::uint64_t gcc_initial_index = 2;
constexpr std::uint64_t gcc_first_await = 4;

/// The highest number that the dispatcher of the resume function at `entry` knows: that of the final suspend
/// point. Every other ends in a trap. 0 when it knows none.
std::uint64_t last_gcc_index(const InterpretedCode& code, RemoteAddress entry, const IndexField& field);

/// Where as many numbers as awaits lie between two that the code places certainly (or the function's begin
/// and end), the numbers place the others.
class NumberedAwaits {
  public:
    NumberedAwaits() = default;
    /// `awaits` are those of the function's text; they stay where they are as long as this object lives.
    NumberedAwaits(std::vector<const AwaitExpression*> awaits, std::uint64_t last_index);

    /// In ascending order of the index. Without effect for nullptr and for an await of another function.
    void add_certain(std::uint64_t index, const AwaitExpression* await);

    /// nullptr when the number does not tell.
    const AwaitExpression* at(std::uint64_t index) const;

  private:
    std::vector<const AwaitExpression*> awaits_;                     // in the order of their numbers
    std::vector<std::pair<std::uint64_t, std::ptrdiff_t>> certain_;  // index and its place in awaits_
    std::uint64_t last_index_ = 0;
};

}  // namespace asyncdump::cpp20

// Where the value of a register comes from: followed back over all ways that lead to a place in a function.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "runtimes/cpp20/function_code.h"

namespace asyncdump::cpp20 {

/// Where a value comes from.
struct ValueSource {
    enum class Kind : std::uint8_t {
        unknown,
        elsewhere,    ///< reached by the unwinder (a handler) or by a jump that was not understood
        argument,     ///< the function's first argument
        call_result,  ///< rax after the call at `position`
        constant,     ///< `value`, made at `position`
        stack,        ///< the address of a place on the stack: `value` bytes from rsp or rbp
    };
    Kind kind = Kind::unknown;
    std::uint64_t value = 0;  ///< of a constant; what was added to an argument or result
    FunctionCode::Position position = 0;
    bool through_join = false;

    friend auto operator<=>(const ValueSource&, const ValueSource&) = default;
};

class ValueSources {
  public:
    /// `code` has to live as long.
    ValueSources(const FunctionCode& code, RemoteAddress entry);

    /// What a call leaves in rax. Code only reads what is defined: a register that is read after a call was
    /// kept by it, by the calling convention or because the compiler saw the callee (GCC's -fipa-ra keeps
    /// values in any register), or it is the result. The number of a suspend point is never a call's result;
    /// an address may be.
    enum class AfterCall { rax_is_result, rax_is_kept };

    /// All sources of a register's value as it is before the instruction at `position`.
    std::vector<ValueSource> of(Register reg, FunctionCode::Position position, AfterCall after_call,
                                std::size_t depth = 0) const;

  private:
    /// Goes back over one instruction. False when it made the value: the source was added.
    bool step(Register& reg, std::uint64_t& added, FunctionCode::Position at, bool through_join,
              std::set<ValueSource>& found, AfterCall after_call, std::size_t depth) const;

    using Slot = std::pair<Register, std::int64_t>;  ///< a word of the stack: rsp or rbp and a number
    using SlotStores = std::map<Slot, std::vector<FunctionCode::Position>>;

    /// What is ever stored there. Asked for once, because slots are filled from slots.
    const std::set<ValueSource>& stored_in(const SlotStores::value_type& slot, AfterCall after_call,
                                           std::size_t depth) const;

    const FunctionCode& code_;
    const FunctionCode::Position entry_;
    SlotStores slot_stores_;
    mutable std::map<std::tuple<Slot, AfterCall, std::size_t>, std::set<ValueSource>> stored_;
};

}  // namespace asyncdump::cpp20

// Where a coroutine's functions keep the address of their frame while they run, by their machine code alone.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "modules/unwinder.h"
#include "process/memory.h"
#include "runtimes/cpp20/function_code.h"

namespace asyncdump::cpp20 {

/// Follows the frame's address through a function over all its ways: a register or a word of the stack counts
/// at an instruction when it holds the address (or one at a known distance from it) on every way there.
///
/// In a resume or destroy function the address is the first argument; in a ramp that runs the body itself it
/// is the result of the call into which the resume function's address is stored first.
///
/// It can be wrong where a pointer to another object of the stack is used to write beyond that object, where
/// an index into an array on the stack is negative, and where a callee changes a word of its stack arguments.
/// Handlers of exceptions and jumps whose targets are not known are taken to be reached from every call.
class FramePointerPlaces {
  public:
    enum class Function : std::uint8_t { resume_or_destroy, ramp };

    /// `entry` is the function's first instruction in `code`, `resume` the entry of the resume function. Both
    /// must outlive this object. A function of more than `most_instructions` is not looked at.
    FramePointerPlaces(const FunctionCode& code, RemoteAddress entry, Function function,
                       RemoteAddress resume);
    static constexpr std::size_t most_instructions = 200'000;

    /// The frame's address in an activation of the function: what all the places say. Empty when there is
    /// none, none can be read, or they contradict each other.
    std::optional<RemoteAddress> frame_of(const UnwoundFrame& activation, const Memory& memory) const;

    /// Whether a way to the instruction at which the activation stands was found: then what frame_of() does
    /// not find is nowhere.
    bool knows(const UnwoundFrame& activation) const;

  private:
    using Position = FunctionCode::Position;

    struct Value {
        enum class Base : std::uint8_t {
            unknown,
            argument,       ///< the first argument at the entry
            call_result,    ///< of the call at `call`
            entry_stack,    ///< the stack pointer at the entry
            aligned_stack,  ///< the stack pointer after it was aligned
            constant,
        };
        Base base = Base::unknown;
        Position call = 0;
        std::int64_t offset = 0;

        bool is_known() const { return base != Base::unknown; }
        bool is_on_stack() const { return base == Base::entry_stack || base == Base::aligned_stack; }
        bool has_base_of(const Value& other) const { return base == other.base && call == other.call; }
        Value plus(std::int64_t more) const;
        friend bool operator==(const Value&, const Value&) = default;
    };
    using Slot = std::pair<Value::Base, std::int64_t>;
    struct State {
        std::array<Value, register_count> registers;
        std::map<Slot, Value> slots;  ///< words of the stack
        /// Beginnings of objects of the stack whose address may have gone elsewhere on a way there.
        std::set<Slot> escaped;

        Value& operator[](Register reg) { return registers[static_cast<std::size_t>(reg)]; }
        const Value& operator[](Register reg) const { return registers[static_cast<std::size_t>(reg)]; }
        void let_escape(const Value& value);
    };

    /// What instructions tell about the whole function.
    struct Lesson {
        Value frame;                      ///< what the frame's address is, as a value
        bool has_several_frames = false;  ///< a ramp that stores the resume function's address more than once
    };

    void analyse();
    void run_block(Position begin, State state, std::vector<Position>& changed);
    void merge_into_unexplained(const State& state, std::vector<Position>& changed);
    void apply(Position position, State& state, Lesson& lesson) const;
    void apply_call(Position position, State& state) const;
    void store(const Operand& to, std::uint64_t size, const Value& value, State& state, Lesson& lesson) const;
    static bool merge(State& kept, const State& other);
    static Value value_of(const Operand& operand, const State& state);
    static Value address_in(const Operand& operand, const State& state);
    static void forget_escaped(State& state);
    std::optional<State> state_at(const UnwoundFrame& activation) const;
    bool is_block_begin(Position position) const;

    const FunctionCode& code_;
    RemoteAddress entry_, resume_;
    Function function_;
    Lesson lesson_;
    std::map<Position, State> states_;   ///< before the first instruction of each block
    std::vector<Position> unexplained_;  ///< what no known way leads to
    std::optional<State> before_unexplained_;
};

}  // namespace asyncdump::cpp20

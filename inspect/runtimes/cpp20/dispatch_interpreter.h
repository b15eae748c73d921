// Interprets the beginning of a resume function over its copied bytes, with a frame of which only the index
// is chosen: which field of the frame decides where the coroutine goes on, and where it goes on for a given
// index. Every run is bounded.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "runtimes/cpp20/machine_code.h"
#include "runtimes/cpp20/suspend_point.h"

namespace asyncdump::cpp20 {

/// What the interpreter may look at. Both members must stay valid during a run.
struct InterpretedCode {
    /// The instruction at an address of the function's own code (resume or cold part); nullptr elsewhere.
    std::function<const Instruction*(RemoteAddress)> instruction_at;
    /// Constant data of the module (jump tables, literals): leading bytes read.
    std::function<std::size_t(RemoteAddress, std::span<std::byte>)> read_constant;
};

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

struct DispatchTrace {
    enum class Stop : std::uint8_t {
        call,  ///< the first call after the dispatch
        returned,
        unknown,       ///< a decision on a value that nobody knows, or on the user's data
        left_code,     ///< a jump out of the function
        stored_again,  ///< the field was stored again: from here on the next suspension is prepared
        unsupported,   ///< an instruction that is not modelled
        too_long,
    };
    Stop stop = Stop::unknown;
    /// The part of the frame (offset >= 16) that took the first decision; empty when there was none.
    std::optional<IndexField> field;
    /// Target of the last decision taken by the field before it was stored again; null when there was none.
    RemoteAddress resume_address;
    /// Executed after that decision, in order; ends with the instruction that stopped it (a call is
    /// included).
    std::vector<RemoteAddress> path;
    /// The first instructions after that decision (without one, of the function, up to its first call), with
    /// what is known before each is executed. Only when asked for.
    struct Place {
        RemoteAddress address;
        FrameKnowledge knowledge;
    };
    std::vector<Place> places;
    /// Of the call that stopped it: its target and first arguments, as FrameKnowledge has addresses.
    RemoteAddress called;
    std::optional<std::uint64_t> first_argument, second_argument;
};

/// Runs from `entry` with rdi = frame. With `field` the frame holds `index` there and only that field counts
/// as the dispatcher's; without, the first field that decides is reported and the run ends.
DispatchTrace interpret_dispatch(const InterpretedCode& code, RemoteAddress entry,
                                 std::optional<IndexField> field, std::uint64_t index,
                                 std::size_t most_places = 0);

}  // namespace asyncdump::cpp20

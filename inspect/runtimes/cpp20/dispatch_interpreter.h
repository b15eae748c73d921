// Interprets the beginning of a resume function over its copied bytes, with a frame of which only the index
// is chosen: which field of the frame decides where the coroutine goes on, and where it goes on for a given
// index. Every run is bounded.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "runtimes/cpp20/interpreted_machine.h"
#include "runtimes/cpp20/machine_code.h"
#include "runtimes/cpp20/suspend_point.h"

namespace asyncdump::cpp20 {

/// What the interpreter may look at. Both members must stay valid during a run.
struct InterpretedCode {
    /// The instruction at an address of the function's own code (resume or cold part); nullptr elsewhere.
    std::function<const Instruction*(RemoteAddress)> instruction_at;
    ReadConstant read_constant;
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

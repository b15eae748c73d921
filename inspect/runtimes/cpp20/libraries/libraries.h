#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "modules/module.h"
#include "process/memory.h"
#include "runtimes/cpp20/references.h"
#include "runtimes/observation.h"

namespace asyncdump::cpp20 {

/// What the target's clocks showed at the snapshot, in nanoseconds since their own zero.
struct ClockReadings {
    std::int64_t steady = 0;  ///< CLOCK_MONOTONIC
    std::int64_t system = 0;  ///< CLOCK_REALTIME
};

/// What a library may look at to describe the object of a wait.
struct WaitingFrame {
    std::span<const std::uint64_t> words;  ///< of the coroutine's frame
    RemoteAddress address;                 ///< of the frame
    const FrameView& view;
    const Memory& memory;
    const ModuleSet& modules;
    ClockReadings now;
    /// What an open file is: "socket 127.0.0.1:80 <- 127.0.0.1:4711", "pipe"; "" when it is not open.
    const std::function<std::string(int)>& describe_descriptor;
};

/// What asyncdump knows about one library. It improves names, wait reasons and multi-hop edges; everything
/// works without. How to add one: docs/libraries.md.
struct Library {
    std::string_view name;

    /// Is a coroutine with this ramp linkage name the library's own, of no interest to its users?
    bool (*is_internal)(std::string_view symbol);

    /// Is it the root of a chain of coroutines such that who leads to the root means the coroutine at the
    /// chain's other end? (asio resumes a stack of awaitables through its entry point.)
    bool (*stands_for_its_leaf)(std::string_view symbol);

    /// What a coroutine of the library waits for while nothing else is awaited, from its readable function
    /// name alone; empty when the name does not say it.
    std::optional<Awaiting> (*describe_wait)(std::string_view function);

    /// What any coroutine waits for, from the readable type of its awaiter; empty when that is none of the
    /// library's. nullptr for a library whose awaiters say nothing.
    std::optional<Awaiting> (*describe_awaiter)(std::string_view type);

    /// What memory says of the object of such a wait: continues the summary (" fd 7, ...", ", 997 s left").
    /// `place` is where an earlier frame at the same suspend point had its pointer to the object, as an index
    /// of its words: 0 when none is known yet; set when it is found. "" when nothing is known; nullptr for a
    /// library that does not look.
    std::string (*describe_object)(const WaitingFrame& frame, const Awaiting& wait, std::size_t& place);
};

/// The library whose own coroutine this is; nullptr when it is the user's.
const Library* library_of(std::string_view symbol);

struct DescribedWait {
    Awaiting awaiting;
    const Library* library;
};

/// What the libraries say of a wait of a coroutine with this ramp linkage name and readable name.
std::optional<DescribedWait> describe_wait(std::string_view symbol, std::string_view function,
                                           std::string_view awaiter_type);

extern const Library boost_asio;
extern const Library qcoro;

}  // namespace asyncdump::cpp20

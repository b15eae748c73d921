#pragma once

#include <optional>
#include <string_view>

#include "runtimes/observation.h"

namespace asyncdump::cpp20 {

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
};

/// The library whose own coroutine this is; nullptr when it is the user's.
const Library* library_of(std::string_view symbol);

extern const Library boost_asio;
extern const Library qcoro;

}  // namespace asyncdump::cpp20

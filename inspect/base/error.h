#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace asyncdump {

enum class ErrorCode {
    no_such_process,
    process_gone,  ///< it existed and ended (or was replaced by another process) meanwhile
    not_permitted,
    already_traced,
    unsupported_target,  ///< 32-bit, another processor, a kernel thread, a zombie
    timed_out,
    unreadable_memory,
    unreadable_file,
    malformed,  ///< a file or memory whose content does not follow its format
    usage,
    system,  ///< an unexpected failure of the operating system
};

/// One clear line for a person: what happened and, where something can be done, what to do.
struct Error {
    ErrorCode code = ErrorCode::system;
    std::string message;
    int system_errno = 0;  ///< errno of the failed call, 0 when none was involved
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> failure(ErrorCode code, std::string message, int system_errno = 0) {
    return tl::unexpected<Error>(Error{code, std::move(message), system_errno});
}

/// What could not be done, told to the user beside what could. Mirrors `Problem` of the JSON dump.
struct Problem {
    std::string code;       ///< stable, machine-readable, snake_case: "missing_debug_info"
    std::string message;    ///< one sentence that says what is missing and what would give it
    std::string subject;    ///< the file or object concerned; empty when there is none
    bool may_hide = false;  ///< true when a coroutine, an edge or a thread may be missing because of it

    friend bool operator==(const Problem&, const Problem&) = default;
};

}  // namespace asyncdump

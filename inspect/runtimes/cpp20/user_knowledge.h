#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtimes/observation.h"

namespace asyncdump::cpp20 {

/// What the user says of his own libraries (docs/configuration.md). Patterns are those of a shell
/// (fnmatch(3)):
/// `*` stands for anything, also for nothing and for `::`.
struct UserKnowledge {
    struct Wait {
        std::string type;  ///< of the awaiter
        std::optional<WaitKind> kind;
        std::string summary;  ///< "" = none
    };
    std::vector<std::string> internal_functions;  ///< qualified names without parameters
    std::vector<std::string> continuations;       ///< qualified names of members: "Promise<*>::parent"
    std::vector<Wait> waits;                      ///< the first that fits counts

    /// `function` is a readable name, with or without return type and parameters.
    bool is_internal(std::string_view function) const;
    /// `member` is qualified: "tasks::Promise<int>::parent".
    bool is_continuation(const std::string& member) const;
    const Wait* wait_of(const std::string& awaiter_type) const;  ///< nullptr when none fits
};

/// "tasks::run<int>" of "tasks::Task<int> tasks::run<int>(std::string const&)".
std::string_view qualified_function_name(std::string_view readable);

}  // namespace asyncdump::cpp20

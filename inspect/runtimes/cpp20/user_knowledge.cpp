#include "runtimes/cpp20/user_knowledge.h"

#include <fnmatch.h>

#include <algorithm>

namespace asyncdump::cpp20 {
namespace {

bool fits(const std::string& pattern, const std::string& name) {
    return ::fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
}

}  // namespace

std::string_view qualified_function_name(std::string_view readable) {
    constexpr std::string_view anonymous = "(anonymous namespace)";
    constexpr std::string_view call = "operator()";
    int depth = 0;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < readable.size(); ++i) {
        if (readable.substr(i).starts_with(anonymous)) {
            i += anonymous.size() - 1;
            continue;
        }
        if (readable.substr(i).starts_with(call)) {
            i += call.size() - 1;
            continue;
        }
        const char c = readable[i];
        // The first parenthesis outside template arguments opens the parameters.
        if (c == '(' && depth == 0) return readable.substr(begin, i - begin);
        if (c == '<' || c == '(') ++depth;
        if ((c == '>' || c == ')') && depth > 0) --depth;
        if (c == ' ' && depth == 0) begin = i + 1;
    }
    return readable.substr(begin);
}

bool UserKnowledge::is_internal(std::string_view function) const {
    if (internal_functions.empty()) return false;
    const std::string name(qualified_function_name(function));
    return std::ranges::any_of(internal_functions,
                               [&](const std::string& pattern) { return fits(pattern, name); });
}

bool UserKnowledge::is_continuation(const std::string& member) const {
    return std::ranges::any_of(continuations,
                               [&](const std::string& pattern) { return fits(pattern, member); });
}

const UserKnowledge::Wait* UserKnowledge::wait_of(const std::string& awaiter_type) const {
    const auto found =
        std::ranges::find_if(waits, [&](const Wait& wait) { return fits(wait.type, awaiter_type); });
    return found == waits.end() ? nullptr : &*found;
}

}  // namespace asyncdump::cpp20

#include "graph/findings/doubts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "base/lower_case.h"
#include "graph/findings/words.h"

namespace asyncdump {
namespace {

std::string awaiter_of(const Dump& dump, std::uint32_t waiter) {
    const std::uint32_t awaiting = dump.observed.coroutines[waiter].awaiting;
    return awaiting == no_index ? "" : lower_case(dump.observed.awaitings[awaiting].type);
}

template <std::size_t N>
bool contains_any(std::string_view text, const std::array<std::string_view, N>& words) {
    return std::ranges::any_of(words, [&](auto word) { return text.find(word) != text.npos; });
}

/// Of "mutex::try_lock_for(...)::awaiter<...>": each of its names, without arguments.
bool has_time_limit(std::string_view type) {
    constexpr std::array<std::string_view, 3> words = {"timed", "timeout", "deadline"};
    std::string name;
    int depth = 0;
    const auto tells = [&] {
        const bool is_told = contains_any(name, words) || name.ends_with("_for") || name.ends_with("_until");
        name.clear();
        return is_told;
    };
    for (const char c : type) {
        if (c == '>' || c == ')') --depth;
        if (c == ':' && depth == 0 && tells()) return true;
        if (depth == 0 && c != ':' && c != '>' && c != ')' && c != '<' && c != '(') name += c;
        if (c == '<' || c == '(') ++depth;
    }
    return tells();
}

/// "either<...>", "race<...>::awaiter": the next member of the circle may be one of two things it waits for.
bool may_take_another(std::string_view type) {
    constexpr std::array<std::string_view, 8> words = {"either",  "race",     "select", "when_any",
                                                       "whenany", "wait_any", "any_of", "first_of"};
    return contains_any(type.substr(0, type.find('<')), words);
}

/// By the awaiter's type, or the function: Boost.Asio's `a && b` is one.
bool waits_for_all(std::string_view type, std::string_view function) {
    constexpr std::array<std::string_view, 10> words = {"when_all", "whenall", "wait_all", "wait_for_all",
                                                        "all_of",   "allof",   "gather",   "join",
                                                        "scope",    "nursery"};
    return contains_any(type, words) || function.find("operator&&") != function.npos;
}

}  // namespace

void add_doubts(const Dump& dump, std::span<const std::uint32_t> circle, Finding& finding) {
    const auto timed = std::ranges::find_if(
        circle, [&](std::uint32_t waiter) { return has_time_limit(awaiter_of(dump, waiter)); });
    if (timed != circle.end()) {
        finding.is_error = false;
        finding.evidence.push_back(
            fmt::format("{} seems to wait with a time limit: it may give up", function_words(dump, *timed)));
    }
    const auto choosing = std::ranges::find_if(
        circle, [&](std::uint32_t waiter) { return may_take_another(awaiter_of(dump, waiter)); });
    if (choosing != circle.end()) {
        finding.is_error = false;
        finding.evidence.push_back(fmt::format("{} seems to wait for one of several things: another may come",
                                               function_words(dump, *choosing)));
    }
    for (std::size_t i = 0; i < circle.size(); ++i) {
        const auto awaited = dump.awaits.of(circle[i]);
        const std::uint32_t next = circle[(i + 1) % circle.size()];
        if (awaited.size() < 2 || std::ranges::find(awaited, next) == awaited.end() ||
            waits_for_all(awaiter_of(dump, circle[i]), function_words(dump, circle[i])))
            continue;
        finding.is_error = false;
        finding.evidence.push_back(
            fmt::format("{} awaits others as well: if one of several is enough for it, it may go on",
                        place_words(dump, circle[i])));
        break;
    }
}

}  // namespace asyncdump

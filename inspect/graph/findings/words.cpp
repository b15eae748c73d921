#include "graph/findings/words.h"

#include <algorithm>

namespace asyncdump {
namespace {

constexpr std::size_t longest_name = 80;

/// Names are cut at a character's beginning: UTF-8 continuation bytes are 10xxxxxx.
std::string shortened(std::string_view name) {
    if (name.size() <= longest_name) return std::string(name);
    std::size_t end = longest_name;
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
    return std::string(name.substr(0, end)) + "...";
}

/// "(anonymous namespace)::Server::session<int>" for "(anonymous
/// namespace)::Server::session<int>(tcp::socket&) const".
std::string_view without_parameters(std::string_view name) {
    const auto end = name.rfind(')');
    if (end == name.npos || name.find("lambda") != name.npos || name.ends_with("::")) return name;
    int depth = 0;
    for (std::size_t i = end + 1; i-- > 0;) {
        if (name[i] == ')') ++depth;
        if (name[i] == '(' && --depth == 0) return i == 0 ? name : name.substr(0, i);
    }
    return name;
}

}  // namespace

std::string_view file_name(std::string_view path) {
    const auto slash = path.rfind('/');
    return slash == path.npos ? path : path.substr(slash + 1);
}

std::string function_words(const Dump& dump, std::uint32_t coroutine) {
    const std::uint32_t function = dump.observed.coroutines[coroutine].function;
    if (function == no_index || dump.observed.functions[function].name.empty()) return "a coroutine";
    std::string_view name = without_parameters(dump.observed.functions[function].name);
    constexpr std::string_view anonymous = "(anonymous namespace)::";
    if (name.starts_with(anonymous)) name.remove_prefix(anonymous.size());
    return shortened(name);
}

std::string place_words(const Dump& dump, std::uint32_t coroutine) {
    std::string words = function_words(dump, coroutine);
    std::string details;
    const std::uint32_t location = dump.observed.coroutines[coroutine].suspended_at;
    if (location != no_index) {
        const SourceLocation& place = dump.observed.locations[location];
        details = (place.exact ? "" : "near ") + std::string(file_name(place.file)) + ":" +
                  std::to_string(place.line);
    }
    const std::uint32_t task = dump.task_of[coroutine];
    if (task != no_index) details += (details.empty() ? "task " : ", task ") + std::to_string(task + 1);
    return details.empty() ? words : words + " (" + details + ")";
}

std::string thread_words(const Thread& thread) {
    std::string words = "thread " + std::to_string(thread.tid);
    if (!thread.name.empty()) words += " (" + thread.name + ")";
    return words;
}

const Thread* find_thread(const Dump& dump, std::int32_t tid) {
    const auto found = std::ranges::find(dump.threads, tid, &Thread::tid);
    return found == dump.threads.end() ? nullptr : &*found;
}

}  // namespace asyncdump

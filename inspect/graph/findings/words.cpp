#include "graph/findings/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/function_name.h"

namespace asyncdump {

std::string_view file_name(std::string_view path) {
    const auto slash = path.rfind('/');
    return slash == path.npos ? path : path.substr(slash + 1);
}

std::string function_words(const Dump& dump, std::uint32_t coroutine) {
    const std::uint32_t function = dump.observed.coroutines[coroutine].function;
    if (function == no_index || dump.observed.functions[function].name.empty()) return "a coroutine";
    return short_function_name(dump.observed.functions[function].name);
}

namespace {

std::string place_words(const Dump& dump, std::uint32_t coroutine, bool with_frame) {
    std::string words = function_words(dump, coroutine);
    std::string details;
    const std::uint32_t location = dump.observed.coroutines[coroutine].suspended_at;
    if (location != no_index) {
        const SourceLocation& place = dump.observed.locations[location];
        details = (place.exact ? "" : "near ") + std::string(file_name(place.file)) + ":" +
                  std::to_string(place.line);
    }
    const std::uint32_t task = dump.task_of[coroutine];
    const auto add = [&](const std::string& detail) { details += (details.empty() ? "" : ", ") + detail; };
    if (task != no_index) add("task " + std::to_string(task + 1));
    if (with_frame) add(fmt::format("frame {:#x}", dump.observed.coroutines[coroutine].address.value()));
    return details.empty() ? words : words + " (" + details + ")";
}

}  // namespace

std::string place_words(const Dump& dump, std::uint32_t coroutine) {
    return place_words(dump, coroutine, false);
}

std::vector<std::string> distinct_place_words(const Dump& dump, std::span<const std::uint32_t> coroutines) {
    std::map<std::string, std::set<std::uint32_t>> alike;
    for (const std::uint32_t coroutine : coroutines) alike[place_words(dump, coroutine)].insert(coroutine);
    std::vector<std::string> words;
    for (const std::uint32_t coroutine : coroutines) {
        const bool is_alone = alike.at(place_words(dump, coroutine)).size() == 1;
        words.push_back(place_words(dump, coroutine, !is_alone));
    }
    return words;
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

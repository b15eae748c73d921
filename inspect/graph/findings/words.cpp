#include "graph/findings/words.h"

#include <algorithm>

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

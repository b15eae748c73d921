#include "graph/findings/executors.h"

#include <algorithm>
#include <array>

#include "base/lower_case.h"

namespace asyncdump {

bool is_event_loop(std::string_view function) {
    static constexpr std::array known = {"asio::io_context::run",
                                         "asio::detail::scheduler::",
                                         "asio::thread_pool::",
                                         "QEventLoop::",
                                         "QCoreApplication::exec",
                                         "QThread::exec",
                                         "uv_run",
                                         "event_base_loop",
                                         "ev_run",
                                         "g_main_loop_run",
                                         "g_main_context_iteration",
                                         "folly::EventBase::loop"};
    if (std::ranges::any_of(known, [&](const char* name) { return function.find(name) != function.npos; }))
        return true;
    // somebody's own: "RunLoop::run()", "my::Executor::run_one(...)"
    std::string_view name = function.substr(0, function.find('('));
    const auto scope_end = name.rfind("::");
    if (scope_end == name.npos) return false;
    const std::string_view method = name.substr(scope_end + 2);
    static constexpr std::array methods = {"run", "exec", "loop", "poll", "work", "drain", "process"};
    if (std::ranges::none_of(methods, [&](const char* word) { return method.starts_with(word); }))
        return false;
    std::string_view scope_name = name.substr(0, scope_end);
    const std::string scope = lower_case(scope_name.substr(0, scope_name.find('<')));
    static constexpr std::array scopes = {"loop",       "executor",   "scheduler",   "reactor",   "context",
                                          "io_service", "threadpool", "thread_pool", "dispatcher"};
    return std::ranges::any_of(scopes, [&](const char* word) { return scope.find(word) != scope.npos; });
}

bool runs_same_loop(const Thread& worker, const Thread& other) {
    const auto is_own = [](const std::string& function) {
        for (const char* prefix : {"std::", "__", "_start", "start_thread", "main", "void std::"})
            if (function.starts_with(prefix)) return false;
        return !function.empty();
    };
    std::size_t below = 0;
    for (std::size_t i = 0; i < worker.frames.size(); ++i) {
        if (worker.frames[i].coroutine != no_index) below = i + 1;
    }
    return std::any_of(worker.frames.begin() + static_cast<std::ptrdiff_t>(below), worker.frames.end(),
                       [&](const ThreadFrame& frame) {
                           return is_own(frame.function) &&
                                  std::ranges::find(other.frames, frame.function, &ThreadFrame::function) !=
                                      other.frames.end();
                       });
}

std::size_t innermost_coroutine(const Thread& thread) {
    const auto found = std::ranges::find_if(
        thread.frames, [](const ThreadFrame& frame) { return frame.coroutine != no_index; });
    return static_cast<std::size_t>(found - thread.frames.begin());
}

bool is_executor(const Thread& thread) {
    if (thread.system_call.starts_with("epoll_")) return true;
    return std::ranges::any_of(thread.frames, [](const ThreadFrame& frame) {
        return frame.coroutine != no_index || is_event_loop(frame.function);
    });
}

bool is_asleep(const Thread& thread) {
    return thread.state == "sleeping" || thread.state == "disk";
}

bool may_go_on(const Thread& thread) {
    if (!is_asleep(thread)) return thread.state == "running";
    if (!thread.waiting_for) return true;
    const ThreadWait& wait = *thread.waiting_for;
    if (wait.has_time_limit || wait.from_outside || wait.kind == "sleep") return true;
    if (wait.kind != "io") return false;
    constexpr std::string_view descriptor = " fd ";
    const auto input = wait.summary.find(" fd 0");
    return input == std::string::npos || wait.summary.find(descriptor) != input ||
           wait.summary.find(descriptor, input + 1) != std::string::npos;
}

}  // namespace asyncdump

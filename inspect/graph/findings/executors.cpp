#include "graph/findings/executors.h"

#include <algorithm>
#include <array>
#include <cctype>

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
    std::string scope(name.substr(0, scope_end));
    scope = scope.substr(0, scope.find('<'));
    std::ranges::transform(scope, scope.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    static constexpr std::array scopes = {"loop",       "executor",   "scheduler",   "reactor",   "context",
                                          "io_service", "threadpool", "thread_pool", "dispatcher"};
    return std::ranges::any_of(scopes, [&](const char* word) { return scope.find(word) != scope.npos; });
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

}  // namespace asyncdump

#include "runtimes/cpp20/wait_kinds.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/lower_case.h"

namespace asyncdump::cpp20 {

WaitKind wait_kind_of_object(std::string_view type) {
    std::string_view name = type.substr(0, type.find('<'));
    if (const auto scope = name.rfind("::"); scope != std::string_view::npos) name = name.substr(scope + 2);
    if (const WaitKind kind = wait_kind_by_name(name); kind != WaitKind::unknown) return kind;
    const std::string own = lower_case(name);
    for (const std::string_view word :
         {"event", "condition", "latch", "barrier", "signal", "notif", "wait_group", "waitgroup"}) {
        if (own.find(word) != std::string::npos) return WaitKind::other;
    }
    for (const std::string_view word : {"mailbox", "ring_buffer", "ringbuffer", "pipe"}) {
        if (own.find(word) != std::string::npos) return WaitKind::channel;
    }
    return WaitKind::unknown;
}

WaitKind wait_kind_by_name(std::string_view type) {
    // Template arguments speak of something else: what a task returns, what a queue holds.
    const std::string name = lower_case(type.substr(0, type.find('<')));
    static constexpr std::array<std::pair<std::string_view, WaitKind>, 14> words = {{
        {"mutex", WaitKind::lock},
        {"semaphore", WaitKind::lock},
        {"channel", WaitKind::channel},
        {"queue", WaitKind::channel},
        {"timer", WaitKind::timer},
        {"sleep", WaitKind::timer},
        {"delay", WaitKind::timer},
        {"socket", WaitKind::io},
        {"acceptor", WaitKind::io},
        {"resolver", WaitKind::io},
        {"descriptor", WaitKind::io},
        {"serial_port", WaitKind::io},
        {"stream_file", WaitKind::io},
        {"lock", WaitKind::lock},
    }};
    for (const auto& [word, kind] : words) {
        if (name.find(word) != std::string::npos) return kind;
    }
    return WaitKind::unknown;
}

}  // namespace asyncdump::cpp20

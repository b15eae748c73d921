#include "runtimes/cpp20/wait_kinds.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <utility>

namespace asyncdump::cpp20 {

WaitKind wait_kind_by_name(std::string_view type) {
    // Template arguments speak of something else: what a task returns, what a queue holds.
    std::string name(type.substr(0, type.find('<')));
    std::ranges::transform(name, name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
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

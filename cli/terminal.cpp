#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string_view>

namespace asyncdump {
namespace {

constexpr auto patience = std::chrono::seconds(1);
constexpr std::string_view erase_line = "\r\x1b[K";

std::string_view variable(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

void write_to_stderr(std::string_view text) {
    // Nothing can be done about a terminal that does not take it.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

bool is_terminal(int descriptor) {
    return ::isatty(descriptor) == 1;
}

std::size_t terminal_width(int descriptor) {
    winsize size{};
    if (!is_terminal(descriptor) || ::ioctl(descriptor, TIOCGWINSZ, &size) != 0) return 0;
    return size.ws_col;
}

bool wants_no_colour() {
    return !variable("NO_COLOR").empty() || variable("TERM") == "dumb";
}

bool has_unicode_locale() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const std::string_view value = variable(name);
        if (value.empty()) continue;
        return value.find("UTF-8") != std::string_view::npos || value.find("utf8") != std::string_view::npos;
    }
    return false;
}

Progress::Progress(std::string text) {
    if (!is_terminal(STDERR_FILENO)) return;
    shower_ = std::jthread([text = std::move(text)](const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any wake;
        std::unique_lock lock(mutex);
        if (wake.wait_for(lock, stop, patience, [] { return false; }) || stop.stop_requested()) return;
        write_to_stderr(fmt::format("{}{}", erase_line, text));
        wake.wait(lock, stop, [] { return false; });
        write_to_stderr(erase_line);
    });
}

}  // namespace asyncdump

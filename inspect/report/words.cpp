#include "report/words.h"

#include <fmt/format.h>

namespace asyncdump {

std::string_view word_for(CoroutineState state) {
    switch (state) {
        case CoroutineState::suspended:
            return "suspended";
        case CoroutineState::running:
            return "running";
        case CoroutineState::created:
            return "created";
        case CoroutineState::done:
            return "done";
        case CoroutineState::unknown:
            break;
    }
    return "unknown";
}

std::string_view word_for(WaitKind kind) {
    switch (kind) {
        case WaitKind::coroutine:
            return "coroutine";
        case WaitKind::timer:
            return "timer";
        case WaitKind::io:
            return "io";
        case WaitKind::lock:
            return "lock";
        case WaitKind::channel:
            return "channel";
        case WaitKind::other:
            return "other";
        case WaitKind::unknown:
            break;
    }
    return "unknown";
}

std::string utc_time(std::chrono::system_clock::time_point time, bool iso_8601) {
    using namespace std::chrono;
    const auto day = floor<days>(time);
    const year_month_day date(day);
    const hh_mm_ss clock(floor<milliseconds>(time - day));
    const auto text = fmt::format("{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}", int{date.year()},
                                  unsigned{date.month()}, unsigned{date.day()}, iso_8601 ? 'T' : ' ',
                                  clock.hours().count(), clock.minutes().count(), clock.seconds().count());
    return iso_8601 ? fmt::format("{}.{:03}Z", text, clock.subseconds().count()) : text + " UTC";
}

std::string grouped_digits(std::uint64_t number) {
    std::string digits = std::to_string(number);
    for (std::size_t place = digits.size(); place > 3; place -= 3) digits.insert(place - 3, 1, ',');
    return digits;
}

std::string counted(std::uint64_t number, std::string_view singular) {
    return fmt::format("{} {}{}", grouped_digits(number), singular, number == 1 ? "" : "s");
}

std::string rough_age(std::uint64_t milliseconds) {
    const std::uint64_t seconds = milliseconds / 1000;
    if (seconds < 1) return fmt::format("{} ms", milliseconds);
    if (seconds < 120) return fmt::format("{} s", seconds);
    if (seconds < 2 * 3600) return fmt::format("{} min", seconds / 60);
    if (seconds < 2 * 86400) return fmt::format("{} h", seconds / 3600);
    return fmt::format("{} days", seconds / 86400);
}

std::string short_duration(std::chrono::microseconds duration) {
    const auto count = duration.count();
    if (count < 1000) return fmt::format("{} us", count);
    if (count < 10'000) return fmt::format("{:.1f} ms", static_cast<double>(count) / 1e3);
    if (count < 1'000'000) return fmt::format("{} ms", count / 1000);
    return fmt::format("{:.1f} s", static_cast<double>(count) / 1e6);
}

}  // namespace asyncdump

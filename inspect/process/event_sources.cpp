#include "process/event_sources.h"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstdint>

#include "process/process_info.h"
#include "process/procfs.h"

namespace asyncdump {
namespace {

struct Message {
    int number;
    std::string_view name;
};
constexpr std::array messages = {Message{SIGHUP, "SIGHUP"},       Message{SIGALRM, "SIGALRM"},
                                 Message{SIGVTALRM, "SIGVTALRM"}, Message{SIGPROF, "SIGPROF"},
                                 Message{SIGIO, "SIGIO"},         Message{SIGUSR1, "SIGUSR1"},
                                 Message{SIGUSR2, "SIGUSR2"}};
/// The C library keeps the first two real-time signals for itself (cancellation, setxid).
constexpr int first_real_time = 34, last_real_time = 64;

}  // namespace

std::string event_sources(std::string_view timers, std::string_view status) {
    if (timers.starts_with("ID:")) return "a timer of timer_create(2)";
    const auto caught = procfs::parse_number(procfs::status_field(status, "SigCgt"), 16);
    if (!caught) return "";
    const auto handles = [&](int number) { return (*caught >> (number - 1) & 1) != 0; };
    for (const auto& [number, name] : messages) {
        if (handles(number)) return fmt::format("a handler for signal {}", name);
    }
    for (int number = first_real_time; number <= last_real_time; ++number) {
        if (handles(number)) return fmt::format("a handler for real-time signal {}", number);
    }
    return "";
}

std::string read_event_sources(pid_t pid) {
    const pid_t tid = living_thread(pid);
    const auto timers = procfs::read_file(procfs::path(tid, "timers"));
    const auto status = procfs::read_file(procfs::path(tid, "status"));
    return event_sources(timers ? *timers : "", status ? *status : "");
}

}  // namespace asyncdump

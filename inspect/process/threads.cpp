#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "process/process_info.h"
#include "process/procfs.h"

namespace asyncdump {
namespace {

ThreadState thread_state(char letter) {
    switch (letter) {
        case 'R':
            return ThreadState::running;
        case 'S':
        case 'I':
            return ThreadState::sleeping;
        case 'D':
            return ThreadState::disk;
        case 'T':
        case 't':
            return ThreadState::stopped;
        case 'Z':
        case 'X':
            return ThreadState::zombie;
        default:
            return ThreadState::unknown;
    }
}

/// "running", "-1 SP PC" outside a system call, or "NUMBER ARGUMENT... SP PC" (proc(5)).
void read_system_call(std::string_view text, ThreadInfo& thread) {
    const auto number = procfs::parse_number(procfs::take_field(text));
    if (!number) return;
    thread.system_call = static_cast<std::int64_t>(*number);
    for (std::uint64_t& argument : thread.system_call_arguments) {
        auto word = procfs::take_field(text);
        if (word.starts_with("0x")) word.remove_prefix(2);
        argument = procfs::parse_number(word, 16).value_or(0);
    }
}

/// "28.530017" milliseconds of sched(5)'s se.sum_exec_runtime.
std::uint64_t parse_milliseconds(std::string_view text) {
    const auto point = text.find('.');
    if (point == text.npos) return 0;
    auto fraction = std::string(text.substr(point + 1));
    fraction.resize(6, '0');
    return procfs::parse_number(text.substr(0, point)).value_or(0) * 1'000'000 +
           procfs::parse_number(fraction).value_or(0);
}

/// The kernel's scheduler statistics are a build option; each of the three sources is coarser than the one
/// before.
std::uint64_t run_time(int tasks, pid_t tid, const procfs::Stat& stat) {
    if (const auto text = procfs::read_file(tasks, fmt::format("{}/schedstat", tid), 4096)) {
        std::string_view fields = *text;
        if (const auto time = procfs::parse_number(procfs::take_field(fields))) return *time;
    }
    if (const auto text = procfs::read_file(tasks, fmt::format("{}/sched", tid), 65536)) {
        std::string_view lines = *text;
        while (!lines.empty()) {
            auto line = procfs::take_line(lines);
            if (procfs::take_field(line) != "se.sum_exec_runtime") continue;
            procfs::take_field(line);  // ':'
            return parse_milliseconds(procfs::take_field(line));
        }
    }
    static const auto ticks_per_second = static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
    return (stat.user_ticks + stat.system_ticks) * (1'000'000'000 / ticks_per_second);
}

}  // namespace

Result<std::vector<ThreadInfo>> read_threads(pid_t pid) {
    const auto folder = procfs::path(pid, "task");
    const FileDescriptor tasks(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!tasks) {
        const int error = errno;
        return failure(ErrorCode::process_gone,
                       fmt::format("cannot list the threads of process {}: {}", pid, std::strerror(error)),
                       error);
    }
    std::vector<ThreadInfo> threads;
    for (const pid_t tid : procfs::list_threads(tasks.get())) {
        const auto text = procfs::read_file(tasks.get(), fmt::format("{}/stat", tid), 4096);
        const auto stat = text ? procfs::parse_stat(*text) : std::nullopt;
        if (!stat) continue;  // it ended since it was listed
        ThreadInfo thread;
        thread.tid = tid;
        thread.name = stat->name;
        thread.state = thread_state(stat->state);
        thread.run_time_ns = run_time(tasks.get(), tid, *stat);
        if (const auto call = procfs::read_file(tasks.get(), fmt::format("{}/syscall", tid), 4096))
            read_system_call(*call, thread);
        if (const auto status = procfs::read_file(tasks.get(), fmt::format("{}/status", tid), 65536)) {
            for (const std::string_view counter : {"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"})
                thread.context_switches +=
                    procfs::parse_number(procfs::status_field(*status, counter)).value_or(0);
        }
        threads.push_back(std::move(thread));
    }
    if (threads.empty())
        return failure(ErrorCode::process_gone, fmt::format("process {} has ended", pid), ESRCH);
    return threads;
}

}  // namespace asyncdump

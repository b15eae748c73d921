#include "process/process_info.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/harmless_text.h"
#include "process/access.h"
#include "process/procfs.h"

namespace asyncdump {
namespace {

constexpr std::uint64_t kernel_thread_flag = 0x00200000;  // PF_KTHREAD

tl::unexpected<Error> unsupported(std::string message) {
    return failure(ErrorCode::unsupported_target, std::move(message));
}

tl::unexpected<Error> absent(pid_t pid) {
    // With /proc mounted hidepid=2 the processes of others are not there at all.
    if (::kill(pid, 0) != 0 && errno == EPERM)
        return failure(
            ErrorCode::not_permitted,
            fmt::format("process {} belongs to another user and /proc hides it: run asyncdump with sudo",
                        pid),
            EPERM);
    return failure(ErrorCode::no_such_process,
                   fmt::format("there is no process {}: see the running ones with \"ps -e\"", pid), ESRCH);
}

tl::unexpected<Error> ended(pid_t pid, const procfs::Stat& stat) {
    const auto parent = stat.parent;
    return unsupported(
        fmt::format("process {} ({}) has ended and left nothing to look at: it is a zombie until its parent, "
                    "process {}, calls "
                    "wait()",
                    pid, harmless(stat.name), parent == 0 ? "0" : procfs::describe(parent)));
}

std::string_view machine_name(unsigned machine) {
    switch (machine) {
        case EM_386:
            return "32-bit x86";
        case EM_AARCH64:
            return "64-bit ARM";
        case EM_ARM:
            return "32-bit ARM";
        case EM_RISCV:
            return "RISC-V";
        default:
            return "foreign";
    }
}

/// The executable must be 64-bit x86. One that cannot be read is let pass: its memory will tell.
Result<void> check_executable(pid_t pid, pid_t tid) {
    const FileDescriptor file(::open(procfs::path(tid, "exe").c_str(), O_RDONLY | O_CLOEXEC));
    Elf64_Ehdr header{};
    constexpr std::size_t needed =
        offsetof(Elf64_Ehdr, e_version);  // as far as 32-bit and 64-bit ELF are alike
    if (!file || ::pread(file.get(), &header, needed, 0) != static_cast<ssize_t>(needed)) return {};
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return {};
    const bool is_32_bit = header.e_ident[EI_CLASS] == ELFCLASS32;
    if (header.e_machine == EM_X86_64 && !is_32_bit) return {};
    const std::string_view kind = header.e_machine == EM_X86_64 ? "x32" : machine_name(header.e_machine);
    return unsupported(
        fmt::format("process {} is a {} program: asyncdump understands 64-bit x86 (x86-64) only",
                    procfs::describe(pid), kind));
}

std::vector<std::string> split_command(std::string_view text) {
    std::vector<std::string> words;
    while (!text.empty()) {
        const auto end = text.find('\0');
        words.emplace_back(text.substr(0, end));
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
    }
    return words;
}

/// The executable's path as the target's own root directory names it.
std::string executable_path(pid_t tid) {
    std::string path = procfs::read_link(procfs::path(tid, "exe"));
    constexpr std::string_view deleted_suffix = " (deleted)";
    struct stat running {
    }, named{};
    if (path.ends_with(deleted_suffix)) {
        // The name may really end so: then a file of that name is there and is this very one.
        const bool is_real_name = ::stat(procfs::path(tid, "exe").c_str(), &running) == 0 &&
                                  ::stat(procfs::path(tid, "root" + path).c_str(), &named) == 0 &&
                                  running.st_ino == named.st_ino && running.st_dev == named.st_dev;
        if (!is_real_name) path.resize(path.size() - deleted_suffix.size());
    }
    // After a chroot in our own mount namespace the kernel still names files from our root.
    const std::string root = procfs::read_link(procfs::path(tid, "root"));
    if (root.size() > 1 && path.starts_with(root) && path.size() > root.size() && path[root.size()] == '/')
        path.erase(0, root.size());
    return path;
}

}  // namespace

Result<ProcessInfo> examine_process(pid_t pid) {
    if (pid <= 0)
        return failure(ErrorCode::no_such_process, fmt::format("{} is not a process id", pid), ESRCH);
    if (procfs::read_link("/proc/self") != std::to_string(::getpid()))
        return failure(
            ErrorCode::system,
            "/proc does not show the processes of this pid namespace: mount it with \"mount -t proc proc "
            "/proc\"");
    const auto status = procfs::read_file(procfs::path(pid, "status"));
    const auto stat = procfs::read_stat(pid);
    if (!status || !stat) return absent(pid);
    const auto group = procfs::parse_number(procfs::status_field(*status, "Tgid"));
    if (group == static_cast<std::uint64_t>(::getpid()))
        return unsupported("that is asyncdump itself: name another process");
    if (group && *group != static_cast<std::uint64_t>(pid))
        return failure(ErrorCode::no_such_process,
                       fmt::format("{} is a thread of process {}: run asyncdump {}", pid,
                                   procfs::describe(static_cast<pid_t>(*group)), *group),
                       ESRCH);
    if ((stat->flags & kernel_thread_flag) != 0)
        return unsupported(
            fmt::format("process {} ({}) is a thread of the kernel: there is no program in it to look at",
                        pid, harmless(stat->name)));
    const pid_t tid = living_thread(pid);
    if (stat->has_ended() && tid == pid) return ended(pid, *stat);
    if (const auto tracer = find_tracer(tid)) return tl::unexpected<Error>(already_traced(pid, *tracer));

    // The kernel asks for the same permission here as for ptrace.
    const FileDescriptor memory(::open(procfs::path(tid, "mem").c_str(), O_RDONLY | O_CLOEXEC));
    if (!memory) return tl::unexpected<Error>(explain_refused_access(pid, errno));
    if (auto checked = check_executable(pid, tid); !checked) return tl::unexpected<Error>(checked.error());

    ProcessInfo process;
    process.pid = pid;
    process.executable = executable_path(tid);
    if (const auto command = procfs::read_file(procfs::path(tid, "cmdline")))
        process.command = split_command(*command);
    process.parent = stat->parent;
    process.start_time_ticks = stat->start_time_ticks;
    return process;
}

pid_t living_thread(pid_t pid) {
    const auto main_thread = procfs::read_stat(pid);
    if (!main_thread || !main_thread->has_ended()) return pid;
    const FileDescriptor tasks(::open(procfs::path(pid, "task").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!tasks) return pid;
    for (const pid_t tid : procfs::list_threads(tasks.get())) {
        const auto text = procfs::read_file(tasks.get(), fmt::format("{}/stat", tid), 4096);
        const auto stat = text ? procfs::parse_stat(*text) : std::nullopt;
        if (stat && !stat->has_ended()) return tid;
    }
    return pid;
}

bool is_same_process(const ProcessInfo& process) {
    const auto stat = procfs::read_stat(process.pid);
    return stat && stat->start_time_ticks == process.start_time_ticks &&
           (!stat->has_ended() || living_thread(process.pid) != process.pid);
}

std::uint64_t available_memory() {
    constexpr std::uint64_t unknown = 1ULL << 48;
    const auto text = procfs::read_file("/proc/meminfo");
    if (!text) return unknown;
    std::string_view field = procfs::status_field(*text, "MemAvailable");
    const auto kibibytes = procfs::parse_number(procfs::take_field(field));
    return kibibytes ? *kibibytes << 10 : unknown;
}

}  // namespace asyncdump

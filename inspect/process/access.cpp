#include "process/access.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "process/procfs.h"

namespace asyncdump {
namespace {

constexpr unsigned ptrace_capability = 19;  // CAP_SYS_PTRACE

bool have_ptrace_capability() {
    const auto status = procfs::read_file("/proc/self/status");
    if (!status) return false;
    const auto effective = procfs::parse_number(procfs::status_field(*status, "CapEff"), 16);
    return effective && ((*effective >> ptrace_capability) & 1) != 0;
}

/// "1000\t1000\t1000\t1000": real, effective, saved, file system.
bool first_three_are(std::string_view ids, std::uint64_t own) {
    for (int i = 0; i < 3; ++i)
        if (procfs::parse_number(procfs::take_field(ids)) != own) return false;
    return true;
}

}  // namespace

std::string user_name(uid_t user) {
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 16384> buffer;
    if (::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
        return found->pw_name;
    return fmt::format("uid {}", user);
}

Error explain_refused_access(const AccessFacts& facts, int system_errno) {
    std::string reason;
    if (facts.have_ptrace_capability) {
        if (facts.yama_scope == 3)
            reason =
                "kernel.yama.ptrace_scope is 3: nobody may look into another process until this machine "
                "boots with "
                "another value";
        else
            reason = fmt::format(
                "the kernel says \"{}\" although asyncdump has CAP_SYS_PTRACE: a security module (AppArmor, "
                "SELinux), "
                "a system call filter, another user namespace or a tracer in another container is in the "
                "way: run "
                "asyncdump on the host, outside of containers",
                std::strerror(system_errno));
    } else if (!facts.all_target_ids_are_ours && facts.own_user != 0 && facts.target_user != facts.own_user) {
        reason =
            fmt::format("it belongs to {} and asyncdump runs as {}: run asyncdump with sudo, or as that user",
                        facts.target_user_name, facts.own_user_name);
    } else if (facts.own_user == 0) {
        reason =
            "asyncdump runs as root but without CAP_SYS_PTRACE: give its container that capability (docker "
            "run "
            "--cap-add=SYS_PTRACE), or run it on the host";
    } else if (!facts.all_target_ids_are_ours || !facts.target_is_dumpable) {
        reason =
            "it has changed its user or group, has file capabilities, or forbids it (PR_SET_DUMPABLE): run "
            "asyncdump "
            "with sudo";
    } else if (facts.yama_scope == 1) {
        reason =
            "kernel.yama.ptrace_scope is 1, which permits it only to a process's own parents: run asyncdump "
            "with sudo, "
            "or permit it until the next boot with \"sudo sysctl kernel.yama.ptrace_scope=0\"";
    } else if (facts.yama_scope == 2) {
        reason =
            "kernel.yama.ptrace_scope is 2, which permits it only with CAP_SYS_PTRACE: run asyncdump with "
            "sudo";
    } else if (facts.yama_scope == 3) {
        reason =
            "kernel.yama.ptrace_scope is 3: nobody may look into another process until this machine boots "
            "with another "
            "value";
    } else {
        reason = fmt::format(
            "the kernel says \"{}\": a security module (AppArmor, SELinux), a system call filter or another "
            "user "
            "namespace is in the way: run asyncdump with sudo",
            std::strerror(system_errno));
    }
    return {ErrorCode::not_permitted,
            fmt::format("not permitted to look into process {}: {}", facts.process, reason), system_errno};
}

Error explain_refused_access(pid_t pid, int system_errno) {
    const auto status = procfs::read_file(procfs::path(pid, "status"));
    if (system_errno == ESRCH || !status)
        return {ErrorCode::process_gone, fmt::format("process {} has ended", pid), system_errno};
    if (system_errno != EACCES && system_errno != EPERM)
        return {ErrorCode::system,
                fmt::format("cannot look into process {}: {}", procfs::describe(pid),
                            std::strerror(system_errno)),
                system_errno};

    AccessFacts facts;
    facts.process = procfs::describe(pid);
    facts.own_user = ::geteuid();
    facts.own_user_name = user_name(facts.own_user);
    facts.have_ptrace_capability = have_ptrace_capability();
    const auto users = procfs::status_field(*status, "Uid");
    const auto groups = procfs::status_field(*status, "Gid");
    auto users_left = users;
    facts.target_user = static_cast<uid_t>(procfs::parse_number(procfs::take_field(users_left)).value_or(0));
    facts.target_user_name = user_name(facts.target_user);
    facts.all_target_ids_are_ours =
        first_three_are(users, ::geteuid()) && first_three_are(groups, ::getegid());
    // The kernel gives the files of a process that is not dumpable to root.
    struct stat owner {};
    facts.target_is_dumpable = ::stat(procfs::path(pid, "status").c_str(), &owner) != 0 ||
                               owner.st_uid != 0 || facts.target_user == 0;
    if (const auto scope = procfs::read_file("/proc/sys/kernel/yama/ptrace_scope")) {
        std::string_view text = *scope;
        if (const auto number = procfs::parse_number(procfs::take_field(text)))
            facts.yama_scope = static_cast<int>(*number);
    }
    return explain_refused_access(facts, system_errno);
}

std::optional<pid_t> find_tracer(pid_t tid) {
    const auto status = procfs::read_file(procfs::path(tid, "status"));
    if (!status) return std::nullopt;
    const auto tracer = procfs::parse_number(procfs::status_field(*status, "TracerPid"));
    if (!tracer || *tracer == 0) return std::nullopt;
    return static_cast<pid_t>(*tracer);
}

Error already_traced(pid_t pid, pid_t tracer) {
    // The kernel names the tracing thread; a person looks for its process.
    if (const auto status = procfs::read_file(procfs::path(tracer, "status"))) {
        if (const auto process = procfs::parse_number(procfs::status_field(*status, "Tgid")))
            tracer = static_cast<pid_t>(*process);
    }
    return {
        ErrorCode::already_traced,
        fmt::format(
            "process {} is being traced by process {}, and a process has only one tracer: end that one or "
            "let it detach, then try again",
            procfs::describe(pid), procfs::describe(tracer)),
        0};
}

}  // namespace asyncdump

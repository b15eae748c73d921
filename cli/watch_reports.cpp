#include "cli/watch_reports.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <regex>
#include <vector>

#include "base/file_descriptor.h"
#include "base/harmless_text.h"
#include "report/report.h"

namespace asyncdump {
namespace {

namespace fs = std::filesystem;

template <class Write>
Result<void> write_file(const std::string& path, const Write& write) {
    // A file of that name is not followed and not overwritten: the folder may be one that others write to.
    const FileDescriptor file(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    int error = file ? 0 : errno;
    if (file) {
        write([&](std::string_view text) {
            while (!text.empty() && error == 0) {
                const ssize_t written = ::write(file.get(), text.data(), text.size());
                if (written < 0 && errno != EINTR) error = errno;
                if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
            }
        });
    }
    if (error == 0) return {};
    if (file) ::unlink(path.c_str());  // half a dump helps nobody, and a full disk even less
    return failure(ErrorCode::system, fmt::format("cannot write {}: {}", path, std::strerror(error)), error);
}

/// The names of earlier dumps, without their ending, oldest first.
std::vector<std::string> dumps_in(const std::string& folder) {
    static const std::regex pattern(R"(asyncdump-[0-9]+-[0-9]{8}T[0-9]{9}Z\.(txt|json))");
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        if (std::regex_match(name, pattern)) names.push_back(name.substr(0, name.rfind('.')));
    }
    const auto time_of = [](const std::string& name) { return name.substr(name.rfind('-')) + name; };
    std::ranges::sort(names, {}, time_of);
    const auto [first, last] = std::ranges::unique(names);
    names.erase(first, last);
    return names;
}

tl::unexpected<Error> unusable(const std::string& folder, const std::string& why) {
    return failure(ErrorCode::usage,
                   fmt::format("--dump-to {}: {}; name a folder that can be written", folder, why), errno);
}

/// False when it still runs at `end`. Where the kernel has no pidfd_open(2) (before Linux 5.3) only its end
/// ends the wait.
bool wait_for_end(pid_t child, std::chrono::steady_clock::time_point end) {
    const FileDescriptor process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    if (!process) return true;
    pollfd ended{process.get(), POLLIN, 0};
    constexpr std::chrono::hours longest_poll(24);
    while (true) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(std::min<std::chrono::steady_clock::duration>(
                end - std::chrono::steady_clock::now(), longest_poll));
        const int ready = ::poll(&ended, 1, std::max(0, static_cast<int>(left.count())));
        if (ready > 0) return true;
        if (std::chrono::steady_clock::now() >= end) return false;
    }
}

}  // namespace

Result<void> DumpFolder::prepare() const {
    if (::mkdir(path.c_str(), 0777) != 0) {
        struct stat status {};
        if (errno != EEXIST) return unusable(path, std::strerror(errno));
        if (::stat(path.c_str(), &status) != 0) return unusable(path, std::strerror(errno));
        if (!S_ISDIR(status.st_mode)) return unusable(path, "that is no folder");
    }
    // Permissions alone do not tell: of root, of a file system that is read-only or makes no files.
    std::string probe = path + "/.asyncdump-XXXXXX";
    const FileDescriptor file(::mkstemp(probe.data()));
    if (!file) return unusable(path, std::strerror(errno));
    ::unlink(probe.c_str());
    return {};
}

Result<std::string> DumpFolder::write(const Dump& dump) const {
    std::error_code error;
    fs::create_directory(path, error);
    const auto time = std::chrono::time_point_cast<std::chrono::milliseconds>(dump.capture.at);
    const auto seconds = std::chrono::time_point_cast<std::chrono::seconds>(time);
    const std::string name = fmt::format("asyncdump-{}-{:%Y%m%dT%H%M%S}{:03}Z", dump.target.pid,
                                         fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                                         ((time.time_since_epoch().count() % 1000) + 1000) % 1000);
    const std::string base = path + "/" + name;
    const auto text =
        write_file(base + ".txt", [&](const Output& output) { write_text(dump, {}, {}, output); });
    if (!text) return tl::unexpected(text.error());
    const auto json = write_file(base + ".json", [&](const Output& output) { write_json(dump, {}, output); });
    if (!json) return tl::unexpected(json.error());
    const auto names = dumps_in(path);
    for (std::size_t i = 0; i + keep < names.size(); ++i) {
        for (const char* ending : {".txt", ".json"}) fs::remove(path + "/" + names[i] + ending, error);
    }
    return base + ".txt";
}

Result<EndedCommand> run_shell_command(const std::string& command, const Dump& dump,
                                       const std::string& dump_path,
                                       std::chrono::steady_clock::time_point end) {
    std::string findings;
    for (const Finding& finding : dump.findings) {
        if (finding.is_error) findings += fmt::format("{}: {}\n", finding.kind, harmless(finding.summary));
    }
    std::vector<std::string> variables = {fmt::format("ASYNCDUMP_PID={}", dump.target.pid),
                                          "ASYNCDUMP_FINDINGS=" + findings};
    if (!dump_path.empty()) variables.push_back("ASYNCDUMP_DUMP=" + dump_path);
    std::vector<char*> environment;
    for (char** variable = environ; *variable != nullptr; ++variable) {
        if (!std::string_view(*variable).starts_with("ASYNCDUMP_")) environment.push_back(*variable);
    }
    for (std::string& variable : variables) environment.push_back(variable.data());
    environment.push_back(nullptr);
    std::string shell = "/bin/sh", option = "-c", text = command;
    std::array<char*, 4> arguments = {shell.data(), option.data(), text.data(), nullptr};
    pid_t child = 0;
    // The command gets SIGPIPE as every command does.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    const int error =
        ::posix_spawn(&child, shell.c_str(), nullptr, &attributes, arguments.data(), environment.data());
    posix_spawnattr_destroy(&attributes);
    if (error != 0)
        return failure(ErrorCode::system, fmt::format("cannot run /bin/sh: {}", std::strerror(error)), error);
    if (!wait_for_end(child, end)) return EndedCommand{0, child};
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return EndedCommand{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), 0};
}

}  // namespace asyncdump

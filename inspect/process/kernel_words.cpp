#include "process/kernel_words.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>

#include "base/file_descriptor.h"
#include "process/process_info.h"
#include "process/procfs.h"

namespace asyncdump {
namespace {

constexpr std::size_t largest_fdinfo = 16 << 20;  ///< some 80 bytes a registered descriptor

struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
};

/// look(descriptor, what its link in /proc says). False when the descriptors cannot be read.
template <class Look>
bool for_each_descriptor(pid_t tid, const Look& look) {
    const std::unique_ptr<DIR, CloseFolder> folder(::opendir(procfs::path(tid, "fd").c_str()));
    if (!folder) return false;
    while (const dirent* entry = ::readdir(folder.get())) {
        const auto number = procfs::parse_number(entry->d_name);
        if (!number) continue;
        look(static_cast<int>(*number), procfs::read_link(procfs::path(tid, fmt::format("fd/{}", *number))));
    }
    return true;
}

}  // namespace

void parse_epoll_words(std::string_view fdinfo, std::vector<std::uint64_t>& words) {
    while (!fdinfo.empty()) {
        auto line = procfs::take_line(fdinfo);
        if (!line.starts_with("tfd:")) continue;
        while (!line.empty()) {
            if (procfs::take_field(line) != "data:") continue;
            if (const auto word = procfs::parse_number(procfs::take_field(line), 16)) words.push_back(*word);
            break;
        }
    }
}

void parse_timer_words(std::string_view timers, std::vector<std::uint64_t>& words) {
    while (!timers.empty()) {
        auto line = procfs::take_line(timers);
        if (procfs::take_field(line) != "signal:") continue;
        const auto slash = line.find('/');
        if (slash == line.npos) continue;
        auto value = line.substr(slash + 1);
        if (value.starts_with("0x")) value.remove_prefix(2);
        if (const auto word = procfs::parse_number(procfs::take_field(value), 16)) words.push_back(*word);
    }
}

KernelWords read_kernel_words(pid_t pid) {
    KernelWords result;
    const pid_t tid = living_thread(pid);
    const auto look = [&](int descriptor, const std::string& target) {
        if (target == "anon_inode:[eventpoll]") {
            const auto text =
                procfs::read_file(procfs::path(tid, fmt::format("fdinfo/{}", descriptor)), largest_fdinfo);
            if (text) {
                parse_epoll_words(*text, result.words);
            } else {
                result.unreadable =
                    "what the target gave to epoll cannot be read: the kernel may hold a pointer to it";
            }
        } else if (target == "anon_inode:[io_uring]") {
            result.unreadable =
                "the target uses io_uring, which may hold a pointer to it that cannot be read";
        }
    };
    if (!for_each_descriptor(tid, look)) {
        result.unreadable = "the target's descriptors cannot be read: the kernel may hold a pointer to it";
        return result;
    }
    if (const auto timers = procfs::read_file(procfs::path(tid, "timers")))
        parse_timer_words(*timers, result.words);
    const auto maps = procfs::read_file(procfs::path(tid, "maps"));
    if (maps && maps->find("/[aio]") != maps->npos)
        result.unreadable = "the target uses asynchronous I/O of the kernel, which may hold a pointer to it";
    return result;
}

bool has_unread_bytes(pid_t pid) {
    std::set<std::string> known;
    std::vector<int> descriptors;
    for_each_descriptor(living_thread(pid), [&](int descriptor, const std::string& target) {
        const bool is_own_pipe = target.starts_with("pipe:") && !known.insert(target).second;
        if (is_own_pipe || target.starts_with("socket:")) descriptors.push_back(descriptor);
    });
    if (descriptors.empty()) return false;
    const FileDescriptor process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    return std::ranges::any_of(descriptors, [&](int descriptor) {
        const FileDescriptor file(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), descriptor, 0)));
        int unread = 0, domain = AF_UNIX;
        socklen_t size = sizeof domain;
        if (!file.is_open() || ::ioctl(file.get(), FIONREAD, &unread) != 0 || unread <= 0) return false;
        // Fails for a pipe. What comes over the network is no pointer.
        ::getsockopt(file.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size);
        return domain == AF_UNIX;
    });
}

}  // namespace asyncdump

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/harmless_text.h"
#include "process/memory_map.h"
#include "process/process_info.h"
#include "process/procfs.h"

namespace asyncdump {
namespace {

tl::unexpected<Error> cannot_open(const std::string& path, int error) {
    return failure(ErrorCode::unreadable_file,
                   fmt::format("cannot open {}: {}", harmless(path), std::strerror(error)), error);
}

/// Opens for reading what an O_PATH descriptor stands for, if it is a regular file: to open a device or a
/// pipe can block or have effects.
Result<FileDescriptor> reopen_regular_file(const FileDescriptor& found, const std::string& path) {
    struct stat status {};
    if (::fstat(found.get(), &status) != 0) return cannot_open(path, errno);
    if (!S_ISREG(status.st_mode))
        return failure(ErrorCode::unreadable_file, fmt::format("{} is not a regular file", harmless(path)));
    FileDescriptor file(
        ::open(fmt::format("/proc/self/fd/{}", found.get()).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!file) return cannot_open(path, errno);
    return file;
}

/// `path` looked up with the target's root directory as root: a symbolic link cannot lead out of it into our
/// files.
FileDescriptor find_below_root(const FileDescriptor& root, const std::string& path) {
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT;
    return FileDescriptor(
        static_cast<int>(::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how)));
}

FileDescriptor find(const std::string& path) {
    return FileDescriptor(::open(path.c_str(), O_PATH | O_CLOEXEC));
}

FileDescriptor find_in_target(pid_t tid, const std::string& path) {
    const FileDescriptor root(::open(procfs::path(tid, "root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) return {};
    FileDescriptor found = find_below_root(root, path);
    // Before Linux 5.6 there is no openat2: an absolute link inside a container then leads to our file, and
    // whoever opens a mapped file notices by its inode.
    if (!found && errno == ENOSYS) found = find(procfs::path(tid, "root") + path);
    return found;
}

bool has_inode(const FileDescriptor& file, std::uint64_t inode) {
    struct stat status {};
    // The device is not compared: for a file on overlayfs or btrfs the map and stat(2) name different ones.
    return file && ::fstat(file.get(), &status) == 0 && status.st_ino == inode;
}

/// The executable is reachable under a name of its own. On overlayfs its inode can differ from the map's, its
/// name not.
bool is_executable(pid_t tid, const Mapping& mapping, const FileDescriptor& executable) {
    if (has_inode(executable, mapping.inode)) return true;
    const std::string name = procfs::read_link(procfs::path(tid, "exe"));
    return !name.empty() && name == mapping.path + (mapping.deleted ? " (deleted)" : "");
}

}  // namespace

Result<FileDescriptor> open_in_target(pid_t pid, const std::string& path) {
    const FileDescriptor found = find_in_target(living_thread(pid), path);
    if (!found) return cannot_open(path, errno);
    return reopen_regular_file(found, path);
}

Result<FileDescriptor> open_mapped_file(pid_t pid, const Mapping& mapping) {
    if (!mapping.is_file())
        return failure(ErrorCode::unreadable_file,
                       fmt::format("no file is mapped at {:#x}", mapping.range.begin.value()));
    const pid_t tid = living_thread(pid);
    // The mapping's own link leads to the very file; to follow it takes CAP_CHECKPOINT_RESTORE or
    // CAP_SYS_ADMIN.
    const FileDescriptor mapped = find(procfs::path(
        tid, fmt::format("map_files/{:x}-{:x}", mapping.range.begin.value(), mapping.range.end.value())));
    if (has_inode(mapped, mapping.inode)) {
        if (auto file = reopen_regular_file(mapped, mapping.path)) return file;
    }
    const FileDescriptor executable = find(procfs::path(tid, "exe"));
    if (executable && is_executable(tid, mapping, executable)) {
        if (auto file = reopen_regular_file(executable, mapping.path)) return file;
    }
    // Last by name: as the target sees it, and as we do (after a chroot the kernel names files from our
    // root).
    const std::string name_if_not_deleted = mapping.path + " (deleted)";
    for (const std::string& path : {mapping.path, name_if_not_deleted}) {
        for (const bool in_target : {true, false}) {
            const FileDescriptor found = in_target ? find_in_target(tid, path) : find(path);
            if (has_inode(found, mapping.inode)) return reopen_regular_file(found, mapping.path);
        }
    }
    return failure(
        ErrorCode::unreadable_file,
        fmt::format("{} was deleted or replaced since process {} loaded it, and reading the loaded one needs "
                    "CAP_CHECKPOINT_RESTORE: run asyncdump with sudo",
                    harmless(mapping.path), pid));
}

}  // namespace asyncdump

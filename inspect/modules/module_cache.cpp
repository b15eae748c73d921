#include "modules/module_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace asyncdump {
namespace {

constexpr std::uint64_t format_version = 1;
constexpr std::uint64_t magic = 0x6863'6163'706d'7564;  // "dumpcach"
constexpr std::uint64_t most_file_bytes = 64 << 20;
constexpr std::uint64_t most_entries = 1 << 16;
constexpr std::time_t seconds_until_touched = 24 * 60 * 60;
constexpr mode_t writable_by_others = S_IWGRP | S_IWOTH;

struct Header {
    std::uint64_t magic, version, tool, fingerprint, entries, table_checksum;
};
struct TableEntry {
    std::uint64_t kind, id, offset, length, checksum;
};

/// Tells builds and installations of asyncdump apart: what another one wrote may mean something else.
std::uint64_t this_tool() {
    static const std::uint64_t tool = [] {
        struct stat status {};
        if (::stat("/proc/self/exe", &status) != 0) return std::uint64_t{0};
        const std::uint64_t words[] = {status.st_ino, status.st_dev,
                                       static_cast<std::uint64_t>(status.st_size),
                                       static_cast<std::uint64_t>(status.st_mtim.tv_sec),
                                       static_cast<std::uint64_t>(status.st_mtim.tv_nsec)};
        return checksum_of(std::as_bytes(std::span(words)));
    }();
    return tool;
}

bool read_at(int file, void* to, std::size_t size, std::uint64_t offset) {
    auto* bytes = static_cast<char*>(to);
    while (size > 0) {
        const ssize_t count = ::pread(file, bytes, size, static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        bytes += count;
        offset += static_cast<std::uint64_t>(count);
        size -= static_cast<std::size_t>(count);
    }
    return true;
}

bool write_all(int file, std::span<const std::byte> content) {
    while (!content.empty()) {
        const ssize_t count = ::write(file, content.data(), content.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        content = content.subspan(static_cast<std::size_t>(count));
    }
    return true;
}

bool is_ours_alone(const struct stat& status) {
    return status.st_uid == ::geteuid() && (status.st_mode & writable_by_others) == 0;
}

struct DirectoryCloser {
    void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

std::uint64_t checksum_of(std::span<const std::byte> bytes) {
    constexpr std::uint64_t factor = 0x9e37'79b9'7f4a'7c15;
    std::uint64_t sum = bytes.size() * factor;
    while (!bytes.empty()) {
        std::uint64_t word = 0;
        const std::size_t size = std::min(bytes.size(), sizeof word);
        std::memcpy(&word, bytes.data(), size);
        bytes = bytes.subspan(size);
        sum = (sum ^ word) * factor;
        sum ^= sum >> 29;
    }
    return sum;
}

std::shared_ptr<const CacheFolder> CacheFolder::open(const std::string& path) {
    if (path.empty() || path.front() != '/') return nullptr;
    if (::mkdir(path.c_str(), 0700) != 0 && errno == ENOENT) {
        ::mkdir(path.substr(0, path.rfind('/')).c_str(), 0700);
        ::mkdir(path.c_str(), 0700);
    }
    FileDescriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat status {};
    if (!folder || ::fstat(folder.get(), &status) != 0 || !is_ours_alone(status)) return nullptr;
    return std::shared_ptr<const CacheFolder>(new CacheFolder(std::move(folder)));
}

FileDescriptor CacheFolder::open_file(const std::string& name) const {
    FileDescriptor file(
        ::openat(folder_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || !is_ours_alone(status))
        return {};
    // What is in use is not the oldest; once a day is often enough to tell.
    if (std::time(nullptr) - status.st_mtim.tv_sec > seconds_until_touched) ::futimens(file.get(), nullptr);
    return file;
}

void CacheFolder::replace_file(const std::string& name, std::span<const std::byte> content) const {
    if (content.size() > most_file_bytes) return;
    remove_oldest(content.size());
    const std::string temporary = fmt::format("{}.{}.new", name, ::getpid());
    ::unlinkat(folder_.get(), temporary.c_str(), 0);  // of a process of that number that died here
    {
        const FileDescriptor file(::openat(folder_.get(), temporary.c_str(),
                                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!file) return;
        if (write_all(file.get(), content) &&
            ::renameat(folder_.get(), temporary.c_str(), folder_.get(), name.c_str()) == 0)
            return;
    }
    ::unlinkat(folder_.get(), temporary.c_str(), 0);
}

/// Until `room` bytes fit below the bound.
void CacheFolder::remove_oldest(std::uint64_t room) const {
    struct File {
        timespec changed;
        std::uint64_t size;
        std::string name;
    };
    const int again = ::openat(folder_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const std::unique_ptr<DIR, DirectoryCloser> directory(again >= 0 ? ::fdopendir(again) : nullptr);
    if (!directory) {
        if (again >= 0) ::close(again);
        return;
    }
    std::vector<File> files;
    std::uint64_t total = room;
    while (const dirent* entry = ::readdir(directory.get())) {
        struct stat status {};
        if (::fstatat(folder_.get(), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(status.st_mode))
            continue;
        const auto size = static_cast<std::uint64_t>(status.st_size);
        files.push_back({status.st_mtim, size, entry->d_name});
        total += size;
    }
    std::ranges::sort(files, [](const File& a, const File& b) {
        return std::pair(a.changed.tv_sec, a.changed.tv_nsec) <
               std::pair(b.changed.tv_sec, b.changed.tv_nsec);
    });
    for (const File& file : files) {
        if (total <= most_bytes) break;
        if (::unlinkat(folder_.get(), file.name.c_str(), 0) == 0) total -= file.size;
    }
}

ModuleCache::ModuleCache(std::shared_ptr<const CacheFolder> folder, const std::string& build_id,
                         std::uint64_t fingerprint)
    : folder_(std::move(folder)),
      name_(fmt::format("{}.{:016x}", build_id, this_tool())),
      fingerprint_(fingerprint) {}

void ModuleCache::read_table() {
    if (table_read_) return;
    table_read_ = true;
    FileDescriptor file = folder_->open_file(name_);
    struct stat status {};
    Header header{};
    if (!file || ::fstat(file.get(), &status) != 0 || !read_at(file.get(), &header, sizeof header, 0)) return;
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (header.magic != magic || header.version != format_version || header.tool != this_tool() ||
        header.fingerprint != fingerprint_ || size > most_file_bytes || header.entries > most_entries ||
        sizeof header + header.entries * sizeof(TableEntry) > size)
        return;
    std::vector<TableEntry> table(header.entries);
    const auto bytes = std::as_bytes(std::span(table));
    if (!read_at(file.get(), table.data(), bytes.size(), sizeof header) ||
        checksum_of(bytes) != header.table_checksum)
        return;
    for (const TableEntry& entry : table) {
        if (entry.offset > size || entry.length > size - entry.offset) continue;
        in_file_[{static_cast<Kind>(entry.kind), entry.id}] = {entry.offset, entry.length, entry.checksum};
    }
    file_ = std::move(file);
}

std::optional<std::vector<std::byte>> ModuleCache::read_entry(const Place& place) const {
    std::vector<std::byte> content(place.length);
    if (!read_at(file_.get(), content.data(), content.size(), place.offset) ||
        checksum_of(content) != place.checksum)
        return std::nullopt;
    return content;
}

std::optional<std::vector<std::byte>> ModuleCache::find(Kind kind, std::uint64_t id) {
    read_table();
    const auto found = in_file_.find({kind, id});
    return found == in_file_.end() ? std::nullopt : read_entry(found->second);
}

void ModuleCache::put(Kind kind, std::uint64_t id, std::vector<std::byte> content) {
    added_[{kind, id}] = std::move(content);
}

void ModuleCache::save() {
    if (added_.empty()) return;
    read_table();
    for (const auto& [key, place] : in_file_) {
        if (added_.contains(key)) continue;
        if (auto content = read_entry(place)) added_.emplace(key, std::move(*content));
    }
    std::vector<TableEntry> table;
    std::uint64_t offset = sizeof(Header) + added_.size() * sizeof(TableEntry);
    for (const auto& [key, content] : added_) {
        table.push_back({static_cast<std::uint64_t>(key.first), key.second, offset, content.size(),
                         checksum_of(content)});
        offset += content.size();
    }
    if (offset <= most_file_bytes && table.size() <= most_entries) {
        const Header header{magic,        format_version, this_tool(),
                            fingerprint_, table.size(),   checksum_of(std::as_bytes(std::span(table)))};
        std::vector<std::byte> file;
        file.reserve(offset);
        const auto append = [&](std::span<const std::byte> bytes) {
            file.insert(file.end(), bytes.begin(), bytes.end());
        };
        append(std::as_bytes(std::span(&header, 1)));
        append(std::as_bytes(std::span(table)));
        for (const auto& [key, content] : added_) append(content);
        folder_->replace_file(name_, file);
    }
    added_.clear();
    in_file_.clear();
    file_ = {};
    table_read_ = false;
}

}  // namespace asyncdump

#include "process/procfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>

#include "base/harmless_text.h"

namespace asyncdump::procfs {

std::string path(pid_t pid, std::string_view name) {
    return fmt::format("/proc/{}/{}", pid, name);
}

Result<std::string> read_file(int directory, const std::string& path, std::size_t limit) {
    const FileDescriptor file(::openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        const int error = errno;
        return failure(ErrorCode::unreadable_file,
                       fmt::format("cannot open {}: {}", path, std::strerror(error)), error);
    }
    // Files of /proc have no size to ask for, and grow while they are read.
    std::string content;
    std::size_t used = 0;
    while (used < limit) {
        if (content.size() == used) content.resize(std::min(limit, std::max<std::size_t>(4096, used * 2)));
        const ssize_t count = ::read(file.get(), content.data() + used, content.size() - used);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) {
            const int error = errno;
            return failure(ErrorCode::unreadable_file,
                           fmt::format("cannot read {}: {}", path, std::strerror(error)), error);
        }
        if (count == 0) break;
        used += static_cast<std::size_t>(count);
    }
    content.resize(used);
    return content;
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
    return read_file(AT_FDCWD, path, limit);
}

std::string read_link(const std::string& path) {
    std::string target(PATH_MAX, '\0');
    const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
    target.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    return target;
}

std::vector<pid_t> list_threads(int directory) {
    std::vector<pid_t> threads;
    // A descriptor of its own: closedir closes it, and reading begins at the front again.
    const int own = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* stream = own < 0 ? nullptr : ::fdopendir(own);
    if (stream == nullptr) {
        if (own >= 0) ::close(own);
        return threads;
    }
    while (const dirent* entry = ::readdir(stream)) {
        const auto tid = parse_number(entry->d_name);
        if (tid && *tid <= INT_MAX) threads.push_back(static_cast<pid_t>(*tid));
    }
    ::closedir(stream);
    std::sort(threads.begin(), threads.end());
    return threads;
}

std::optional<Stat> parse_stat(std::string_view text) {
    // A name may hold anything, parentheses and newlines too: it ends at the last ')'.
    const auto open = text.find('(');
    const auto close = text.rfind(')');
    if (open == text.npos || close == text.npos || close < open) return std::nullopt;
    Stat stat;
    stat.name = text.substr(open + 1, close - open - 1);
    auto rest = text.substr(close + 1);
    const auto state = take_field(rest);
    if (state.size() != 1) return std::nullopt;
    stat.state = state[0];
    constexpr int first_number = 4, last_number = 22;  // the fields' numbers in proc(5)
    for (int field = first_number; field <= last_number; ++field) {
        const auto word = take_field(rest);
        const auto number = parse_number(word);
        if (field == 4) stat.parent = static_cast<pid_t>(number.value_or(0));
        if (field == 9) stat.flags = number.value_or(0);
        if (field == 14) stat.user_ticks = number.value_or(0);
        if (field == 15) stat.system_ticks = number.value_or(0);
        if (field == last_number) {
            if (!number) return std::nullopt;
            stat.start_time_ticks = *number;
        }
    }
    return stat;
}

std::optional<Stat> read_stat(pid_t pid) {
    const auto text = read_file(path(pid, "stat"), 4096);
    if (!text) return std::nullopt;
    return parse_stat(*text);
}

std::string_view status_field(std::string_view status, std::string_view name) {
    while (!status.empty()) {
        auto line = take_line(status);
        if (line.size() <= name.size() || !line.starts_with(name) || line[name.size()] != ':') continue;
        line.remove_prefix(name.size() + 1);
        const auto begin = line.find_first_not_of(" \t");
        return begin == line.npos ? std::string_view() : line.substr(begin);
    }
    return {};
}

std::optional<std::uint64_t> parse_number(std::string_view text, int base) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::string_view take_field(std::string_view& text) {
    constexpr std::string_view blanks = " \t\n";
    const auto begin = text.find_first_not_of(blanks);
    if (begin == text.npos) {
        text = {};
        return {};
    }
    text.remove_prefix(begin);
    const auto field = text.substr(0, text.find_first_of(blanks));
    text.remove_prefix(field.size());
    return field;
}

std::string_view take_line(std::string_view& text) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    return line;
}

std::string describe(pid_t pid) {
    const auto stat = read_stat(pid);
    if (!stat) return fmt::format("{}", pid);
    return fmt::format("{} ({})", pid, harmless(stat->name));
}

}  // namespace asyncdump::procfs

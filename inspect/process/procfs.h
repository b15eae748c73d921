// Reading /proc, for this folder only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file_descriptor.h"

namespace asyncdump::procfs {

/// "/proc/PID/NAME"
std::string path(pid_t pid, std::string_view name);

/// Everything up to `limit` bytes; what is longer is cut. `directory` as in openat(2).
inline constexpr std::size_t default_limit = 64 << 20;
Result<std::string> read_file(int directory, const std::string& path, std::size_t limit = default_limit);
Result<std::string> read_file(const std::string& path, std::size_t limit = default_limit);

/// The target of a symbolic link; empty when it cannot be read.
std::string read_link(const std::string& path);

/// The thread ids of a process, ascending. `directory`: an open /proc/PID/task; it stays bound to that
/// process even when its pid is given to another one.
std::vector<pid_t> list_threads(int directory);

/// The fields used of /proc/PID/stat (proc(5)).
struct Stat {
    std::string name;  ///< raw bytes
    char state = '?';
    pid_t parent = 0;
    std::uint64_t flags = 0;
    std::uint64_t user_ticks = 0;
    std::uint64_t system_ticks = 0;
    std::uint64_t start_time_ticks = 0;

    bool has_ended() const { return state == 'Z' || state == 'X' || state == 'x'; }
};
std::optional<Stat> parse_stat(std::string_view text);
std::optional<Stat> read_stat(pid_t pid);

/// The value of "NAME:\t..." in /proc/PID/status; empty when there is no such line.
std::string_view status_field(std::string_view status, std::string_view name);

std::optional<std::uint64_t> parse_number(std::string_view text, int base = 10);

/// Takes the next field that ends at a space (or at the end) off `text`; several spaces count as one.
std::string_view take_field(std::string_view& text);

/// Takes the next line off `text`, without its end.
std::string_view take_line(std::string_view& text);

/// "1234 (name)", for messages.
std::string describe(pid_t pid);

}  // namespace asyncdump::procfs

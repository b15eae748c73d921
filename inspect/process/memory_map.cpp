#include "process/memory_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "process/process_info.h"
#include "process/procfs.h"

namespace asyncdump {
namespace {

/// "7f14ef427000-7f14ef44d000 r--p 00000000 fe:00 1234          /usr/lib/libc.so.6"
std::optional<Mapping> parse_line(std::string_view line) {
    using procfs::parse_number;
    const auto addresses = procfs::take_field(line);
    const auto permissions = procfs::take_field(line);
    const auto offset = parse_number(procfs::take_field(line), 16);
    const auto device = procfs::take_field(line);
    const auto inode = parse_number(procfs::take_field(line));
    const auto dash = addresses.find('-');
    const auto colon = device.find(':');
    if (dash == addresses.npos || colon == device.npos || permissions.size() != 4 || !offset || !inode)
        return std::nullopt;
    const auto begin = parse_number(addresses.substr(0, dash), 16);
    const auto end = parse_number(addresses.substr(dash + 1), 16);
    const auto major = parse_number(device.substr(0, colon), 16);
    const auto minor = parse_number(device.substr(colon + 1), 16);
    if (!begin || !end || *begin >= *end || !major || !minor) return std::nullopt;

    Mapping mapping;
    mapping.range = {RemoteAddress(*begin), RemoteAddress(*end)};
    mapping.readable = permissions[0] == 'r';
    mapping.writable = permissions[1] == 'w';
    mapping.executable = permissions[2] == 'x';
    mapping.shared = permissions[3] == 's';
    mapping.file_offset = *offset;
    mapping.device_major = static_cast<std::uint32_t>(*major);
    mapping.device_minor = static_cast<std::uint32_t>(*minor);
    mapping.inode = *inode;

    const auto name_begin = line.find_first_not_of(' ');
    if (name_begin == line.npos) return mapping;
    auto name = line.substr(name_begin);
    constexpr std::string_view deleted_suffix = " (deleted)";
    // A file whose own name ends like this looks deleted too; whoever opens it compares the inode.
    if (*inode != 0 && name.ends_with(deleted_suffix)) {
        name.remove_suffix(deleted_suffix.size());
        mapping.deleted = true;
    }
    mapping.path = name;
    return mapping;
}

bool begins_lower(const Mapping& left, const Mapping& right) {
    return left.range.begin < right.range.begin;
}

}  // namespace

MemoryMap MemoryMap::parse(std::string_view text) {
    MemoryMap map;
    while (!text.empty()) {
        if (auto mapping = parse_line(procfs::take_line(text))) map.mappings_.push_back(*std::move(mapping));
    }
    // The kernel writes the lines in order, but a map that changes between two reads of the file can show a
    // part twice.
    auto& mappings = map.mappings_;
    if (!std::is_sorted(mappings.begin(), mappings.end(), begins_lower))
        std::stable_sort(mappings.begin(), mappings.end(), begins_lower);
    RemoteAddress end;
    std::erase_if(mappings, [&end](const Mapping& mapping) {
        if (mapping.range.begin < end) return true;
        end = mapping.range.end;
        return false;
    });
    return map;
}

Result<MemoryMap> MemoryMap::read(pid_t pid) {
    const auto text = procfs::read_file(procfs::path(living_thread(pid), "maps"));
    if (!text) {
        const auto code = text.error().system_errno == ENOENT || text.error().system_errno == ESRCH
                              ? ErrorCode::process_gone
                              : text.error().code;
        return failure(code, text.error().message, text.error().system_errno);
    }
    auto map = parse(*text);
    // A process that is ending has given its memory back before it disappears.
    if (map.mappings().empty())
        return failure(ErrorCode::process_gone,
                       fmt::format("process {} has ended: it has no memory any more", pid));
    return map;
}

const Mapping* MemoryMap::find(RemoteAddress address) const {
    auto after =
        std::upper_bound(mappings_.begin(), mappings_.end(), address,
                         [](RemoteAddress a, const Mapping& mapping) { return a < mapping.range.begin; });
    if (after == mappings_.begin()) return nullptr;
    --after;
    return after->range.contains(address) ? &*after : nullptr;
}

bool MemoryMap::is_relocated(const Mapping& mapping) const {
    if (!mapping.is_file() || !mapping.readable || mapping.writable || mapping.executable) return false;
    const Mapping* const next = find(mapping.range.end);
    return next != nullptr && next->writable && next->inode == mapping.inode;
}

bool MemoryMap::has_guard_below(const Mapping& mapping) const {
    const Mapping* const below = find(mapping.range.begin - 1);
    return below != nullptr && !below->readable && !below->writable;
}

}  // namespace asyncdump

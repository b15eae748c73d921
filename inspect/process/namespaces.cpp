#include "process/namespaces.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "process/procfs.h"

namespace asyncdump {
namespace {

/// The "monotonic" line of timens_offsets: "monotonic  SECONDS NANOSECONDS".
std::chrono::nanoseconds offset_to_host(pid_t pid) {
    const auto text = procfs::read_file(procfs::path(pid, "timens_offsets"), 4096);
    if (!text) return {};
    std::string_view rest = *text;
    while (!rest.empty()) {
        std::string_view line = procfs::take_line(rest);
        if (procfs::take_field(line) != "monotonic") continue;
        std::string_view seconds = procfs::take_field(line);
        const bool negative = seconds.starts_with('-');
        if (negative) seconds.remove_prefix(1);
        const auto whole = procfs::parse_number(seconds);
        const auto nanoseconds = procfs::parse_number(procfs::take_field(line));
        if (!whole || !nanoseconds || *whole > (1ULL << 33)) return {};
        const auto magnitude = std::chrono::seconds(static_cast<std::int64_t>(*whole));
        return (negative ? -magnitude : magnitude) +
               std::chrono::nanoseconds(static_cast<std::int64_t>(*nanoseconds));
    }
    return {};
}

}  // namespace

std::chrono::nanoseconds monotonic_offset(pid_t pid) {
    const std::string theirs = procfs::read_link(procfs::path(pid, "ns/time"));
    const std::string ours = procfs::read_link("/proc/self/ns/time");
    if (theirs.empty() || theirs == ours) return {};
    return offset_to_host(pid) - offset_to_host(::getpid());
}

ThreadIds::ThreadIds(pid_t pid, std::int32_t own_pid) : same_ids_(pid == own_pid) {
    if (same_ids_) return;
    const FileDescriptor tasks(::open(procfs::path(pid, "task").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!tasks) return;
    for (const pid_t tid : procfs::list_threads(tasks.get())) {
        const auto status = procfs::read_file(tasks.get(), std::to_string(tid) + "/status", 64 * 1024);
        if (!status) continue;
        // From our namespace inwards: "NSpid:\t4132\t17".
        std::string_view ids = procfs::status_field(*status, "NSpid");
        const auto last = ids.find_last_of("\t ");
        if (last != ids.npos) ids.remove_prefix(last + 1);
        if (const auto own = procfs::parse_number(ids); own && *own < (1U << 30))
            visible_[static_cast<std::int32_t>(*own)] = tid;
    }
}

std::int32_t ThreadIds::visible_id(std::int32_t own_id) const {
    if (same_ids_) return own_id;
    const auto found = visible_.find(own_id);
    return found == visible_.end() ? 0 : found->second;
}

}  // namespace asyncdump

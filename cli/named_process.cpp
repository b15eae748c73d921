#include "cli/named_process.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <utility>

#include "process/process_info.h"

namespace asyncdump {

NamedProcesses find_by_name(const std::string& name) {
    NamedProcesses found;
    std::vector<std::pair<std::uint64_t, pid_t>> by_start;
    std::error_code error;
    for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
         entry.increment(error)) {
        const std::string text = entry->path().filename().string();
        pid_t pid = 0;
        const auto [last, wrong] = std::from_chars(text.data(), text.data() + text.size(), pid);
        if (wrong != std::errc() || last != text.data() + text.size() || pid == ::getpid()) continue;
        std::string comm;
        std::getline(std::ifstream(entry->path() / "comm"), comm);
        std::error_code no_link;
        const auto executable =
            std::filesystem::read_symlink(entry->path() / "exe", no_link).filename().string();
        // The kernel cuts names to 15 bytes.
        if (executable != name && comm != name.substr(0, 15)) continue;
        const auto process = examine_process(pid);
        if (!process) found.refused = process.error().message;
        if (process) by_start.emplace_back(process->start_time_ticks, pid);
    }
    std::ranges::sort(by_start);
    for (const auto& [start, pid] : by_start) found.pids.push_back(pid);
    return found;
}

}  // namespace asyncdump

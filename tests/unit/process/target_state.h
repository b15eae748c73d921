// What the tests ask /proc about a target, independently of the code under test.
#pragma once

#include <sys/types.h>

#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "process/stopped_process.h"

inline std::string status_field(pid_t tid, const std::string& name) {
    std::ifstream status("/proc/" + std::to_string(tid) + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
    return {};
}

inline char state(pid_t tid) {
    const auto field = status_field(tid, "State");
    return field.empty() ? '-' : field[0];
}

inline std::vector<pid_t> thread_ids(const asyncdump::StoppedProcess& stopped) {
    std::vector<pid_t> ids;
    for (const asyncdump::StoppedThread& thread : stopped.threads()) ids.push_back(thread.tid);
    return ids;
}

inline void start_threads(int count, const std::function<void()>& body) {
    for (int i = 0; i < count; ++i) std::thread(body).detach();
}

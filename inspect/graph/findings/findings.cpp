#include "graph/findings/findings.h"

#include <algorithm>
#include <iterator>

namespace asyncdump {

std::vector<Finding> find_all(const Dump& dump) {
    std::vector<Finding> all;
    const auto add = [&](std::vector<Finding> some) { std::ranges::move(some, std::back_inserter(all)); };
    const std::vector<Finding> deadlocks = find_thread_deadlocks(dump);
    add(find_await_cycles(dump));
    add(find_lock_cycles(dump));
    add(deadlocks);
    add(find_blocked_executors(dump, deadlocks));
    add(find_unwakeable(dump));
    std::ranges::stable_sort(all, [](const Finding& a, const Finding& b) { return a.is_error > b.is_error; });
    return all;
}

}  // namespace asyncdump

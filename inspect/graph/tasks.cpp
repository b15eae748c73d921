#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "graph/await_graph.h"

namespace asyncdump {
namespace {

using Edge = std::pair<std::uint32_t, std::uint32_t>;

EdgeTable table_of(const std::vector<Edge>& sorted, std::size_t count) {
    EdgeTable table;
    table.offsets.assign(count + 1, 0);
    table.targets.reserve(sorted.size());
    for (const auto& [from, to] : sorted) {
        ++table.offsets[from + 1];
        table.targets.push_back(to);
    }
    for (std::size_t i = 1; i <= count; ++i) table.offsets[i] += table.offsets[i - 1];
    return table;
}

/// Walks from `root` over what is awaited; each coroutine is taken once, by the first task that reaches it.
void collect_members(Dump& dump, std::uint32_t root, std::vector<std::uint32_t>& depths) {
    Task task;
    task.root = root;
    task.first_member = static_cast<std::uint32_t>(dump.task_members.size());
    const auto number = static_cast<std::uint32_t>(dump.tasks.size());
    std::uint32_t deepest = root;
    std::vector<std::uint32_t> open{root};
    dump.task_of[root] = number;
    depths[root] = 0;
    while (!open.empty()) {
        const std::uint32_t coroutine = open.back();
        open.pop_back();
        dump.task_members.push_back(coroutine);
        if (depths[coroutine] > depths[deepest]) deepest = coroutine;
        const auto awaited = dump.awaits.of(coroutine);
        for (auto next = awaited.rbegin(); next != awaited.rend(); ++next) {
            if (dump.task_of[*next] != no_index) continue;
            dump.task_of[*next] = number;
            depths[*next] = depths[coroutine] + 1;
            open.push_back(*next);
        }
    }
    task.member_count = static_cast<std::uint32_t>(dump.task_members.size()) - task.first_member;
    task.state = dump.observed.coroutines[deepest].state;
    dump.tasks.push_back(std::move(task));
}

/// From a coroutine whose every ancestor is awaited by another: a walk upwards must come round.
std::uint32_t member_of_cycle(const Dump& dump, std::uint32_t coroutine) {
    std::unordered_set<std::uint32_t> seen;
    while (seen.insert(coroutine).second) coroutine = dump.awaited_by.of(coroutine).front();
    return coroutine;
}

/// A coroutine stays on a thread's stack while it resumes the one that it awaits, where the compiler makes no
/// tail call of it (-O0): it is suspended all the same. Where one runs, the suspend point that its frame
/// remembers is an old one.
void settle_running(Dump& dump) {
    for (std::uint32_t i = 0; i < dump.observed.coroutines.size(); ++i) {
        ObservedCoroutine& coroutine = dump.observed.coroutines[i];
        if (coroutine.state != CoroutineState::running) continue;
        if (dump.awaits.of(i).empty()) {
            coroutine.suspended_at = no_index;
            coroutine.awaiting = no_index;
        } else {
            coroutine.state = CoroutineState::suspended;
            coroutine.thread = 0;
        }
    }
}

/// Where a coroutine is executed on a thread's stack; the innermost activation of each.
class Activations {
  public:
    explicit Activations(const Observation& observation) {
        for (const RunningFrame& running : observation.running) {
            const auto [entry, is_new] = places_.try_emplace(running.coroutine, running);
            if (!is_new && running.stack_frame < entry->second.stack_frame) entry->second = running;
        }
    }

    /// Whether the stack says that `parent` does not await `child`: it was resumed by it, directly or not,
    /// and both are being executed. What a frame remembers of its last suspension says otherwise at times.
    bool contradict(std::uint32_t parent, std::uint32_t child) const {
        const auto inner = places_.find(parent), outer = places_.find(child);
        return inner != places_.end() && outer != places_.end() &&
               inner->second.thread == outer->second.thread &&
               inner->second.stack_frame < outer->second.stack_frame;
    }

  private:
    std::unordered_map<std::uint32_t, RunningFrame> places_;
};

}  // namespace

void build_tasks(Dump& dump) {
    const auto& coroutines = dump.observed.coroutines;
    std::vector<Edge> edges = decide_edges(dump.observed);
    const Activations activations(dump.observed);
    std::erase_if(edges, [&](const Edge& edge) {
        return coroutines[edge.first].doubtful || coroutines[edge.second].doubtful ||
               activations.contradict(edge.first, edge.second);
    });
    dump.awaits = table_of(edges, coroutines.size());
    for (auto& [parent, child] : edges) std::swap(parent, child);
    std::ranges::sort(edges);
    dump.awaited_by = table_of(edges, coroutines.size());
    settle_running(dump);

    dump.tasks.clear();
    dump.task_members.clear();
    dump.task_of.assign(coroutines.size(), no_index);
    std::vector<std::uint32_t> depths(coroutines.size(), 0);
    for (std::uint32_t i = 0; i < coroutines.size(); ++i) {
        if (!coroutines[i].doubtful && dump.awaited_by.of(i).empty()) collect_members(dump, i, depths);
    }
    // What is left are cycles that nobody awaits, and what hangs below them.
    for (std::uint32_t i = 0; i < coroutines.size(); ++i) {
        if (!coroutines[i].doubtful && dump.task_of[i] == no_index)
            collect_members(dump, member_of_cycle(dump, i), depths);
    }
}

}  // namespace asyncdump

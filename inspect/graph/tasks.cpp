#include <algorithm>
#include <set>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "graph/await_graph.h"
#include "graph/edges.h"

namespace asyncdump {
namespace {

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

/// What a coroutine that is being executed remembers of its last suspension, and of what it awaited then, is
/// old, except where it is about to suspend: then whom it awaits, or one that is awaited by that one in the
/// end, is executed further inside on the same stack.
void remove_old_edges(const Observation& observation, std::vector<Edge>& edges) {
    std::unordered_set<std::uint32_t> executed;  // on any stack
    for (const RunningFrame& activation : observation.running) executed.insert(activation.coroutine);
    const auto is_executed = [&](const Edge& edge) { return executed.contains(edge.first); };
    if (std::ranges::none_of(edges, is_executed)) return;
    const EdgeTable awaited_by =
        table_of(reversed(edges, observation.coroutines.size()), observation.coroutines.size());
    std::vector<RunningFrame> activations = observation.running;
    std::ranges::sort(activations, {}, [](const RunningFrame& frame) {
        return std::tuple(frame.thread, frame.stack_frame, ~frame.inlined);
    });
    std::set<Edge> present;
    std::unordered_set<std::uint32_t> inside;  // on this stack so far, with all that await those
    std::int32_t thread = 0;
    for (const RunningFrame& activation : activations) {
        if (activation.thread != thread) inside.clear();
        thread = activation.thread;
        const Edge none{activation.coroutine, 0};
        for (auto edge = std::ranges::lower_bound(edges, none);
             edge != edges.end() && edge->first == activation.coroutine; ++edge) {
            if (inside.contains(edge->second)) present.insert(*edge);
        }
        std::vector<std::uint32_t> open{activation.coroutine};
        while (!open.empty()) {
            const std::uint32_t coroutine = open.back();
            open.pop_back();
            if (!inside.insert(coroutine).second) continue;
            for (const std::uint32_t parent : awaited_by.of(coroutine)) open.push_back(parent);
        }
    }
    std::erase_if(edges, [&](const Edge& edge) { return is_executed(edge) && !present.contains(edge); });
}

}  // namespace

void build_tasks(Dump& dump) {
    const auto& coroutines = dump.observed.coroutines;
    std::vector<Edge> edges = decide_edges(dump.observed);
    std::erase_if(edges, [&](const Edge& edge) {
        return coroutines[edge.first].doubtful || coroutines[edge.second].doubtful;
    });
    remove_old_edges(dump.observed, edges);
    dump.awaits = table_of(edges, coroutines.size());
    dump.awaited_by = table_of(reversed(edges, coroutines.size()), coroutines.size());
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

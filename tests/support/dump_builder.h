// Made-up observations and dumps for the tests of stages that know no target.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "graph/dump.h"

namespace asyncdump::tests {

/// A coroutine to be built: what is left alone is unknown.
struct MadeCoroutine {
    std::string function = "task()";
    std::string file = "/src/server.cpp";
    std::uint32_t line = 0;  ///< 0: suspended at an unknown place
    std::uint32_t column = 0;
    bool exact = true;
    std::uint32_t resumes_at = 0;
    std::uint32_t declared = 10;  ///< line of the declaration; 0: unknown
    CoroutineState state = CoroutineState::suspended;
    WaitKind waits_for = WaitKind::unknown;
    std::string type,
        summary;  ///< of what it awaits; with waits_for unknown and both empty: nothing is known
    std::int32_t thread = 0;
    bool internal = false, at_yield = false, doubtful = false;
};

/// Builds observations: functions, locations and what is awaited go into tables, each once.
class ObservationBuilder {
  public:
    ObservationBuilder() { observation.runtime = "c++20"; }

    /// Returns its index.
    std::uint32_t add(const MadeCoroutine& made) {
        ObservedCoroutine coroutine;
        const auto index = static_cast<std::uint32_t>(observation.coroutines.size());
        coroutine.address = RemoteAddress(0x55d0'c000'0000 + std::uint64_t{index} * 0x100);
        coroutine.function = function(made);
        if (made.line != 0) coroutine.suspended_at = location(made);
        const bool wait_known =
            made.waits_for != WaitKind::unknown || !made.type.empty() || !made.summary.empty();
        if (wait_known) coroutine.awaiting = awaiting(made);
        coroutine.state = made.state;
        coroutine.thread = made.thread;
        coroutine.found_by_scan = true;
        coroutine.frame_bytes = 128;
        coroutine.at_yield = made.at_yield;
        coroutine.doubtful = made.doubtful;
        observation.coroutines.push_back(coroutine);
        if (made.doubtful)
            details(index).problems.push_back({"unreferenced", "nothing refers to it", "", false});
        return index;
    }

    /// The details of a coroutine, made when it has none yet. Valid until the next call.
    CoroutineDetails& details(std::uint32_t coroutine) {
        std::uint32_t& details = observation.coroutines[coroutine].details;
        if (details == no_index) {
            details = static_cast<std::uint32_t>(observation.details.size());
            observation.details.emplace_back();
        }
        return observation.details[details];
    }

    Observation observation;

  private:
    std::uint32_t function(const MadeCoroutine& made) {
        const std::string key = made.function + made.file + std::to_string(made.declared);
        const auto [entry, is_new] =
            functions_.try_emplace(key, static_cast<std::uint32_t>(observation.functions.size()));
        if (is_new) {
            CoroutineFunction function;
            function.name = made.function;
            function.symbol = "_Z" + made.function;
            if (made.declared != 0)
                function.declared_at = SourceLocation{made.file, made.declared, 0, true, 0};
            function.internal = made.internal;
            observation.functions.push_back(std::move(function));
        }
        return entry->second;
    }

    std::uint32_t location(const MadeCoroutine& made) {
        const SourceLocation location{made.file, made.line, made.column, made.exact, made.resumes_at};
        const std::string key = made.file + ':' + std::to_string(made.line) + ':' +
                                std::to_string(made.column) + (made.exact ? "" : "~") +
                                std::to_string(made.resumes_at);
        const auto [entry, is_new] =
            locations_.try_emplace(key, static_cast<std::uint32_t>(observation.locations.size()));
        if (is_new) observation.locations.push_back(location);
        return entry->second;
    }

    std::uint32_t awaiting(const MadeCoroutine& made) {
        const std::string key =
            std::to_string(static_cast<int>(made.waits_for)) + '\n' + made.type + '\n' + made.summary;
        const auto [entry, is_new] =
            awaitings_.try_emplace(key, static_cast<std::uint32_t>(observation.awaitings.size()));
        if (is_new) observation.awaitings.push_back({made.waits_for, made.type, made.summary});
        return entry->second;
    }

    std::map<std::string, std::uint32_t> functions_, locations_, awaitings_;
};

/// Builds dumps whose edges are given instead of found.
class DumpBuilder : public ObservationBuilder {
  public:
    DumpBuilder() {
        dump_.target.pid = 4132;
        dump_.target.executable = "/usr/bin/server";
        dump_.target.command = {"server", "--port", "80"};
        // 2026-11-21 18:00:00.123 UTC
        dump_.capture.at =
            std::chrono::system_clock::time_point(std::chrono::milliseconds(1'795'284'000'123));
        dump_.capture.pause = std::chrono::microseconds(812);
        dump_.capture.total = std::chrono::milliseconds(143);
        dump_.capture.used_scan = true;
        dump_.capture.bytes_scanned = 134'217'728;
        dump_.capture.bytes_copied = 48'112;
    }

    void edge(std::uint32_t parent, std::uint32_t child) { edges_.emplace_back(parent, child); }

    /// Each awaits the next one. Returns the index of the first.
    std::uint32_t chain(const std::vector<MadeCoroutine>& coroutines) {
        const auto first = static_cast<std::uint32_t>(observation.coroutines.size());
        for (std::uint32_t i = 0; i < coroutines.size(); ++i) {
            add(coroutines[i]);
            if (i != 0) edge(first + i - 1, first + i);
        }
        return first;
    }

    Thread& thread(std::int32_t tid, std::string name = "server", std::string state = "sleeping") {
        Thread& thread = dump_.threads.emplace_back();
        thread.tid = tid;
        thread.name = std::move(name);
        thread.state = std::move(state);
        return thread;
    }

    static ThreadFrame frame(std::string function, std::string file = "", std::uint32_t line = 0,
                             std::string module = "server") {
        ThreadFrame frame;
        frame.pc = RemoteAddress(0x55d0'0000'1000 + std::uint64_t{line});
        frame.function = std::move(function);
        frame.file = std::move(file);
        frame.line = line;
        frame.module = std::move(module);
        return frame;
    }

    /// All but coroutines, edges and tasks, which build() fills in.
    Dump& dump() { return dump_; }

    /// A task begins at a coroutine without a parent and at the first one of what is left then; doubtful ones
    /// stand apart.
    Dump build() {
        Dump dump = dump_;
        dump.observed = observation;
        const auto count = static_cast<std::uint32_t>(observation.coroutines.size());
        dump.awaits = table(edges_, count);
        std::vector<std::pair<std::uint32_t, std::uint32_t>> reversed;
        for (const auto& [parent, child] : edges_) reversed.emplace_back(child, parent);
        dump.awaited_by = table(std::move(reversed), count);
        dump.task_of.assign(count, no_index);
        for (const bool only_roots : {true, false}) {
            for (std::uint32_t i = 0; i < count; ++i) {
                const bool taken = dump.task_of[i] != no_index || observation.coroutines[i].doubtful;
                if (!taken && (!only_roots || dump.awaited_by.of(i).empty())) add_task(dump, i);
            }
        }
        return dump;
    }

  private:
    static EdgeTable table(std::vector<std::pair<std::uint32_t, std::uint32_t>> edges, std::uint32_t count) {
        std::stable_sort(edges.begin(), edges.end(),
                         [](const auto& a, const auto& b) { return a.first < b.first; });
        EdgeTable table;
        table.offsets.assign(count + 1, 0);
        for (const auto& [from, to] : edges) {
            ++table.offsets[from + 1];
            table.targets.push_back(to);
        }
        for (std::uint32_t i = 0; i < count; ++i) table.offsets[i + 1] += table.offsets[i];
        return table;
    }

    static void add_task(Dump& dump, std::uint32_t root) {
        Task task;
        task.root = root;
        task.first_member = static_cast<std::uint32_t>(dump.task_members.size());
        const auto number = static_cast<std::uint32_t>(dump.tasks.size());
        std::vector<std::uint32_t> open{root};
        dump.task_of[root] = number;
        while (!open.empty()) {
            const std::uint32_t coroutine = open.back();
            open.pop_back();
            dump.task_members.push_back(coroutine);
            task.state = dump.observed.coroutines[coroutine].state;
            for (const std::uint32_t child : dump.awaits.of(coroutine)) {
                if (dump.task_of[child] != no_index) continue;
                dump.task_of[child] = number;
                open.push_back(child);
            }
        }
        task.member_count = static_cast<std::uint32_t>(dump.task_members.size()) - task.first_member;
        dump.tasks.push_back(std::move(task));
    }

    Dump dump_;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> edges_;
};

}  // namespace asyncdump::tests

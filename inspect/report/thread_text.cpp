#include "report/thread_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "report/task_groups.h"
#include "report/words.h"

namespace asyncdump {
namespace {

constexpr std::size_t margin = 4;
constexpr std::size_t widest_place_column = 56;
constexpr std::size_t most_thread_ids = 12;
constexpr std::size_t most_awaiting_coroutines = 40;

std::string wait_words(const Thread& thread, bool unicode) {
    if (!thread.waiting_for) return "";
    const ThreadWait& wait = *thread.waiting_for;
    if (wait.kind == "io" && !wait.summary.empty()) return printable(wait.summary, unicode);
    if (!wait.summary.empty()) return "waiting for " + printable(wait.summary, unicode);
    std::string result = "waiting for " + printable(wait.kind == "other" ? "something" : wait.kind, unicode);
    if (!wait.address.is_null()) result += fmt::format(" {:#x}", wait.address.value());
    if (wait.owner != 0) result += fmt::format(", held by thread {}", wait.owner);
    return result;
}

}  // namespace

std::string ThreadText::key(const Thread& thread) const {
    std::string key =
        fmt::format("{}\n{}\n{}\n", without_numbers(thread.name), thread.state, thread.system_call);
    key += wait_words(thread, true) + '\n';
    for (const auto& problem : thread.problems) key += problem.code + problem.message + '\n';
    for (const auto& frame : thread.frames) {
        const std::uint64_t address = frame.function.empty() ? frame.pc.value() : 0;
        key += fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n", frame.function, frame.file, frame.line,
                           frame.module, frame.inlined, frame.coroutine, address);
    }
    return key;
}

std::vector<ThreadText::Group> ThreadText::groups() const {
    std::vector<Group> result;
    std::unordered_map<std::string, std::size_t> group_of_key;
    for (const auto& thread : dump_.threads) {
        if (!selection_.has_thread(thread)) continue;
        if (!writer_.style().all) {
            const auto [entry, is_new] = group_of_key.try_emplace(key(thread), result.size());
            if (!is_new) {
                result[entry->second].others.push_back(&thread);
                continue;
            }
        }
        result.push_back({&thread, {}});
    }
    return result;
}

void ThreadText::write() {
    const auto shown = groups();
    std::size_t threads = shown.size();
    for (const auto& group : shown) threads += group.others.size();
    std::string heading = fmt::format("THREADS: {}", grouped_digits(threads));
    if (threads != shown.size())
        heading += fmt::format(" with {} different stacks", grouped_digits(shown.size()));
    if (threads == 0) heading = "THREADS: none to show";
    writer_.line(0, heading, Paint::heading);
    for (const auto& group : shown) {
        writer_.blank_line();
        write_group(group);
    }
    writer_.blank_line();
}

void ThreadText::write_group(const Group& group) {
    const Thread& thread = *group.example;
    const bool unicode = writer_.style().unicode;
    writer_.begin_line(0);
    if (!group.others.empty()) {
        writer_.add(fmt::format("{} threads, for example ", grouped_digits(group.others.size() + 1)),
                    Paint::heading);
    }
    writer_.add(fmt::format("thread {}", thread.tid), Paint::heading);
    if (!thread.name.empty()) writer_.add(fmt::format(" \"{}\"", printed(thread.name)), Paint::heading);
    writer_.add(": " + (thread.state.empty() ? std::string("state unknown") : printed(thread.state)));
    const std::string waits = wait_words(thread, unicode);
    // "epoll_wait on epoll fd 4" says the system call again.
    const bool says_call =
        !thread.system_call.empty() && waits.starts_with(printed(thread.system_call) + " ");
    if (!thread.system_call.empty() && !says_call) writer_.add_part(" ", "in " + printed(thread.system_call));
    if (!waits.empty()) writer_.add_part(says_call ? " in " : ", ", waits, Paint::warning);
    writer_.end_line();
    if (!group.others.empty()) {
        std::string ids = "the others: ";
        for (std::size_t i = 0; i < std::min(most_thread_ids, group.others.size()); ++i) {
            ids += fmt::format("{}{}", i == 0 ? "" : ", ", group.others[i]->tid);
        }
        if (group.others.size() > most_thread_ids) {
            ids += fmt::format(" and {} more", grouped_digits(group.others.size() - most_thread_ids));
        }
        writer_.line(2, ids, Paint::quiet);
    }

    write_stack(thread);
    if (thread.frames.empty()) writer_.line(margin, "(no stack)", Paint::quiet);
    for (const auto& problem : thread.problems)
        writer_.line(margin, printed(problem.message), Paint::warning);
}

void ThreadText::write_stack(const Thread& thread) {
    std::vector<Row> rows;
    for (const auto& frame : thread.frames) {
        rows.push_back(row_of(frame));
        if (frame.coroutine != no_index) append_awaiting_coroutines(thread, frame.coroutine, rows);
    }
    std::size_t place_column = 0;
    for (const auto& row : rows) {
        place_column = std::max(place_column, margin + row.introduction.size() + columns(row.function) + 2);
    }
    const std::size_t width = writer_.style().width;
    const std::size_t widest = width == 0 ? widest_place_column : std::min(widest_place_column, width / 2);
    place_column = std::min(place_column, widest);
    for (const auto& row : rows) {
        writer_.begin_line(margin);
        writer_.add(row.introduction, Paint::quiet);
        writer_.add(row.function, Paint::function);
        if (!row.place.empty()) {
            writer_.pad_to(place_column);
            writer_.add(row.place, Paint::location);
        }
        if (!row.notes.empty()) writer_.add_part("  ", row.notes, Paint::quiet);
        writer_.end_line();
        if (!row.variables.empty()) writer_.line(margin + 2, row.variables, Paint::quiet);
    }
}

ThreadText::Row ThreadText::row_of(const ThreadFrame& frame) const {
    Row row;
    row.function = frame.function.empty() ? fmt::format("{:#x}", frame.pc.value()) : printed(frame.function);
    const std::string position = text_.sources().position(frame.file, frame.line);
    if (!position.empty()) {
        row.place = "at " + position;
    } else if (!frame.module.empty()) {
        row.place = "in " + printed(frame.module);
    }
    if (frame.inlined) row.notes = "(inlined)";
    if (frame.coroutine != no_index) {
        const std::uint32_t task = dump_.task_of[frame.coroutine];
        row.notes += row.notes.empty() ? "" : " ";
        row.notes += task == no_index ? "(coroutine)" : fmt::format("(coroutine of task {})", task + 1);
    }
    if (writer_.style().locals) row.variables = text_.variables(frame.variables);
    return row;
}

void ThreadText::append_awaiting_coroutines(const Thread& thread, std::uint32_t coroutine,
                                            std::vector<Row>& rows) const {
    // One that is on the stack itself goes on with its own frame further down.
    std::unordered_set<std::uint32_t> told{coroutine};
    for (const auto& frame : thread.frames) {
        if (frame.coroutine != no_index) told.insert(frame.coroutine);
    }
    std::size_t shown = 0;
    while (true) {
        const auto parents = dump_.awaited_by.of(coroutine);
        if (parents.empty() || !told.insert(parents.front()).second) return;
        coroutine = parents.front();
        const std::uint32_t function = dump_.observed.coroutines[coroutine].function;
        const bool internal = function != no_index && dump_.observed.functions[function].internal;
        if (internal && !writer_.style().internal) continue;
        if (shown++ == most_awaiting_coroutines && !writer_.style().all) {
            rows.push_back({"  awaited by ", "...", "", "", ""});
            return;
        }
        rows.push_back({"  awaited by ", text_.function(coroutine), text_.place(coroutine),
                        parents.size() > 1 ? fmt::format("(and by {} more)", parents.size() - 1) : "", ""});
    }
}

}  // namespace asyncdump

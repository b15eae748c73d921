#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "report/coroutine_text.h"
#include "report/selection.h"
#include "report/task_groups.h"
#include "report/task_tree.h"
#include "report/text_writer.h"
#include "report/thread_text.h"
#include "report/tree_text.h"
#include "report/words.h"

namespace asyncdump {
namespace {

constexpr std::size_t most_members_of_finding = 10;

class TextReport {
  public:
    TextReport(const Dump& dump, const ReportFilter& filter, const TextStyle& style, const Output& output)
        : dump_(dump),
          filter_(filter),
          style_(style),
          writer_(style, output),
          selection_(dump, filter),
          text_(dump, style) {}

    void write() {
        write_header();
        if (!dump_.findings.empty()) write_findings();
        if (filter_.tasks) {
            write_tasks();
            write_apart();
        }
        if (filter_.threads) ThreadText(dump_, selection_, text_, writer_).write();
        if (!dump_.problems.empty()) write_problems();
    }

  private:
    std::string printed(std::string_view text) const { return printable(text, style_.unicode); }

    void write_header() {
        const auto& target = dump_.target;
        const auto& capture = dump_.capture;
        std::string name;
        for (const auto& argument : target.command) {
            if (!name.empty()) name += ' ';
            name += printed(argument);
        }
        if (name.empty()) name = printed(target.executable);
        writer_.begin_line(0);
        writer_.add(fmt::format("process {}", target.pid), Paint::heading);
        if (target.is_core) writer_.add(" (core file)", Paint::heading);
        if (!name.empty()) writer_.add(": ");
        writer_.add_sentence(name);
        writer_.end_line();

        writer_.begin_line(0);
        writer_.add(counted(dump_.threads.size(), "thread"));
        writer_.add_part(", ", counted(dump_.observed.coroutines.size(), "coroutine"));
        writer_.add_part(", ", counted(dump_.tasks.size(), "task"));
        if (!target.is_core) writer_.add_part("; ", "stopped for " + short_duration(capture.pause));
        writer_.add_part(" at ", utc_time(capture.at, false));
        writer_.end_line();
        if (!capture.complete) {
            writer_.line(0, "NOT COMPLETE: something may be missing here; the problems at the end say why",
                         Paint::warning);
        }
        writer_.blank_line();
    }

    void write_findings() {
        const auto errors =
            static_cast<std::size_t>(std::count_if(dump_.findings.begin(), dump_.findings.end(),
                                                   [](const Finding& finding) { return finding.is_error; }));
        const std::size_t warnings = dump_.findings.size() - errors;
        std::string heading = "FINDINGS: ";
        if (errors != 0) heading += counted(errors, "error");
        if (errors != 0 && warnings != 0) heading += ", ";
        if (warnings != 0) heading += counted(warnings, "warning");
        writer_.line(0, heading, Paint::heading);
        for (std::size_t place = 0; place < text_.findings().size(); ++place) {
            const Finding& finding = dump_.findings[text_.findings()[place]];
            const std::string_view severity = finding.is_error ? "error" : "warning";
            writer_.blank_line();
            writer_.begin_line(0);
            writer_.add(fmt::format("{} {}, {}: ", severity, place + 1, printed(finding.kind)),
                        finding.is_error ? Paint::error : Paint::warning);
            writer_.add_sentence(printed(finding.summary));
            writer_.end_line();
            write_members(finding);
            write_evidence(finding);
        }
        writer_.blank_line();
    }

    void write_evidence(const Finding& finding) {
        std::size_t shown = 0;
        for (const std::string& sentence : finding.evidence) {
            if (!style_.all && shown++ == most_members_of_finding) {
                writer_.line(4,
                             fmt::format("and {} more", grouped_digits(finding.evidence.size() - shown + 1)));
                return;
            }
            writer_.begin_line(4);
            writer_.add("because ", Paint::quiet);
            writer_.add_sentence(printed(sentence));
            writer_.end_line();
        }
    }

    void write_members(const Finding& finding) {
        std::size_t shown = 0;
        const std::size_t count = finding.coroutines.size() + finding.threads.size();
        const auto may_show = [&] { return style_.all || shown++ < most_members_of_finding; };
        for (const std::uint32_t coroutine : finding.coroutines) {
            if (!may_show()) break;
            const std::uint32_t task = dump_.task_of[coroutine];
            writer_.begin_line(4);
            if (task != no_index) writer_.add(fmt::format("task {}: ", task + 1));
            write_coroutine(coroutine, 0);
        }
        for (const std::int32_t tid : finding.threads) {
            if (!may_show()) break;
            const auto thread = std::find_if(dump_.threads.begin(), dump_.threads.end(),
                                             [&](const Thread& candidate) { return candidate.tid == tid; });
            std::string words = fmt::format("thread {}", tid);
            if (thread != dump_.threads.end() && !thread->name.empty()) {
                words += fmt::format(" \"{}\"", printed(thread->name));
            }
            writer_.line(4, words);
        }
        if (!style_.all && count > most_members_of_finding) {
            writer_.line(4, fmt::format("and {} more", grouped_digits(count - most_members_of_finding)));
        }
    }

    /// The rest of a line: one coroutine by itself.
    void write_coroutine(std::uint32_t coroutine, std::size_t place_column) {
        writer_.add(text_.function(coroutine), Paint::function);
        writer_.pad_to(place_column);
        writer_.add(text_.place(coroutine), Paint::location);
        const bool awaits = !dump_.awaits.of(coroutine).empty();
        const bool state_known = dump_.observed.coroutines[coroutine].state != CoroutineState::unknown;
        if (const auto words = text_.state(coroutine); state_known && !words.empty())
            writer_.add_part(", ", words);
        if (const auto words = text_.awaiting(coroutine, awaits, false); !words.empty()) {
            writer_.add_part(", ", words);
        }
        writer_.end_line();
    }

    void write_tasks() {
        TaskTreeBuilder trees(dump_, style_.internal);
        TreeText tree_text(dump_, text_, writer_);
        std::uint32_t selected = 0;
        for (std::uint32_t task = 0; task < dump_.tasks.size(); ++task) selected += selection_.has_task(task);
        if (selected == 0) {
            write_no_tasks();
            return;
        }
        std::string heading = fmt::format("TASKS: {}", grouped_digits(selected));
        if (selected != dump_.tasks.size())
            heading += fmt::format(" of {}", grouped_digits(dump_.tasks.size()));

        if (style_.all) {
            writer_.line(0, heading, Paint::heading);
            for (std::uint32_t task = 0; task < dump_.tasks.size(); ++task) {
                if (!selection_.has_task(task)) continue;
                write_task_heading(task, 1);
                tree_text.write_all(task, trees.build(task));
            }
            writer_.blank_line();
            return;
        }
        TreeClasses classes(dump_, text_);
        auto groups = group_tasks(dump_, selection_, trees, classes);
        if (groups.size() != selected) {
            heading += fmt::format(", of {}; equal ones are shown once (--all shows each)",
                                   counted(groups.size(), "kind"));
        }
        writer_.line(0, heading, Paint::heading);
        for (auto& group : groups) {
            write_task_heading(group.example, group.count);
            TaskTree& tree = trees.build(group.example);
            classes.classify(tree);
            tree_text.write_short(group.example, tree, std::move(group.equality), group.count > 1);
        }
        writer_.blank_line();
    }

    void write_no_tasks() {
        if (selection_.narrows_tasks() && !dump_.tasks.empty()) {
            writer_.line(0, fmt::format("TASKS: none of {} matches", grouped_digits(dump_.tasks.size())),
                         Paint::heading);
        } else {
            writer_.line(0, "TASKS: none", Paint::heading);
            writer_.line(
                2, dump_.problems.empty()
                       ? "No live coroutine was found in this process."
                       : "No live coroutine was found in this process; the problems at the end may say why.");
        }
        writer_.blank_line();
    }

    /// Where a library's own coroutine is folded, the first one of the program stands for the task: who
    /// called co_spawn made that one, and the library made the other.
    std::uint32_t shown_root(std::uint32_t task) const {
        const Task& shown = dump_.tasks[task];
        for (std::uint32_t i = 0; i < shown.member_count && !style_.internal; ++i) {
            const std::uint32_t member = dump_.task_members[shown.first_member + i];
            const std::uint32_t function = dump_.observed.coroutines[member].function;
            if (function != no_index && !dump_.observed.functions[function].internal) return member;
        }
        return shown.root;
    }

    void write_task_heading(std::uint32_t task, std::uint32_t count) {
        writer_.blank_line();
        writer_.begin_line(0);
        if (count > 1) {
            writer_.add(fmt::format("{} {} ", grouped_digits(count), writer_.times()), Paint::heading);
        }
        writer_.add(fmt::format("task {}", task + 1), Paint::heading);
        const auto& name = dump_.tasks[task].name;
        if (!name.empty()) writer_.add(fmt::format(" \"{}\"", printed(name)), Paint::heading);
        const std::string creation = text_.creation(shown_root(task));
        if (count > 1) writer_.add_part(" ", fmt::format("and {} like it", grouped_digits(count - 1)));
        if (!creation.empty())
            writer_.add_part(", ", (count > 1 ? fmt::format("task {} ", task + 1) : "") + creation);
        writer_.end_line();
    }

    /// Frames that stand apart from the trees; equal ones on one line.
    void write_apart() {
        struct Group {
            std::uint32_t example;
            std::uint32_t count;
        };
        std::vector<Group> groups;
        std::unordered_map<std::uint32_t, std::size_t> group_of_class;
        std::optional<TreeClasses> classes;
        std::size_t total = 0;
        for (std::uint32_t coroutine = 0; coroutine < dump_.observed.coroutines.size(); ++coroutine) {
            if (dump_.task_of[coroutine] != no_index || !selection_.has_coroutine(coroutine)) continue;
            ++total;
            if (!style_.all) {
                if (!classes) classes.emplace(dump_, text_);
                const auto [entry, is_new] =
                    group_of_class.try_emplace(classes->class_of(coroutine), groups.size());
                if (!is_new) {
                    ++groups[entry->second].count;
                    continue;
                }
            }
            groups.push_back({coroutine, 1});
        }
        if (groups.empty()) return;
        std::stable_sort(groups.begin(), groups.end(),
                         [](const Group& a, const Group& b) { return a.count > b.count; });
        writer_.line(0, fmt::format("FRAMES THAT NOTHING REFERS TO: {}", grouped_digits(total)),
                     Paint::heading);
        writer_.line(2, "They may be what is left of destroyed coroutines: their content cannot tell.",
                     Paint::quiet);
        for (const auto& group : groups) {
            writer_.begin_line(2);
            if (group.count > 1) {
                writer_.add(fmt::format("{} {} ", grouped_digits(group.count), writer_.times()),
                            Paint::heading);
            }
            write_coroutine(group.example, 0);
        }
        writer_.blank_line();
    }

    void write_problems() {
        const auto hiding = std::count_if(dump_.problems.begin(), dump_.problems.end(),
                                          [](const Problem& problem) { return problem.may_hide; });
        writer_.line(0, fmt::format("PROBLEMS: {}", grouped_digits(dump_.problems.size())), Paint::heading);
        if (hiding != 0)
            writer_.line(2, "Because of those marked ! something may be missing above.", Paint::quiet);
        for (const bool may_hide : {true, false}) {
            for (const auto& problem : dump_.problems) {
                if (problem.may_hide == may_hide) write_problem(problem);
            }
        }
    }

    void write_problem(const Problem& problem) {
        writer_.begin_line(2);
        writer_.add(problem.may_hide ? "! " : "- ", Paint::warning);
        // Most messages name their subject already.
        const bool named =
            problem.subject.empty() || problem.message.find(problem.subject) != std::string::npos;
        if (!named) writer_.add(printed(problem.subject) + ": ");
        writer_.add_sentence(printed(problem.message));
        writer_.end_line();
    }

    const Dump& dump_;
    const ReportFilter& filter_;
    const TextStyle& style_;
    TextWriter writer_;
    Selection selection_;
    CoroutineText text_;
};

}  // namespace

void write_text(const Dump& dump, const ReportFilter& filter, const TextStyle& style, const Output& output) {
    TextReport(dump, filter, style, output).write();
}

}  // namespace asyncdump

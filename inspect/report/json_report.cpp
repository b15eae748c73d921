#include <fmt/format.h>

#include "report/json_writer.h"
#include "report/selection.h"
#include "report/words.h"

namespace asyncdump {
namespace {

/// Ids of tasks count from 1, so that 0 never looks like one.
std::uint64_t task_id(std::uint32_t index) {
    return std::uint64_t{index} + 1;
}

class JsonReport {
  public:
    JsonReport(const Dump& dump, const ReportFilter& filter, const Output& output)
        : dump_(dump), filter_(filter), selection_(dump, filter), json_(output) {}

    void write() {
        json_.begin_object();
        json_.break_line();
        json_.key("schema").string("asyncdump.dump/1");
        json_.break_line();
        write_tool();
        json_.break_line();
        write_target();
        json_.break_line();
        write_capture();
        json_.break_line();
        write_list("tasks", filter_.tasks ? dump_.tasks.size() : 0, [&](std::uint32_t task) {
            if (selection_.has_task(task)) write_task(task);
        });
        write_list("coroutines", filter_.tasks ? dump_.observed.coroutines.size() : 0,
                   [&](std::uint32_t coroutine) {
                       if (selection_.has_coroutine(coroutine)) write_coroutine(coroutine);
                   });
        write_list("threads", filter_.threads ? dump_.threads.size() : 0, [&](std::uint32_t thread) {
            if (selection_.has_thread(dump_.threads[thread])) write_thread(dump_.threads[thread]);
        });
        write_list("findings", dump_.findings.size(),
                   [&](std::uint32_t finding) { write_finding(dump_.findings[finding]); });
        write_list("problems", dump_.problems.size(),
                   [&](std::uint32_t problem) { write_problem(dump_.problems[problem]); });
        json_.end_object();
        json_.finish();
    }

  private:
    /// One element a line; `write_element` may leave an element out.
    template <class WriteElement>
    void write_list(std::string_view name, std::size_t count, const WriteElement& write_element) {
        json_.key(name).begin_array();
        for (std::uint32_t index = 0; index < count; ++index) {
            json_.break_line();
            write_element(index);
        }
        json_.end_array();
        json_.break_line();
    }

    void write_tool() {
        json_.key("tool").begin_object();
        json_.key("name").string("asyncdump");
        json_.key("version").string(ASYNCDUMP_VERSION);
        json_.end_object();
    }

    void write_target() {
        const auto& target = dump_.target;
        json_.key("target").begin_object();
        json_.key("kind").string(target.is_core ? "core" : "live");
        json_.key("pid").number(target.pid);
        json_.key("exe").string_or_null(target.executable);
        json_.key("command").begin_array();
        for (const auto& argument : target.command) json_.string(argument);
        json_.end_array();
        json_.end_object();
    }

    void write_capture() {
        const auto& capture = dump_.capture;
        json_.key("capture").begin_object();
        json_.key("at").time(capture.at);
        json_.key("pause_us").number(std::int64_t{capture.pause.count()});
        json_.key("total_ms").number(std::int64_t{capture.total.count()});
        write_sources("sources", capture.used_registry, capture.used_scan);
        json_.key("bytes_scanned").number(capture.bytes_scanned);
        json_.key("bytes_copied").number(capture.bytes_copied);
        json_.key("complete").boolean(capture.complete);
        json_.end_object();
    }

    void write_sources(std::string_view name, bool registry, bool scan) {
        json_.key(name).begin_array();
        if (registry) json_.string("registry");
        if (scan) json_.string("scan");
        json_.end_array();
    }

    void write_id(std::uint32_t coroutine) {
        if (coroutine == no_index) {
            json_.null();
        } else {
            json_.address(dump_.observed.coroutines[coroutine].address);
        }
    }

    template <class Ids>
    void write_ids(std::string_view name, const Ids& coroutines) {
        json_.key(name).begin_array();
        for (const std::uint32_t coroutine : coroutines) write_id(coroutine);
        json_.end_array();
    }

    void write_task(std::uint32_t index) {
        const Task& task = dump_.tasks[index];
        json_.begin_object();
        json_.key("id").number(task_id(index));
        json_.key("name").string_or_null(task.name);
        json_.key("root");
        write_id(task.root);
        json_.key("coroutines").number(task.member_count);
        json_.key("state").string(word_for(task.state));
        json_.end_object();
    }

    /// null without a file or a line: compilers give line 0 to code that belongs to no line.
    void write_location(std::string_view name, const SourceLocation* location) {
        json_.key(name);
        if (!location || location->file.empty() || location->line == 0) {
            json_.null();
            return;
        }
        json_.begin_object();
        json_.key("file").string(location->file);
        json_.key("line").number(location->line);
        json_.key("column").number_or_null(location->column);
        json_.key("exact").boolean(location->exact);
        json_.end_object();
    }

    void write_coroutine(std::uint32_t index) {
        const Observation& observed = dump_.observed;
        const ObservedCoroutine& coroutine = observed.coroutines[index];
        const CoroutineFunction* const function =
            coroutine.function == no_index ? nullptr : &observed.functions[coroutine.function];
        const std::uint32_t task = dump_.task_of[index];
        static const CoroutineDetails no_details;

        json_.begin_object();
        json_.key("id").address(coroutine.address);
        json_.key("task");
        if (task == no_index) {
            json_.null();
        } else {
            json_.number(task_id(task));
        }
        json_.key("runtime").string(observed.runtime);
        json_.key("function").string_or_null(function ? function->name : "");
        json_.key("symbol").string_or_null(function ? function->symbol : "");
        json_.key("state").string(word_for(coroutine.state));
        write_location("suspended_at", coroutine.suspended_at == no_index
                                           ? nullptr
                                           : &observed.locations[coroutine.suspended_at]);
        write_location("declared_at", function && function->declared_at ? &*function->declared_at : nullptr);
        json_.key("awaiting");
        if (coroutine.awaiting == no_index) {
            json_.null();
        } else {
            write_awaiting(observed.awaitings[coroutine.awaiting],
                           coroutine.details == no_index ? no_details : observed.details[coroutine.details]);
        }
        write_ids("awaits", dump_.awaits.of(index));
        write_ids("awaited_by", dump_.awaited_by.of(index));
        json_.key("thread").number_or_null(coroutine.thread);
        write_sources("found_by", coroutine.found_by_registry, coroutine.found_by_scan);
        json_.key("internal").boolean(function && function->internal);
        json_.key("frame_bytes").number_or_null(coroutine.frame_bytes);
        write_name(coroutine);
        write_details(coroutine.details == no_index ? no_details : observed.details[coroutine.details]);
        json_.end_object();
    }

    void write_name(const ObservedCoroutine& coroutine) {
        const Observation& observed = dump_.observed;
        const std::uint32_t index =
            coroutine.details == no_index ? no_index : observed.details[coroutine.details].name;
        static const CoroutineName unnamed;
        const CoroutineName& name = index == no_index ? unnamed : observed.names[index];
        json_.key("name").string_or_null(name.name);
        json_.key("label").string_or_null(name.label);
    }

    void write_awaiting(const Awaiting& awaiting, const CoroutineDetails& details) {
        json_.begin_object();
        json_.key("kind").string(word_for(awaiting.kind));
        json_.key("type").string_or_null(awaiting.type);
        json_.key("summary").string_or_null(awaiting.summary);
        write_variables("fields", details.awaiter);
        json_.end_object();
    }

    void write_details(const CoroutineDetails& details) {
        json_.key("created");
        if (details.created) {
            write_creation(*details.created);
        } else {
            json_.null();
        }
        write_variables("variables", details.variables);
        json_.key("problems").begin_array();
        for (const auto& problem : details.problems) write_problem(problem);
        if (details.variables_left_out != 0) {
            write_problem({"more_variables",
                           fmt::format("{} more parameters and locals are alive, and are left out",
                                       details.variables_left_out),
                           "", false});
        }
        json_.end_array();
    }

    void write_variables(std::string_view name, const std::vector<Variable>& variables) {
        json_.key(name).begin_array();
        for (const auto& variable : variables) {
            json_.begin_object();
            json_.key("name").string(variable.name);
            json_.key("type").string(variable.type);
            json_.key("value").string(variable.value);
            json_.key("parameter").boolean(variable.parameter);
            json_.end_object();
        }
        json_.end_array();
    }

    void write_creation(const Creation& creation) {
        json_.begin_object();
        json_.key("at").time(creation.at);
        json_.key("age_ms").number(creation.age_ms);
        json_.key("thread").number_or_null(creation.thread);
        json_.key("stack").begin_array();
        if (creation.stack != no_index) {
            for (const auto& position : dump_.observed.creation_stacks[creation.stack])
                write_stack_frame(position, no_index, {});
        }
        json_.end_array();
        json_.key("or_later").boolean(creation.or_later);
        json_.key("under").begin_array();
        if (creation.scopes != no_index)
            for (const auto& scope : dump_.observed.scopes[creation.scopes]) json_.string(scope);
        json_.end_array();
        json_.end_object();
    }

    void write_stack_frame(const StackPosition& position, std::uint32_t coroutine,
                           const std::vector<Variable>& variables) {
        json_.begin_object();
        json_.key("pc").address(position.pc);
        json_.key("function").string(position.function);
        json_.key("file").string_or_null(position.file);
        json_.key("line").number_or_null(position.line);
        json_.key("module").string(position.module);
        json_.key("inlined").boolean(position.inlined);
        json_.key("coroutine");
        write_id(coroutine);
        write_variables("variables", variables);
        json_.end_object();
    }

    void write_thread(const Thread& thread) {
        json_.begin_object();
        json_.key("tid").number(thread.tid);
        json_.key("name").string_or_null(thread.name);
        json_.key("state").string(thread.state.empty() ? "unknown" : thread.state);
        json_.key("syscall").string_or_null(thread.system_call);
        json_.key("waiting_for");
        if (thread.waiting_for) {
            write_thread_wait(*thread.waiting_for);
        } else {
            json_.null();
        }
        json_.key("frames").begin_array();
        for (const auto& frame : thread.frames) write_stack_frame(frame, frame.coroutine, frame.variables);
        json_.end_array();
        json_.key("problems").begin_array();
        for (const auto& problem : thread.problems) write_problem(problem);
        json_.end_array();
        json_.end_object();
    }

    void write_thread_wait(const ThreadWait& wait) {
        json_.begin_object();
        json_.key("kind").string(wait.kind);
        json_.key("address");
        if (wait.address.is_null()) {
            json_.null();
        } else {
            json_.address(wait.address);
        }
        json_.key("owner").number_or_null(wait.owner);
        json_.key("summary").string_or_null(wait.summary);
        json_.end_object();
    }

    void write_finding(const Finding& finding) {
        json_.begin_object();
        json_.key("kind").string(finding.kind);
        json_.key("severity").string(finding.is_error ? "error" : "warning");
        json_.key("summary").string(finding.summary);
        write_ids("coroutines", finding.coroutines);
        json_.key("threads").begin_array();
        for (const std::int32_t thread : finding.threads) json_.number(thread);
        json_.end_array();
        json_.key("evidence").begin_array();
        for (const std::string& sentence : finding.evidence) json_.string(sentence);
        json_.end_array();
        json_.end_object();
    }

    void write_problem(const Problem& problem) {
        json_.begin_object();
        json_.key("code").string(problem.code);
        json_.key("message").string(problem.message);
        json_.key("subject").string_or_null(problem.subject);
        json_.end_object();
    }

    const Dump& dump_;
    const ReportFilter& filter_;
    Selection selection_;
    JsonWriter json_;
};

}  // namespace

void write_json(const Dump& dump, const ReportFilter& filter, const Output& output) {
    JsonReport(dump, filter, output).write();
}

}  // namespace asyncdump

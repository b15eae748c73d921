#include "cli/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <unordered_map>

#include "cli/creation.h"
#include "cli/hidden_coroutines.h"
#include "graph/await_graph.h"
#include "graph/findings/findings.h"
#include "modules/memory_with_files.h"
#include "modules/symbolizer.h"
#include "modules/unwinder.h"
#include "process/descriptors.h"
#include "process/event_sources.h"
#include "process/kernel_words.h"
#include "process/live_memory.h"
#include "process/namespaces.h"
#include "process/resident_pages.h"
#include "runtimes/cpp20/frame_variables.h"
#include "runtimes/native/thread_wait.h"
#include "values/stack_variables.h"

namespace asyncdump {
namespace {

/// Of one stack, innermost first: enough for a person, and bounded for runaway recursion.
constexpr std::uint32_t most_frames_with_variables = 256;

std::string_view name_of(ThreadState state) {
    switch (state) {
        case ThreadState::running:
            return "running";
        case ThreadState::sleeping:
            return "sleeping";
        case ThreadState::disk:
            return "disk";
        case ThreadState::stopped:
            return "stopped";
        case ThreadState::zombie:
            return "zombie";
        case ThreadState::unknown:
            break;
    }
    return "unknown";
}

const ThreadInfo* find_info(const Snapshot& snapshot, pid_t tid) {
    const auto found = std::ranges::find(snapshot.threads, tid, &ThreadInfo::tid);
    return found == snapshot.threads.end() ? nullptr : &*found;
}

/// Whether no thread of the target ran between two looks at it. `slack` is what the end of our stop costs
/// each thread; one that ran for less than that is not noticed.
bool has_not_run(const std::vector<ThreadInfo>& before, const std::vector<ThreadInfo>& after,
                 std::chrono::nanoseconds slack) {
    if (before.size() != after.size()) return false;
    for (std::size_t i = 0; i < before.size(); ++i) {
        const auto ran = static_cast<std::int64_t>(after[i].run_time_ns - before[i].run_time_ns);
        if (before[i].tid != after[i].tid || ran > slack.count()) return false;
        if (slack.count() == 0 && before[i].context_switches != after[i].context_switches) return false;
    }
    return true;
}

/// The native frames of one thread with the calls inlined into them. `running` are the thread's own.
std::vector<ThreadFrame> describe_stack(const UnwoundStack& stack, Symbolizer& symbolizer,
                                        const std::unordered_multimap<std::uint32_t, RunningFrame>& running,
                                        StackVariables& variables, StackValues wanted) {
    std::vector<ThreadFrame> frames;
    for (std::uint32_t i = 0; i < stack.frames.size(); ++i) {
        const auto& positions = symbolizer.at(stack.frames[i].pc, stack.frames[i].is_return_address);
        std::vector<std::vector<Variable>> values(positions.size());
        const bool is_wanted = wanted == StackValues::all ||
                               (wanted == StackValues::of_running_coroutines && running.contains(i));
        if (is_wanted && i < most_frames_with_variables) {
            std::vector<unsigned> lines;
            for (const CodePosition& position : positions) lines.push_back(position.line);
            values = variables.of(stack.frames[i], lines);
        }
        for (std::size_t inlined = 0; inlined < positions.size(); ++inlined) {
            const CodePosition& position = positions[inlined];
            ThreadFrame frame;
            frame.pc = stack.frames[i].pc;
            frame.function = position.function;
            frame.file = position.file;
            frame.line = position.line;
            frame.module = position.module;
            frame.inlined = position.inlined;
            for (Variable& value : values[inlined]) {
                if (!cpp20::FrameVariables::is_compilers_own(value.name))
                    frame.variables.push_back(std::move(value));
            }
            frames.push_back(std::move(frame));
        }
        // The function itself is the outermost of the positions.
        const auto [first, last] = running.equal_range(i);
        for (auto found = first; found != last; ++found) {
            const std::uint32_t inlined = found->second.inlined;
            if (inlined < positions.size())
                frames[frames.size() - 1 - inlined].coroutine = found->second.coroutine;
        }
    }
    return frames;
}

/// What a coroutine that runs has its variables in is the stack, not what it wrote into its frame when it was
/// suspended.
void give_values_to_running(const std::vector<ThreadFrame>& frames, Observation& observed) {
    for (const ThreadFrame& frame : frames) {
        if (frame.coroutine == no_index || frame.variables.empty()) continue;
        std::uint32_t& details = observed.coroutines[frame.coroutine].details;
        if (details == no_index) {
            details = static_cast<std::uint32_t>(observed.details.size());
            observed.details.emplace_back();
        }
        if (observed.details[details].variables.empty())
            observed.details[details].variables = frame.variables;
    }
}

/// What the threads wait for. Descriptors are looked up now, after the target went on: for a thread that
/// still waits they are what they were.
class ThreadWaits {
  public:
    ThreadWaits(const Snapshot& snapshot, std::function<std::string(int)> describe_descriptor)
        : snapshot_(snapshot), describe_descriptor_(std::move(describe_descriptor)) {}

    void describe(const StoppedThread& stopped, Thread& thread) const {
        std::vector<std::string_view> functions;
        functions.reserve(thread.frames.size());
        for (const ThreadFrame& frame : thread.frames) functions.emplace_back(frame.function);
        const std::int64_t call = blocked_call(stopped.registers, functions);
        if (call >= 0) thread.system_call = system_call_name(call);
        const WaitSurroundings surroundings{
            snapshot_.memory, describe_descriptor_, [&](std::int32_t tid) -> std::optional<std::string> {
                const auto found = std::ranges::find(snapshot_.stopped, tid, &StoppedThread::tid);
                if (found == snapshot_.stopped.end()) return std::nullopt;
                const ThreadInfo* info = find_info(snapshot_, tid);
                return info == nullptr ? "" : info->name;
            }};
        thread.waiting_for = describe_wait(stopped.registers, functions, surroundings);
        if (thread.waiting_for && is_shared(*thread.waiting_for)) {
            thread.waiting_for->from_outside = true;
            thread.waiting_for->summary += ", which other processes may share";
        }
    }

  private:
    bool is_shared(const ThreadWait& wait) const {
        const Mapping* const mapping = snapshot_.map.find(wait.address);
        return mapping != nullptr && mapping->shared;
    }

    const Snapshot& snapshot_;
    std::function<std::string(int)> describe_descriptor_;
};

/// Coroutines by their frames' addresses, functions by their code.
ValueNames names_for_values(const Dump& dump, const ModuleSet& modules, const NameStyle& style) {
    ValueNames names;
    names.coroutine = [&dump](RemoteAddress address) -> std::string {
        const auto& coroutines = dump.observed.coroutines;
        const auto found = std::ranges::lower_bound(coroutines, address, {}, &ObservedCoroutine::address);
        const bool is_known =
            found != coroutines.end() && found->address == address && found->function != no_index;
        return is_known ? dump.observed.functions[found->function].name : "";
    };
    names.function = [&modules, style](RemoteAddress address) {
        return function_name(modules, address, style);
    };
    return names;
}

void set_wait_kinds(Dump& dump) {
    // A coroutine that awaits others waits for them, whatever the awaiter's type.
    std::unordered_map<std::string, std::uint32_t> known;
    for (std::uint32_t i = 0; i < dump.observed.coroutines.size(); ++i) {
        ObservedCoroutine& coroutine = dump.observed.coroutines[i];
        if (coroutine.state != CoroutineState::suspended || dump.awaits.of(i).empty()) continue;
        const std::string type =
            coroutine.awaiting == no_index ? "" : dump.observed.awaitings[coroutine.awaiting].type;
        const auto [entry, is_new] =
            known.try_emplace(type, static_cast<std::uint32_t>(dump.observed.awaitings.size()));
        if (is_new) dump.observed.awaitings.push_back({WaitKind::coroutine, type, ""});
        coroutine.awaiting = entry->second;
    }
}

/// Coroutines of which nothing was found that holds them are looked for once more, in places that would take
/// too long to search for all.
void look_for_hidden_holds(Dump& dump, const Snapshot& snapshot, const Memory& anchors,
                           const LiveMemory& live, const cpp20::Cpp20Runtime& runtime) {
    const std::vector<std::uint32_t> lost = unwakeable_coroutines(dump);
    if (lost.empty()) return;
    constexpr std::uint32_t both_pointers = 16;
    struct Sought {
        AddressRange range;
        std::vector<std::uint32_t> coroutines;
    };
    std::map<RemoteAddress, Sought> sought;  // frames, and objects by which alone some are held
    const auto seek = [&sought](const AddressRange& range, std::uint32_t coroutine) {
        Sought& each = sought[range.begin];
        each.range = range;
        each.coroutines.push_back(coroutine);
    };
    for (const std::uint32_t coroutine : lost) {
        const ObservedCoroutine& observed = dump.observed.coroutines[coroutine];
        const std::uint32_t bytes = std::max(observed.frame_bytes, both_pointers);
        seek({observed.address, observed.address + bytes}, coroutine);
    }
    for (const HoldByObjects& hold : dump.observed.holds_by_objects) {
        if (!std::ranges::binary_search(lost, hold.coroutine)) continue;
        for (const AddressRange& object : hold.objects) seek(object, hold.coroutine);
    }
    std::vector<AddressRange> ranges;
    for (const auto& [begin, each] : sought) ranges.push_back(each.range);
    std::vector<AddressRange> read_only;
    for (const Mapping& mapping : snapshot.map.mappings()) {
        if (mapping.readable && !mapping.writable && !mapping.path.starts_with("[v"))
            read_only.push_back(mapping.range);
    }
    read_only = resident_parts(snapshot.process.pid, read_only);
    for (const auto& sources : {cpp20::HiddenHoldSources{anchors, snapshot.anchor_ranges},
                                cpp20::HiddenHoldSources{live, read_only, true}}) {
        const std::vector<bool> found = runtime.find_hidden_holds(sources, ranges);
        std::size_t i = 0;
        for (const auto& [begin, each] : sought) {
            if (!found[i++]) continue;
            for (const std::uint32_t coroutine : each.coroutines)
                dump.observed.coroutines[coroutine].held = Hold::unknown;
        }
    }
    if (dump.observed.holds_uncertain.empty() && has_unread_bytes(snapshot.process.pid))
        dump.observed.holds_uncertain =
            "a pipe or local socket of the target holds bytes that nobody has read yet: there may be a "
            "pointer "
            "to it";
}

}  // namespace

Dump explain(const Snapshot& snapshot, const LiveMemory& live, const ModuleSet& modules,
             cpp20::Cpp20Runtime& runtime, const NameStyle& names, StackValues stack_values,
             const AgentRegistry* registry) {
    Dump dump;
    dump.target = {snapshot.process.pid, snapshot.process.executable, snapshot.process.command};
    dump.capture.at = snapshot.at;
    dump.capture.pause = snapshot.pause;
    dump.capture.used_scan = snapshot.scanned;
    dump.capture.used_registry = registry != nullptr;
    dump.capture.bytes_scanned = snapshot.bytes_scanned;
    dump.capture.bytes_copied = snapshot.bytes_copied;

    Unwinder unwinder(modules, snapshot.memory);
    std::vector<UnwoundStack> stacks;
    stacks.reserve(snapshot.stopped.size());
    for (const StoppedThread& thread : snapshot.stopped) stacks.push_back(unwinder.unwind(thread.registers));
    std::vector<cpp20::ThreadStack> views;
    for (std::size_t i = 0; i < stacks.size(); ++i) views.push_back({snapshot.stopped[i].tid, &stacks[i]});

    const Memory& anchors =
        snapshot.whole ? static_cast<const Memory&>(snapshot.memory) : static_cast<const Memory&>(live);
    Descriptors descriptors(snapshot.process.pid);
    std::unordered_map<int, std::string> described;
    const auto describe_descriptor = [&](int descriptor) {
        const auto [entry, is_new] = described.try_emplace(descriptor);
        if (is_new) entry->second = descriptors.describe(descriptor);
        return entry->second;
    };
    std::vector<RemoteAddress> thread_pointers;
    for (const StoppedThread& thread : snapshot.stopped)
        thread_pointers.push_back(thread.registers.thread_pointer);
    const KernelWords kernel = read_kernel_words(snapshot.process.pid);
    const auto threads_after_stop = read_threads(snapshot.process.pid);
    const auto has_rested = [&] {
        if (snapshot.whole) return true;
        const auto threads = read_threads(snapshot.process.pid);
        return threads && threads_after_stop &&
               has_not_run(snapshot.threads, *threads_after_stop, std::chrono::microseconds(200)) &&
               has_not_run(*threads_after_stop, *threads, std::chrono::nanoseconds(0));
    };
    using std::chrono::nanoseconds;
    const cpp20::ClockReadings now{(snapshot.monotonic + monotonic_offset(snapshot.process.pid)).count(),
                                   nanoseconds(snapshot.at.time_since_epoch()).count()};
    const UntouchedPages untouched(snapshot.process.pid, snapshot.map, snapshot.resident);
    dump.observed =
        runtime.observe(snapshot.memory, snapshot.frames,
                        {snapshot.map, views, snapshot.stack_mappings, &anchors, snapshot.anchor_ranges,
                         thread_pointers, now, describe_descriptor, kernel.words, has_rested, &untouched});
    dump.observed.holds_uncertain = kernel.unreadable;
    Symbolizer symbolizer(modules, names);
    if (registry != nullptr) {
        // Frames on stacks are found by looking there.
        const auto& coroutines = dump.observed.coroutines;
        dump.capture.used_scan |= std::ranges::any_of(coroutines, &ObservedCoroutine::found_by_scan);
        add_creation(dump, snapshot, *registry, anchors, runtime.catalog(), modules, symbolizer);
    }
    build_tasks(dump);
    name_tasks(dump);
    set_wait_kinds(dump);
    look_for_hidden_holds(dump, snapshot, anchors, live, runtime);

    const ThreadWaits waits(snapshot, describe_descriptor);
    const MemoryWithFiles value_memory(snapshot.memory, modules, &untouched);
    const ValueNames value_names = names_for_values(dump, modules, names);
    StackVariables variables(modules, runtime.types(), value_memory, value_names);
    for (std::size_t i = 0; i < stacks.size(); ++i) {
        const StoppedThread& stopped = snapshot.stopped[i];
        Thread thread;
        thread.tid = stopped.tid;
        thread.state = "unknown";
        if (const ThreadInfo* info = find_info(snapshot, stopped.tid)) {
            thread.name = info->name;
            thread.state = name_of(stopped.in_group_stop ? ThreadState::stopped : info->state);
        }
        std::unordered_multimap<std::uint32_t, RunningFrame> running;
        for (const RunningFrame& frame : dump.observed.running) {
            if (frame.thread == stopped.tid) running.emplace(frame.stack_frame, frame);
        }
        thread.frames = describe_stack(stacks[i], symbolizer, running, variables, stack_values);
        give_values_to_running(thread.frames, dump.observed);
        waits.describe(stopped, thread);
        if (!stacks[i].truncated.empty()) {
            thread.problems.push_back({"truncated_stack", stacks[i].truncated, "", false});
        }
        dump.threads.push_back(std::move(thread));
    }

    dump.events_from_outside = read_event_sources(snapshot.process.pid);
    dump.findings = find_all(dump);

    dump.problems = snapshot.problems;
    for (Problem& problem : dump.observed.problems) dump.problems.push_back(std::move(problem));
    dump.observed.problems.clear();
    for (Problem& problem : modules.problems()) {
        // Our own agent: that it was stripped is nobody's loss.
        if (registry != nullptr && problem.subject == registry->module_name()) continue;
        if (problem.code == "missing_symbols") {
            const HiddenCoroutines hidden = hidden_by_stripping(modules, problem.subject);
            if (hidden == HiddenCoroutines::unlikely) continue;
            problem.may_hide = hidden == HiddenCoroutines::of_the_program;
        }
        dump.problems.push_back(std::move(problem));
    }
    dump.capture.complete = std::ranges::none_of(dump.problems, &Problem::may_hide);
    return dump;
}

}  // namespace asyncdump

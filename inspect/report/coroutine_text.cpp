#include "report/coroutine_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/function_name.h"
#include "report/text_writer.h"
#include "report/words.h"

namespace asyncdump {
namespace {

constexpr std::size_t most_variables = 20;
constexpr std::size_t most_value_bytes = 80;
constexpr std::size_t most_creation_frames = 3;

std::string_view thing_awaited(WaitKind kind) {
    switch (kind) {
        case WaitKind::coroutine:
            return "a coroutine that was not found";
        case WaitKind::timer:
            return "a timer";
        case WaitKind::io:
            return "input or output";
        case WaitKind::lock:
            return "a lock";
        case WaitKind::channel:
            return "a channel";
        case WaitKind::other:
        case WaitKind::unknown:
            break;
    }
    return "";
}

/// Of the standard library, Boost or the C library: between the one who creates a coroutine and the
/// coroutine.
bool is_library_function(std::string_view function) {
    for (const std::string_view prefix :
         {"std::", "boost::", "boost_asio_", "asio::", "__gnu_cxx::", "operator new", "__"})
        if (function.starts_with(prefix)) return true;
    return function == "_start" || function == "clone" || function == "clone3" || function == "start_thread";
}

}  // namespace

CoroutineText::CoroutineText(const Dump& dump, const TextStyle& style)
    : dump_(dump), style_(style), sources_(dump, style.unicode) {
    functions_.reserve(dump.observed.functions.size() + 1);
    for (const auto& function : dump.observed.functions) {
        FunctionText entry;
        entry.name = text(function.name.empty() ? function.symbol : function.name);
        if (entry.name.empty()) entry.name = "(unknown function)";
        entry.columns = columns(entry.name);
        if (function.declared_at) entry.declared_at = location(*function.declared_at, "declared at ");
        functions_.push_back(std::move(entry));
    }
    const std::string_view unknown = "(unknown function)";
    functions_.push_back({std::string(unknown), unknown.size(), ""});

    locations_.reserve(dump.observed.locations.size());
    for (const auto& place : dump.observed.locations) locations_.push_back(location(place, "at "));

    for (const bool errors : {true, false}) {
        for (std::uint32_t finding = 0; finding < dump.findings.size(); ++finding) {
            if (dump.findings[finding].is_error != errors) continue;
            const auto place = static_cast<std::uint32_t>(findings_.size());
            for (const auto coroutine : dump.findings[finding].coroutines)
                finding_of_.try_emplace(coroutine, place);
            findings_.push_back(finding);
        }
    }

    for (const auto& thread : dump.threads) {
        for (const auto& frame : thread.frames) {
            if (frame.coroutine == no_index || frame.file.empty() || frame.line == 0) continue;
            running_at_.try_emplace(frame.coroutine, "at " + sources_.position(frame.file, frame.line));
        }
    }
}

std::string CoroutineText::text(std::string_view from_target) const {
    return printable(from_target, style_.unicode);
}

std::string CoroutineText::location(const SourceLocation& location, std::string_view exactly) const {
    const std::string position = sources_.position(location.file, location.line);
    if (location.exact) return fmt::format("{}{}", exactly, position);
    if (location.resumes_at_line == 0) return "near " + position;
    return fmt::format("near {}, resumes at {}", position, location.resumes_at_line);
}

const std::string& CoroutineText::function(std::uint32_t coroutine) const {
    const std::uint32_t function = dump_.observed.coroutines[coroutine].function;
    return function == no_index ? functions_.back().name : functions_[function].name;
}

std::size_t CoroutineText::function_columns(std::uint32_t coroutine) const {
    const std::uint32_t function = dump_.observed.coroutines[coroutine].function;
    return function == no_index ? functions_.back().columns : functions_[function].columns;
}

std::string CoroutineText::place(std::uint32_t coroutine) const {
    const auto& observed = dump_.observed.coroutines[coroutine];
    if (observed.state == CoroutineState::running) {
        const auto running = running_at_.find(coroutine);
        if (running != running_at_.end()) return running->second;
    }
    // Of a coroutine that runs, the place where it was last suspended would only mislead.
    if (observed.suspended_at != no_index && observed.state != CoroutineState::running) {
        const std::string& location = locations_[observed.suspended_at];
        return observed.at_yield ? "yielded " + location : location;
    }
    if (observed.function != no_index && !functions_[observed.function].declared_at.empty()) {
        return functions_[observed.function].declared_at;
    }
    return fmt::format("frame {:#x}", observed.address.value());
}

std::string CoroutineText::state(std::uint32_t coroutine) const {
    const auto& observed = dump_.observed.coroutines[coroutine];
    switch (observed.state) {
        case CoroutineState::suspended:
            return "";
        case CoroutineState::running:
            return observed.thread == 0 ? "running" : fmt::format("running on thread {}", observed.thread);
        case CoroutineState::created:
            return "created, not yet started";
        case CoroutineState::done:
            return "done, at its final suspend point";
        case CoroutineState::unknown:
            break;
    }
    return "state unknown";
}

std::string CoroutineText::known_wait(std::uint32_t coroutine, bool for_example) const {
    const std::uint32_t index = dump_.observed.coroutines[coroutine].awaiting;
    if (index == no_index) return "";
    const Awaiting& awaiting = dump_.observed.awaitings[index];
    if (!awaiting.summary.empty()) {
        return (for_example ? "awaiting, for example, " : "awaiting ") + text(awaiting.summary);
    }
    const std::string_view thing = thing_awaited(awaiting.kind);
    if (!awaiting.type.empty()) {
        return thing.empty() ? "awaiting " + text(awaiting.type)
                             : fmt::format("awaiting {} ({})", thing, text(awaiting.type));
    }
    return thing.empty() ? "" : fmt::format("awaiting {}", thing);
}

std::string CoroutineText::awaiting(std::uint32_t coroutine, bool awaited_are_shown, bool for_example) const {
    const auto& observed = dump_.observed.coroutines[coroutine];
    const bool suspended = observed.state == CoroutineState::suspended;
    if (!suspended && observed.state != CoroutineState::unknown) return "";
    const bool awaits_coroutine = observed.awaiting != no_index &&
                                  dump_.observed.awaitings[observed.awaiting].kind == WaitKind::coroutine;
    if (awaited_are_shown && awaits_coroutine) return "";
    std::string known = known_wait(coroutine, for_example);
    if (!known.empty() || awaited_are_shown || !suspended) return known;
    return observed.at_yield ? "waiting to be asked for the next value" : "awaiting something unknown";
}

std::string CoroutineText::folded_wait(std::uint32_t coroutine, bool for_example) const {
    std::string result = known_wait(coroutine, for_example);
    if (result.empty()) result = "awaiting " + function(coroutine);
    const std::string state_words = state(coroutine);
    return state_words.empty() ? result : fmt::format("{} ({})", result, state_words);
}

std::string CoroutineText::creation(std::uint32_t coroutine) const {
    const auto& created = details(coroutine).created;
    if (!created) return "";
    std::string result = fmt::format("created {} ago", rough_age(created->age_ms));
    if (created->thread != 0) result += fmt::format(" on thread {}", created->thread);
    if (created->stack != no_index) result += calls(dump_.observed.creation_stacks[created->stack]);
    if (created->or_later) result += ", or later in the same memory";
    return result;
}

std::string CoroutineText::calls(const std::vector<StackPosition>& stack) const {
    // The way to whoever wanted the coroutine leads through libraries.
    const auto of_program = [](const StackPosition& position) {
        return !position.function.empty() && !is_library_function(position.function);
    };
    std::string result;
    std::size_t shown = 0;
    for (const StackPosition& position : stack) {
        if (shown == most_creation_frames) break;
        if (!of_program(position)) continue;
        result += fmt::format("{}{}", shown == 0 ? " at " : ", called by ",
                              text(short_function_name(position.function)));
        if (!position.file.empty())
            result += fmt::format(" {}", sources_.position(position.file, position.line));
        ++shown;
    }
    return result;
}

std::string CoroutineText::age(std::uint32_t coroutine) const {
    const auto& created = details(coroutine).created;
    return created ? rough_age(created->age_ms) : "";
}

std::string CoroutineText::name(std::uint32_t coroutine) const {
    const std::uint32_t name = details(coroutine).name;
    return name == no_index ? "" : text(dump_.observed.names[name].name);
}

std::string CoroutineText::label(std::uint32_t coroutine) const {
    const std::uint32_t name = details(coroutine).name;
    return name == no_index ? "" : text(dump_.observed.names[name].label);
}

std::string CoroutineText::variables(const std::vector<Variable>& variables, std::size_t left_out) const {
    std::string result, lost;
    std::size_t shown = 0;
    for (const Variable& variable : variables) {
        if (variable.value == "<optimized out>") {
            lost += (lost.empty() ? "" : ", ") + text(variable.name);
            continue;
        }
        if (++shown > most_variables) {
            ++left_out;
            continue;
        }
        result += fmt::format("{}{} = {}", result.empty() ? "" : ", ", text(variable.name),
                              printable(variable.value, style_.unicode, most_value_bytes));
    }
    if (left_out != 0) result += fmt::format(", {} more", left_out);
    if (!lost.empty()) result += fmt::format("{}optimized out: {}", result.empty() ? "" : "; ", lost);
    return result;
}

std::string CoroutineText::awaiter(std::uint32_t coroutine) const {
    const auto& fields = details(coroutine).awaiter;
    if (fields.empty()) return "";
    const std::uint32_t awaiting = dump_.observed.coroutines[coroutine].awaiting;
    const std::string type = awaiting == no_index ? "" : text(dump_.observed.awaitings[awaiting].type);
    return fmt::format("awaiter {}{}{{{}}}", type, type.empty() ? "" : " ", variables(fields));
}

const CoroutineDetails& CoroutineText::details(std::uint32_t coroutine) const {
    static const CoroutineDetails none;
    const std::uint32_t details = dump_.observed.coroutines[coroutine].details;
    return details == no_index ? none : dump_.observed.details[details];
}

std::uint32_t CoroutineText::finding_of(std::uint32_t coroutine) const {
    if (finding_of_.empty()) return no_index;
    const auto found = finding_of_.find(coroutine);
    return found == finding_of_.end() ? no_index : found->second;
}

const CoroutineFunction* CoroutineText::function_of(std::uint32_t coroutine) const {
    const std::uint32_t function = dump_.observed.coroutines[coroutine].function;
    return function == no_index ? nullptr : &dump_.observed.functions[function];
}

}  // namespace asyncdump

#include "report/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace asyncdump {
namespace {

/// std::regex recurses for each character that it looks at: longer names would overflow the stack.
constexpr std::size_t longest_searched_name = 2000;

bool matches(const std::regex& expression, std::string_view name) {
    name = name.substr(0, longest_searched_name);
    try {
        return std::regex_search(name.begin(), name.end(), expression);
    } catch (const std::regex_error&) {
        return false;  // too complex for this name
    }
}

std::vector<bool> matching_functions(const Dump& dump, const std::optional<std::regex>& expression) {
    std::vector<bool> result;
    if (!expression) return result;
    result.reserve(dump.observed.functions.size());
    for (const auto& function : dump.observed.functions) {
        result.push_back(matches(*expression, function.name));
    }
    return result;
}

/// By creation stack: whether one of its calls matches.
std::vector<bool> matching_stacks(const Dump& dump, const std::optional<std::regex>& expression) {
    std::vector<bool> result;
    if (!expression) return result;
    result.reserve(dump.observed.creation_stacks.size());
    for (const auto& stack : dump.observed.creation_stacks) {
        result.push_back(std::ranges::any_of(stack, [&](const StackPosition& position) {
            return matches(*expression,
                           fmt::format("{} {}:{}", position.function, position.file, position.line));
        }));
    }
    return result;
}

std::vector<bool> matching_scopes(const Dump& dump, const std::string& name) {
    std::vector<bool> result;
    for (const auto& scopes : dump.observed.scopes)
        result.push_back(std::ranges::find(scopes, name) != scopes.end());
    return result;
}

std::vector<bool> matching_names(const Dump& dump, const std::optional<std::regex>& expression) {
    std::vector<bool> result;
    if (!expression) return result;
    for (const CoroutineName& name : dump.observed.names) result.push_back(matches(*expression, name.name));
    return result;
}

}  // namespace

Selection::Selection(const Dump& dump, const ReportFilter& filter)
    : dump_(dump),
      filter_(filter),
      narrows_tasks_(filter.task || filter.function || filter.thread || filter.created_by ||
                     !filter.under.empty()) {
    if (!narrows_tasks_) return;
    const auto by_task = matching_functions(dump, filter.task);
    const auto by_function = matching_functions(dump, filter.function);
    const auto by_name = matching_names(dump, filter.task);
    const auto by_stack = matching_stacks(dump, filter.created_by);
    const auto by_scope = matching_scopes(dump, filter.under);

    // Whether the named filters match is asked for a tree as a whole: each may match another of its
    // coroutines.
    const auto tree_matches = [&](std::string_view name, std::span<const std::uint32_t> members) {
        bool task_matches = !filter.task || (!name.empty() && matches(*filter.task, name));
        bool function_matches = !filter.function;
        bool thread_matches = !filter.thread;
        bool creation_matches = !filter.created_by;
        bool scope_matches = filter.under.empty();
        for (const std::uint32_t member : members) {
            const auto& coroutine = dump.observed.coroutines[member];
            if (coroutine.function != no_index) {
                task_matches = task_matches || by_task[coroutine.function];
                function_matches = function_matches || by_function[coroutine.function];
            }
            thread_matches = thread_matches || coroutine.thread == *filter.thread;
            if (coroutine.details == no_index) continue;
            const CoroutineDetails& details = dump.observed.details[coroutine.details];
            if (details.name != no_index) {
                task_matches = task_matches || by_name[details.name];
                scope_matches = scope_matches || dump.observed.names[details.name].name == filter.under;
            }
            if (!details.created) continue;
            const Creation& created = *details.created;
            if (created.stack != no_index) creation_matches = creation_matches || by_stack[created.stack];
            if (created.scopes != no_index) scope_matches = scope_matches || by_scope[created.scopes];
        }
        return task_matches && function_matches && thread_matches && creation_matches && scope_matches;
    };

    tasks_.reserve(dump.tasks.size());
    for (const auto& task : dump.tasks) {
        const auto members = std::span(dump.task_members).subspan(task.first_member, task.member_count);
        tasks_.push_back(tree_matches(task.name, members));
    }
    const auto count = static_cast<std::uint32_t>(dump.observed.coroutines.size());
    apart_.resize(count);
    for (std::uint32_t coroutine = 0; coroutine < count; ++coroutine) {
        if (dump.task_of[coroutine] == no_index)
            apart_[coroutine] = tree_matches("", std::span(&coroutine, 1));
    }
}

bool Selection::has_coroutine(std::uint32_t coroutine) const {
    const std::uint32_t task = dump_.task_of[coroutine];
    if (task != no_index) return has_task(task);
    return apart_.empty() || apart_[coroutine];
}

bool Selection::has_thread(const Thread& thread) const {
    return !filter_.thread || thread.tid == *filter_.thread;
}

}  // namespace asyncdump

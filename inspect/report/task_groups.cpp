#include "report/task_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace asyncdump {
namespace {

/// The coroutines of a finding with more than these are shown in groups like any other.
constexpr std::size_t most_shown_alone = 10;

bool is_digit(char character) {
    return character >= '0' && character <= '9';
}

bool is_word(char character) {
    return is_digit(character) || (character >= 'a' && character <= 'z') ||
           (character >= 'A' && character <= 'Z') || character == '_';
}

/// Length of a number at the beginning: decimal, hexadecimal, with a point, or an address and port; 0 when
/// there is none.
std::size_t number_length(std::string_view text) {
    if (text.empty() || !is_digit(text.front())) return 0;
    std::size_t length = 0;
    while (length < text.size()) {
        const char character = text[length];
        const bool separator = character == '.' || character == ':' || character == ',';
        if (separator && !(length + 1 < text.size() && is_digit(text[length + 1]))) break;
        if (!separator && !is_word(character)) break;
        ++length;
    }
    return length;
}

std::size_t unit_length(std::string_view text) {
    static constexpr std::array<std::string_view, 9> units{" ns", " us",   " ms",  " s", " min",
                                                           " h",  " days", " day", " d"};
    for (const auto unit : units) {
        if (text.starts_with(unit) && (text.size() == unit.size() || !is_word(text[unit.size()]))) {
            return unit.size();
        }
    }
    return 0;
}

}  // namespace

std::string without_numbers(std::string_view text) {
    std::string result;
    bool in_word = false;
    while (!text.empty()) {
        const std::size_t length = in_word ? 0 : number_length(text);
        if (length == 0) {
            in_word = is_word(text.front());
            result += text.front();
            text.remove_prefix(1);
            continue;
        }
        text.remove_prefix(length);
        text.remove_prefix(unit_length(text));
        // "2 min 30 s" is one number.
        if (!result.ends_with("# ")) {
            result += '#';
        } else {
            result.pop_back();
        }
    }
    return result;
}

TreeClasses::TreeClasses(const Dump& dump, const CoroutineText& text) : dump_(dump), text_(text) {
    const auto& observed = dump.observed;
    const auto location_key = [](const SourceLocation& location) {
        return fmt::format("{}:{}:{}:{}", location.file, location.line, location.exact,
                           location.resumes_at_line);
    };
    for (const auto& function : observed.functions) {
        functions_.push_back(intern_text(
            fmt::format("{}\n{}\n{}", function.name.empty() ? function.symbol : function.name,
                        function.internal, function.declared_at ? location_key(*function.declared_at) : "")));
    }
    for (const auto& location : observed.locations) locations_.push_back(intern_text(location_key(location)));
    awaitings_.reserve(observed.awaitings.size());
    exact_awaitings_.reserve(observed.awaitings.size());
    for (const auto& awaiting : observed.awaitings) {
        const std::string kind_and_type =
            fmt::format("{}\n{}\n", static_cast<int>(awaiting.kind), awaiting.type);
        awaitings_.push_back(intern_text(kind_and_type + without_numbers(awaiting.summary)));
        exact_awaitings_.push_back(std::hash<std::string>{}(kind_and_type + awaiting.summary));
    }
}

std::uint32_t TreeClasses::intern_text(std::string text) {
    const auto next = static_cast<std::uint32_t>(texts_.size());
    return texts_.try_emplace(std::move(text), next).first->second;
}

std::uint32_t TreeClasses::intern_key() {
    const auto found = classes_.find(std::u32string_view(key_));
    if (found != classes_.end()) return found->second;
    const auto next = static_cast<std::uint32_t>(classes_.size());
    classes_.emplace(key_, next);
    return next;
}

void TreeClasses::begin_key(TreeNode::Kind kind, std::uint32_t index) {
    const auto& coroutine = dump_.observed.coroutines[index];
    const auto interned = [](const std::vector<std::uint32_t>& ids, std::uint32_t entry) {
        return static_cast<char32_t>(entry == no_index ? no_index : ids[entry]);
    };
    key_.clear();
    key_ += static_cast<char32_t>(kind);
    key_ += static_cast<char32_t>(coroutine.state);
    key_ += static_cast<char32_t>(coroutine.at_yield);
    key_ += interned(functions_, coroutine.function);
    key_ += interned(locations_, coroutine.suspended_at);
    key_ += interned(awaitings_, coroutine.awaiting);
    // What runs and what makes up a finding is of interest by itself.
    const std::uint32_t finding = text_.finding_of(index);
    const bool alone = coroutine.state == CoroutineState::running ||
                       (finding != no_index &&
                        dump_.findings[text_.findings()[finding]].coroutines.size() <= most_shown_alone);
    key_ += static_cast<char32_t>(finding);
    key_ += static_cast<char32_t>(alone ? index : no_index);
    std::string problems;
    for (const auto& problem : text_.details(index).problems)
        problems += problem.code + problem.message + '\n';
    key_ += static_cast<char32_t>(problems.empty() ? no_index : intern_text(std::move(problems)));
}

void TreeClasses::begin_key(const TaskTree& tree, std::uint32_t index) {
    const TreeNode& node = tree[index];
    begin_key(node.kind, node.coroutine);
    if (!node.is_reference()) return;
    // Distances are equal in equal trees. A reference without a target in the tree is equal to itself only.
    const bool inside = node.target != no_index;
    key_ += static_cast<char32_t>(inside ? index - node.target : node.coroutine);
    key_ += static_cast<char32_t>(inside);
}

std::uint32_t TreeClasses::class_of(std::uint32_t coroutine) {
    begin_key(TreeNode::Kind::coroutine, coroutine);
    return intern_key();
}

std::size_t TreeClasses::exact_awaiting(std::uint32_t coroutine) const {
    const std::uint32_t awaiting = dump_.observed.coroutines[coroutine].awaiting;
    return awaiting == no_index ? 0 : exact_awaitings_[awaiting];
}

std::uint32_t TreeClasses::class_of_task(std::string_view name, const TaskTree& tree,
                                         const std::vector<std::uint32_t>& classes) {
    // The first number is no kind of node: no node has the same key.
    key_ = {char32_t{0x7fffffff}, static_cast<char32_t>(intern_text(without_numbers(name)))};
    for (std::uint32_t top = 0; top < tree.size(); top += tree[top].subtree) {
        key_ += static_cast<char32_t>(classes[top]);
    }
    return intern_key();
}

std::vector<std::uint32_t> TreeClasses::classify(TaskTree& tree) {
    const auto count = static_cast<std::uint32_t>(tree.size());
    const bool has_references =
        std::any_of(tree.begin(), tree.end(), [](const TreeNode& node) { return node.is_reference(); });
    std::vector<std::uint32_t> classes(count);
    // Children stand behind their parent: backwards, each child has its class before its parent asks for it.
    // `order` holds the sorted children of each node at the places where they stand in the tree.
    std::vector<std::uint32_t> children;
    std::vector<std::uint32_t> first_child(count, no_index), next_sibling(count, no_index);
    bool changed = false;
    const auto sort_children = [&](std::uint32_t begin, std::uint32_t end) {
        children.clear();
        for (std::uint32_t child = begin; child < end; child += tree[child].subtree)
            children.push_back(child);
        const auto by_class = [&](std::uint32_t a, std::uint32_t b) { return classes[a] < classes[b]; };
        if (!has_references && !std::is_sorted(children.begin(), children.end(), by_class)) {
            std::stable_sort(children.begin(), children.end(), by_class);
            changed = true;
        }
        for (std::size_t i = 1; i < children.size(); ++i) next_sibling[children[i - 1]] = children[i];
        return children.empty() ? no_index : children.front();
    };
    for (std::uint32_t node = count; node-- > 0;) {
        first_child[node] = sort_children(node + 1, node + tree[node].subtree);
        begin_key(tree, node);
        for (const std::uint32_t child : children) key_ += static_cast<char32_t>(classes[child]);
        classes[node] = intern_key();
    }
    const std::uint32_t top = sort_children(0, count);
    if (!changed) return classes;

    TaskTree sorted;
    std::vector<std::uint32_t> sorted_classes;
    sorted.reserve(count);
    sorted_classes.reserve(count);
    std::vector<std::pair<std::uint32_t, std::uint32_t>> pending{{top, no_index}};  // a node, its new parent
    while (!pending.empty()) {
        const auto [node, parent] = pending.back();
        pending.pop_back();
        if (node == no_index) continue;
        const auto place = static_cast<std::uint32_t>(sorted.size());
        sorted.push_back(tree[node]);
        sorted.back().parent = parent;
        sorted_classes.push_back(classes[node]);
        pending.emplace_back(next_sibling[node], parent);
        pending.emplace_back(first_child[node], place);
    }
    tree = std::move(sorted);
    return sorted_classes;
}

std::vector<TaskGroup> group_tasks(const Dump& dump, const Selection& selection, TaskTreeBuilder& trees,
                                   TreeClasses& classes) {
    std::vector<TaskGroup> groups;
    std::unordered_map<std::uint32_t, std::size_t> group_of_class;
    for (std::uint32_t task = 0; task < dump.tasks.size(); ++task) {
        if (!selection.has_task(task)) continue;
        TaskTree& tree = trees.build(task);
        auto node_classes = classes.classify(tree);
        const std::uint32_t task_class = classes.class_of_task(dump.tasks[task].name, tree, node_classes);
        const auto [entry, is_new] = group_of_class.try_emplace(task_class, groups.size());
        if (is_new) {
            TaskGroup& group = groups.emplace_back();
            group.example = task;
            group.count = 1;
            group.equality.classes = std::move(node_classes);
            group.equality.differs.resize(tree.size());
            group.equality.awaitings.reserve(tree.size());
            for (const auto& node : tree) {
                group.equality.awaitings.push_back(classes.exact_awaiting(node.coroutine));
            }
            continue;
        }
        TaskGroup& group = groups[entry->second];
        ++group.count;
        for (std::size_t node = 0; node < tree.size(); ++node) {
            if (classes.exact_awaiting(tree[node].coroutine) != group.equality.awaitings[node]) {
                group.equality.differs[node] = true;
            }
        }
    }
    std::stable_sort(groups.begin(), groups.end(),
                     [](const TaskGroup& a, const TaskGroup& b) { return a.count > b.count; });
    return groups;
}

}  // namespace asyncdump

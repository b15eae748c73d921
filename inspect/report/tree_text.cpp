#include "report/tree_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/words.h"

namespace asyncdump {
namespace {

constexpr std::size_t margin = 2;
/// Deeper levels stand where this one does and show their number: a chain of 10,000 has to be readable as
/// well.
constexpr std::uint32_t deepest_indent = 12;
constexpr std::uint32_t chain_end_levels = 20;
constexpr std::size_t branch_columns = 3;
constexpr std::size_t widest_place_column = 56;

std::uint32_t indent_of(std::uint32_t depth) {
    return std::min(depth, deepest_indent);
}

}  // namespace

void TreeText::write_all(std::uint32_t task, const TaskTree& tree) {
    tree_ = &tree;
    task_ = task;
    shorten_ = false;
    example_ = false;
    equality_ = {};
    write();
}

void TreeText::write_short(std::uint32_t task, const TaskTree& tree, TreeEquality equality, bool example) {
    tree_ = &tree;
    task_ = task;
    shorten_ = true;
    example_ = example;
    equality_ = std::move(equality);
    count_references();
    measure_chains();
    write();
}

void TreeText::write() {
    plan();
    align();
    last_at_.assign(deepest_indent + 1, true);
    for (const Line& line : lines_) write_line(line);
}

void TreeText::count_references() {
    const TaskTree& tree = *tree_;
    references_before_.assign(tree.size() + 1, 0);
    for (std::size_t i = 0; i < tree.size(); ++i) {
        if (!tree[i].is_reference()) continue;
        ++references_before_[i + 1];
        if (tree[i].target != no_index) ++references_before_[tree[i].target + 1];
    }
    for (std::size_t i = 1; i < references_before_.size(); ++i)
        references_before_[i] += references_before_[i - 1];
}

void TreeText::measure_chains() {
    const TaskTree& tree = *tree_;
    const auto only_child = [&](std::size_t i) {
        return tree[i].subtree > 1 && tree[i + 1].subtree + 1 == tree[i].subtree &&
               tree[i + 1].kind != TreeNode::Kind::folded_wait;
    };
    levels_above_.assign(tree.size(), 1);
    levels_below_.assign(tree.size(), 1);
    for (std::size_t i = 0; i < tree.size(); ++i) {
        if (only_child(i)) levels_above_[i + 1] = levels_above_[i] + 1;
    }
    for (std::size_t i = tree.size(); i-- > 0;) {
        if (only_child(i)) levels_below_[i] = levels_below_[i + 1] + 1;
    }
}

void TreeText::compare_awaitings(std::uint32_t shown, std::uint32_t stood_for) {
    for (std::uint32_t i = 0; i < (*tree_)[shown].subtree; ++i) {
        if (equality_.awaitings[shown + i] != equality_.awaitings[stood_for + i])
            equality_.differs[shown + i] = true;
    }
}

void TreeText::push_children(const Line& parent, std::uint32_t begin, std::uint32_t end) {
    const TaskTree& tree = *tree_;
    if (begin == end) return;
    if (begin + tree[begin].subtree == end) {
        Line& line = pending_.emplace_back();
        line.node = begin;
        line.example = parent.example;
        return;
    }
    std::vector<Line> children;
    std::unordered_map<std::uint32_t, std::size_t> line_of_class;
    for (std::uint32_t child = begin; child < end; child += tree[child].subtree) {
        const std::uint32_t behind = child + tree[child].subtree;
        // What refers to another node, or is referred to, has a meaning that its equals do not have.
        const bool may_group = shorten_ && references_before_[child] == references_before_[behind];
        if (may_group) {
            const auto [entry, is_new] = line_of_class.try_emplace(equality_.classes[child], children.size());
            if (!is_new) {
                Line& shown = children[entry->second];
                ++shown.times;
                compare_awaitings(shown.node, child);
                continue;
            }
        }
        Line line;
        line.node = child;
        line.example = parent.example;
        children.push_back(line);
    }
    for (std::size_t i = 0; i + 1 < children.size(); ++i) children[i].last = false;
    pending_.insert(pending_.end(), children.rbegin(), children.rend());
}

void TreeText::plan() {
    const TaskTree& tree = *tree_;
    lines_.clear();
    pending_.clear();
    Line above;
    above.example = example_;
    push_children(above, 0, static_cast<std::uint32_t>(tree.size()));
    while (!pending_.empty()) {
        Line line = pending_.back();
        pending_.pop_back();
        const std::uint32_t node = line.node;
        line.has_children = tree[node].subtree > 1;
        line.example = line.example || line.times > 1;
        if (tree[node].subtree == 2 && tree[node + 1].kind == TreeNode::Kind::folded_wait) {
            line.folded_wait = node + 1;
        } else {
            push_children(line, node + 1, node + tree[node].subtree);
        }
        if (shorten_) {
            const std::uint32_t levels = levels_above_[node] + levels_below_[node] - 1;
            const bool in_the_middle = levels > 2 * chain_end_levels + 1 &&
                                       levels_above_[node] > chain_end_levels &&
                                       levels_below_[node] > chain_end_levels;
            if (in_the_middle) {
                if (levels_above_[node] != chain_end_levels + 1) continue;
                line.omitted = levels - 2 * chain_end_levels;
            }
        }
        lines_.push_back(line);
    }
}

std::string TreeText::label(const Line& line) const {
    const TreeNode& node = (*tree_)[line.node];
    std::string result;
    if (node.depth > deepest_indent) result += fmt::format("[level {}] ", grouped_digits(node.depth + 1));
    if (line.times > 1) result += fmt::format("{} {} ", grouped_digits(line.times), writer_.times());
    return result;
}

void TreeText::align() {
    place_column_ = 0;
    for (const Line& line : lines_) {
        const TreeNode& node = (*tree_)[line.node];
        if (line.omitted != 0 || node.kind != TreeNode::Kind::coroutine) continue;
        const std::size_t end = margin + indent_of(node.depth) * branch_columns + columns(label(line)) +
                                text_.function_columns(node.coroutine) + 2;
        place_column_ = std::max(place_column_, end);
    }
    const std::size_t width = writer_.style().width;
    const std::size_t widest = width == 0 ? widest_place_column : std::min(widest_place_column, width / 2);
    place_column_ = std::min(place_column_, widest);
}

void TreeText::make_prefix(std::uint32_t depth) {
    prefix_.assign(margin, ' ');
    const std::uint32_t indent = indent_of(depth);
    for (std::uint32_t level = 1; level < indent; ++level) {
        prefix_ += last_at_[level] ? std::string_view("   ") : writer_.trunk();
    }
    if (indent > 0) prefix_ += last_at_[indent] ? writer_.last_branch() : writer_.branch();
}

void TreeText::write_line(const Line& line) {
    const TreeNode& node = (*tree_)[line.node];
    const std::uint32_t indent = indent_of(node.depth);
    last_at_[indent] = line.last;
    make_prefix(node.depth);
    writer_.begin_line_with(prefix_, margin + indent * branch_columns);
    if (line.omitted != 0) {
        writer_.add(fmt::format("... {} more levels ...", grouped_digits(line.omitted)), Paint::quiet);
    } else if (node.is_reference()) {
        write_reference(node);
    } else {
        write_coroutine(line);
        return;
    }
    writer_.end_line();
}

void TreeText::write_reference(const TreeNode& node) {
    switch (node.kind) {
        case TreeNode::Kind::cycle_back:
            writer_.add("back to ", Paint::warning);
            writer_.add(text_.function(node.coroutine), Paint::function);
            writer_.add_part("  ", "(a cycle: they await each other)", Paint::warning);
            return;
        case TreeNode::Kind::other_task: {
            const std::uint32_t task = dump_.task_of[node.coroutine];
            writer_.add(text_.function(node.coroutine), Paint::function);
            writer_.add_part("  ",
                             task == no_index ? "(stands apart)" : fmt::format("(in task {})", task + 1),
                             Paint::quiet);
            return;
        }
        default:
            writer_.add(text_.function(node.coroutine), Paint::function);
            writer_.add_part("  ", "(shown above)", Paint::quiet);
    }
}

void TreeText::write_coroutine(const Line& line) {
    const TreeNode& node = (*tree_)[line.node];
    const std::uint32_t coroutine = node.coroutine;
    const auto numbers_differ = [&](std::uint32_t told) { return shorten_ && equality_.differs[told]; };
    writer_.add(label(line), Paint::heading);
    std::string_view separator = ", ";
    const auto part = [&](std::string_view text, Paint paint = Paint::plain) {
        if (text.empty()) return;
        writer_.add_part(separator, text, paint);
        separator = ", ";
    };
    if (node.kind == TreeNode::Kind::folded_wait) {
        writer_.add(text_.folded_wait(coroutine, numbers_differ(line.node)));
        writer_.end_line();
        return;
    }
    writer_.add(text_.function(coroutine), Paint::function);
    writer_.pad_to(place_column_);
    writer_.add(text_.place(coroutine), Paint::location);
    part(text_.state(coroutine), Paint::heading);
    const std::string name = text_.name(coroutine);
    if (!name.empty() && dump_.observed.names[text_.details(coroutine).name].name != dump_.tasks[task_].name)
        part(fmt::format("named \"{}\"", name));
    if (const std::string label = text_.label(coroutine); !label.empty()) part(fmt::format("\"{}\"", label));
    part(text_.awaiting(coroutine, line.has_children, numbers_differ(line.node)));
    if (line.folded_wait != no_index) {
        part(text_.folded_wait((*tree_)[line.folded_wait].coroutine, numbers_differ(line.folded_wait)));
    }
    const std::uint32_t above =
        node.parent == no_index ? dump_.tasks[task_].root : (*tree_)[node.parent].coroutine;
    const std::string age = text_.age(coroutine);
    if (!age.empty() && age != text_.age(above)) part(age + " old");
    const std::uint32_t finding = text_.finding_of(coroutine);
    if (finding != no_index) {
        const bool is_error = dump_.findings[text_.findings()[finding]].is_error;
        separator = "  ";
        part(fmt::format("<== {} {}", is_error ? "error" : "warning", finding + 1),
             is_error ? Paint::error : Paint::warning);
    }
    writer_.end_line();

    for (const auto& problem : text_.details(coroutine).problems) {
        write_below(line, printable(problem.message, writer_.style().unicode), Paint::warning);
    }
    if (writer_.style().locals) {
        const CoroutineDetails& details = text_.details(coroutine);
        const std::string variables = text_.variables(details.variables, details.variables_left_out);
        const std::string_view introduction = line.example ? "for example: " : "";
        if (!variables.empty()) write_below(line, fmt::format("{}{}", introduction, variables), Paint::quiet);
        const std::string awaiter = text_.awaiter(coroutine);
        if (!awaiter.empty()) write_below(line, fmt::format("{}{}", introduction, awaiter), Paint::quiet);
    }
}

void TreeText::write_below(const Line& line, std::string_view text, Paint paint) {
    const std::uint32_t depth = (*tree_)[line.node].depth;
    prefix_.assign(margin, ' ');
    const std::uint32_t indent = indent_of(depth);
    for (std::uint32_t level = 1; level <= indent; ++level) {
        prefix_ += last_at_[level] ? std::string_view("   ") : writer_.trunk();
    }
    const bool goes_on = line.has_children && line.folded_wait == no_index;
    prefix_ += goes_on && indent < deepest_indent ? writer_.trunk() : std::string_view("   ");
    writer_.begin_line_with(prefix_, margin + (indent + 1) * branch_columns);
    writer_.add_sentence(text, paint);
    writer_.end_line();
}

}  // namespace asyncdump

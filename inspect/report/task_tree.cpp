#include "report/task_tree.h"

#include <algorithm>

namespace asyncdump {

TaskTreeBuilder::TaskTreeBuilder(const Dump& dump, bool show_internal)
    : dump_(dump), show_internal_(show_internal), marks_(dump.observed.coroutines.size()) {}

bool TaskTreeBuilder::may_fold(std::uint32_t index) const {
    const auto& coroutine = dump_.observed.coroutines[index];
    if (show_internal_ || coroutine.function == no_index) return false;
    if (!dump_.observed.functions[coroutine.function].internal) return false;
    // What runs, has problems or can be referred to from elsewhere in the tree has to have a line of its own.
    if (coroutine.state == CoroutineState::running || dump_.awaited_by.of(index).size() > 1) return false;
    return coroutine.details == no_index || dump_.observed.details[coroutine.details].problems.empty();
}

void TaskTreeBuilder::add(TreeNode::Kind kind, std::uint32_t coroutine, std::uint32_t parent,
                          std::uint32_t target) {
    TreeNode node;
    node.coroutine = coroutine;
    node.parent = parent;
    node.depth = parent == no_index ? 0 : tree_[parent].depth + 1;
    node.target = target;
    node.kind = kind;
    tree_.push_back(node);
}

void TaskTreeBuilder::enter(std::uint32_t coroutine, std::uint32_t parent, bool folded) {
    const auto nodes_before = static_cast<std::uint32_t>(tree_.size());
    marks_[coroutine] = {walk_, folded ? no_index : nodes_before, true};
    if (!folded) add(TreeNode::Kind::coroutine, coroutine, parent);
    path_.push_back({coroutine, folded ? parent : nodes_before, 0, nodes_before, folded});
}

void TaskTreeBuilder::walk(std::uint32_t task, bool fold_root) {
    tree_.clear();
    ++walk_;
    const std::uint32_t root = dump_.tasks[task].root;
    enter(root, no_index, fold_root && may_fold(root));
    while (!path_.empty()) {
        Visit& visit = path_.back();
        const auto awaited = dump_.awaits.of(visit.coroutine);
        if (visit.next_edge == awaited.size()) {
            if (visit.folded && tree_.size() == visit.nodes_before) {
                add(TreeNode::Kind::folded_wait, visit.coroutine, visit.node);
            }
            marks_[visit.coroutine].on_path = false;
            path_.pop_back();
            continue;
        }
        const std::uint32_t child = awaited[visit.next_edge++];
        const std::uint32_t parent = visit.node;
        const Mark& mark = marks_[child];
        if (dump_.task_of[child] != task) {
            add(TreeNode::Kind::other_task, child, parent);
        } else if (mark.walk != walk_) {
            enter(child, parent, may_fold(child));
        } else {
            add(mark.on_path ? TreeNode::Kind::cycle_back : TreeNode::Kind::shown_above, child, parent,
                mark.node);
        }
    }
    for (std::size_t i = tree_.size(); i-- > 0;) {
        if (tree_[i].parent != no_index) tree_[tree_[i].parent].subtree += tree_[i].subtree;
    }
}

TaskTree& TaskTreeBuilder::build(std::uint32_t task) {
    walk(task, true);
    const bool shows_one = std::any_of(tree_.begin(), tree_.end(), [](const TreeNode& node) {
        return node.kind == TreeNode::Kind::coroutine;
    });
    if (!shows_one) walk(task, false);
    return tree_;
}

}  // namespace asyncdump

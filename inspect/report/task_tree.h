#pragma once

#include <cstdint>
#include <vector>

#include "graph/dump.h"

namespace asyncdump {

struct TreeNode {
    enum class Kind : std::uint8_t {
        coroutine,
        folded_wait,  ///< a folded library coroutine that awaits no other: only what it awaits is shown
        shown_above,  ///< a coroutine with several parents, shown before
        cycle_back,   ///< a coroutine that awaits this one, directly or not
        other_task,   ///< a coroutine that is shown in another task's tree
    };
    std::uint32_t coroutine = no_index;
    std::uint32_t parent = no_index;  ///< index in the tree; no_index at the top
    std::uint32_t depth = 0;          ///< 0 at the top
    std::uint32_t subtree = 1;        ///< nodes of the tree that begins here, this one included
    /// The index in the tree that shown_above and cycle_back mean; no_index when it is folded.
    std::uint32_t target = no_index;
    Kind kind = Kind::coroutine;

    bool is_reference() const { return kind >= Kind::shown_above; }
};

/// A task as it is shown: a walk from its root. More than one node stands at the top when a folded root
/// awaits several.
using TaskTree = std::vector<TreeNode>;

/// Makes trees out of the await graph, which may be none: a coroutine with several parents is expanded once,
/// a cycle ends in a reference. Without `show_internal` a library's own suspended coroutines are left out and
/// what they await moves to the coroutine that awaits them, unless nothing else would be left of the task.
class TaskTreeBuilder {
  public:
    TaskTreeBuilder(const Dump& dump, bool show_internal);

    /// Valid until the next call; the caller may reorder it.
    TaskTree& build(std::uint32_t task);

  private:
    struct Visit {
        std::uint32_t coroutine;
        std::uint32_t node;  ///< its node, or that of the nearest one above that is not folded
        std::uint32_t next_edge;
        std::uint32_t nodes_before;
        bool folded;
    };
    void walk(std::uint32_t task, bool fold_root);
    void enter(std::uint32_t coroutine, std::uint32_t parent, bool folded);
    void add(TreeNode::Kind kind, std::uint32_t coroutine, std::uint32_t parent,
             std::uint32_t target = no_index);
    bool may_fold(std::uint32_t coroutine) const;

    const Dump& dump_;
    bool show_internal_;
    TaskTree tree_;
    std::vector<Visit> path_;
    /// By coroutine: the walk that met it last, and the node that it got there.
    struct Mark {
        std::uint32_t walk = 0;
        std::uint32_t node = no_index;
        bool on_path = false;
    };
    std::vector<Mark> marks_;
    std::uint32_t walk_ = 0;
};

}  // namespace asyncdump

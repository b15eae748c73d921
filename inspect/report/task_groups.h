#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "report/coroutine_text.h"
#include "report/selection.h"
#include "report/task_tree.h"

namespace asyncdump {

/// `text` with each number (and a unit of time behind it) replaced by one '#': what waits for "fd 7, 12 s
/// left" and for "fd 9, 850 ms left" waits for the same kind of thing.
std::string without_numbers(std::string_view text);

/// Tells which coroutines and trees are equal for a reader: they would be printed alike but for the numbers
/// in what they await. Equal ones have the same class. Classes are interned by content, not by a hash of it,
/// so that no two different trees are ever shown as one.
class TreeClasses {
  public:
    TreeClasses(const Dump& dump, const CoroutineText& text);

    /// The class of each node together with all below it. Siblings are brought into the order of their
    /// classes, so that trees are equal in whichever order they list them; a tree with references keeps its
    /// order.
    std::vector<std::uint32_t> classify(TaskTree& tree);
    /// The class of a tree that was classified, under its task's name.
    std::uint32_t class_of_task(std::string_view name, const TaskTree& tree,
                                const std::vector<std::uint32_t>& classes);
    /// The class of one coroutine by itself.
    std::uint32_t class_of(std::uint32_t coroutine);
    /// Equal for coroutines that await the same, also in the numbers.
    std::size_t exact_awaiting(std::uint32_t coroutine) const;

  private:
    std::uint32_t intern_text(std::string text);
    std::uint32_t intern_key();
    void begin_key(TreeNode::Kind kind, std::uint32_t coroutine);
    void begin_key(const TaskTree& tree, std::uint32_t node);

    const Dump& dump_;
    const CoroutineText& text_;
    std::unordered_map<std::string, std::uint32_t> texts_;
    std::vector<std::uint32_t> functions_, locations_, awaitings_;  ///< by index: what they are interned as
    std::vector<std::size_t> exact_awaitings_;

    struct KeyHash {
        using is_transparent = void;
        std::size_t operator()(std::u32string_view key) const {
            return std::hash<std::u32string_view>{}(key);
        }
    };
    std::unordered_map<std::u32string, std::uint32_t, KeyHash, std::equal_to<>> classes_;
    std::u32string key_;
};

/// By node of a classified tree: what tells where it may stand for others and how.
struct TreeEquality {
    std::vector<std::uint32_t> classes;
    std::vector<std::size_t> awaitings;  ///< TreeClasses::exact_awaiting()
    std::vector<bool>
        differs;  ///< the node stands for others, which differ from it in the numbers of what they await
};

/// Tasks whose trees are equal.
struct TaskGroup {
    std::uint32_t example = no_index;  ///< the first of them, which is shown for all
    std::uint32_t count = 0;
    TreeEquality equality;  ///< of the example's classified tree
};

/// The tasks that the selection leaves, the largest group first.
std::vector<TaskGroup> group_tasks(const Dump& dump, const Selection& selection, TaskTreeBuilder& trees,
                                   TreeClasses& classes);

}  // namespace asyncdump

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/coroutine_text.h"
#include "report/task_groups.h"
#include "report/task_tree.h"
#include "report/text_writer.h"

namespace asyncdump {

/// Prints the tree of one task.
class TreeText {
  public:
    TreeText(const Dump& dump, const CoroutineText& text, TextWriter& writer)
        : dump_(dump), text_(text), writer_(writer) {}

    /// Each node on a line of its own.
    void write_all(std::uint32_t task, const TaskTree& tree);
    /// Siblings of one class are shown once, with their number, and of a long chain only both ends.
    /// `example`: the tree stands for those of other tasks.
    void write_short(std::uint32_t task, const TaskTree& tree, TreeEquality equality, bool example);

  private:
    struct Line {
        std::uint32_t node = no_index;
        std::uint32_t times = 1;    ///< siblings that this line stands for
        std::uint32_t omitted = 0;  ///< not 0: it stands for so many levels of a chain that are left out
        std::uint32_t folded_wait = no_index;  ///< the node below it that is told on the same line
        bool last = true;                      ///< the last one of its siblings
        bool example = false;                  ///< it or one above it stands for others
        bool has_children = false;
    };

    void write();
    void plan();
    void count_references();
    void measure_chains();
    void push_children(const Line& parent, std::uint32_t begin, std::uint32_t end);
    void compare_awaitings(std::uint32_t shown, std::uint32_t stood_for);
    void align();
    void write_line(const Line& line);
    void write_coroutine(const Line& line);
    void write_reference(const TreeNode& node);
    void write_below(const Line& line, std::string_view text, Paint paint);
    std::string label(const Line& line) const;
    void make_prefix(std::uint32_t depth);

    const Dump& dump_;
    const CoroutineText& text_;
    TextWriter& writer_;

    const TaskTree* tree_ = nullptr;
    std::uint32_t task_ = no_index;
    bool shorten_ = false;
    bool example_ = false;
    TreeEquality equality_;
    std::vector<Line> lines_, pending_;
    std::vector<std::uint32_t> references_before_;  ///< by node: how many before it refer or are referred to
    /// By node: levels of the chain that it belongs to, its own included.
    std::vector<std::uint32_t> levels_above_, levels_below_;
    /// By depth: whether the node on the current path is the last one of its siblings.
    std::vector<bool> last_at_;
    std::string prefix_;
    std::size_t place_column_ = 0;
};

}  // namespace asyncdump

#pragma once

#include <vector>

#include "report/report.h"

namespace asyncdump {

/// What a filter leaves of a dump.
class Selection {
  public:
    Selection(const Dump& dump, const ReportFilter& filter);

    bool has_task(std::uint32_t task) const { return tasks_.empty() || tasks_[task]; }
    /// Coroutines of the trees that are left, and those that stand apart and match themselves.
    bool has_coroutine(std::uint32_t coroutine) const;
    bool has_thread(const Thread& thread) const;
    /// True when a filter is set that can leave out a tree.
    bool narrows_tasks() const { return narrows_tasks_; }

  private:
    const Dump& dump_;
    const ReportFilter& filter_;
    bool narrows_tasks_;
    std::vector<bool> tasks_;  ///< empty: all
    std::vector<bool> apart_;  ///< by coroutine, only meaningful for those without a task; empty: all
};

}  // namespace asyncdump

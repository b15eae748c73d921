// inspect/report: renderers of one immutable Dump. They know no target, decide nothing and print nothing that
// is not in the dump.
#pragma once

#include <functional>
#include <optional>
#include <regex>
#include <string_view>

#include "graph/dump.h"

namespace asyncdump {

/// Takes the next piece of output; pieces are up to about 64 KiB, so that a dump of a million coroutines
/// never stands in memory as text.
using Output = std::function<void(std::string_view)>;

/// Narrows what is shown. The filters for coroutines match when any coroutine of a tree matches; JSON lists
/// then only the coroutines of the trees that are left.
struct ReportFilter {
    std::optional<std::regex> task;      ///< name of the task, or function name of any coroutine in its tree
    std::optional<std::regex> function;  ///< function name of any coroutine in the tree
    /// "function file:line" of any call in the creation stack of any coroutine in the tree.
    std::optional<std::regex> created_by;
    /// The name of a scope in which any coroutine of the tree was created, or of a task in it; "" = all.
    std::string under;
    std::optional<std::int32_t> thread;
    bool tasks = true, threads = true;
};

struct TextStyle {
    bool colour = false;
    bool unicode = false;   ///< box drawing and dots; else ASCII
    bool all = false;       ///< show each tree instead of one of a group of equals
    bool internal = false;  ///< show a library's own coroutines
    bool locals = false;    ///< values of parameters and locals
    std::size_t width = 0;  ///< columns of the terminal; 0 = do not fold
};

void write_text(const Dump& dump, const ReportFilter& filter, const TextStyle& style, const Output& output);

/// Schema asyncdump.dump/1: docs/dump.schema.json.
void write_json(const Dump& dump, const ReportFilter& filter, const Output& output);

}  // namespace asyncdump

#pragma once

#include "cli/capture.h"
#include "graph/dump.h"
#include "modules/module.h"

namespace asyncdump {

/// Of which stack frames the variables are read.
enum class StackValues { none, of_running_coroutines, all };

/// From a snapshot to a dump, after the target went on: unwinding, names and lines, coroutines, the graph.
Dump explain(const Snapshot& snapshot, const LiveMemory& live, const ModuleSet& modules,
             cpp20::Cpp20Runtime& runtime, const NameStyle& names, StackValues stack_values,
             const AgentRegistry* registry);

}  // namespace asyncdump

#pragma once

#include "cli/capture.h"
#include "graph/dump.h"
#include "modules/module.h"

namespace asyncdump {

/// From a snapshot to a dump, after the target went on: unwinding, names and lines, coroutines, the graph.
/// `locals`: with the values of the stack frames' variables.
Dump explain(const Snapshot& snapshot, const LiveMemory& live, const ModuleSet& modules,
             cpp20::Cpp20Runtime& runtime, const NameStyle& names, bool locals = false,
             const AgentRegistry* registry = nullptr);

}  // namespace asyncdump

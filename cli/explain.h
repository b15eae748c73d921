#pragma once

#include "cli/capture.h"
#include "graph/dump.h"
#include "modules/module.h"

namespace asyncdump {

/// From a snapshot to a dump, after the target went on: unwinding, names and lines, coroutines, the graph.
Dump explain(const Snapshot& snapshot, const LiveMemory& live, const ModuleSet& modules,
             cpp20::Cpp20Runtime& runtime, const NameStyle& names, const AgentRegistry* registry = nullptr);

}  // namespace asyncdump

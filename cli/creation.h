#pragma once

#include "cli/capture.h"
#include "graph/dump.h"
#include "modules/symbolizer.h"

namespace asyncdump {

/// Adds to the observed coroutines what the agent's registry knows of them: when, on which thread, from which
/// calls and under which names they were created, and their names. `memory` is where creation stacks are read
/// from: they never change, so the target may run already.
void add_creation(Dump& dump, const Snapshot& snapshot, const AgentRegistry& registry, const Memory& memory,
                  const cpp20::CoroutineCatalog& catalog, const ModuleSet& modules, Symbolizer& symbolizer);

/// A task is called what the program called its root, or the named coroutine nearest to it.
void name_tasks(Dump& dump);

}  // namespace asyncdump

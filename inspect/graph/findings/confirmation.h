#pragma once

#include <string>
#include <vector>

#include "graph/dump.h"

namespace asyncdump {

/// What makes a finding the same one in two dumps of one process: its kind, its coroutines with their suspend
/// points, its threads with what they wait for.
std::string identity_of(const Dump& dump, const Finding& finding);

/// The findings of `second` that `first`, taken some time before, had as well. What is gone, or looks
/// different, was a state that passed.
std::vector<Finding> confirmed_findings(const Dump& first, const Dump& second);

}  // namespace asyncdump

// injector: puts the agent into a process, by starting the process with it or by loading it into one that
// runs.
#pragma once

#include <string>

#include "base/error.h"

namespace asyncdump {

/// libasyncdump-agent.so: the file `named`, or, when that is empty, beside our own executable, where it is
/// installed relative to it, or in the build tree. An absolute path. An error when there is none or it is no
/// agent.
Result<std::string> find_agent(const std::string& named);

}  // namespace asyncdump

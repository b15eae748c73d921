#pragma once

#include <sys/types.h>

#include <string>

#include "base/error.h"
#include "graph/dump.h"

namespace asyncdump {

/// A folder for dumps of which only the newest are kept.
struct DumpFolder {
    std::string path;
    std::size_t keep = 10;

    /// Writes the dump as text and as JSON (asyncdump-PID-TIME.txt and .json, readable by the owner alone),
    /// and then deletes the oldest ones beyond `keep`; other files in the folder are not touched. Returns the
    /// path of the text.
    Result<std::string> write(const Dump& dump) const;
};

/// Runs `command` in /bin/sh and waits for its end. It finds in its environment ASYNCDUMP_PID,
/// ASYNCDUMP_FINDINGS (a sentence a line) and ASYNCDUMP_DUMP (the path of the text, or ""). Returns its
/// status as the shell has it.
Result<int> run_shell_command(const std::string& command, const Dump& dump, const std::string& dump_path);

}  // namespace asyncdump

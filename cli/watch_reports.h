#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "base/error.h"
#include "graph/dump.h"

namespace asyncdump {

/// A folder for dumps of which only the newest are kept.
struct DumpFolder {
    std::string path;
    std::size_t keep = 10;

    /// Makes the folder when it is not there but its parent is, and tries whether it can be written.
    Result<void> prepare() const;

    /// Writes the dump as text and as JSON (asyncdump-PID-TIME.txt and .json, readable by the owner alone),
    /// and then deletes the oldest ones beyond `keep`; other files in the folder are not touched. Returns the
    /// path of the text.
    Result<std::string> write(const Dump& dump) const;
};

struct EndedCommand {
    int status = 0;         ///< as the shell has it
    pid_t left_behind = 0;  ///< of a command that was still running at `end`; 0: it has ended
};

/// Runs `command` in /bin/sh and waits for its end, but not beyond `end`: then it goes on without us. It
/// finds in its environment ASYNCDUMP_PID, ASYNCDUMP_FINDINGS (a sentence a line) and, unless `dump_path` is
/// empty, ASYNCDUMP_DUMP (the path of the text).
Result<EndedCommand> run_shell_command(const std::string& command, const Dump& dump,
                                       const std::string& dump_path,
                                       std::chrono::steady_clock::time_point end);

}  // namespace asyncdump

#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "graph/dump.h"
#include "runtimes/cpp20/user_knowledge.h"

namespace asyncdump {

/// The exit statuses of `asyncdump PID`, as docs/dump.schema.json's contract has them.
enum ExitStatus : int {
    exit_complete = 0,
    exit_partial = 1,
    exit_nothing = 2,
    exit_finding = 3,
    exit_usage = 64
};

struct DumpCommand {
    pid_t pid = 0;
    bool json = false;
    std::string output_file;     ///< "" = standard output
    std::string task, function;  ///< regular expressions (ECMAScript); "" = all
    std::string created_by;      ///< regular expression for creation stacks; "" = all
    std::string under;           ///< a name that the program gave; "" = all
    pid_t thread = 0;            ///< 0 = all
    bool no_tasks = false, no_threads = false;
    bool all = false, internal = false, locals = false, full_names = false, ascii = false, exact = false;
    bool scan = false;       ///< search memory even where the agent's registry is complete
    bool check = false;      ///< confirm findings by a second look, and tell errors by the exit status
    int max_pause_ms = 0;    ///< 0 = no bound
    int max_memory_mib = 0;  ///< 0 = half of what the machine has free, for what is copied
    bool nice = false;
    bool no_cache = false;        ///< neither use nor keep what was found out about programs and libraries
    std::string colour = "auto";  ///< auto, always, never
    std::vector<std::string> debug_directories;
    std::string configuration;  ///< "" = the usual files
};

/// One dump of the process, as the options want it looked at.
Result<Dump> make_dump(const DumpCommand& command, const cpp20::UserKnowledge& user);

/// A dump with those findings that a second dump, some time after the first, has as well. Only one dump is
/// taken when the first has none.
Result<Dump> make_checked_dump(const DumpCommand& command, const cpp20::UserKnowledge& user);

bool has_error(const Dump& dump);

/// Returns the exit status; errors are told on standard error.
int run_dump_command(const DumpCommand& command);

}  // namespace asyncdump

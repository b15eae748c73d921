// Why the kernel does not let us look at a process, for this folder only.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/error.h"

namespace asyncdump {

/// What decides whether a process may be read and stopped (ptrace(2), "Ptrace access mode checking").
struct AccessFacts {
    std::string process;  ///< "1234 (name)"
    uid_t own_user = 0;
    std::string own_user_name;
    bool have_ptrace_capability = false;  ///< CAP_SYS_PTRACE in our user namespace
    uid_t target_user = 0;
    std::string target_user_name;
    bool all_target_ids_are_ours = true;  ///< its real, effective and saved user and group are ours
    bool target_is_dumpable = true;
    std::optional<int> yama_scope;  ///< kernel.yama.ptrace_scope; empty without Yama
};

/// The one line for a person: the cause, as far as the facts show it, and what to do.
Error explain_refused_access(const AccessFacts& facts, int system_errno);

/// The same for a process, after a call that needs ptrace permission failed with `system_errno`.
Error explain_refused_access(pid_t pid, int system_errno);

/// The thread that traces thread `tid`; empty when none does, or one that our pid namespace does not show.
std::optional<pid_t> find_tracer(pid_t tid);

Error already_traced(pid_t pid, pid_t tracer);

/// A user's name, or "uid 1234" when it has none.
std::string user_name(uid_t user);

}  // namespace asyncdump

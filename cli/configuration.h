#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "runtimes/cpp20/user_knowledge.h"

namespace asyncdump {

struct Configuration {
    cpp20::UserKnowledge knowledge;
    std::vector<std::string> warnings;  ///< files that were left out, and why
};

/// Reads `file`, or, when it is "", `asyncdump.toml` in the current folder and then
/// `$XDG_CONFIG_HOME/asyncdump/asyncdump.toml` (`~/.config/...`): what the first says goes before what the
/// second says. A file that is not there is no error, unless it was named. Of the files that were not named,
/// one that is wrong, or that belongs to somebody else than the user and root, is left out with a warning: no
/// mistake in it may stand in the way of a dump.
Result<Configuration> read_configuration(const std::string& file);

/// For one file's text; `name` is for messages.
Result<cpp20::UserKnowledge> parse_configuration(std::string_view text, const std::string& name);

}  // namespace asyncdump

#include "cli/usage.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/harmless_text.h"
#include "cli/dump_command.h"

namespace asyncdump {

int end_parsing(const CLI::App& app, const CLI::ParseError& error, std::string_view command) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
        app.exit(error);
        return exit_complete;
    }
    std::string message = error.what();
    std::ranges::replace(message, '\n', ' ');
    while (message.ends_with(' ') || message.ends_with('.')) message.pop_back();
    fmt::print(stderr, "asyncdump: {} ({} --help tells the options)\n", harmless(message), command);
    return exit_usage;
}

}  // namespace asyncdump

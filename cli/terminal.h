#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <thread>

namespace asyncdump {

bool is_terminal(int descriptor);
std::size_t terminal_width(int descriptor);  ///< columns; 0 when it is no terminal
bool wants_no_colour();     ///< NO_COLOR is set and not empty (no-color.org), or TERM is "dumb"
bool has_unicode_locale();  ///< LC_ALL, LC_CTYPE or LANG name UTF-8

/// A line on standard error that says what is being done, when standard error is a terminal and it takes
/// longer than a second; taken away again at the end.
class Progress {
  public:
    explicit Progress(std::string text);

  private:
    std::jthread shower_;
};

}  // namespace asyncdump

#pragma once

#include <string>

namespace asyncdump {

/// A parameter or local with its value as text.
struct Variable {
    std::string name, type, value;
    bool parameter = false;
};

}  // namespace asyncdump

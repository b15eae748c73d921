#pragma once

#include <string>
#include <vector>

#include "values/location.h"
#include "values/value_writer.h"

namespace asyncdump {

inline constexpr std::string_view optimized_out = "<optimized out>";

/// The value of an object that lies where its location says: in memory, in registers, in several pieces, or
/// nowhere.
std::string print_located(const Memory& memory, const ValueType& type,
                          const std::vector<LocationPiece>& pieces, const ValueNames& names = {},
                          const ValueLimits& limits = {});

}  // namespace asyncdump

// What may open a circle of waits although all its members wait. For this folder only.
#pragma once

#include <cstdint>
#include <span>

#include "graph/dump.h"

namespace asyncdump {

/// Makes a warning of the finding, and says why, when a member of the circle seems to wait with a time limit
/// (by its awaiter's name: try_lock_for(), a TimedLock, WithTimeout), or awaits others besides the next
/// member and may go on after one of several (by its awaiter's name not: when_all, gather). Each member of
/// `circle` waits for the next one.
void add_doubts(const Dump& dump, std::span<const std::uint32_t> circle, Finding& finding);

}  // namespace asyncdump

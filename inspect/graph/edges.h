#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "graph/dump.h"

namespace asyncdump {

/// Of a graph of coroutines: from the first to the second.
using Edge = std::pair<std::uint32_t, std::uint32_t>;

/// Each edge turned round; sorted when `edges` are. Linear.
std::vector<Edge> reversed(std::span<const Edge> edges, std::size_t coroutines);

/// `sorted` edges as rows by where they come from.
EdgeTable table_of(std::span<const Edge> sorted, std::size_t coroutines);

}  // namespace asyncdump

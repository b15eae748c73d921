#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace asyncdump {

/// The strongly connected components of a directed graph that hold a cycle: those of more than one node, and
/// single nodes with an edge to themselves. `edges(node)` are the nodes to which its edges lead. Nodes of a
/// component are sorted; components by their first node. Needs no recursion: chains may be long.
std::vector<std::vector<std::uint32_t>> find_cyclic_components(
    std::uint32_t nodes, const std::function<std::span<const std::uint32_t>(std::uint32_t)>& edges);

/// A shortest way through edges among `members` (sorted) from `from` back to it: [from, ..., last], where
/// `last` has an edge to `from`. Empty when there is none.
std::vector<std::uint32_t> find_circle(
    std::span<const std::uint32_t> members, std::uint32_t from,
    const std::function<std::span<const std::uint32_t>(std::uint32_t)>& edges);

}  // namespace asyncdump

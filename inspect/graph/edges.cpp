#include "graph/edges.h"

namespace asyncdump {

std::vector<Edge> reversed(std::span<const Edge> edges, std::size_t coroutines) {
    std::vector<std::uint32_t> next(coroutines + 1);
    for (const auto& [from, to] : edges) ++next[to + 1];
    for (std::size_t i = 1; i <= coroutines; ++i) next[i] += next[i - 1];
    std::vector<Edge> result(edges.size());
    for (const auto& [from, to] : edges) result[next[to]++] = {to, from};
    return result;
}

EdgeTable table_of(std::span<const Edge> sorted, std::size_t coroutines) {
    EdgeTable table;
    table.offsets.assign(coroutines + 1, 0);
    table.targets.reserve(sorted.size());
    for (const auto& [from, to] : sorted) {
        ++table.offsets[from + 1];
        table.targets.push_back(to);
    }
    for (std::size_t i = 1; i <= coroutines; ++i) table.offsets[i] += table.offsets[i - 1];
    return table;
}

}  // namespace asyncdump

#include "graph/findings/strong_components.h"

#include <algorithm>
#include <limits>
#include <unordered_map>

namespace asyncdump {

// Tarjan's algorithm with a stack of its own.
std::vector<std::vector<std::uint32_t>> find_cyclic_components(
    std::uint32_t nodes, const std::function<std::span<const std::uint32_t>(std::uint32_t)>& edges) {
    constexpr std::uint32_t unseen = std::numeric_limits<std::uint32_t>::max();
    struct Visit {
        std::uint32_t node;
        std::size_t next_edge = 0;
    };
    std::vector<std::uint32_t> order(nodes, unseen), lowest(nodes, unseen);
    std::vector<bool> is_open(nodes);
    std::vector<std::uint32_t> open;
    std::vector<Visit> visits;
    std::vector<std::vector<std::uint32_t>> components;
    std::uint32_t next_order = 0;
    const auto enter = [&](std::uint32_t node) {
        order[node] = lowest[node] = next_order++;
        open.push_back(node);
        is_open[node] = true;
        visits.push_back({node, 0});
    };
    for (std::uint32_t start = 0; start < nodes; ++start) {
        if (order[start] != unseen || edges(start).empty()) continue;
        enter(start);
        while (!visits.empty()) {
            const std::uint32_t node = visits.back().node;
            const auto targets = edges(node);
            if (visits.back().next_edge < targets.size()) {
                const std::uint32_t target = targets[visits.back().next_edge++];
                if (order[target] == unseen) {
                    enter(target);
                } else if (is_open[target]) {
                    lowest[node] = std::min(lowest[node], order[target]);
                }
                continue;
            }
            visits.pop_back();
            if (!visits.empty()) {
                lowest[visits.back().node] = std::min(lowest[visits.back().node], lowest[node]);
            }
            if (lowest[node] != order[node]) continue;
            std::vector<std::uint32_t> component;
            std::uint32_t member = unseen;
            while (member != node) {
                member = open.back();
                open.pop_back();
                is_open[member] = false;
                component.push_back(member);
            }
            if (component.size() > 1 || std::ranges::find(targets, node) != targets.end()) {
                std::ranges::sort(component);
                components.push_back(std::move(component));
            }
        }
    }
    std::ranges::sort(components);
    return components;
}

std::vector<std::uint32_t> find_circle(
    std::span<const std::uint32_t> members, std::uint32_t from,
    const std::function<std::span<const std::uint32_t>(std::uint32_t)>& edges) {
    std::unordered_map<std::uint32_t, std::uint32_t> reached_from;
    std::vector<std::uint32_t> queue{from};
    for (std::size_t i = 0; i < queue.size(); ++i) {
        for (const std::uint32_t target : edges(queue[i])) {
            if (!std::ranges::binary_search(members, target)) continue;
            if (target == from) {
                std::vector<std::uint32_t> circle;
                for (std::uint32_t node = queue[i]; node != from; node = reached_from[node])
                    circle.push_back(node);
                circle.push_back(from);
                std::ranges::reverse(circle);
                return circle;
            }
            if (reached_from.try_emplace(target, queue[i]).second) queue.push_back(target);
        }
    }
    return {};
}

}  // namespace asyncdump

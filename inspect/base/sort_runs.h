#pragma once

#include <algorithm>
#include <functional>
#include <vector>

namespace asyncdump {

/// Sorts what consists of long sorted runs, one behind the other, as what several workers or several searches
/// found: merges the runs instead of beginning from nothing. Stable.
template <class Element, class Projection = std::identity>
void sort_runs(std::vector<Element>& elements, Projection projection = {}) {
    constexpr std::ptrdiff_t short_run = 64;
    std::vector<typename std::vector<Element>::iterator> bounds{elements.begin()};
    while (bounds.back() != elements.end()) {
        bounds.push_back(std::ranges::is_sorted_until(bounds.back(), elements.end(), {}, projection));
        const auto runs = static_cast<std::ptrdiff_t>(bounds.size());
        if (runs > 16 && bounds.back() - elements.begin() < runs * short_run) {
            std::ranges::stable_sort(elements, {}, projection);
            return;
        }
    }
    while (bounds.size() > 2) {
        std::size_t kept = 1;
        for (std::size_t i = 1; i + 1 < bounds.size(); i += 2) {
            std::ranges::inplace_merge(bounds[i - 1], bounds[i], bounds[i + 1], {}, projection);
            bounds[kept++] = bounds[i + 1];
        }
        if (bounds.size() % 2 == 0) bounds[kept++] = bounds.back();
        bounds.resize(kept);
    }
}

}  // namespace asyncdump

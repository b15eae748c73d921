#include "base/sort_runs.h"

#include <catch2/catch.hpp>
#include <random>
#include <utility>

using namespace asyncdump;

TEST_CASE("runs are merged to what sorting gives", "[sort_runs]") {
    std::mt19937 random(1);
    for (const std::size_t runs : {0U, 1U, 2U, 3U, 7U, 16U, 200U}) {
        for (const std::size_t length : {1U, 3U, 1000U}) {
            std::vector<std::pair<int, int>> elements;
            for (std::size_t run = 0; run < runs; ++run) {
                const auto begin = static_cast<std::ptrdiff_t>(elements.size());
                for (std::size_t i = 0; i < length; ++i)
                    elements.emplace_back(static_cast<int>(random() % 500),
                                          static_cast<int>(elements.size()));
                std::ranges::stable_sort(elements.begin() + begin, elements.end(), {},
                                         &std::pair<int, int>::first);
            }
            std::vector<std::pair<int, int>> expected = elements;
            std::ranges::stable_sort(expected, {}, &std::pair<int, int>::first);
            sort_runs(elements, &std::pair<int, int>::first);
            INFO(runs << " runs of " << length);
            CHECK(elements == expected);
        }
    }
}

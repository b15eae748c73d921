#include "modules/interval_index.h"

#include <catch2/catch.hpp>
#include <random>

using asyncdump::IntervalIndex;

TEST_CASE("the innermost interval is found among nested and overlapping ones") {
    IntervalIndex<int> index;
    index.add(10, 100, 1);
    index.add(20, 30, 2);
    index.add(20, 25, 3);
    index.add(90, 120, 4);
    index.add(50, 50, 5);  // empty
    index.finish();
    CHECK(index.find(9) == nullptr);
    CHECK(*index.find(10) == 1);
    CHECK(*index.find(20) == 3);
    CHECK(*index.find(25) == 2);
    CHECK(*index.find(30) == 1);
    CHECK(*index.find(50) == 1);
    CHECK(*index.find(95) == 4);
    CHECK(*index.find(119) == 4);
    CHECK(index.find(120) == nullptr);
}

TEST_CASE("the interval index agrees with a search through all intervals") {
    std::mt19937 random(1);
    struct Interval {
        unsigned begin, end;
    };
    std::vector<Interval> intervals;
    IntervalIndex<std::size_t> index;
    for (std::size_t i = 0; i < 300; ++i) {
        const unsigned begin = static_cast<unsigned>(random() % 2000);
        intervals.push_back({begin, begin + static_cast<unsigned>(random() % (i % 10 == 0 ? 500 : 20))});
        index.add(intervals[i].begin, intervals[i].end, i);
    }
    index.finish();
    for (unsigned point = 0; point < 2600; ++point) {
        const Interval* expected = nullptr;
        for (const Interval& interval : intervals) {
            if (point < interval.begin || point >= interval.end) continue;
            const bool is_inner = !expected || interval.begin > expected->begin ||
                                  (interval.begin == expected->begin && interval.end < expected->end);
            if (is_inner) expected = &interval;
        }
        const std::size_t* found = index.find(point);
        REQUIRE((found != nullptr) == (expected != nullptr));
        if (!found) continue;
        CHECK(intervals[*found].begin == expected->begin);
        CHECK(intervals[*found].end == expected->end);
    }
}

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace asyncdump {

/// Half-open intervals, possibly nested or overlapping, and the innermost of them at a point.
/// add() any number, then finish() once, then ask.
template <class Value>
class IntervalIndex {
  public:
    void add(std::uint64_t begin, std::uint64_t end, Value value) {
        if (begin < end) entries_.push_back({begin, end, 0, std::move(value)});
    }

    void finish() {
        std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
            return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
        });
        std::uint64_t highest = 0;
        for (Entry& entry : entries_) entry.highest_end_so_far = highest = std::max(highest, entry.end);
    }

    /// The containing interval that begins last (of those the shortest); nullptr when there is none.
    const Value* find(std::uint64_t point) const {
        auto next = std::upper_bound(entries_.begin(), entries_.end(), point,
                                     [](std::uint64_t p, const Entry& entry) { return p < entry.begin; });
        while (next != entries_.begin()) {
            const Entry& entry = *--next;
            if (point < entry.end) return &entry.value;
            if (entry.highest_end_so_far <= point) return nullptr;
        }
        return nullptr;
    }

    bool empty() const { return entries_.empty(); }

  private:
    struct Entry {
        std::uint64_t begin, end;
        std::uint64_t highest_end_so_far;  ///< of this and all before: where it is not above a point, nothing
                                           ///< before covers it
        Value value;
    };
    std::vector<Entry> entries_;
};

}  // namespace asyncdump

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtimes/observation.h"

namespace asyncdump {

/// Everything that two coroutines say of each other, seen as "parent awaits child".
struct Evidence {
    std::uint32_t parent = no_index, child = no_index;
    bool continuation = false;        ///< the child's promise leads to the parent
    bool typed_continuation = false;  ///< and debug information says that it is meant to
    bool precise_continuation =
        false;  ///< it points to the frame, the promise or the live awaiter, not to just some local
    bool awaited = false;            ///< the parent's live awaiter leads to the child
    bool read_first = false;         ///< the parent's code reads a word first that leads to the child
    bool held = false;               ///< another word of the parent, outside its promise, leads to the child
    bool contains = false;           ///< the child's frame lies in the parent's (elided allocation)
    bool path = false;               ///< a path over the heap, which was checked when it was found
    bool path_from_promise = false;  ///< and that begins in the child's promise
    bool from_unknown_promise = false;
    std::uint32_t continuation_offset = 0, handle_offset = 0;
};

/// A word that is a handle, or the address of a promise as many libraries keep it.
bool is_handle_like(const Reference& reference);

/// Both say it: the child's promise leads to the parent, and another word of the parent to the child.
bool is_confirmed(const Evidence& evidence);

/// Without debug information: nothing but what the code of the two does with the words, and where they stand,
/// tells who of them awaits the other.
bool rests_on_code_or_places(const Evidence& evidence);

/// Of two that refer to each other without debug information: whether the opposite has as much for itself.
/// What the code reads counts more than where the words stand.
bool is_outweighed(const Evidence& evidence, const Evidence& opposite);

/// Whether the states of the two allow it.
bool is_possible(const Observation& observation, const Evidence& evidence);

/// One entry for each pair of which a reference speaks, in both roles.
class EvidenceTable {
  public:
    explicit EvidenceTable(const Observation& observation);

    std::span<const Evidence> all() const { return all_; }  ///< sorted by child, then parent
    std::span<const Evidence> of_child(std::uint32_t child) const {
        return std::span(all_).subspan(rows_[child], rows_[child + 1] - rows_[child]);
    }
    const Evidence* find(std::uint32_t parent, std::uint32_t child) const;  ///< nullptr: there is none

  private:
    void sort_by_pair();
    void join_pairs();
    void find_rows();

    std::vector<Evidence> all_;
    std::vector<std::uint32_t> rows_;  ///< by child, one more than coroutines
};

}  // namespace asyncdump

#include "runtimes/cpp20/heap_paths.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "runtimes/cpp20/awaited_objects.h"
#include "runtimes/cpp20/heap_objects.h"

namespace asyncdump::cpp20 {
namespace {

constexpr int most_hops = 3;
constexpr std::size_t most_objects = 24;                ///< a search looks at
constexpr std::size_t most_searched_objects = 1 << 20;  ///< all searches together
constexpr std::size_t most_referrers = 64;

struct HeapObject {
    AddressRange range;
    int hops = 1;
    std::size_t reached_from = 0;  ///< the object whose word led here; the first one's is itself
};

/// A frame to which an object leads.
struct PathEnd {
    std::uint32_t frame;
    Reference path;
    std::size_t last_object;          ///< of the path
    RemoteAddress lowest, highest{};  ///< in the frame, to which words of the objects lead
};

struct Search {
    std::vector<HeapObject> objects;
    std::vector<PathEnd> ends;  ///< each frame once
    bool overflowed = false;
};

/// The end of a vector stands behind its beginning: it leads to no object, or to one that has nothing to do
/// with the vector.
bool is_end_of_neighbour(const Memory& memory, std::span<const std::uint64_t> words, std::size_t i) {
    for (std::size_t back = 1; back <= 2 && back <= i; ++back) {
        const std::uint64_t begin = words[i - back];
        if (begin >= words[i] || words[i] - begin > largest_heap_block) continue;
        const std::uint64_t size = block_size(memory, RemoteAddress(begin)).value_or(0);
        if (words[i] - begin <= size) return true;
    }
    return false;
}

class Searcher {
  public:
    Searcher(const FrameSet& set, const MemoryMap& map)
        : set_(set), map_(map), free_blocks_(set.memory, map) {}

    const Search& from(std::uint64_t pointer) {
        const auto [entry, is_new] = searches_.try_emplace(pointer);
        if (is_new) run(pointer, entry->second);
        return entry->second;
    }

  private:
    void run(std::uint64_t pointer, Search& search) {
        struct Found {
            std::uint64_t address;
            int hops;
            std::size_t reached_from;
        };
        constexpr std::size_t none = ~std::size_t{0};
        std::vector<Found> queue{{pointer, 1, none}};
        for (std::size_t i = 0; i < queue.size(); ++i) {
            const auto [address, hops, reached_from] = queue[i];
            if (search.objects.size() >= most_objects || total_objects_ >= most_searched_objects) {
                search.overflowed = true;
                return;
            }
            ++total_objects_;
            if (free_blocks_.contain(RemoteAddress(address))) continue;
            const AddressRange range = object_at(set_.memory, RemoteAddress(address));
            const std::size_t object = search.objects.size();
            search.objects.push_back({range, hops, reached_from == none ? object : reached_from});
            const auto words = set_.memory.read_words(range, scratch_);
            for (std::size_t w = 0; w < words.size(); ++w) {
                const std::uint64_t word = words[w];
                const std::uint32_t frame = set_.index.find(word);
                if (frame != FrameIndex::none) {
                    add_end(search, frame, word, object);
                } else if (hops < most_hops && is_heap(map_, set_.stacks, word) &&
                           !is_end_of_neighbour(set_.memory, words, w) &&
                           std::ranges::find(queue, word, &Found::address) == queue.end()) {
                    queue.push_back({word, hops + 1, object});
                }
            }
        }
    }

    void add_end(Search& search, std::uint32_t frame, std::uint64_t word, std::size_t object) {
        const auto target = classify_target(set_.frames[frame], set_.views[frame], RemoteAddress(word));
        if (target == Reference::Target::interior) return;
        const auto known = std::ranges::find(search.ends, frame, &PathEnd::frame);
        if (known != search.ends.end()) {
            known->lowest = std::min(known->lowest, RemoteAddress(word));
            known->highest = std::max(known->highest, RemoteAddress(word));
            return;
        }
        Reference reference;
        reference.to = frame;
        reference.target = target;
        reference.hops = static_cast<std::uint8_t>(search.objects[object].hops);
        search.ends.push_back({frame, reference, object, RemoteAddress(word), RemoteAddress(word)});
    }

    const FrameSet& set_;
    const MemoryMap& map_;
    const FreeBlocks free_blocks_;
    std::unordered_map<std::uint64_t, Search> searches_;
    std::size_t total_objects_ = 0;
    std::vector<std::uint64_t> scratch_;
};

/// Shows the words of a frame behind its first two, without those of frames that are nested in it and of
/// awaiters that are not alive:
/// look(index of the word in the frame, all words).
template <class Look>
void for_each_own_word(const FrameSet& set, std::uint32_t frame, std::vector<std::uint64_t>& scratch,
                       const Look& look) {
    const RemoteAddress begin = set.frames[frame].address;
    const bool may_have_nested =
        frame + 1 < set.frames.size() && set.frames[frame].range().contains(set.frames[frame + 1].address);
    const auto words = set.memory.read_words(set.frames[frame].range(), scratch);
    const auto is_dead = [&](std::uint32_t offset) {
        return std::ranges::any_of(set.views[frame].awaiter->dead,
                                   [&](const AwaiterSlot& slot) { return slot.contains(offset); });
    };
    for (std::uint32_t i = 2; i < words.size(); ++i) {
        if (is_dead(i * 8)) continue;
        if (!may_have_nested || set.index.find((begin + i * 8ULL).value()) == frame) look(i, words);
    }
}

bool refers_to(const FrameSet& set, std::uint32_t from, const std::function<bool(std::uint64_t)>& is_wanted) {
    std::vector<std::uint64_t> scratch;
    bool found = false;
    for_each_own_word(set, from, scratch, [&](std::uint32_t i, std::span<const std::uint64_t> words) {
        found = found || is_wanted(words[i]);
    });
    return found;
}

bool refers_to_frame(const FrameSet& set, std::uint32_t from, std::uint32_t to) {
    return refers_to(set, from, [&](std::uint64_t word) {
        if (set.index.find(word) != to) return false;
        return classify_target(set.frames[to], set.views[to], RemoteAddress(word)) !=
               Reference::Target::interior;
    });
}

/// Whether the frame at a path's end refers to an object on the path; one beyond, which an object on the path
/// knows as well, tells nothing. What it only remembers, and does not wait for, may serve somebody else by
/// now.
bool refers_to_object(const FrameSet& set, const PathEnd& end, const Search& search) {
    std::vector<AddressRange> on_path;
    for (std::size_t i = end.last_object;; i = search.objects[i].reached_from) {
        on_path.push_back(search.objects[i].range);
        if (i == search.objects[i].reached_from) break;
    }
    if (!awaiter_may_lead_to(set, end.frame, on_path)) return false;
    return refers_to(set, end.frame, [&](std::uint64_t word) {
        return std::ranges::any_of(
            on_path, [&](const AddressRange& object) { return object.contains(RemoteAddress(word)); });
    });
}

/// Where a library keeps no reference back, and a root has one completion handler, the nearest end of all its
/// pointers counts: further on stands what that one serves in its turn.
struct NearestHandler {
    Reference path;
    std::uint32_t offset = 0;
    bool is_unique = false;

    void consider(const Search& search, std::uint32_t from_offset, std::uint32_t start,
                  const HeapPathRules& rules) {
        for (const auto& [frame, candidate, object, lowest, highest] : search.ends) {
            if (frame == start || !rules.trusted_end(frame)) continue;
            if (path.to != no_index && candidate.hops > path.hops) continue;
            is_unique = path.to == no_index || candidate.hops < path.hops || (is_unique && frame == path.to);
            path = candidate;
            offset = from_offset;
        }
    }
};

void add(std::vector<Reference>& references, const FrameSet& set, std::uint32_t from, std::uint32_t offset,
         Reference path) {
    const FrameView& view = set.views[from];
    path.from = from;
    path.offset = offset;
    path.origin = view.is_in_promise(offset) ? Reference::Origin::promise : Reference::Origin::elsewhere;
    path.promise_known = view.knows_promise();
    references.push_back(path);
}

/// The words of frames that lead to an object on the heap, and who else knows these objects.
struct KnownObjects {
    struct Start {
        std::uint32_t frame;
        std::uint32_t offset;
        std::uint64_t pointer;
    };
    std::vector<Start> starts;
    /// Frames that know an object, of all frames; no more than most_referrers and one.
    std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> referrers;
    std::unordered_set<std::uint64_t> known_to_promises;
};

KnownObjects find_known_objects(const FrameSet& set, const MemoryMap& map,
                                std::span<const std::uint32_t> frames) {
    KnownObjects known;
    std::vector<std::uint64_t> scratch;
    for (const std::uint32_t frame : frames) {
        for_each_own_word(set, frame, scratch, [&](std::uint32_t i, std::span<const std::uint64_t> words) {
            if (set.index.find(words[i]) != FrameIndex::none || !is_heap(map, set.stacks, words[i])) return;
            if (is_end_of_neighbour(set.memory, words, i)) return;
            if (set.views[frame].layout->leads_to_plain_data(i * 8ULL)) return;
            known.starts.push_back({frame, i * 8, words[i]});
            known.referrers[words[i]];
            if (set.views[frame].is_in_promise(i * 8)) known.known_to_promises.insert(words[i]);
        });
    }
    if (known.starts.empty()) return known;
    for (std::uint32_t frame = 0; frame < set.frames.size(); ++frame) {
        for_each_own_word(set, frame, scratch, [&](std::uint32_t i, std::span<const std::uint64_t> words) {
            const auto found = known.referrers.find(words[i]);
            if (found == known.referrers.end() || found->second.size() > most_referrers) return;
            if (found->second.empty() || found->second.back() != frame) found->second.push_back(frame);
        });
    }
    return known;
}

/// Decides by the rules which of the paths tell who awaits whom.
class PathChooser {
  public:
    PathChooser(const FrameSet& set, const HeapPathRules& rules, const KnownObjects& known)
        : set_(set), rules_(rules), known_(known), is_confirmed_(set.frames.size()) {}

    void consider(const KnownObjects::Start& start, const Search& search) {
        if (search.ends.empty()) return;
        if (rules_.trusted_end(start.frame)) {
            handlers_[start.frame].consider(search, start.offset, start.frame, rules_);
            return;
        }
        const PathEnd* const to_itself = end_in(search, start.frame);
        if (search.overflowed) return;
        if (to_itself != nullptr && !is_sentinel(start, *to_itself)) {
            consider_owner(start, search, *to_itself);
            return;
        }
        // What promises know as their counter is only a leftover elsewhere.
        if (!in_promise(start) && known_.known_to_promises.contains(start.pointer)) return;
        const std::size_t others = search.ends.size() - (to_itself != nullptr ? 1 : 0);
        const bool may_stand_alone = others == 1 && (in_promise(start) || !is_hub(start, search));
        for (const PathEnd& end : search.ends) {
            if (end.frame == start.frame || !may_await(end.frame, start)) continue;
            // A frame that lies in its parent's needs no pointer.
            const bool refers_back =
                refers_to_frame(set_, end.frame, start.frame) ||
                set_.frames[end.frame].range().contains(set_.frames[start.frame].address);
            // Who awaits another one directly only remembers the object.
            const bool knows_object = !rules_.has_child[end.frame] && refers_to_object(set_, end, search);
            const bool believed = refers_back ||
                                  (may_stand_alone && (is_completion(start, end) || knows_object)) ||
                                  (knows_object && waits_for_state(start, end, search));
            if (!believed) continue;
            std::vector<Reference>& references = refers_back ? references_ : unconfirmed_;
            add(references, set_, start.frame, start.offset, end.path);
            if (refers_back) is_confirmed_[start.frame] = true;
            add_fellow_waiters(start, search, end, references);
        }
    }

    std::vector<Reference> take() {
        for (const Reference& reference : unconfirmed_) {
            if (!is_confirmed_[reference.from]) references_.push_back(reference);
        }
        for (const auto& [frame, handler] : handlers_) {
            if (handler.is_unique) add(references_, set_, frame, handler.offset, handler.path);
        }
        return std::move(references_);
    }

  private:
    /// An object that knows who begins here may be what that one waits for, as others do. Where that one
    /// waits for a child of its own, the object only owns it; then it is awaited by the one that waits for
    /// the object.
    void consider_owner(const KnownObjects::Start& start, const Search& search, const PathEnd& to_itself) {
        if (!rules_.has_child[start.frame] || (!in_promise(start) && is_hub(start, search))) return;
        const PathEnd* waiting = nullptr;
        for (const PathEnd& end : search.ends) {
            const bool waits = end.frame != start.frame && end.path.hops <= to_itself.path.hops &&
                               !rules_.has_child[end.frame] && may_await(end.frame, start) &&
                               refers_to_object(set_, end, search);
            if (!waits) continue;
            if (waiting != nullptr) return;
            waiting = &end;
        }
        if (waiting != nullptr) add(unconfirmed_, set_, start.frame, start.offset, waiting->path);
    }

    /// The object may know only the first of those that wait for it: a list that runs through their awaiters.
    /// The others wait by the same kind of awaiter, which leads to the object as well.
    void add_fellow_waiters(const KnownObjects::Start& start, const Search& search, const PathEnd& end,
                            std::vector<Reference>& references) {
        if (!in_promise(start) || !waits_by_awaiter_for(end.frame, start.pointer)) return;
        const AwaiterPlace& known = *set_.views[end.frame].awaiter;
        for (const std::uint32_t frame : known_.referrers.at(start.pointer)) {
            if (frame == start.frame || end_in(search, frame) != nullptr || !may_await(frame, start) ||
                set_.views[frame].awaiter->type != known.type || !waits_by_awaiter_for(frame, start.pointer))
                continue;
            Reference path = end.path;
            path.to = frame;
            path.target = Reference::Target::live_awaiter;
            add(references, set_, start.frame, start.offset, path);
        }
    }

    /// Whether a word of the awaiter at which the frame is suspended is this pointer.
    bool waits_by_awaiter_for(std::uint32_t frame, std::uint64_t pointer) const {
        const AwaiterPlace& awaiter = *set_.views[frame].awaiter;
        if (!awaiter.is_certain || awaiter.type.empty()) return false;
        const RemoteAddress begin = set_.frames[frame].address;
        for (std::uint32_t offset = awaiter.live.begin; offset + 8 <= awaiter.live.end; offset += 8) {
            if (set_.memory.read_value<std::uint64_t>(begin + offset) == pointer) return true;
        }
        return false;
    }

    /// Several may wait for the state that a promise shares with them: each by its live awaiter, and none has
    /// it in its own promise, as all have an executor.
    bool waits_for_state(const KnownObjects::Start& start, const PathEnd& end, const Search& search) const {
        if (!in_promise(start) || !set_.views[end.frame].awaiter->is_certain) return false;
        bool is_in_promise = false;
        std::vector<std::uint64_t> scratch;
        for_each_own_word(
            set_, end.frame, scratch, [&](std::uint32_t i, std::span<const std::uint64_t> words) {
                is_in_promise =
                    is_in_promise || (set_.views[end.frame].is_in_promise(i * 8ULL) &&
                                      std::ranges::any_of(search.objects, [&](const HeapObject& object) {
                                          return object.range.contains(RemoteAddress(words[i]));
                                      }));
            });
        return !is_in_promise;
    }

    static const PathEnd* end_in(const Search& search, std::uint32_t frame) {
        const auto found = std::ranges::find(search.ends, frame, &PathEnd::frame);
        return found != search.ends.end() ? &*found : nullptr;
    }

    /// The nodes of a std::list or std::map lead back to the container, in which the path has begun. A handle
    /// of the frame is none.
    bool is_sentinel(const KnownObjects::Start& start, const PathEnd& to_itself) const {
        constexpr std::uint64_t largest_container = 48;
        const RemoteAddress frame = set_.frames[start.frame].address, word = frame + start.offset;
        return to_itself.lowest != frame && to_itself.lowest + largest_container > word &&
               to_itself.highest < word + largest_container;
    }

    bool in_promise(const KnownObjects::Start& start) const {
        return set_.views[start.frame].is_in_promise(start.offset);
    }

    /// An executor, a list of everything: frames that await by another way know it, too.
    bool is_hub(const KnownObjects::Start& start, const Search& search) const {
        const std::vector<std::uint32_t>& sharing = known_.referrers.at(start.pointer);
        if (sharing.size() > most_referrers) return true;
        return std::ranges::any_of(sharing, [&](std::uint32_t frame) {
            return frame != start.frame && rules_.has_parent[frame] && end_in(search, frame) == nullptr;
        });
    }

    bool may_await(std::uint32_t frame, const KnownObjects::Start& start) const {
        if (set_.frames[frame].done || waits_for_a_signal(set_.views[frame])) return false;
        // Two calls of one function that know the object in the same way are on one side of it.
        const bool is_sibling =
            set_.frames[frame].function == set_.frames[start.frame].function &&
            set_.memory.read_value<std::uint64_t>(set_.frames[frame].address + start.offset) == start.pointer;
        if (is_sibling) return false;
        // Whom it awaits, or who awaits somebody that it awaits, is not its parent: it only knows them.
        return in_promise(start) || !rules_.descends_from(frame, start.frame);
    }

    /// A word outside the promise may be a leftover whose object serves somebody else by now: several have to
    /// know it, beside the one that waits.
    bool is_completion(const KnownObjects::Start& start, const PathEnd& end) const {
        if (end.path.hops != 1 || end.path.target != Reference::Target::frame || rules_.has_child[end.frame])
            return false;
        const std::vector<std::uint32_t>& sharing = known_.referrers.at(start.pointer);
        const auto ends = std::ranges::count(sharing, end.frame);
        return in_promise(start) || sharing.size() - static_cast<std::size_t>(ends) > 1;
    }

    const FrameSet& set_;
    const HeapPathRules& rules_;
    const KnownObjects& known_;
    std::vector<Reference> references_, unconfirmed_;
    std::vector<bool> is_confirmed_;
    std::map<std::uint32_t, NearestHandler> handlers_;
};

}  // namespace

std::vector<Reference> find_heap_paths(const FrameSet& set, const MemoryMap& map,
                                       std::span<const std::uint32_t> starts, const HeapPathRules& rules) {
    const KnownObjects known = find_known_objects(set, map, starts);
    Searcher searcher(set, map);
    PathChooser chooser(set, rules, known);
    for (const KnownObjects::Start& start : known.starts)
        chooser.consider(start, searcher.from(start.pointer));
    return chooser.take();
}

std::vector<Reference> continuations_over_heap(const FrameSet& set, const MemoryMap& map,
                                               std::span<const Reference> awaited) {
    Searcher searcher(set, map);
    std::vector<Reference> continuations;
    std::vector<std::uint64_t> scratch;
    for (const Reference& down : awaited) {
        std::uint32_t offset = 0;
        for_each_own_word(set, down.to, scratch, [&](std::uint32_t i, std::span<const std::uint64_t> words) {
            if (offset != 0 || !set.views[down.to].is_in_promise(i * 8ULL) ||
                set.index.find(words[i]) != FrameIndex::none || !is_heap(map, set.stacks, words[i]))
                return;
            const auto& ends = searcher.from(words[i]).ends;
            if (std::ranges::find(ends, down.from, &PathEnd::frame) != ends.end()) offset = i * 8;
        });
        if (offset == 0) continue;
        Reference back;
        back.from = down.to;
        back.to = down.from;
        back.offset = offset;
        back.origin = Reference::Origin::promise;
        back.target = Reference::Target::frame;
        back.promise_known = true;
        back.hops = 1;
        back.through_container = true;
        continuations.push_back(back);
    }
    return continuations;
}

namespace {

/// A place where a word may stand: on the heap, a stack, in a module's data.
bool is_data(const MemoryMap& map, std::uint64_t address) {
    const Mapping* const mapping = address % 8 == 0 ? map.find(RemoteAddress(address)) : nullptr;
    return mapping != nullptr && mapping->writable;
}

/// Of what a pointer of the live awaiter is declared to lead to, at most 4 KiB: it may be anywhere, as a
/// member of a server that is a global or lives on a stack. Where nobody knows the awaiter's place, any word
/// of the frame may be that pointer, if its class has one. 0: it is none.
std::uint32_t bytes_behind_pointer(const FrameView& view, std::uint32_t offset) {
    constexpr std::uint32_t most_bytes = 4096;
    const AwaiterSlot& live = view.awaiter->live;
    const auto& pointers = view.awaiter->pointers;
    if (live.end == 0 && !pointers.empty() && !view.is_in_promise(offset))
        return std::min(std::ranges::max(pointers, {}, &AwaiterPointer::bytes).bytes, most_bytes);
    if (offset < live.begin || offset >= live.end) return 0;
    const auto pointer = std::ranges::find(pointers, offset - live.begin, &AwaiterPointer::offset);
    return pointer != pointers.end() ? std::min(pointer->bytes, most_bytes) : 0;
}

}  // namespace

std::optional<ContainerWord> container_word(const FrameSet& set, const MemoryMap& map, std::uint32_t from,
                                            std::uint32_t to) {
    std::vector<std::uint64_t> scratch, scratch_of_object;
    const auto words = set.memory.read_words(set.frames[from].range(), scratch);
    std::size_t looked_at = 0;
    const auto of_awaiter = awaiter_words(set.frames[from], set.views[from], words);
    std::optional<ContainerWord> found;
    for (std::uint32_t i = 2; i < words.size(); ++i) {
        if (set.index.find(words[i]) != FrameIndex::none) continue;
        const bool is_on_heap = is_heap(map, set.stacks, words[i]);
        const std::uint32_t bytes =
            is_on_heap || !is_data(map, words[i]) ? 0 : bytes_behind_pointer(set.views[from], i * 8);
        if (!is_on_heap && bytes == 0) continue;
        const bool in_awaiter = std::ranges::find(of_awaiter, i * 8) != of_awaiter.end();
        if (found && !in_awaiter) continue;
        if (++looked_at > most_objects) break;
        const RemoteAddress begin(words[i]);
        const AddressRange object =
            is_on_heap ? object_at(set.memory, begin) : AddressRange{begin, begin + bytes};
        for (const std::uint64_t inner : set.memory.read_words(object, scratch_of_object)) {
            if (set.index.find(inner) != to) continue;
            const auto target = classify_target(set.frames[to], set.views[to], RemoteAddress(inner));
            if (target == Reference::Target::interior) continue;
            found = ContainerWord{i * 8, in_awaiter};
            if (in_awaiter) return found;
        }
    }
    return found;
}

}  // namespace asyncdump::cpp20

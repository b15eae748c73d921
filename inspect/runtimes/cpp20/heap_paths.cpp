#include "runtimes/cpp20/heap_paths.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "runtimes/cpp20/awaited_objects.h"
#include "runtimes/cpp20/heap_search.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t most_referrers = 64;
/// What takes time for each of a crowd's frames is only done this often: ends of one search where each is
/// looked at for each start, and of all searches together.
constexpr std::size_t most_compared_ends = 512;
constexpr std::size_t most_considered_ends = 1 << 22;

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

/// is_wanted(index of the word in the frame, all words)
template <class IsWanted>
bool refers_to(const FrameSet& set, std::uint32_t from, const IsWanted& is_wanted) {
    std::vector<std::uint64_t> scratch;
    bool found = false;
    for_each_own_word(set, from, scratch, [&](std::uint32_t i, std::span<const std::uint64_t> words) {
        found = found || is_wanted(i, words);
    });
    return found;
}

bool refers_to_frame(const FrameSet& set, std::uint32_t from, std::uint32_t to) {
    return refers_to(set, from, [&](std::uint32_t i, std::span<const std::uint64_t> words) {
        if (set.index.find(words[i]) != to) return false;
        const auto target = classify_target(set.frames[to], set.views[to], RemoteAddress(words[i]));
        return target == Reference::Target::frame ? !is_end_of_array(set, from, words, i)
                                                  : target != Reference::Target::interior;
    });
}

/// Whether the frame at a path's end refers to an object on the path; one beyond, which an object on the path
/// knows as well, tells nothing. What it only remembers, and does not wait for, may serve somebody else by
/// now.
bool refers_to_object(const FrameSet& set, const HeapPathEnd& end, const HeapSearch& search) {
    std::vector<AddressRange> on_path;
    for (std::size_t i = end.last_object;; i = search.objects[i].reached_from) {
        on_path.push_back(search.objects[i].range);
        if (i == search.objects[i].reached_from) break;
    }
    if (!awaiter_may_lead_to(set, end.frame, on_path)) return false;
    return refers_to(set, end.frame, [&](std::uint32_t i, std::span<const std::uint64_t> words) {
        return std::ranges::any_of(
            on_path, [&](const AddressRange& object) { return object.contains(RemoteAddress(words[i])); });
    });
}

/// Where a library keeps no reference back, and a root has one completion handler, the nearest end of all its
/// pointers counts: further on stands what that one serves in its turn.
struct NearestHandler {
    Reference path;
    std::uint32_t offset = 0;
    bool is_unique = false;

    void consider(const HeapSearch& search, std::uint32_t from_offset, std::uint32_t start,
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
    PathChooser(const FrameSet& set, const MemoryMap& map, const HeapPathRules& rules,
                const KnownObjects& known, HeapSearcher& searcher)
        : set_(set),
          map_(map),
          rules_(rules),
          known_(known),
          searcher_(searcher),
          is_confirmed_(set.frames.size()) {}

    void consider(const KnownObjects::Start& start, const HeapSearch& search) {
        if (search.ends.empty()) return;
        if (rules_.trusted_end(start.frame)) {
            handlers_[start.frame].consider(search, start.offset, start.frame, rules_);
            return;
        }
        const HeapPathEnd* const to_itself = search.end_in(start.frame);
        if (search.overflowed) return;
        if (to_itself != nullptr && !is_sentinel(start, *to_itself)) {
            consider_owner(start, search, *to_itself);
            return;
        }
        // What promises know as their counter is only a leftover elsewhere.
        if (!in_promise(start) && known_.known_to_promises.contains(start.pointer)) return;
        considered_ends_ += search.ends.size();
        if (considered_ends_ > most_considered_ends && search.ends.size() > most_compared_ends) return;
        const std::size_t others = search.ends.size() - (to_itself != nullptr ? 1 : 0);
        const bool may_stand_alone = others == 1 && (in_promise(start) || !is_hub(start, search));
        for (const HeapPathEnd& end : search.ends) {
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
    void consider_owner(const KnownObjects::Start& start, const HeapSearch& search,
                        const HeapPathEnd& to_itself) {
        if (!rules_.has_child[start.frame] || search.ends.size() > most_compared_ends ||
            (!in_promise(start) && is_hub(start, search)))
            return;
        const HeapPathEnd* waiting = nullptr;
        for (const HeapPathEnd& end : search.ends) {
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
    void add_fellow_waiters(const KnownObjects::Start& start, const HeapSearch& search,
                            const HeapPathEnd& end, std::vector<Reference>& references) {
        if (!in_promise(start) || !waits_by_awaiter_for(end.frame, start.pointer)) return;
        const AwaiterPlace& known = *set_.views[end.frame].awaiter;
        for (const std::uint32_t frame : known_.referrers.at(start.pointer)) {
            if (frame == start.frame || search.end_in(frame) != nullptr || !may_await(frame, start) ||
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
    bool waits_for_state(const KnownObjects::Start& start, const HeapPathEnd& end, const HeapSearch& search) {
        if (!in_promise(start)) return false;
        if (!set_.views[end.frame].awaiter->is_certain && !waits_for_it_alone(start, end)) return false;
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

    /// Where nobody knows the place of the awaiter, only its class, which has pointers: the frame knows the
    /// object itself, and no other one from which its handle can be reached. Can be wrong where it gave up
    /// waiting for the object, is still known there, and waits for something now that does not know it.
    bool waits_for_it_alone(const KnownObjects::Start& start, const HeapPathEnd& end) {
        if (set_.views[end.frame].awaiter->pointers.empty()) return false;
        bool knows_it = false, is_alone = true;
        std::vector<std::uint64_t> scratch;
        for_each_own_word(
            set_, end.frame, scratch, [&](std::uint32_t i, std::span<const std::uint64_t> words) {
                if (set_.views[end.frame].is_in_promise(i * 8ULL) || !is_alone) return;
                if (words[i] == start.pointer) knows_it = true;
                if (words[i] == start.pointer || set_.index.find(words[i]) != FrameIndex::none ||
                    !is_heap(map_, set_.stacks, words[i]))
                    return;
                const HeapSearch& other = searcher_.from(words, i);
                is_alone = other.end_in(end.frame) == nullptr ||
                           std::ranges::any_of(other.objects, [&](const HeapObject& object) {
                               return object.range.contains(RemoteAddress(start.pointer));
                           });
            });
        return knows_it && is_alone;
    }

    /// The nodes of a std::list or std::map lead back to the container, in which the path has begun. A handle
    /// of the frame is none.
    bool is_sentinel(const KnownObjects::Start& start, const HeapPathEnd& to_itself) const {
        constexpr std::uint64_t largest_container = 48;
        const RemoteAddress frame = set_.frames[start.frame].address, word = frame + start.offset;
        return to_itself.lowest != frame && to_itself.lowest + largest_container > word &&
               to_itself.highest < word + largest_container;
    }

    bool in_promise(const KnownObjects::Start& start) const {
        return set_.views[start.frame].is_in_promise(start.offset);
    }

    /// An executor, a list of everything: frames that await by another way know it, too.
    bool is_hub(const KnownObjects::Start& start, const HeapSearch& search) const {
        const std::vector<std::uint32_t>& sharing = known_.referrers.at(start.pointer);
        if (sharing.size() > most_referrers) return true;
        return std::ranges::any_of(sharing, [&](std::uint32_t frame) {
            return frame != start.frame && rules_.has_parent[frame] && search.end_in(frame) == nullptr;
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
    bool is_completion(const KnownObjects::Start& start, const HeapPathEnd& end) const {
        if (end.path.hops != 1 || end.path.target != Reference::Target::frame || rules_.has_child[end.frame])
            return false;
        const std::vector<std::uint32_t>& sharing = known_.referrers.at(start.pointer);
        const auto ends = std::ranges::count(sharing, end.frame);
        // Who has the other one's handle outside its promise rather awaits that one: by a task that they
        // share.
        if (refers_to_frame(set_, start.frame, end.frame)) return false;
        return in_promise(start) || sharing.size() - static_cast<std::size_t>(ends) > 1;
    }

    const FrameSet& set_;
    const MemoryMap& map_;
    const HeapPathRules& rules_;
    const KnownObjects& known_;
    HeapSearcher& searcher_;
    std::vector<Reference> references_, unconfirmed_;
    std::vector<bool> is_confirmed_;
    std::size_t considered_ends_ = 0;
    std::map<std::uint32_t, NearestHandler> handlers_;
};

}  // namespace

std::vector<Reference> find_heap_paths(const FrameSet& set, const MemoryMap& map,
                                       std::span<const std::uint32_t> starts, const HeapPathRules& rules) {
    const KnownObjects known = find_known_objects(set, map, starts);
    HeapSearcher searcher(set, map);
    PathChooser chooser(set, map, rules, known, searcher);
    for (const KnownObjects::Start& start : known.starts)
        chooser.consider(start, searcher.from_frame(start.frame, start.offset));
    return chooser.take();
}

std::vector<Reference> continuations_over_heap(const FrameSet& set, const MemoryMap& map,
                                               std::span<const Reference> awaited) {
    HeapSearcher searcher(set, map);
    std::vector<Reference> continuations;
    std::vector<std::uint64_t> scratch;
    for (const Reference& down : awaited) {
        std::uint32_t offset = 0;
        for_each_own_word(set, down.to, scratch, [&](std::uint32_t i, std::span<const std::uint64_t> words) {
            if (offset != 0 || !set.views[down.to].is_in_promise(i * 8ULL) ||
                set.index.find(words[i]) != FrameIndex::none || !is_heap(map, set.stacks, words[i]))
                return;
            if (searcher.from_frame(down.to, i * 8).end_in(down.from) != nullptr) offset = i * 8;
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

}  // namespace asyncdump::cpp20

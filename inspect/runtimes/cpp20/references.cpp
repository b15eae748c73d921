#include "runtimes/cpp20/references.h"

#include <algorithm>
#include <set>
#include <utility>

#include "runtimes/cpp20/heap_objects.h"
#include "runtimes/cpp20/shared_objects.h"

namespace asyncdump::cpp20 {
namespace {

/// A frame cannot refer to more others than this many times: bounds what hostile content can cost.
constexpr std::size_t most_references_of_a_frame = 16384;
/// In which what a waiter's awaiter leads to is looked for.
constexpr std::size_t most_words_of_a_waiter = 8192;
constexpr std::uint32_t first_word = 16;  ///< after the resume and destroy pointers
/// A task type is a handle, perhaps behind a word of its own.
constexpr std::uint32_t bytes_of_a_task = 16;

Reference containment(std::uint32_t parent, std::uint32_t child) {
    Reference contains;
    contains.from = parent;
    contains.to = child;
    contains.target = Reference::Target::frame;
    contains.promise_known = true;
    return contains;
}

/// A frame that was elided in one that was itself elided lies beside it, in the frame around both: neither
/// contains the other, and the parent knows the child's place without a pointer.
void add_neighbours(std::span<const Frame> frames, std::span<const std::uint32_t> outermost,
                    std::vector<Reference>& references) {
    std::set<std::pair<std::uint32_t, std::uint32_t>> known, continuations;
    for (const Reference& reference : references) {
        if (reference.is_handle) continuations.emplace(reference.from, reference.to);
        if (reference.origin != Reference::Origin::promise && frames[reference.to].elided)
            known.emplace(reference.from, reference.to);
    }
    const std::size_t count = references.size();
    for (std::size_t i = 0; i < count; ++i) {
        const Reference reference = references[i];
        if (!frames[reference.from].elided || reference.origin != Reference::Origin::promise ||
            !is_strong(reference) || outermost[reference.from] != outermost[reference.to])
            continue;
        if (!reference.is_handle && continuations.contains({reference.to, reference.from})) continue;
        if (known.emplace(reference.to, reference.from).second)
            references.push_back(containment(reference.to, reference.from));
    }
}

/// Without debug information: the word of the frame that the function reads first of those that lead to a
/// coroutine, or that lead to an object in the frame which does; offsets. Can be wrong where await_resume has
/// nothing to read: then it is that of what comes next.
std::vector<std::uint32_t> first_read_handles(const FrameSet& set, std::uint32_t frame,
                                              std::span<const std::uint64_t> words) {
    const FrameView& view = set.views[frame];
    const auto is_handle = [&](std::uint64_t offset) {
        if (offset / 8 >= words.size() || view.is_in_promise(offset)) return false;
        const std::uint64_t word = words[offset / 8];
        const std::uint32_t to = set.index.find(word);
        if (to == FrameIndex::none || to == frame) return false;
        const auto target = classify_target(set.frames[to], set.views[to], RemoteAddress(word));
        return target == Reference::Target::frame || target == Reference::Target::promise;
    };
    for (const std::uint32_t offset : view.awaiter->read_first) {
        if (is_handle(offset)) return {offset};
        if (offset / 8 >= words.size()) continue;
        const std::uint64_t local = words[offset / 8] - set.frames[frame].address.value();
        if (local < first_word || local % 8 != 0) continue;
        std::vector<std::uint32_t> offsets;
        for (std::uint64_t at = local; at < local + bytes_of_a_task; at += 8) {
            if (is_handle(at)) offsets.push_back(static_cast<std::uint32_t>(at));
        }
        if (!offsets.empty()) return offsets;
    }
    return {};
}

/// Without debug information: whether the code of the coroutine to which a word leads stores its own address
/// there, as far from what one of its words leads to. Then it has suspended itself until this one is done.
bool is_given_by_other(const FrameSet& set, const Reference& reference) {
    const FrameView& other = set.views[reference.to];
    if (other.knowledge == nullptr) return false;
    const RemoteAddress place = set.frames[reference.from].address + reference.offset;
    const auto is_place = [&](std::uint32_t offset) {
        return set.frames[reference.to].address + offset == place;
    };
    // Beyond the promise it may keep its own address for itself, behind the other one's frame.
    if (set.views[reference.from].is_in_promise(reference.offset) &&
        std::ranges::any_of(other.knowledge->gives_itself_inside, is_place))
        return true;
    if (other.knowledge->gives_itself_at.empty()) return false;
    std::vector<std::uint64_t> scratch;
    const auto all_words = set.memory.read_words(set.frames[reference.to].range(), scratch);
    const auto words = all_words.first(std::min(all_words.size(), most_words_of_a_waiter));
    return std::ranges::any_of(other.knowledge->gives_itself_at, [&](std::uint32_t distance) {
        const std::uint64_t begin = (place - distance).value();
        const std::uint64_t offset = begin - set.frames[reference.from].address.value();
        if (offset != 0 && offset != first_word) return false;
        return std::ranges::find(words, begin) != words.end();
    });
}

}  // namespace

std::vector<std::uint32_t> awaiter_words(const Frame& frame, const FrameView& view,
                                         std::span<const std::uint64_t> words) {
    std::vector<std::uint32_t> offsets;
    for (std::uint32_t offset = view.awaiter->live.begin; offset + 8 <= view.awaiter->live.end; offset += 8) {
        if (offset / 8 >= words.size()) break;
        offsets.push_back(offset);
        const std::uint64_t local = words[offset / 8] - frame.address.value();
        if (local < first_word || local >= frame.extent || local % 8 != 0) continue;
        const auto pointer = std::ranges::find(view.awaiter->pointers, offset - view.awaiter->live.begin,
                                               &AwaiterPointer::offset);
        const std::uint32_t bytes =
            pointer != view.awaiter->pointers.end() ? pointer->bytes : bytes_of_a_task;
        std::uint64_t end = std::min<std::uint64_t>(local + bytes, frame.extent);
        // A pointer to the first of them: when_all(std::span<Task>). Coroutines of others that a pointer into
        // the middle leaves out do not name this one as their parent.
        for (const FrameField& member : view.layout->members) {
            if (member.is_array && local >= member.offset && local - member.offset < member.size)
                end = std::min<std::uint64_t>(member.offset + member.size, frame.extent);
        }
        for (std::uint64_t at = local; at + 8 <= end; at += 8)
            offsets.push_back(static_cast<std::uint32_t>(at));
    }
    return offsets;
}

Reference::Target classify_target(const Frame& frame, const FrameView& view, RemoteAddress address) {
    const std::uint64_t offset = address - frame.address;
    if (offset == 0) return Reference::Target::frame;
    if (view.is_in_promise(offset)) return Reference::Target::promise;
    // Without debug information the promise is where both compilers put it when it is not over-aligned.
    if (!view.knows_promise() && offset == first_word) return Reference::Target::promise;
    if (offset >= view.awaiter->live.begin && offset < view.awaiter->live.end)
        return Reference::Target::live_awaiter;
    return Reference::Target::interior;
}

std::uint32_t bytes_behind(const FrameSet& set, const MemoryMap& map, std::uint32_t frame,
                           std::uint32_t offset, std::uint64_t word) {
    const FrameLayout& layout = *set.views[frame].layout;
    const std::uint32_t declared = layout.bytes_behind(offset);
    if (declared != 0 || set.shared_objects == nullptr) return declared;
    return set.shared_objects->bytes_at(set.memory, map, RemoteAddress(word), layout);
}

bool leads_to_frame(const FrameSet& set, std::uint64_t word) {
    const std::uint32_t frame = set.index.find(word);
    return frame != FrameIndex::none && classify_target(set.frames[frame], set.views[frame],
                                                        RemoteAddress(word)) != Reference::Target::interior;
}

bool is_end_of_array(const FrameSet& set, std::uint32_t frame, std::span<const std::uint64_t> words,
                     std::size_t i) {
    if (set.views[frame].layout->leads_to_array(i * 8)) return true;
    // Nearly every frame ends here: numbers and null pointers stand before the word.
    const auto may_be_begin = [&](std::size_t k) {
        constexpr std::uint64_t first_page_end = 4096;
        return k >= first_word / 8 && words[k] % 8 == 0 && words[k] >= first_page_end && words[k] < words[i];
    };
    if (!may_be_begin(i - 1) && !may_be_begin(i - 2)) return false;
    return is_end_of_vector(set.memory, words, first_word / 8, i,
                            [&](std::uint64_t word) { return leads_to_frame(set, word); });
}

std::vector<Reference> collect_references(const FrameSet& set) {
    std::vector<Reference> references;
    std::vector<std::uint64_t> scratch;
    std::vector<std::uint32_t> open;  // frames around the current one, outermost first
    std::vector<std::uint32_t> outermost(set.frames.size());
    bool has_elided = false;
    references.reserve(set.frames.size() * 2);
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        const Frame& frame = set.frames[i];
        const FrameView& view = set.views[i];
        while (!open.empty() && set.frames[open.back()].range().end <= frame.address) open.pop_back();
        // An elided frame lives in its parent: the parent needs no pointer to it.
        if (!open.empty() && frame.elided) references.push_back(containment(open.back(), i));
        has_elided = has_elided || frame.elided;
        open.push_back(i);
        outermost[i] = open.front();

        const auto words = set.memory.read_words(frame.range(), scratch);
        const bool has_frames_inside =
            i + 1 < set.frames.size() && frame.range().contains(set.frames[i + 1].address);
        std::size_t found = 0;
        const std::vector<std::uint32_t> of_awaiter = awaiter_words(frame, view, words);
        const std::vector<std::uint32_t> read_first = first_read_handles(set, i, words);
        for (std::uint32_t offset = first_word; offset / 8 < words.size(); offset += 8) {
            const std::uint64_t word = words[offset / 8];
            const std::uint32_t to = set.index.find(word);
            if (to == FrameIndex::none || to == i || !view.may_hold_pointer(offset)) continue;
            const auto holds_word = [&](const AwaiterSlot& slot) { return slot.contains(offset); };
            if (std::ranges::any_of(view.awaiter->dead, holds_word)) continue;
            // The word belongs to a frame nested in this one.
            if (has_frames_inside && set.index.find((frame.address + offset).value()) != i) continue;
            if (++found > most_references_of_a_frame) break;
            Reference reference;
            reference.from = i;
            reference.to = to;
            reference.offset = offset;
            reference.promise_known = view.knows_promise();
            reference.target = classify_target(set.frames[to], set.views[to], RemoteAddress(word));
            if (reference.target == Reference::Target::frame && is_end_of_array(set, i, words, offset / 8))
                continue;
            if (view.is_in_promise(offset)) {
                reference.origin = Reference::Origin::promise;
                const PromiseWord kind = view.layout->promise_word(offset);
                reference.is_handle = kind == PromiseWord::continuation;
                reference.leads_to_no_awaiter = kind == PromiseWord::list_link || kind == PromiseWord::result;
            } else if (std::ranges::find(of_awaiter, offset) != of_awaiter.end()) {
                reference.origin = Reference::Origin::live_awaiter;
            } else if (std::ranges::find(read_first, offset) != read_first.end()) {
                reference.origin = Reference::Origin::read_first;
            }
            if (view.knowledge != nullptr && reference.target == Reference::Target::frame &&
                is_given_by_other(set, reference)) {
                reference.origin = Reference::Origin::promise;
                reference.promise_known = reference.is_handle = true;
            }
            references.push_back(reference);
        }
    }
    if (has_elided) {
        add_neighbours(set.frames, outermost, references);
        std::ranges::stable_sort(references, {}, &Reference::from);
    }
    return references;
}

bool is_strong(const Reference& reference) {
    return reference.target != Reference::Target::interior && !reference.leads_to_no_awaiter;
}

}  // namespace asyncdump::cpp20

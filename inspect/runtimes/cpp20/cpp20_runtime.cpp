#include "runtimes/cpp20/cpp20_runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "modules/memory_with_files.h"
#include "runtimes/cpp20/allocator_memory.h"
#include "runtimes/cpp20/awaiter_object.h"
#include "runtimes/cpp20/frame_index.h"
#include "runtimes/cpp20/frame_variables.h"
#include "runtimes/cpp20/heap_paths.h"
#include "runtimes/cpp20/holds.h"
#include "runtimes/cpp20/libraries/libraries.h"
#include "runtimes/cpp20/liveness.h"
#include "runtimes/cpp20/locks.h"
#include "runtimes/cpp20/references.h"
#include "runtimes/cpp20/wait_kinds.h"

namespace asyncdump::cpp20 {
namespace {

/// Of a frame of unknown size, where its index is looked for.
constexpr std::uint32_t least_index_bytes = 1024;

bool is_strong(const Reference& reference) {
    return reference.target != Reference::Target::interior && !reference.is_list_link;
}

/// References, which are sorted by where they come from, as a row for each frame.
class ReferencesByFrame {
  public:
    ReferencesByFrame(std::span<const Reference> sorted, std::size_t frames)
        : references_(sorted), rows_(frames + 1) {
        for (const Reference& reference : sorted) ++rows_[reference.from + 1];
        for (std::size_t i = 1; i < rows_.size(); ++i) rows_[i] += rows_[i - 1];
    }
    std::span<const Reference> of(std::uint32_t frame) const {
        return references_.subspan(rows_[frame], rows_[frame + 1] - rows_[frame]);
    }

  private:
    std::span<const Reference> references_;
    std::vector<std::size_t> rows_;
};

template <class Predicate>
void remove_frames(std::vector<Frame>& frames, Predicate is_removed) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < frames.size(); ++i) {
        if (!is_removed(i)) frames[kept++] = frames[i];
    }
    frames.resize(kept);
}

std::vector<AddressRange> ranges_of(std::span<const Frame> frames) {
    std::vector<AddressRange> ranges;
    ranges.reserve(frames.size());
    for (const Frame& frame : frames) ranges.push_back(frame.range());
    return ranges;
}

}  // namespace

struct Cpp20Runtime::State {
    State(const ModuleSet& loaded, const Options& given)
        : options(given),
          modules(loaded),
          catalog(modules),
          layouts(catalog, options.user),
          resolver(modules, SuspendPointResolver::Options{given.use_source_text}),
          running(catalog, layouts) {}

    Options options;
    const ModuleSet& modules;
    CoroutineCatalog catalog;
    LayoutCache layouts;
    SuspendPointResolver resolver;
    RunningCoroutines running;
    std::unordered_map<std::uint32_t, bool> stands_for_leaf;  ///< by function
    /// Awaiter members, by the suspend point that the resolver keeps.
    std::unordered_map<const SuspendPoint*, FrameLayout::LiveAwaiter> awaiters;
    TypeTable types;
    FrameVariables variables{types};
    AwaiterObjects awaiter_objects{types, resolver};

    FrameView view_of(const Memory& memory, const Frame& frame);
    bool stands_for_its_leaf(std::uint32_t function);
    void demote_pointers_to_leaves(std::span<const Frame> frames, std::vector<Reference>& references);
    void add_heap_confirmations(const FrameSet& set, const MemoryMap& map,
                                std::vector<Reference>& references);
    std::vector<Reference> paths(const FrameSet& set, const MemoryMap& map,
                                 const std::vector<Reference>& direct);
    void add_coroutines(Observation& observation, const FrameSet& set, const Surroundings& surroundings);
    Awaiting awaiting_of(const FrameView& view, const CoroutineFunction& function);
    void name_awaited_objects(Observation& observation, const FrameSet& set);
    void add_values(Observation& observation, const FrameSet& set);
    void mark_doubtful(Observation& observation, const FrameSet& set, const Surroundings& surroundings);
    void add_holds(Observation& observation, const FrameSet& set, const Surroundings& surroundings) const;
};

FrameView Cpp20Runtime::State::view_of(const Memory& memory, const Frame& frame) {
    FrameView view;
    view.layout = &layouts.of(frame.function);
    // A frame inside another one may be cut short by what is nested in it: its index lies further on.
    const std::size_t size = frame.size_is_known ? frame.extent : std::max(frame.extent, least_index_bytes);
    std::vector<std::byte> copy;
    std::span<const std::byte> bytes = memory.view(frame.address);
    if (bytes.size() >= size) {
        bytes = bytes.first(size);
    } else {
        copy.resize(size);
        bytes = std::span(copy).first(memory.read(frame.address, copy));
    }
    if (bytes.size() < 16) return view;
    const SuspendPoint& point = resolver.resolve(catalog.functions()[frame.function], bytes);
    view.point = &point;
    const auto [entry, is_new] = awaiters.try_emplace(&point);
    if (is_new && view.layout->index && view.layout->index->offset + 2 <= bytes.size()) {
        std::uint16_t index = 0;
        std::memcpy(&index, bytes.data() + view.layout->index->offset, sizeof index);
        entry->second = view.layout->live_awaiter(index & ~1U, point.awaiter_type);
    }
    if (const auto& [awaiter, is_certain] = entry->second; awaiter != nullptr) {
        view.awaiter_begin = awaiter->offset;
        view.awaiter_end = awaiter->offset + std::max(awaiter->size, 1U);
        view.awaiter_is_certain = is_certain;
    }
    return view;
}

bool Cpp20Runtime::State::stands_for_its_leaf(std::uint32_t function) {
    const auto [entry, is_new] = stands_for_leaf.try_emplace(function);
    if (is_new) {
        const std::string_view symbol = catalog.functions()[function].ramp_symbol;
        const Library* library = library_of(symbol);
        entry->second = library != nullptr && library->stands_for_its_leaf(symbol);
    }
    return entry->second;
}

/// The promise of a root that stands for its leaf (asio's entry point) names the top of its stack: a
/// descendant, and never who awaits it.
void Cpp20Runtime::State::demote_pointers_to_leaves(std::span<const Frame> frames,
                                                    std::vector<Reference>& references) {
    for (Reference& reference : references) {
        if (reference.origin == Reference::Origin::promise &&
            stands_for_its_leaf(frames[reference.from].function))
            reference.origin = Reference::Origin::elsewhere;
    }
}

/// A parent may keep its children in a vector: where a promise names a parent that has no pointer back, look
/// one object further.
void Cpp20Runtime::State::add_heap_confirmations(const FrameSet& set, const MemoryMap& map,
                                                 std::vector<Reference>& references) {
    const ReferencesByFrame by_frame(references, set.frames.size());
    const auto names_directly = [&](std::uint32_t parent, std::uint32_t child) {
        // Where the live awaiter is known, only a word of it says that the child is awaited now.
        const bool awaiter_only = set.views[parent].awaiter_is_certain;
        return std::ranges::any_of(by_frame.of(parent), [&](const Reference& reference) {
            return reference.to == child &&
                   (!awaiter_only || reference.origin == Reference::Origin::live_awaiter);
        });
    };
    const auto is_first_of_its_pair = [&](const Reference& reference) {
        return &reference == &*std::ranges::find_if(by_frame.of(reference.from), [&](const Reference& other) {
            return other.to == reference.to && other.origin == Reference::Origin::promise &&
                   !other.is_list_link;
        });
    };
    std::vector<Reference> confirmations;
    for (const Reference& reference : references) {
        const std::uint32_t child = reference.from;
        const std::uint32_t parent = reference.to;
        if (reference.origin != Reference::Origin::promise || reference.is_list_link) continue;
        if (set.frames[child].done || names_directly(parent, child) || !is_first_of_its_pair(reference))
            continue;
        const auto word = container_word(set, map, parent, child);
        if (!word) continue;
        const FrameView& view = set.views[parent];
        Reference confirmation;
        confirmation.from = parent;
        confirmation.to = child;
        confirmation.target = Reference::Target::frame;
        confirmation.hops = 1;
        confirmation.through_container = true;
        confirmation.offset = *word;
        if (*word >= view.awaiter_begin && *word < view.awaiter_end) {
            confirmation.origin = Reference::Origin::live_awaiter;
        }
        confirmation.promise_known = view.layout->promise_type.has_value();
        confirmations.push_back(confirmation);
    }
    std::ranges::stable_sort(confirmations, {}, &Reference::from);
    const auto middle = references.insert(references.end(), confirmations.begin(), confirmations.end());
    std::ranges::inplace_merge(references, middle, {}, &Reference::from);
}

/// Paths over the heap for frames that no direct pointer gives a parent.
std::vector<Reference> Cpp20Runtime::State::paths(const FrameSet& set, const MemoryMap& map,
                                                  const std::vector<Reference>& direct) {
    HeapPathRules rules;
    rules.has_parent.resize(set.frames.size());
    rules.has_child.resize(set.frames.size());
    // The coroutine at the far end of a chain whose root is known to stand for it: child of child of ...
    std::vector<std::uint32_t> child(set.frames.size(), no_index);
    const ReferencesByFrame by_frame(direct, set.frames.size());
    const auto holds = [&](std::uint32_t from, std::uint32_t to) {
        return std::ranges::any_of(by_frame.of(from), [&](const Reference& reference) {
            return reference.to == to && reference.origin != Reference::Origin::promise;
        });
    };
    for (const Reference& reference : direct) {
        // A promise may also lead elsewhere: asio's entry point to the top of its stack.
        const bool up = reference.origin == Reference::Origin::promise && is_strong(reference) &&
                        (reference.is_handle || holds(reference.to, reference.from));
        const bool down =
            reference.origin == Reference::Origin::live_awaiter &&
            (reference.target == Reference::Target::frame || reference.target == Reference::Target::promise);
        const bool contained = reference.offset == 0;
        if (up) {
            rules.has_parent[reference.from] = true;
            if (!set.frames[reference.from].done) {
                rules.has_child[reference.to] = true;
                child[reference.to] = reference.from;
            }
        }
        if (down || contained) {
            rules.has_parent[reference.to] = true;
            rules.has_child[reference.from] = true;
        }
    }
    const auto is_stand_in = [&](std::uint32_t frame) {
        return stands_for_its_leaf(set.frames[frame].function);
    };
    rules.trusted_end = is_stand_in;
    std::vector<std::uint32_t> starts;
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        if (!rules.has_parent[i] && !set.frames[i].done && !set.frames[i].elided) starts.push_back(i);
    }
    std::vector<Reference> found = find_heap_paths(set, map, starts, rules);
    // The handler of a coroutine that such a root was spawned for may lie in the root's own frame.
    for (const Reference& reference : direct) {
        const bool is_handler = reference.origin == Reference::Origin::elsewhere && is_strong(reference);
        if (is_handler && !rules.has_parent[reference.from] && is_stand_in(reference.from) &&
            is_stand_in(reference.to) && !set.frames[reference.from].done) {
            found.push_back(reference);
            found.back().hops = 1;
        }
    }
    for (Reference& reference : found) {
        if (!is_stand_in(reference.to)) continue;
        std::uint32_t leaf = reference.to;
        for (std::size_t steps = 0; steps < set.frames.size() && child[leaf] != no_index; ++steps)
            leaf = child[leaf];
        if (leaf == reference.from) continue;
        reference.to = leaf;
        reference.target = Reference::Target::frame;
    }
    return found;
}

Awaiting Cpp20Runtime::State::awaiting_of(const FrameView& view, const CoroutineFunction& function) {
    if (const Library* library = library_of(function.symbol)) {
        if (auto described = library->describe_wait(function.name)) return *described;
    }
    Awaiting awaiting;
    if (view.point != nullptr) awaiting.type = view.point->awaiter_type;
    awaiting.kind = wait_kind_by_name(awaiting.type);
    if (const UserKnowledge::Wait* wait = options.user.wait_of(awaiting.type)) {
        if (wait->kind) awaiting.kind = *wait->kind;
        awaiting.summary = wait->summary;
    }
    return awaiting;
}

/// Adds what memory says of the objects of waits to the summaries, each text once.
class WaitObjects {
  public:
    WaitObjects(const FrameSet& set, const ModuleSet& modules, const Cpp20Runtime::Surroundings& surroundings)
        : set_(set), modules_(modules), surroundings_(surroundings) {}

    /// Index in `awaitings` of what frame `i`, whose function is the library's, waits for; `general` is that
    /// of the same wait without its object.
    std::uint32_t describe(std::size_t i, const Library& library, std::uint32_t general,
                           std::vector<Awaiting>& awaitings) {
        FunctionPlace& function = places_[set_.frames[i].function];
        if (library.describe_object == nullptr || function.misses >= most_misses ||
            described_ >= most_described)
            return general;
        ++described_;
        const WaitingFrame frame{set_.memory.read_words(set_.frames[i].range(), scratch_), set_.memory,
                                 modules_, surroundings_.now, surroundings_.describe_descriptor};
        const std::string object = library.describe_object(frame, function.place);
        if (object.empty()) {
            ++function.misses;
            return general;
        }
        const auto [entry, is_new] = known_.try_emplace({general, object}, awaitings.size());
        if (is_new) {
            Awaiting awaiting = awaitings[general];
            awaiting.summary += object;
            awaitings.push_back(std::move(awaiting));
        }
        return entry->second;
    }

  private:
    /// Each costs a few reads of the running target before the stop.
    static constexpr std::size_t most_described = 100'000;
    static constexpr unsigned most_misses = 64;
    struct FunctionPlace {
        std::size_t place = 0;
        unsigned misses = 0;
    };
    const FrameSet& set_;
    const ModuleSet& modules_;
    const Cpp20Runtime::Surroundings& surroundings_;
    std::unordered_map<std::uint32_t, FunctionPlace> places_;
    std::map<std::pair<std::uint32_t, std::string>, std::uint32_t> known_;
    std::vector<std::uint64_t> scratch_;
    std::size_t described_ = 0;
};

void Cpp20Runtime::State::add_coroutines(Observation& observation, const FrameSet& set,
                                         const Surroundings& surroundings) {
    WaitObjects objects(set, modules, surroundings);
    std::unordered_map<std::uint32_t, std::uint32_t> functions;
    std::unordered_map<const SuspendPoint*, std::uint32_t> locations, awaitings;
    observation.coroutines.reserve(set.frames.size());
    for (std::size_t i = 0; i < set.frames.size(); ++i) {
        const Frame& frame = set.frames[i];
        const FrameView& view = set.views[i];
        ObservedCoroutine coroutine;
        coroutine.address = frame.address;
        coroutine.found_by_scan = frame.found_by_scan;
        coroutine.found_by_registry = frame.found_by_registry;
        coroutine.awaiter_known = view.awaiter_is_certain;
        if (frame.size_is_known) coroutine.frame_bytes = frame.extent;

        const auto [function, is_new] =
            functions.try_emplace(frame.function, static_cast<std::uint32_t>(observation.functions.size()));
        if (is_new) {
            const CoroutineCode& code = catalog.functions()[frame.function];
            const std::string name = demangle(code.ramp_symbol, options.names);
            const bool is_internal =
                library_of(code.ramp_symbol) != nullptr || options.user.is_internal(name);
            observation.functions.push_back({name, code.ramp_symbol, view.layout->declared_at, is_internal});
        }
        coroutine.function = function->second;

        coroutine.state = frame.done ? CoroutineState::done : CoroutineState::suspended;
        if (view.point != nullptr) {
            using Kind = SuspendPoint::Kind;
            if (view.point->kind == Kind::initial) coroutine.state = CoroutineState::created;
            if (view.point->kind == Kind::final) coroutine.state = CoroutineState::done;
            coroutine.at_yield = view.point->kind == Kind::yield;
            coroutine.at_await = view.point->kind == Kind::await;
            if (view.point->location) {
                const auto [location, is_new_location] = locations.try_emplace(
                    view.point, static_cast<std::uint32_t>(observation.locations.size()));
                if (is_new_location) observation.locations.push_back(*view.point->location);
                coroutine.suspended_at = location->second;
            }
        }
        if (coroutine.state == CoroutineState::suspended && view.point != nullptr) {
            const auto [awaiting, is_new_wait] =
                awaitings.try_emplace(view.point, static_cast<std::uint32_t>(observation.awaitings.size()));
            if (is_new_wait) {
                observation.awaitings.push_back(awaiting_of(view, observation.functions[coroutine.function]));
            }
            coroutine.awaiting = awaiting->second;
            if (const Library* library = library_of(observation.functions[coroutine.function].symbol)) {
                coroutine.awaiting = objects.describe(i, *library, coroutine.awaiting, observation.awaitings);
            }
        }
        observation.coroutines.push_back(coroutine);
    }
}

void Cpp20Runtime::State::mark_doubtful(Observation& observation, const FrameSet& set,
                                        const Surroundings& surroundings) {
    if (surroundings.anchor_memory == nullptr) return;
    const auto allocator = allocator_variables(modules, surroundings.map, *surroundings.anchor_memory,
                                               surroundings.thread_pointers);
    const auto is_certain = [&](std::size_t i) {
        // In a heap of glibc that changes too fast to be walked, both words of a frame standing is believed.
        const bool in_restless_heap =
            allocator.empty() && set.frames[i].in_glibc_heap && !set.frames[i].block_is_known;
        return set.frames[i].owns_block || set.frames[i].elided || in_restless_heap ||
               observation.coroutines[i].state == CoroutineState::running;
    };
    std::size_t uncertain = 0;
    for (std::size_t i = 0; i < set.frames.size(); ++i) uncertain += is_certain(i) ? 0 : 1;
    if (uncertain == 0) return;

    std::vector<bool> content_tells(set.frames.size());
    for (std::size_t i = 0; i < set.frames.size(); ++i)
        content_tells[i] = set.views[i].layout->index.has_value();
    std::vector<AddressRange> heaps;
    for (const Mapping& mapping : surroundings.map.mappings()) {
        if (mapping.writable && !mapping.is_file() && !std::ranges::binary_search(set.stacks, mapping.range))
            heaps.push_back(mapping.range);
    }
    const AnchorScope scope{surroundings.anchor_ranges, set.stacks, heaps, allocator};
    std::vector<Anchor> anchors = find_anchors(*surroundings.anchor_memory, scope, set.frames, content_tells,
                                               catalog, set.index, options.workers);
    std::vector<std::uint32_t> queue;
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        if (is_certain(i)) anchors[i] = Anchor::inside;
        if (anchors[i] != Anchor::none) queue.push_back(i);
    }
    // What a live frame refers to is in use: its children, the parent that it will resume, the next in a list
    // of waiters. The last is a pointer to the inside, and counts only where the frame itself is not in
    // doubt: lists of the dead stay linked.
    std::vector<std::vector<std::pair<std::uint32_t, bool>>> targets(set.frames.size());
    for (const Reference& reference : observation.references) {
        targets[reference.from].emplace_back(reference.to, is_strong(reference));
    }
    while (!queue.empty()) {
        const std::uint32_t from = queue.back();
        queue.pop_back();
        for (const auto& [to, is_handle] : targets[from]) {
            if (anchors[to] >= anchors[from] || (!is_handle && anchors[from] != Anchor::inside)) continue;
            anchors[to] = anchors[from];
            queue.push_back(to);
        }
    }
    for (std::size_t i = 0; i < set.frames.size(); ++i) {
        if (anchors[i] != Anchor::none) continue;
        ObservedCoroutine& coroutine = observation.coroutines[i];
        coroutine.doubtful = true;
        coroutine.state = CoroutineState::unknown;
        if (coroutine.details == no_index) {
            coroutine.details = static_cast<std::uint32_t>(observation.details.size());
            observation.details.emplace_back();
        }
        observation.details[coroutine.details].problems.push_back(
            {"unreferenced",
             "nothing in the process refers to this frame: it is a leftover in freed memory, a copy, or a "
             "leak",
             "", false});
    }
}

/// Compilers put both pointers of a frame on the stack when they are about to write them into one. What looks
/// like a frame there, was not built there (elided allocation has a destroy function of its own) and is known
/// to nobody, is no frame. It can be wrong for a frame that a promise's operator new has put into a buffer on
/// a stack and that nothing refers to.
void remove_spilled_words(Observation& observation, const FrameSet& set) {
    const auto is_on_stack = [&](RemoteAddress address) {
        const auto after = std::ranges::upper_bound(set.stacks, address, {}, &AddressRange::begin);
        return after != set.stacks.begin() && (after - 1)->contains(address);
    };
    std::vector<std::uint32_t> new_index(set.frames.size(), no_index);
    std::uint32_t kept = 0;
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        const bool is_spilled =
            observation.coroutines[i].doubtful && !set.frames[i].elided && is_on_stack(set.frames[i].address);
        if (is_spilled) continue;
        observation.coroutines[kept] = observation.coroutines[i];
        new_index[i] = kept++;
    }
    if (kept == set.frames.size()) return;
    observation.coroutines.resize(kept);
    std::erase_if(observation.references, [&](Reference& reference) {
        reference.from = new_index[reference.from];
        reference.to = new_index[reference.to];
        return reference.from == no_index || reference.to == no_index;
    });
    for (RunningFrame& running : observation.running) running.coroutine = new_index[running.coroutine];
    for (ObservedLock& lock : observation.locks) {
        for (ObservedLock::Holder& holder : lock.holders) holder.coroutine = new_index[holder.coroutine];
        std::erase_if(lock.holders, [](const auto& holder) { return holder.coroutine == no_index; });
        for (std::uint32_t& waiter : lock.waiters) waiter = new_index[waiter];
        std::erase(lock.waiters, no_index);
    }
}

void Cpp20Runtime::State::add_holds(Observation& observation, const FrameSet& set,
                                    const Surroundings& surroundings) const {
    if (surroundings.anchor_memory == nullptr || set.frames.empty()) return;
    std::vector<std::uint64_t> words(surroundings.kernel_words.begin(), surroundings.kernel_words.end());
    for (const ThreadStack& thread : surroundings.stacks) {
        if (thread.stack->frames.empty()) continue;
        const Registers& registers = thread.stack->frames.front().registers;
        for (unsigned number = 0; number < Registers::rip; ++number) words.push_back(registers.get(number));
    }
    const auto has_rested = surroundings.has_rested ? surroundings.has_rested : [] { return true; };
    const auto holds = find_holds(
        {*surroundings.anchor_memory, surroundings.map, surroundings.anchor_ranges, words, has_rested},
        set.frames, set.index, options.workers);
    for (std::size_t i = 0; i < holds.size(); ++i) observation.coroutines[i].held = holds[i];
}

/// An awaiter that points to a mutex, an event, ...: that one is what a person wants to know.
void Cpp20Runtime::State::name_awaited_objects(Observation& observation, const FrameSet& set) {
    std::map<std::pair<std::uint32_t, RemoteAddress>, std::uint32_t> known;
    for (std::size_t i = 0; i < set.frames.size(); ++i) {
        ObservedCoroutine& coroutine = observation.coroutines[i];
        if (coroutine.awaiting == no_index || coroutine.state != CoroutineState::suspended) continue;
        if (!observation.awaitings[coroutine.awaiting].summary.empty()) continue;
        const CoroutineCode& code = catalog.functions()[set.frames[i].function];
        const auto held = awaiter_objects.held(set.memory, set.frames[i], code, set.views[i]);
        if (!held) continue;
        const auto [entry, is_new] = known.try_emplace(
            {coroutine.awaiting, held->address}, static_cast<std::uint32_t>(observation.awaitings.size()));
        if (is_new) {
            Awaiting awaiting = observation.awaitings[coroutine.awaiting];
            if (awaiting.kind == WaitKind::unknown) awaiting.kind = held->kind;
            awaiting.summary = fmt::format("{} at {:#x}", held->type, held->address.value());
            observation.awaitings.push_back(std::move(awaiting));
        }
        coroutine.awaiting = entry->second;
    }
}

void Cpp20Runtime::State::add_values(Observation& observation, const FrameSet& set) {
    ValueNames names;
    names.coroutine = [&](RemoteAddress address) -> std::string {
        const std::uint32_t frame = set.index.find(address.value());
        if (frame == FrameIndex::none || set.frames[frame].address != address) return "";
        return observation.functions[observation.coroutines[frame].function].name;
    };
    names.function = [&](RemoteAddress address) -> std::string {
        const Module* module = modules.find(address);
        const Symbol* symbol = module != nullptr ? module->symbol_at(address) : nullptr;
        return symbol != nullptr ? demangle(symbol->name, options.names) : "";
    };
    const MemoryWithFiles memory(set.memory, modules);
    std::size_t left = options.most_with_variables;
    for (std::size_t i = 0; i < set.frames.size() && left > 0; ++i) {
        const FrameView& view = set.views[i];
        ObservedCoroutine& coroutine = observation.coroutines[i];
        // What runs has its values on the thread's stack; of a leftover they would be anything.
        if (view.point == nullptr || coroutine.doubtful || coroutine.state == CoroutineState::running)
            continue;
        --left;
        const CoroutineCode& code = catalog.functions()[set.frames[i].function];
        auto locals = variables.read(memory, set.frames[i], code, *view.layout, *view.point, names);
        auto fields = coroutine.state == CoroutineState::suspended
                          ? awaiter_objects.fields(memory, set.frames[i], code, view, names)
                          : std::vector<Variable>();
        if (locals.empty() && fields.empty()) continue;
        if (coroutine.details == no_index) {
            coroutine.details = static_cast<std::uint32_t>(observation.details.size());
            observation.details.emplace_back();
        }
        observation.details[coroutine.details].variables = std::move(locals);
        observation.details[coroutine.details].awaiter = std::move(fields);
    }
}

Cpp20Runtime::Cpp20Runtime(const ModuleSet& modules, const Options& options)
    : state_(std::make_unique<State>(modules, options)) {}

Cpp20Runtime::~Cpp20Runtime() = default;

const CoroutineCatalog& Cpp20Runtime::catalog() const {
    return state_->catalog;
}

LayoutCache& Cpp20Runtime::layouts() {
    return state_->layouts;
}

TypeTable& Cpp20Runtime::types() {
    return state_->types;
}

Observation Cpp20Runtime::observe(const Memory& memory, std::vector<Frame> frames,
                                  const Surroundings& surroundings) {
    {
        const auto ranges = ranges_of(frames);
        const FrameIndex index(ranges);
        const auto copies = find_copies(memory, frames, index, state_->layouts);
        remove_frames(frames, [&](std::size_t i) { return copies[i]; });
    }
    const auto ranges = ranges_of(frames);
    const FrameIndex index(ranges);
    std::vector<FrameView> views;
    views.reserve(frames.size());
    for (const Frame& frame : frames) views.push_back(state_->view_of(memory, frame));
    const FrameSet set{memory, frames, views, index, surroundings.stack_mappings};

    Observation observation;
    observation.runtime = "c++20";
    state_->add_coroutines(observation, set, surroundings);
    observation.running = state_->running.find(memory, frames, surroundings.stacks);
    for (const RunningFrame& running : observation.running) {
        ObservedCoroutine& coroutine = observation.coroutines[running.coroutine];
        coroutine.state = CoroutineState::running;
        coroutine.thread = running.thread;
        coroutine.at_yield = false;
    }
    observation.references = collect_references(set);
    state_->demote_pointers_to_leaves(frames, observation.references);
    state_->add_heap_confirmations(set, surroundings.map, observation.references);
    const auto paths = state_->paths(set, surroundings.map, observation.references);
    observation.references.insert(observation.references.end(), paths.begin(), paths.end());
    state_->mark_doubtful(observation, set, surroundings);
    state_->add_holds(observation, set, surroundings);
    observation.locks = find_locks(set, surroundings.map, state_->catalog, observation);
    state_->name_awaited_objects(observation, set);
    state_->add_values(observation, set);
    remove_spilled_words(observation, set);
    return observation;
}

}  // namespace asyncdump::cpp20

#include "runtimes/cpp20/cpp20_runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "modules/dwarf_types.h"
#include "modules/memory_with_files.h"
#include "modules/symbolizer.h"
#include "runtimes/cpp20/awaited_objects.h"
#include "runtimes/cpp20/awaiter_object.h"
#include "runtimes/cpp20/doubtful_frames.h"
#include "runtimes/cpp20/frame_index.h"
#include "runtimes/cpp20/frame_variables.h"
#include "runtimes/cpp20/gcc_numbers.h"
#include "runtimes/cpp20/holds.h"
#include "runtimes/cpp20/indirect_references.h"
#include "runtimes/cpp20/libraries/libraries.h"
#include "runtimes/cpp20/liveness.h"
#include "runtimes/cpp20/locks.h"
#include "runtimes/cpp20/references.h"
#include "runtimes/cpp20/shared_objects.h"
#include "runtimes/cpp20/wait_kinds.h"
#include "runtimes/cpp20/wait_objects.h"

namespace asyncdump::cpp20 {
namespace {

template <class Predicate>
void remove_frames(std::vector<Frame>& frames, Predicate is_removed) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < frames.size(); ++i) {
        if (!is_removed(i)) frames[kept++] = frames[i];
    }
    frames.resize(kept);
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
    /// By the suspend point that the resolver keeps.
    std::unordered_map<const SuspendPoint*, AwaiterPlace> awaiters;
    AwaiterClasses awaiter_classes;
    SharedObjects shared_objects{modules, awaiter_classes};
    TypeTable types;
    FrameVariables variables{types, resolver};
    AwaiterObjects awaiter_objects{types, resolver};

    bool lacks_self_handle(const Memory& memory, const Frame& frame);
    FrameView view_of(const Memory& memory, const Frame& frame);
    AwaiterPlace place_of_awaiter(const CoroutineCode& code, const FrameLayout& layout,
                                  const SuspendPoint& point, std::uint64_t index);
    void find_resumed_awaiter(const CoroutineCode& code, const FrameLayout& layout, const SuspendPoint& point,
                              AwaiterPlace& place) const;
    void find_awaiter_by_its_handle(const CoroutineCode& code, const FrameLayout& layout,
                                    std::optional<std::uint64_t> index, AwaiterPlace& place);
    void forget_awaiters_in_nested_frames(std::span<const Frame> frames, std::span<const FrameView> views);
    void add_coroutines(Observation& observation, const FrameSet& set, const Surroundings& surroundings);
    DescribedWait awaiting_of(const FrameView& view, const CoroutineFunction& function);
    void name_awaited_objects(Observation& observation, const FrameSet& set);
    void add_values(Observation& observation, const FrameSet& set, const UntouchedPages* untouched);
    void add_holds(Observation& observation, const FrameSet& set, const Surroundings& surroundings) const;
    void tell_shared_code(Observation& observation, std::span<const Frame> frames) const;
};

// GCC's frame type has a member for each awaiter, numbered in the order of the awaits. But an lvalue awaiter
// lives elsewhere and has none, and from the first such await on the numbers no longer fit; nor do they in a
// statement that evaluates its right side first. The class, known from the code, and what the code touches
// decide.
AwaiterPlace Cpp20Runtime::State::place_of_awaiter(const CoroutineCode& code, const FrameLayout& layout,
                                                   const SuspendPoint& point, std::uint64_t index) {
    AwaiterPlace place;
    place.type = point.awaiter_type;
    std::vector<const FrameField*> candidates;
    if (index >= gcc_first_await) {
        // Where the code does not tell the class, the number counts: if every await has a member, and the
        // only await of its statement is not to be confused with another one.
        candidates = layout.awaiters_of_class(point.awaiter_type);
        if (point.awaiter_type.empty() &&
            (!point.statement.has_one_await || resolver.await_count(code) != candidates.size()))
            candidates.clear();
    }
    const auto numbered =
        std::ranges::find(candidates, (index - gcc_first_await) / 2, &FrameField::await_number);
    const FrameField* live = numbered != candidates.end() ? *numbered : nullptr;
    if (point.awaiter_type.empty() && live != nullptr) candidates = {live};
    if (candidates.size() > 1) {
        std::vector<AwaiterSlot> slots;
        for (const FrameField* awaiter : candidates) slots.push_back(awaiter->slot());
        const auto touched = resolver.live_slot(code, index, slots);
        const FrameField* by_code = touched ? candidates[touched->number] : nullptr;
        if (by_code != nullptr && (touched->is_certain || by_code == live)) candidates = {by_code};
    }
    place.is_certain = candidates.size() == 1;
    if (place.is_certain) live = candidates.front();
    if (!candidates.empty() || point.kind == SuspendPoint::Kind::initial) {
        for (const FrameField& member : layout.members) {
            if (member.is_awaiter() && std::ranges::find(candidates, &member) == candidates.end())
                place.dead.push_back(member.slot());
        }
    }
    if (live != nullptr) {
        if (place.is_certain && place.type.empty())
            place.type = readable_name(qualified_type_name(live->type));
        place.live = live->slot();
        place.pointers = pointers_of_awaiter(live->type);
    }
    return place;
}

// Where the frame is not described, or the class has no member of its own.
void Cpp20Runtime::State::find_resumed_awaiter(const CoroutineCode& code, const FrameLayout& layout,
                                               const SuspendPoint& point, AwaiterPlace& place) const {
    const auto resumed = resumed_awaiter(code, point);
    if (!resumed) return;
    place.live = {resumed->offset, resumed->offset + std::max(type_size(resumed->type).value_or(1), 1U)};
    // The function may be that of a base class.
    for (const FrameField& field : layout.members) {
        if (field.offset <= resumed->offset && resumed->offset < field.offset + field.size)
            place.live.end = std::max(place.live.end, field.offset + field.size);
    }
    place.is_certain = true;
    place.pointers = pointers_of_awaiter(resumed->type);
}

// Optimised code of clang: an awaiter that keeps the handle which it was given lies around the place where
// the function stores its own frame's address while it suspends.
void Cpp20Runtime::State::find_awaiter_by_its_handle(const CoroutineCode& code, const FrameLayout& layout,
                                                     std::optional<std::uint64_t> index,
                                                     AwaiterPlace& place) {
    const auto type = awaiter_classes.keeping_handle(layout, place.type);
    const auto slot =
        type ? resolver.slot_around_handle(code, index, type->handle, type->bytes) : std::nullopt;
    if (!slot || (slot->begin < layout.promise_end && layout.promise_begin < slot->end)) return;
    place.live = *slot;
    place.is_certain = true;
    place.pointers = pointers_of_awaiter(type->type);
    place.described = type->type;
}

// The frame of a child may lie in this one, and its promise has this one's address as well.
void Cpp20Runtime::State::forget_awaiters_in_nested_frames(std::span<const Frame> frames,
                                                           std::span<const FrameView> views) {
    for (std::size_t i = 0; i < frames.size(); ++i) {
        if (!views[i].awaiter->described) continue;
        const AwaiterSlot& live = views[i].awaiter->live;
        const AddressRange awaiter{frames[i].address + live.begin, frames[i].address + live.end};
        for (std::size_t k = i + 1; k < frames.size() && frames[k].address < awaiter.end; ++k) {
            if (awaiter.begin >= frames[k].range().end) continue;
            AwaiterPlace& place = awaiters.at(views[i].point);
            place.live = {};
            place.is_certain = false;
            place.described.reset();
            break;
        }
    }
}

/// A copy, or two pointers that merely stand side by side, of a coroutine of GCC without debug information.
/// In a block of its own it may just be made.
bool Cpp20Runtime::State::lacks_self_handle(const Memory& memory, const Frame& frame) {
    const CoroutineCode& code = catalog.functions()[frame.function];
    if (code.compiler != Compiler::gcc || frame.owns_block || layouts.of(frame.function).promise_type)
        return false;
    const auto index = resolver.index_field(code);
    return index && !find_self_handle(memory, frame, index);
}

FrameView Cpp20Runtime::State::view_of(const Memory& memory, const Frame& frame) {
    FrameView view;
    view.layout = &layouts.of(frame.function);
    view.promise_begin = view.layout->promise_begin;
    view.promise_end = view.layout->promise_end;
    view.self_handle = view.layout->self_handle;
    const CoroutineCode& code = catalog.functions()[frame.function];
    const std::span<const std::byte> held = memory.view(frame.address);
    const auto read = [&](std::uint32_t offset, std::uint32_t width) -> std::optional<std::uint64_t> {
        std::uint64_t value = 0;
        const auto bytes = std::as_writable_bytes(std::span(&value, 1)).first(width);
        if (held.size() >= std::size_t{offset} + width) {
            std::memcpy(bytes.data(), held.data() + offset, width);
        } else if (!memory.read_all(frame.address + offset, bytes)) {
            return std::nullopt;
        }
        return value;
    };
    const auto resume = read(0, sizeof(std::uint64_t));
    if (!resume) return view;
    // Clang puts the index behind the locals: in a large frame behind pages that nobody has touched and that
    // are not held. A frame inside another one may be cut short by what is nested in it: its index lies
    // further on.
    std::optional<std::uint64_t> index;
    if (const auto field = resolver.index_field(code)) {
        const bool is_inside = std::uint64_t{field->offset} + field->width <= frame.extent;
        if (is_inside || !frame.size_is_known) index = read(field->offset, field->width);
        view.index = {field->offset, field->offset + field->width};
    }
    const SuspendPoint& point = resolver.resolve(code, RemoteAddress(*resume), index);
    view.point = &point;
    const auto [entry, is_new] = awaiters.try_emplace(&point);
    if (is_new) {
        if (view.layout->index && index)
            entry->second = place_of_awaiter(code, *view.layout, point, *index & ~1ULL);
        if (entry->second.live.end == 0) find_resumed_awaiter(code, *view.layout, point, entry->second);
        AwaiterPlace& place = entry->second;
        if (place.type.empty()) place.type = point.awaiter_type;
        if (place.live.end == 0 && code.compiler == Compiler::clang)
            find_awaiter_by_its_handle(code, *view.layout, index, place);
        if (const auto type =
                place.live.end == 0 ? awaiter_classes.definition(*view.layout, place.type) : std::nullopt)
            place.pointers = pointers_of_awaiter(*type);
        place.waits_for_time_or_data = awaiter_classes.waits_for_time_or_data(*view.layout, place.type);
        place.names_a_signal = names_a_signal(place.type);
        place.leads_nowhere = place.waits_for_time_or_data ||
                              (place.type != "std::suspend_always" &&
                               awaiter_classes.is_empty(*view.layout, place.type).value_or(false));
        place.has_members = point.kind == SuspendPoint::Kind::yield &&
                            !awaiter_classes.is_empty(*view.layout, place.type).value_or(true);
        if (!view.layout->promise_type && index && !point.suspended_by_ramp)
            entry->second.read_first = resolver.read_first(code, *index & ~1ULL);
    }
    if (!view.layout->promise_type) {
        view.knowledge = resolver.code_knowledge(code);
        const auto field = resolver.index_field(code);
        if (code.compiler == Compiler::gcc) {
            view.self_handle = find_self_handle(memory, frame, field);
            if (view.self_handle) view.promise_begin = 16;
            view.promise_end = view.self_handle.value_or(0);
        } else if (view.knowledge != nullptr) {
            view.promise_begin = view.knowledge->promise.begin;
            view.promise_end = view.knowledge->promise.end;
        }
    }
    view.awaiter = &entry->second;
    return view;
}

/// The library is nullptr when none knows the wait.
DescribedWait Cpp20Runtime::State::awaiting_of(const FrameView& view, const CoroutineFunction& function) {
    const std::string type(view.awaiter->type);
    const UserKnowledge::Wait* wait = options.user.wait_of(type);
    if (wait == nullptr) {
        if (auto described = describe_wait(function.symbol, function.name, type))
            return *std::move(described);
    }
    Awaiting awaiting;
    awaiting.type = type;
    awaiting.kind = wait_kind_by_name(awaiting.type);
    if (wait != nullptr) {
        if (wait->kind) awaiting.kind = *wait->kind;
        awaiting.summary = wait->summary;
    }
    return {std::move(awaiting), nullptr};
}

void Cpp20Runtime::State::add_coroutines(Observation& observation, const FrameSet& set,
                                         const Surroundings& surroundings) {
    WaitObjects objects(set, modules, surroundings);
    std::unordered_map<std::uint32_t, std::uint32_t> functions;
    std::unordered_map<const SuspendPoint*, std::uint32_t> locations;
    struct Wait {
        std::uint32_t awaiting;
        const Library* library;
    };
    // By the function as well: what is not known of a point is the same point for all of them.
    std::map<std::pair<std::uint32_t, const SuspendPoint*>, Wait> waits;
    observation.coroutines.reserve(set.frames.size());
    for (std::size_t i = 0; i < set.frames.size(); ++i) {
        const Frame& frame = set.frames[i];
        const FrameView& view = set.views[i];
        ObservedCoroutine coroutine;
        coroutine.address = frame.address;
        coroutine.found_by_scan = frame.found_by_scan;
        coroutine.found_by_registry = frame.found_by_registry;
        coroutine.waits_for_time_or_data = view.awaiter->waits_for_time_or_data;
        coroutine.awaiter_known = view.awaiter->is_certain || coroutine.waits_for_time_or_data;
        coroutine.promise_unknown = !view.layout->promise_type.has_value();
        coroutine.promise_empty =
            !coroutine.promise_unknown && view.layout->promise_end - view.layout->promise_begin == 1;
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
            coroutine.yields_by_object = coroutine.at_yield && view.awaiter->has_members;
            coroutine.at_await = view.point->kind == Kind::await;
            if (view.point->location) {
                const auto [location, is_new_location] = locations.try_emplace(
                    view.point, static_cast<std::uint32_t>(observation.locations.size()));
                if (is_new_location) observation.locations.push_back(*view.point->location);
                coroutine.suspended_at = location->second;
            }
        }
        if (coroutine.state == CoroutineState::suspended && view.point != nullptr) {
            const auto [entry, is_new_wait] = waits.try_emplace({frame.function, view.point});
            Wait& wait = entry->second;
            if (is_new_wait) {
                DescribedWait described = awaiting_of(view, observation.functions[coroutine.function]);
                wait = {static_cast<std::uint32_t>(observation.awaitings.size()), described.library};
                observation.awaitings.push_back(std::move(described.awaiting));
            }
            coroutine.awaiting = wait.library == nullptr ? wait.awaiting
                                                         : objects.describe(i, *wait.library, wait.awaiting,
                                                                            observation.awaitings);
        }
        observation.coroutines.push_back(coroutine);
    }
}

// What one of the functions is called, and where, may then be another one's name and line.
void Cpp20Runtime::State::tell_shared_code(Observation& observation, std::span<const Frame> frames) const {
    constexpr std::size_t most_names = 3;
    std::set<std::pair<std::uint32_t, bool>> seen;
    for (const Frame& frame : frames) {
        if (!seen.emplace(frame.function, frame.done).second) continue;
        const auto others = catalog.with_the_same_code(frame.function, frame.done);
        if (others.empty()) continue;
        const auto name_of = [&](std::uint32_t function) {
            return demangle(catalog.functions()[function].ramp_symbol, options.names);
        };
        std::string names;
        for (std::size_t i = 0; i < std::min(others.size(), most_names); ++i)
            names += (i == 0 ? "" : " or ") + name_of(others[i]);
        if (others.size() > most_names)
            names += fmt::format(" or one of {} others", others.size() - most_names);
        const std::string name = name_of(frame.function);
        observation.problems.push_back(
            {"shared_code",
             fmt::format(
                 "the linker gave several functions the same code (--icf): what is shown as {}{} may be {}, "
                 "in name, line and values",
                 name, frame.done ? " and done" : "", names),
             name, false});
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
    Holds holds = find_holds(
        {*surroundings.anchor_memory, surroundings.map, surroundings.anchor_ranges, words, has_rested},
        set.frames, set.index, options.workers);
    for (std::size_t i = 0; i < holds.of_frames.size(); ++i)
        observation.coroutines[i].held = holds.of_frames[i];
    observation.holds_by_objects = std::move(holds.by_objects);
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

void Cpp20Runtime::State::add_values(Observation& observation, const FrameSet& set,
                                     const UntouchedPages* untouched) {
    ValueNames names;
    names.coroutine = [&](RemoteAddress address) -> std::string {
        const std::uint32_t frame = set.index.find(address.value());
        if (frame == FrameIndex::none || set.frames[frame].address != address) return "";
        return observation.functions[observation.coroutines[frame].function].name;
    };
    names.function = [&](RemoteAddress address) { return function_name(modules, address, options.names); };
    const MemoryWithFiles memory(set.memory, modules, untouched);
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
        if (locals.variables.empty() && fields.empty()) continue;
        if (coroutine.details == no_index) {
            coroutine.details = static_cast<std::uint32_t>(observation.details.size());
            observation.details.emplace_back();
        }
        observation.details[coroutine.details].variables = std::move(locals.variables);
        observation.details[coroutine.details].variables_left_out =
            static_cast<std::uint32_t>(locals.left_out);
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
        remove_frames(
            frames, [&](std::size_t i) { return copies[i] || state_->lacks_self_handle(memory, frames[i]); });
    }
    const auto ranges = ranges_of(frames);
    const FrameIndex index(ranges);
    std::vector<FrameView> views;
    views.reserve(frames.size());
    for (const Frame& frame : frames) views.push_back(state_->view_of(memory, frame));
    state_->forget_awaiters_in_nested_frames(frames, views);
    const FrameSet set{memory, frames, views, index, surroundings.stack_mappings, &state_->shared_objects};

    Observation observation;
    observation.runtime = "c++20";
    state_->add_coroutines(observation, set, surroundings);
    state_->tell_shared_code(observation, frames);
    observation.running = state_->running.find(memory, frames, surroundings.stacks);
    for (const RunningFrame& running : observation.running) {
        ObservedCoroutine& coroutine = observation.coroutines[running.coroutine];
        coroutine.state = CoroutineState::running;
        coroutine.thread = running.thread;
        coroutine.at_yield = false;
    }
    observation.references = collect_references(set);
    add_indirect_references(set, surroundings.map, state_->catalog, observation.references);
    mark_doubtful(observation, set, surroundings, state_->catalog, state_->modules, state_->options.workers);
    state_->add_holds(observation, set, surroundings);
    observation.locks =
        find_locks(set, surroundings.map, state_->catalog, state_->resolver, state_->types, observation);
    state_->name_awaited_objects(observation, set);
    state_->add_values(observation, set, surroundings.untouched);
    // Many frames have the same answer.
    std::map<std::pair<const SuspendPoint*, std::uint32_t>, SourceText::Calls> calls;
    remove_phantoms(observation, set, [&](std::uint32_t done, std::uint32_t around) {
        const SuspendPoint* const point = views[around].point;
        if (point == nullptr) return SourceText::Calls::unknown;
        const std::uint32_t function = observation.coroutines[done].function;
        const auto [known, is_new] = calls.try_emplace({point, function});
        if (is_new)
            known->second =
                state_->resolver.calls_of(unqualified_function_name(observation.functions[function].name),
                                          state_->catalog.functions()[frames[around].function], *point);
        return known->second;
    });
    return observation;
}

std::vector<bool> Cpp20Runtime::find_hidden_holds(const HiddenHoldSources& sources,
                                                  std::span<const AddressRange> frames) const {
    return cpp20::find_hidden_holds(sources, frames, state_->options.workers);
}

}  // namespace asyncdump::cpp20

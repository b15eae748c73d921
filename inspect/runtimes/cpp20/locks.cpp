#include "runtimes/cpp20/locks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <unordered_map>

#include "base/lower_case.h"
#include "modules/dwarf_types.h"
#include "modules/names.h"
#include "runtimes/cpp20/awaiter_object.h"
#include "runtimes/cpp20/frame_locals.h"
#include "runtimes/cpp20/guard_places.h"
#include "runtimes/cpp20/heap_objects.h"
#include "runtimes/cpp20/lock_types.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint32_t largest_lock = 4096;
constexpr std::uint32_t lock_size_without_type = 64;
/// From a lock over a container's blocks to a handle.
constexpr int most_hops = 3;
constexpr std::size_t most_places_of_a_lock = 4096;
/// Of another waiter's frame, from the address that a list's link holds: the awaiter.
constexpr std::uint64_t awaiter_window = 64;
constexpr std::size_t most_locks = 100'000;

struct Guard {
    FrameLocal local;
    GuardPlace place;
    std::string type;  ///< of the local
};

/// What is known of one coroutine function, read when first needed.
struct FunctionLocks {
    std::vector<Guard> guards;
    std::optional<std::uint32_t>
        this_offset;  ///< where `this` lies, of a member function of a lock that is named for locking it
    LockPointer of_this;
};

/// What a suspend point's awaiter refers to.
struct AwaiterLocks {
    std::vector<LockPointer> pointers;
};

std::string last_name(std::string_view function) {
    std::string_view name = function.substr(0, function.find('('));
    name = name.substr(0, name.find('<'));
    if (const auto scope = name.rfind("::"); scope != name.npos) name.remove_prefix(scope + 2);
    return lower_case(name);
}

bool is_named_for_locking(std::string_view function) {
    const std::string name = last_name(function);
    if (name.find("unlock") != std::string::npos || name.starts_with("try")) return false;
    return name.find("lock") != std::string::npos || name.find("acquire") != std::string::npos;
}

class LockSearch {
  public:
    LockSearch(const FrameSet& set, const MemoryMap& map, const CoroutineCatalog& catalog,
               SuspendPointResolver& resolver, TypeTable& types, const Observation& observation)
        : set_(set),
          map_(map),
          catalog_(catalog),
          resolver_(resolver),
          types_(types),
          observation_(observation) {}

    std::vector<ObservedLock> run() {
        for (std::uint32_t i = 0; i < set_.frames.size(); ++i) {
            if (observation_.coroutines[i].state == CoroutineState::suspended) look_for_guards(i);
        }
        for (std::uint32_t i = 0; i < set_.frames.size(); ++i) {
            if (observation_.coroutines[i].state == CoroutineState::suspended) look_for_waiting(i);
        }
        std::vector<ObservedLock> locks;
        for (auto& [address, found] : found_) {
            if (found.lock.waiters.empty() && !found.lock.blocks_threads) continue;
            add_recorded_holders(found);
            locks.push_back(std::move(found.lock));
        }
        return locks;
    }

  private:
    struct Found {
        ObservedLock lock;
        Dwarf_Die type{};
        std::uint32_t size = 0;
    };

    Found& lock_at(std::uint64_t address, const LockPointer& pointer) {
        auto [entry, is_new] = found_.try_emplace(address);
        if (is_new) {
            Found& found = entry->second;
            found.lock.address = RemoteAddress(address);
            found.lock.type = pointer.type;
            found.lock.blocks_threads = blocks_threads(pointer.type);
            found.lock.has_several_permits = has_several_permits(pointer.type);
            found.type = pointer.lock;
            found.size = size_of_lock(pointer);
        }
        return entry->second;
    }

    const FunctionLocks& function_locks(std::uint32_t frame) {
        const std::uint32_t function = set_.frames[frame].function;
        const auto [entry, is_new] = functions_.try_emplace(function);
        FunctionLocks& locks = entry->second;
        if (!is_new) return locks;
        const CoroutineCode& code = catalog_.functions()[function];
        const std::string name = demangle(code.ramp_symbol);
        const bool may_lock_this = is_named_for_locking(name);
        if (may_lock_this) set_lock_of_member_function(code, name, locks);
        for (FrameLocal& local : read_frame_locals(code, *set_.views[frame].layout)) {
            if (local.name == "this" && may_lock_this) {
                set_object(locks, local.offset, local.type);
                continue;
            }
            const auto& [type, places] = guards_of(local.type);
            for (GuardPlace place : places) {
                const std::uint64_t begin = std::uint64_t{local.offset} + place.offset;
                const bool is_inside = place.way == GuardPlace::Way::inside;
                if (!is_inside && resolver_.is_reused(code, begin, local.located)) continue;
                std::erase_if(place.shape.pointers, [&](const LockPointer& pointer) {
                    return is_inside && resolver_.is_reused(code, begin + pointer.offset, local.located);
                });
                locks.guards.push_back({local, std::move(place), type});
            }
        }
        // GCC describes the frame itself, also where the variable has no place of its own.
        for (const FrameField& member : set_.views[frame].layout->members) {
            if (may_lock_this && !locks.this_offset && member.name == "this")
                set_object(locks, member.offset, member.type);
        }
        return locks;
    }

    /// In a local of a type, and that type's readable name.
    const std::pair<std::string, std::vector<GuardPlace>>& guards_of(Dwarf_Die type) {
        const Dwarf_Die known = strip_typedefs(type);
        const auto [entry, is_new] = guards_of_type_.try_emplace(known.addr);
        if (is_new) {
            entry->second.second = guard_places(known, types_);
            if (!entry->second.second.empty()) entry->second.first = types_.of(known).name();
        }
        return entry->second;
    }

    static void set_object(FunctionLocks& locks, std::uint32_t offset, Dwarf_Die pointer) {
        const auto target = pointee(pointer);
        if (!target) return;
        const Dwarf_Die type = strip_typedefs(*target);
        const std::string lock = readable_name(qualified_type_name(type));
        if (!is_lock_name(lock)) return;
        locks.of_this = {0, lock, type_size(type).value_or(0), type};
        locks.this_offset = offset;
    }

    /// An optimiser may keep no `this` in a suspended lock(). What it awaits, an operation on a member of the
    /// lock, still leads into the lock that somebody holds.
    std::optional<std::uint64_t> held_lock_below(std::uint32_t frame) {
        constexpr std::size_t most_frames_below = 8;
        if (found_.empty()) return std::nullopt;
        if (awaits_.empty()) {
            for (const Reference& reference : observation_.references) {
                if (reference.origin == Reference::Origin::promise && !reference.leads_to_no_awaiter)
                    awaits_.emplace(reference.to, reference.from);
            }
        }
        std::vector<std::uint32_t> frames{frame};
        std::set<std::uint64_t> locks;
        std::vector<std::uint64_t> scratch;
        for (std::size_t i = 0; i < frames.size(); ++i) {
            for (const std::uint64_t word : set_.memory.read_words(set_.frames[frames[i]].range(), scratch)) {
                const std::uint32_t below = set_.index.find(word);
                const bool is_awaited = below != FrameIndex::none && awaits_.contains({frames[i], below});
                if (is_awaited && frames.size() < most_frames_below &&
                    std::ranges::find(frames, below) == frames.end())
                    frames.push_back(below);
                const auto after = found_.upper_bound(word);
                if (after == found_.begin()) continue;
                const auto& [address, found] = *std::prev(after);
                if (word < address + std::max(found.size, 1U)) locks.insert(address);
            }
        }
        if (locks.size() != 1) return std::nullopt;
        return *locks.begin();
    }

    /// The class is told by the function's name where `this` has no place that is described.
    static void set_lock_of_member_function(const CoroutineCode& code, std::string_view function,
                                            FunctionLocks& locks) {
        const std::string_view name = function.substr(0, function.find('('));
        const auto scope = name.rfind("::");
        const auto unit = code.module->unit_at(code.resume.begin);
        if (scope == name.npos || !unit || !is_lock_name(name.substr(0, scope))) return;
        const auto type = find_class(*unit, name.substr(0, scope));
        if (type)
            locks.of_this = {0, std::string(name.substr(0, scope)), type_size(*type).value_or(0), *type};
    }

    std::optional<std::uint64_t> word_at(std::uint32_t frame, std::uint64_t offset) const {
        if (offset + 8 > set_.frames[frame].extent) return std::nullopt;
        return set_.memory.read_value<std::uint64_t>(set_.frames[frame].address + offset);
    }

    static bool may_be_object(std::uint64_t address) { return address >= 4096 && address % 4 == 0; }

    void look_for_guards(std::uint32_t frame) {
        const FunctionLocks& locks = function_locks(frame);
        const SuspendPoint* point = set_.views[frame].point;
        if (locks.guards.empty() || point == nullptr) return;
        for (const Guard& guard : locks.guards) {
            if (!is_live(guard.local, *point)) continue;
            const RemoteAddress object = set_.frames[frame].address + guard.local.offset;
            if (!set_.frames[frame].range().contains(object)) continue;
            for (const RemoteAddress held : guards_at(set_.memory, object, guard.place))
                add_locks_of_guard(frame, guard, held);
        }
    }

    void add_locks_of_guard(std::uint32_t frame, const Guard& guard, RemoteAddress held) {
        const GuardShape& shape = guard.place.shape;
        if (shape.owns_flag) {
            const auto flag = set_.memory.read_value<std::uint8_t>(held + *shape.owns_flag);
            if (!flag || *flag > 1 || (*flag == 1) == shape.flag_says_released) return;
        }
        for (const LockPointer& pointer : shape.pointers) {
            const auto address = set_.memory.read_value<std::uint64_t>(held + pointer.offset);
            if (!address || !may_be_object(*address) || found_.size() >= most_locks) continue;
            add_holder(lock_at(*address, pointer), frame,
                       fmt::format("its {} {} ({}) refers to it",
                                   guard.local.is_parameter ? "parameter" : "local variable",
                                   guard.local.name, guard.type),
                       shape.is_named);
        }
    }

    static void add_holder(Found& found, std::uint32_t frame, std::string evidence, bool is_certain = true) {
        auto& holders = found.lock.holders;
        const auto known = std::ranges::find(holders, frame, &ObservedLock::Holder::coroutine);
        if (known == holders.end())
            holders.push_back({frame, std::move(evidence), is_certain});
        else if (is_certain && !known->is_certain)
            *known = {frame, std::move(evidence), true};
    }

    /// By its name in the unit; a class inside a function by a member of the frame, or by the function that
    /// is called of it.
    static std::optional<Dwarf_Die> awaiter_class(const SuspendPoint& point, const CoroutineCode& code,
                                                  const FrameLayout& layout) {
        const auto unit = code.module->unit_at(code.resume.begin);
        if (!unit) return std::nullopt;
        if (const auto type = find_class(*unit, point.awaiter_type)) return type;
        const auto awaiters = layout.awaiters_of_class(point.awaiter_type);
        if (!awaiters.empty()) return awaiters.front()->type;
        return class_of_resumed_awaiter(code, point);
    }

    const AwaiterLocks& awaiter_locks(const SuspendPoint& point, const CoroutineCode& code,
                                      const FrameLayout& layout) {
        const auto [entry, is_new] = awaiters_.try_emplace(&point);
        if (!is_new || point.awaiter_type.empty()) return entry->second;
        const auto [of_type, is_new_type] = by_type_.try_emplace({code.module, point.awaiter_type});
        if (is_new_type) {
            if (const auto type = awaiter_class(point, code, layout))
                of_type->second.pointers = lock_pointers(*type, types_);
        }
        return entry->second = of_type->second;
    }

    void look_for_waiting(std::uint32_t frame) {
        const SuspendPoint* point = set_.views[frame].point;
        using Kind = SuspendPoint::Kind;
        if (point == nullptr || (point->kind != Kind::await && point->kind != Kind::unknown)) return;
        const FunctionLocks& function = function_locks(frame);
        if (function.this_offset) {
            const auto address = word_at(frame, *function.this_offset);
            if (address && may_be_object(*address))
                lock_at(*address, function.of_this).lock.waiters.push_back(frame);
            return;
        }
        const AwaiterLocks& awaiter = awaiter_locks(*point, catalog_.functions()[set_.frames[frame].function],
                                                    *set_.views[frame].layout);
        if (awaiter.pointers.empty() && function.of_this.type.empty()) return;
        const LockPointer& pointer = awaiter.pointers.empty() ? function.of_this : awaiter.pointers.front();
        std::set<std::uint64_t> candidates;
        std::vector<std::uint64_t> scratch;
        const auto words = set_.memory.read_words(set_.frames[frame].range(), scratch);
        const auto consider = [&](std::uint32_t offset) {
            // What the promise knows is its parent, or the no-op coroutine, which stands beside globals.
            if (offset / 8 >= words.size() || set_.views[frame].is_in_promise(offset)) return;
            const std::uint64_t word = words[offset / 8];
            if (!may_be_object(word) || !may_be_lock_for(frame, word)) return;
            if (is_readable(word) && found_.size() < most_locks && !candidates.contains(word) &&
                leads_to(word, pointer, frame)) {
                candidates.insert(word);
            }
        };
        // The live awaiter knows it; where that is not known, or knows it by way of something else, any word.
        if (set_.views[frame].awaiter->is_certain) {
            std::ranges::for_each(awaiter_words(set_.frames[frame], set_.views[frame], words), consider);
        }
        if (candidates.empty()) {
            for (std::uint32_t i = 2; i < words.size(); ++i) consider(i * 8);
        }
        // Something that stands just before a lock is no lock.
        if (candidates.size() > 1)
            std::erase_if(candidates,
                          [&](std::uint64_t lock) { return !leads_to_alone(lock, pointer, frame); });
        // A lock that it holds knows it as well: as its holder, or still because it waited before.
        if (candidates.size() > 1)
            std::erase_if(candidates, [&](std::uint64_t lock) {
                return holds(frame, lock) || is_recorded_by(RemoteAddress(lock), pointer.lock, frame);
            });
        // Nor is it what leads to the frame by way of other objects, as an event loop does that an earlier
        // awaiter has left, where one alone leads there at once: a lock that somebody holds.
        if (candidates.size() > 1) {
            std::set<std::uint64_t> direct = candidates;
            std::erase_if(direct, [&](std::uint64_t lock) {
                return !frames_reached(lock, size_of_lock(pointer), 0).contains(frame);
            });
            if (direct.size() == 1 && found_.contains(*direct.begin())) candidates = std::move(direct);
        }
        if (candidates.empty() && !function.of_this.type.empty()) {
            if (const auto lock = held_lock_below(frame)) candidates.insert(*lock);
        }
        if (candidates.size() == 1) lock_at(*candidates.begin(), pointer).lock.waiters.push_back(frame);
    }

    /// A lock may be a local of another coroutine, but a word that leads to its frame's or promise's
    /// beginning is a handle.
    bool may_be_lock_for(std::uint32_t frame, std::uint64_t word) const {
        const std::uint32_t other = set_.index.find(word);
        if (other == FrameIndex::none) return true;
        return other != frame && classify_target(set_.frames[other], set_.views[other],
                                                 RemoteAddress(word)) == Reference::Target::interior;
    }

    bool holds(std::uint32_t frame, std::uint64_t lock) const {
        const auto found = found_.find(lock);
        return found != found_.end() &&
               std::ranges::find(found->second.lock.holders, frame, &ObservedLock::Holder::coroutine) !=
                   found->second.lock.holders.end();
    }

    bool is_readable(std::uint64_t address) const {
        const Mapping* mapping = map_.find(RemoteAddress(address));
        return mapping != nullptr && mapping->readable && mapping->writable;
    }

    bool leads_to(std::uint64_t lock, const LockPointer& pointer, std::uint32_t frame) {
        const auto known = reached_.find(lock);
        if (known != reached_.end()) return known->second.contains(frame);
        return reached_.emplace(lock, frames_reached(lock, size_of_lock(pointer), most_hops))
            .first->second.contains(frame);
    }

    static std::uint32_t size_of_lock(const LockPointer& pointer) {
        return pointer.lock_size == 0 ? lock_size_without_type : std::min(pointer.lock_size, largest_lock);
    }

    /// By words in front of the next known lock.
    bool leads_to_alone(std::uint64_t lock, const LockPointer& pointer, std::uint32_t frame) {
        const auto next = found_.upper_bound(lock);
        if (next == found_.end() || next->first >= lock + size_of_lock(pointer)) return true;
        return frames_reached(lock, static_cast<std::uint32_t>(next->first - lock), most_hops)
            .contains(frame);
    }

    /// The frames to which an object leads: through its own words, the blocks of its containers, and the
    /// awaiters of those who wait in a list. `hops`: how many blocks one after the other.
    std::set<std::uint32_t> frames_reached(std::uint64_t object, std::uint32_t size, int hops) const {
        struct Place {
            AddressRange range;
            int hops;
        };
        std::set<std::uint32_t> reached;
        std::set<std::uint64_t> seen{object};
        std::vector<std::uint64_t> scratch;
        std::vector<Place> places{{{RemoteAddress(object), RemoteAddress(object + size)}, 0}};
        for (std::size_t i = 0; i < places.size() && places.size() < most_places_of_a_lock; ++i) {
            const Place place = places[i];
            for (const std::uint64_t word : set_.memory.read_words(place.range, scratch)) {
                if (!seen.insert(word).second) continue;
                const std::uint32_t frame = set_.index.find(word);
                if (frame != FrameIndex::none) {
                    reached.insert(frame);
                    // A list's next link stands in the awaiter; of a handle nothing more is to be seen.
                    if (word != set_.frames[frame].address.value()) {
                        places.push_back(
                            {{RemoteAddress(word), RemoteAddress(word + awaiter_window)}, place.hops});
                    }
                } else if (place.hops < hops && is_heap(map_, set_.stacks, word)) {
                    places.push_back({object_at(set_.memory, map_, RemoteAddress(word)), place.hops + 1});
                }
            }
        }
        return reached;
    }

    struct Recorded {
        std::uint32_t frame;
        std::string member;
    };
    /// Coroutines of which the lock itself holds the handle, and not by a member that is named for waiters.
    std::vector<Recorded> recorded_by(RemoteAddress lock, Dwarf_Die type) const {
        std::vector<Recorded> recorded;
        for_each_member(type, [&](const DwarfMember& member) {
            static constexpr std::array<std::string_view, 9> of_waiters = {
                "wait", "next", "head", "tail", "first", "last", "queue", "prev", "pending"};
            for (const std::string_view word : of_waiters) {
                if (member.name.find(word) != member.name.npos) return true;
            }
            if (type_size(member.type) != 8U) return true;
            const auto word = set_.memory.read_value<std::uint64_t>(lock + member.offset);
            const std::uint32_t frame = word ? set_.index.find(*word) : FrameIndex::none;
            if (frame == FrameIndex::none) return true;
            const auto target = classify_target(set_.frames[frame], set_.views[frame], RemoteAddress(*word));
            if (target == Reference::Target::frame || target == Reference::Target::promise)
                recorded.push_back({frame, member.name});
            return true;
        });
        return recorded;
    }

    bool is_recorded_by(RemoteAddress lock, Dwarf_Die type, std::uint32_t frame) const {
        const auto recorded = recorded_by(lock, type);
        return std::ranges::find(recorded, frame, &Recorded::frame) != recorded.end();
    }

    void add_recorded_holders(Found& found) {
        if (found.lock.blocks_threads) return;
        for (const Recorded& recorded : recorded_by(found.lock.address, found.type)) {
            if (std::ranges::find(found.lock.waiters, recorded.frame) != found.lock.waiters.end()) continue;
            add_holder(found, recorded.frame,
                       fmt::format("the lock's member {} refers to it", recorded.member));
        }
    }

    const FrameSet& set_;
    const MemoryMap& map_;
    const CoroutineCatalog& catalog_;
    SuspendPointResolver& resolver_;
    TypeTable& types_;
    const Observation& observation_;
    std::set<std::pair<std::uint32_t, std::uint32_t>> awaits_;  ///< by the awaited's promise: (who, whom)
    std::map<std::uint64_t, Found> found_;
    std::unordered_map<std::uint64_t, std::set<std::uint32_t>> reached_;
    std::unordered_map<std::uint32_t, FunctionLocks> functions_;
    std::unordered_map<const void*, std::pair<std::string, std::vector<GuardPlace>>> guards_of_type_;
    std::unordered_map<const SuspendPoint*, AwaiterLocks> awaiters_;
    std::map<std::pair<const Module*, std::string>, AwaiterLocks> by_type_;
};

}  // namespace

std::vector<ObservedLock> find_locks(const FrameSet& set, const MemoryMap& map,
                                     const CoroutineCatalog& catalog, SuspendPointResolver& resolver,
                                     TypeTable& types, const Observation& observation) {
    return LockSearch(set, map, catalog, resolver, types, observation).run();
}

}  // namespace asyncdump::cpp20

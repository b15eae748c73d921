#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "runtimes/cpp20/references.h"

namespace asyncdump::cpp20 {

/// A lock, event or channel, by the name of the awaiter's type. A name can lie.
bool names_a_signal(std::string_view awaiter_type);

/// The frame waits for a lock, event or channel, by the name of its awaiter's type: whoever knows that object
/// is not awaited, it only may wake the waiter. Where the code does not tell the awaiter's type, GCC's frame
/// does: whichever of its awaiters is live, when all of them are of such types. A name can lie.
bool waits_for_a_signal(const FrameView& view);

/// What debug information says of the classes of awaiters, found by their readable names: a walk through a
/// unit, made once for each name.
class AwaiterClasses {
  public:
    /// Whether the class has no members. Empty when it is not known.
    std::optional<bool> is_empty(const FrameLayout& layout, std::string_view type);
    /// Whether it waits for time or data, by its name, and has nothing but numbers for members: it leads to
    /// no coroutine. Of other names it may be a base class, whose function is called of one that has
    /// pointers.
    bool waits_for_time_or_data(const FrameLayout& layout, std::string_view type);

    /// Its definition; empty when it is not known.
    std::optional<Dwarf_Die> definition(const FrameLayout& layout, std::string_view type) {
        return of(layout, type).type;
    }
    /// A class with one coroutine_handle<> among its members, those of base classes included.
    struct KeepingHandle {
        Dwarf_Die type;
        std::uint32_t bytes = 0;
        std::uint32_t handle = 0;  ///< its offset
    };
    /// Empty when it has none or several, or is not known.
    std::optional<KeepingHandle> keeping_handle(const FrameLayout& layout, std::string_view type);

  private:
    struct Known {
        std::optional<Dwarf_Die> type;
        std::optional<bool> is_empty;
        bool has_no_pointers = false;
    };
    const Known& of(const FrameLayout& layout, std::string_view type);

    std::map<std::pair<const void*, std::string>, Known> known_;  ///< by unit and name
};

/// Whether the awaiter at which the frame is suspended can lead to one of the objects: by a word of its own,
/// or by way of a local of the frame. Where the awaiter is not known, or is the one that knows nothing by
/// itself (std::suspend_always), anything can.
bool awaiter_may_lead_to(const FrameSet& set, std::uint32_t frame, std::span<const AddressRange> objects);

/// Coroutines that are joined through an object in the frame of the one that waits: a nursery or a counter
/// among its locals, which the others know and in which its own handle waits for the last of them. For
/// `starts`, frames that no direct pointer gives a parent; `direct` are all pointers between frames, sorted.
/// Believed where the waiting frame's live awaiter leads to that object or, where the awaiter is not known,
/// when several know it; never when it awaits a frame in `has_child`. Can be wrong where a program keeps its
/// own handle beside other locals that it gives away, at a higher optimisation level than -O0 of clang.
std::vector<Reference> completions_in_frames(const FrameSet& set, std::span<const std::uint32_t> starts,
                                             std::span<const Reference> direct,
                                             const std::vector<bool>& has_child);

}  // namespace asyncdump::cpp20

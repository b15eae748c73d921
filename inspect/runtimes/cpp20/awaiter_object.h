#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "process/memory.h"
#include "runtimes/cpp20/frames.h"
#include "runtimes/cpp20/references.h"
#include "values/value_writer.h"

namespace asyncdump::cpp20 {

struct ResumedAwaiter {
    Dwarf_Die type;  ///< its class; valid as long as the module
    std::uint32_t offset = 0;
};

/// The awaiter in the frame whose await_resume is the first that the function calls when it goes on. Empty
/// where that call is inlined or returns an object, or the awaiter lies elsewhere.
std::optional<ResumedAwaiter> resumed_awaiter(const CoroutineCode& code, const SuspendPoint& point);

/// Its class alone, wherever it lies.
std::optional<Dwarf_Die> class_of_resumed_awaiter(const CoroutineCode& code, const SuspendPoint& point);

/// The pointers and references among the members of an awaiter's type, with what they point to.
std::vector<AwaiterPointer> pointers_of_awaiter(const Dwarf_Die& type);

/// The object on which a coroutine called await_suspend: where it lies in the frame, its fields, and the
/// mutex, event, semaphore or queue that it holds a pointer or a reference to. Found out once for a suspend
/// point; nothing where it lies elsewhere or is not known.
class AwaiterObjects {
  public:
    AwaiterObjects(TypeTable& types, SuspendPointResolver& resolver) : types_(types), resolver_(resolver) {}

    /// Its fields with their values; empty when it has none or is not known.
    std::vector<Variable> fields(const Memory& memory, const Frame& frame, const CoroutineCode& code,
                                 const FrameView& view, const ValueNames& names);

    struct Held {
        WaitKind kind = WaitKind::unknown;
        RemoteAddress address;
        std::string type;
    };
    /// What the awaiter waits for, by the type of a member that points to it. A name can lie: the answer is
    /// for a person, and no edge rests on it.
    std::optional<Held> held(const Memory& memory, const Frame& frame, const CoroutineCode& code,
                             const FrameView& view);

  private:
    struct Place {
        const ValueType* type = nullptr;  ///< nullptr: not known
        std::uint32_t offset = 0;         ///< in the frame
        WaitKind held_kind = WaitKind::unknown;
        std::uint32_t held_offset = 0;  ///< of the pointer to what it waits for, in the frame
        std::string held_type;          ///< "": none
    };
    const Place& place_of(const CoroutineCode& code, const FrameView& view);
    Place find(const CoroutineCode& code, const FrameView& view);

    TypeTable& types_;
    SuspendPointResolver& resolver_;
    std::map<std::pair<std::uint64_t, const SuspendPoint*>, Place> places_;
};

}  // namespace asyncdump::cpp20

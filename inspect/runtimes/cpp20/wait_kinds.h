#pragma once

#include <string_view>

#include "runtimes/observation.h"

namespace asyncdump::cpp20 {

/// What kind of wait an awaiter's or object's type name speaks of: "AsyncMutex::LockAwaiter" is a lock. Only
/// names that leave little doubt are recognised; it can be wrong for a class that is called a lock and is
/// none.
WaitKind wait_kind_by_name(std::string_view type);

/// The same for an object that an awaiter points to, by the last part of its type's name: "AsyncMutex",
/// "coro::event", "bounded_queue<int>". Unknown for everything that is not called like something one waits
/// for.
WaitKind wait_kind_of_object(std::string_view type);

}  // namespace asyncdump::cpp20

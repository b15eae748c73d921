#pragma once

#include <vector>

#include "process/memory_map.h"
#include "runtimes/cpp20/coroutine_catalog.h"
#include "runtimes/cpp20/references.h"
#include "runtimes/observation.h"
#include "values/value_type.h"

namespace asyncdump::cpp20 {

/// Which locks coroutines wait for and hold. No library has to be known: types are recognised by their names
/// (see lock_types.h), which needs debug information.
///
/// A waiter is suspended at an awaiter that refers to a lock, and what the lock keeps (a list through the
/// awaiters, a container of handles) leads to it; or it is a member function of the lock that is named for
/// locking it.
///
/// A holder is a coroutine whose live local or parameter is a guard that refers to the lock and was not moved
/// from, or keeps one (guard_places.h); or one to which a word of the lock itself leads, while it does not
/// wait for it.
///
/// It can be wrong: a lock that is taken without a guard and that does not record its holder has none that is
/// known; a guard whose destructor already ran on a path to a later suspend point in the same block (an
/// optional that was reset, a manual unlock() of a guard without a flag) still counts; a class of a guard's
/// name that only looks at a lock counts as one.
///
/// Blocking mutexes (std::mutex) are told when a suspended coroutine holds one.
std::vector<ObservedLock> find_locks(const FrameSet& set, const MemoryMap& map,
                                     const CoroutineCatalog& catalog, SuspendPointResolver& resolver,
                                     TypeTable& types, const Observation& observation);

}  // namespace asyncdump::cpp20

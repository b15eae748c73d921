// Where coroutine functions get the memory of their frames from, by the functions that their code calls.
#pragma once

#include "runtimes/cpp20/coroutine_catalog.h"

namespace asyncdump::cpp20 {

/// Whether frames of some coroutine function may lie in memory that the agent does not see: it records what
/// operator new and the aligned allocation functions give (agent/), and a promise may have an operator new of
/// its own, over malloc or an arena.
///
/// A function counts as seen when what destroys its frames gives the frame to a global operator delete, when
/// GCC's ramp begins with a global operator new, or when it calls an aligned allocation function or
/// Boost.Asio (which comes to one), and no other member operator. It can be wrong where a member operator new
/// was inlined and the coroutine allocates aligned memory besides.
bool may_allocate_unseen(const CoroutineCatalog& catalog);

}  // namespace asyncdump::cpp20

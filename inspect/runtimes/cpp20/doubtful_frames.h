#pragma once

#include <functional>

#include "runtimes/cpp20/coroutine_catalog.h"
#include "runtimes/cpp20/references.h"
#include "runtimes/cpp20/source_text.h"
#include "runtimes/cpp20/surroundings.h"
#include "runtimes/observation.h"

namespace asyncdump::cpp20 {

/// Marks the coroutines to which nothing leads: neither a word outside all frames (liveness.h) nor a frame to
/// which something leads. Frames that their block proves to be alive are not asked. Nothing is marked when
/// the surroundings have no memory to search.
void mark_doubtful(Observation& observation, const FrameSet& set, const Surroundings& surroundings,
                   const CoroutineCatalog& catalog, const ModuleSet& modules, unsigned workers);

/// Removes what looks like a frame and is none. Compilers put both pointers of a frame on the stack when they
/// are about to write them into one: what stands there, was not built there (elided allocation has a destroy
/// function of its own) and is known to nobody; wrong for a frame that a promise's operator new has put into
/// a buffer on a stack and that nothing refers to. And the last bytes of elided frames that were destroyed:
/// `calls_of` says of one that is done where the coroutine around it calls its function.
using CallsOf = std::function<SourceText::Calls(std::uint32_t done, std::uint32_t around)>;
void remove_phantoms(Observation& observation, const FrameSet& set, const CallsOf& calls_of);

}  // namespace asyncdump::cpp20

// What the code of a coroutine tells about its frame where no debug information does: which words belong to
// the promise, which of them its callers write, and what it reads where it goes on.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "process/memory.h"
#include "runtimes/cpp20/dispatch_interpreter.h"
#include "runtimes/cpp20/frame_bases.h"
#include "runtimes/cpp20/frames.h"
#include "runtimes/cpp20/function_code.h"
#include "runtimes/cpp20/imported_functions.h"
#include "runtimes/cpp20/suspend_point.h"

namespace asyncdump::cpp20 {

/// What the resume function tells about all its frames.
struct CodeKnowledge {
    /// Offsets of the promise; empty when unknown. Promise functions that are called get it whole: then what
    /// else the code touches lies behind it. Where they are inlined, what is read after the resume pointer
    /// became null (at the final suspend point) is the promise's, and this ends with the last such word: more
    /// of the promise may follow.
    AwaiterSlot promise;
    /// Distances from what another word of the frame (or anything else) leads to, at which the function
    /// stores its own frame's address: as a continuation, when it leads to a coroutine. Sorted.
    std::vector<std::uint32_t> gives_itself_at;
    /// Offsets in its own frame at which it does so: in a coroutine whose frame lies in this one. Sorted.
    std::vector<std::uint32_t> gives_itself_inside;
};

CodeKnowledge knowledge_from_code(const ImportedFunctions& imported, const FunctionCode& resume,
                                  const FrameBases& bases);

/// Offset of the frame's own address, which GCC keeps between the promise and the parameters, in front of the
/// index. The last one counts: a promise may hold it too, a parameter hardly.
std::optional<std::uint32_t> find_self_handle(const Memory& memory, const Frame& frame,
                                              const std::optional<IndexField>& index);

/// Offsets of the words of the frame that the function reads where it goes on, in order, up to where it
/// suspends for the last time, or to its first call (of which the object's first words count): await_resume
/// begins with them. Can be those of something else where await_resume has nothing to read.
std::vector<std::uint32_t> words_read_on_resumption(const FunctionCode& code, const DispatchTrace& trace);

}  // namespace asyncdump::cpp20

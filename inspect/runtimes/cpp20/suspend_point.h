#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtimes/cpp20/coroutine_code.h"
#include "runtimes/cpp20/line_declarations.h"
#include "runtimes/cpp20/source_text.h"
#include "runtimes/observation.h"

namespace asyncdump::cpp20 {

/// Where in a frame the number of the current suspend point lies.
struct IndexField {
    std::uint32_t offset = 0;  ///< bytes from the frame's address, >= 16
    std::uint32_t width = 0;   ///< 1, 2, 4 or 8 bytes
};

struct CodeKnowledge;
struct DispatchTrace;

/// Offsets in a frame that belong to one awaiter.
struct AwaiterSlot {
    std::uint32_t begin = 0, end = 0;
    bool contains(std::uint64_t offset) const { return offset >= begin && offset < end; }
};

struct LiveSlot {
    std::size_t number = 0;   ///< among the slots that were asked about
    bool is_certain = false;  ///< else it may be that of an earlier await of the same statement
};

/// The statement that a co_await is a part of, by the source text.
struct AwaitingStatement {
    TextPosition begin;  ///< of its first token; line 0 when unknown
    /// Of the token that ends it; line 0 when only the line of the co_await is known, not which of the
    /// statements on it is meant.
    TextPosition end;
    std::vector<DeclaredName> names;  ///< on the line of its begin; empty where `end` is unknown
    bool has_one_await = false;       ///< and no macro that could hide another

    bool is_certain() const { return end.line != 0; }
    bool contains(TextPosition position) const {
        return is_certain() && begin <= position && position <= end;
    }
};

struct SuspendPoint {
    enum class Kind : std::uint8_t { initial, await, yield, final, unknown };
    Kind kind = Kind::unknown;
    bool being_destroyed = false;            ///< GCC's odd numbers: the destroy path of the point
    std::optional<SourceLocation> location;  ///< of the co_await or co_yield; empty when there is no evidence
    std::string
        awaiter_type;  ///< readable class of the await_suspend/await_resume found there; "" when unknown
    RemoteAddress resumes_at;  ///< where the resume function goes on from it; null when unknown
    AwaitingStatement statement;
    /// How the resume function goes on there. nullptr at the final point and where it is not known.
    std::shared_ptr<const DispatchTrace> resumed;
    /// The coroutine has not been resumed since it was made: only its ramp suspends it there.
    bool suspended_by_ramp = false;
    std::vector<RemoteAddress> stored_at;  ///< the stores of its index in the resume function
    std::string evidence;                  ///< which rule answered, for the tests' table: "E3"
};

/// From a suspended frame to its co_await: docs/suspend-point.md explains the method. Every answer is
/// computed once for a (function, index). Works from the module's file bytes and DWARF alone. Not
/// thread-safe.
class SuspendPointResolver {
  public:
    struct Options {
        bool use_source_text =
            true;  ///< look at the source file, when it is there, to make a near line exact
    };
    explicit SuspendPointResolver(const ModuleSet& modules, Options options);
    ~SuspendPointResolver();

    /// Empty when the function has none (one suspend point left) or it could not be found out.
    std::optional<IndexField> index_field(const CoroutineCode& code);

    /// By the frame's resume pointer and the number in its index field (empty: the field could not be read).
    /// The reference stays valid as long as the resolver. A frame whose resume pointer is null is at its
    /// final point.
    const SuspendPoint& resolve(const CoroutineCode& code, RemoteAddress resume,
                                std::optional<std::uint64_t> index);

    /// The same by the frame's bytes, as many as are known (at least 16; the index field must lie within to
    /// be used).
    const SuspendPoint& resolve(const CoroutineCode& code, std::span<const std::byte> frame);

    /// How many co_await and co_yield the function has besides its initial and final suspend point, by what
    /// its dispatcher knows. GCC only; empty for others and when it could not be found out.
    std::optional<std::size_t> await_count(const CoroutineCode& code);

    /// Which of several awaiters of one class is the live one at an index, by the code around it. Empty where
    /// the code does not tell.
    std::optional<LiveSlot> live_slot(const CoroutineCode& code, std::uint64_t index,
                                      std::span<const AwaiterSlot> slots);

    /// The place of an awaiter of `bytes` that keeps the coroutine's handle at `handle` in itself, by where
    /// the code stores the frame's own address while it suspends at an index (or at its only suspend point,
    /// where it keeps none). Empty where there is no such place, more than one, or nobody gets to know the
    /// object.
    std::optional<AwaiterSlot> slot_around_handle(const CoroutineCode& code,
                                                  std::optional<std::uint64_t> index, std::uint32_t handle,
                                                  std::uint32_t bytes);

    /// Whether a word of the frame that is a local's in `located` is something else's elsewhere.
    bool is_reused(const CoroutineCode& code, std::uint64_t offset, std::span<const AddressRange> located);

    /// Whether the function may still look at the frame's bytes [begin, end) where it goes on from a point,
    /// or is destroyed there (words_in_use.h). Also true when that is not known.
    bool is_used(const CoroutineCode& code, const SuspendPoint& point, std::uint64_t begin,
                 std::uint64_t end);

    /// For functions whose frames no debug information describes: what the code tells about them, and which
    /// of a frame's words it reads first where it goes on from the point with this index (offsets, in order).
    const CodeKnowledge* code_knowledge(const CoroutineCode& code);  ///< nullptr without code
    std::vector<std::uint32_t> read_first(const CoroutineCode& code, std::uint64_t index);

    /// Where the source text of a coroutine that is suspended at `point` calls functions of a name (without
    /// scope).
    SourceText::Calls calls_of(std::string_view name, const CoroutineCode& code, const SuspendPoint& point);

    std::size_t resolutions() const;  ///< how many (function, index) pairs were computed: for tests

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace asyncdump::cpp20

// inspect/runtimes: one folder a language runtime. A runtime finds the tasks in a target's memory and says
// what refers to what. It reads Memory and Modules; it never stops a process and draws no conclusion about
// who awaits whom: that is graph's work.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/remote_address.h"
#include "base/variable.h"

namespace asyncdump {

inline constexpr std::uint32_t no_index = std::numeric_limits<std::uint32_t>::max();

enum class CoroutineState : std::uint8_t { suspended, running, created, done, unknown };
enum class WaitKind : std::uint8_t { coroutine, timer, io, lock, channel, other, unknown };

struct SourceLocation {
    std::string file;  ///< path of the debug information
    std::uint32_t line = 0;
    std::uint32_t column = 0;           ///< 0 when unknown
    bool exact = true;                  ///< false: a near line
    std::uint32_t resumes_at_line = 0;  ///< for a near line: where it goes on; 0 when unknown
};

/// A coroutine function: shared by all its frames.
struct CoroutineFunction {
    std::string name;    ///< demangled and readable, without compiler suffixes
    std::string symbol;  ///< the ramp function's linkage name
    std::optional<SourceLocation> declared_at;
    bool internal = false;  ///< a library's own coroutine
};

/// What a suspended coroutine waits for. Shared by frames with the same answer.
struct Awaiting {
    WaitKind kind = WaitKind::unknown;
    std::string type;     ///< the awaiter's type; "" when unknown
    std::string summary;  ///< for a person; "" when unknown
};

/// Which words of the process, outside all frames, lead to a coroutine's frame. Words in memory that is known
/// to be free do not count, nor do those in objects to which only coroutines lead (HoldByObjects).
enum class Hold : std::uint8_t {
    unknown,  ///< was not looked for
    none,
    handle,  ///< only its address itself, as a coroutine_handle holds it
    inside,  ///< also an address inside the frame: a list of waiters, a promise, a local that somebody uses
};

/// Kept small: a dump may hold a million of them. Text lives in tables that are referred to by index.
struct ObservedCoroutine {
    RemoteAddress address;
    std::uint32_t function = no_index;      ///< in Observation::functions
    std::uint32_t suspended_at = no_index;  ///< in Observation::locations
    std::uint32_t awaiting = no_index;      ///< in Observation::awaitings
    std::uint32_t details = no_index;       ///< in Observation::details
    std::uint32_t frame_bytes = 0;          ///< 0 when unknown
    std::int32_t thread = 0;                ///< the thread that is running it; 0 when none
    CoroutineState state = CoroutineState::unknown;
    bool found_by_scan = false;
    bool found_by_registry = false;
    bool awaiter_known = false;  ///< debug information describes the awaiter at which it is suspended
    bool waits_for_time_or_data = false;  ///< by an awaiter of nothing but numbers
    bool promise_empty = false;           ///< it has no members
    bool promise_unknown = false;         ///< no debug information tells which part of the frame it is
    bool at_yield = false;  ///< suspended at a co_yield: it waits for being asked, not for another task
    bool yields_by_object = false;  ///< at_yield, and its awaiter has members: another generator, perhaps
    bool at_await = false;  ///< known to be suspended at a co_await (not an initial, final or unknown point)
    Hold held = Hold::unknown;
    /// Nothing in the process refers to this frame and its content cannot tell whether it is still allocated.
    bool doubtful = false;
};

/// One call of a stack, inlined or not.
struct StackPosition {
    RemoteAddress pc;
    std::string function;  ///< "" when unknown
    std::string file;      ///< "" when unknown
    std::uint32_t line = 0;
    std::string module;  ///< "" when unknown
    bool inlined = false;
};

/// Where a coroutine comes from: only the agent's registry knows it.
struct Creation {
    std::chrono::system_clock::time_point at;
    std::uint64_t age_ms = 0;         ///< at the time of the dump
    std::int32_t thread = 0;          ///< that called the coroutine function; 0 when unknown
    std::uint32_t stack = no_index;   ///< in Observation::creation_stacks; no_index when unknown
    std::uint32_t scopes = no_index;  ///< in Observation::scopes; no_index when under none
    /// Its memory comes from an allocator of the program's own, which may use it for one coroutine after the
    /// other without the agent seeing it: what is said here may be that of the first one.
    bool or_later = false;
};

/// As the program named a coroutine, and what it says to be doing; "" where it did not. Raw bytes.
struct CoroutineName {
    std::string name, label;
};

/// What only some coroutines have.
struct CoroutineDetails {
    std::vector<Variable> variables;       ///< parameters and locals that are alive where it is suspended
    std::uint32_t variables_left_out = 0;  ///< how many more there are
    std::vector<Variable> awaiter;         ///< the fields of the awaiter at which it is suspended
    std::vector<Problem> problems;
    std::optional<Creation> created;
    std::uint32_t name = no_index;  ///< in Observation::names
};

/// A word (or a path of a few words) that leads from one frame to another.
struct Reference {
    enum class Origin : std::uint8_t {
        promise,       ///< the word lies in the promise of `from`
        live_awaiter,  ///< in the awaiter at which `from` is suspended
        read_first,    ///< without debug information: the code of `from` reads it first where it goes on
        elsewhere,     ///< in a parameter, a local, or nobody knows where in the frame
    };
    enum class Target : std::uint8_t {
        frame,         ///< the frame's address, as a coroutine_handle holds it
        promise,       ///< an address in the promise
        live_awaiter,  ///< inside the awaiter at which `to` is suspended
        interior,      ///< elsewhere in the frame
    };
    std::uint32_t from = no_index;  ///< in Observation::coroutines
    std::uint32_t to = no_index;
    Origin origin = Origin::elsewhere;
    Target target = Target::interior;
    std::uint8_t hops = 0;  ///< heap objects on the way: 0 = the word itself points into `to`
    std::uint32_t offset =
        0;  ///< of the word in the frame of `from`; 0 for a frame that contains `to` (elided allocation)
    bool promise_known =
        false;  ///< debug information tells where the promise of `from` lies: `origin` can be relied on
    /// A container of `from` holds `to`: counts as one of the words of `from`, and proves nothing alone.
    bool through_container = false;
    bool is_handle = false;  ///< debug information says that the word is a coroutine_handle or a continuation
    /// Debug information says that the word of the promise is a link to a sibling (next, prev), or belongs to
    /// what may have no value yet.
    bool leads_to_no_awaiter = false;
};

/// A native stack frame that executes a coroutine: its resume or destroy function, or the call of the
/// coroutine itself while that runs the body.
struct RunningFrame {
    std::int32_t thread = 0;
    std::uint32_t stack_frame = 0;  ///< index in the thread's unwound stack, 0 = innermost
    /// Where the coroutine's code was inlined into the function of that stack frame: how many calls further
    /// in than the function itself.
    std::uint32_t inlined = 0;
    std::uint32_t coroutine = no_index;
};

/// What a thread that sleeps in a system call waits for.
struct ThreadWait {
    std::string kind;        ///< "mutex", "condition", "futex", "join", "io", "sleep", "other"
    RemoteAddress address;   ///< null when unknown
    std::int32_t owner = 0;  ///< the thread that it waits for; 0 when unknown
    std::string summary;
    bool has_time_limit = false;  ///< it goes on by itself after some time
    bool never_ends = false;      ///< the C library lets it wait for ever, for a lock that it cannot get
    bool from_outside = false;    ///< another process may end it: a child, or one that shares the memory
    bool for_event = false;  ///< for somebody to do something (a future, a condition, a join), not for a lock
};

/// An object by which coroutines exclude each other: an asynchronous mutex or semaphore, or a blocking mutex
/// (of threads) that a suspended coroutine holds.
struct ObservedLock {
    struct Holder {
        std::uint32_t coroutine = no_index;
        std::string
            evidence;  ///< how it is known: "its local 'guard' (std::unique_lock<Mutex>) refers to it"
        bool is_certain = true;  ///< else by an object that may only use the lock
    };
    RemoteAddress address;
    std::string type;                  ///< readable; "" when unknown
    bool blocks_threads = false;       ///< a std::mutex or the like
    bool has_several_permits = false;  ///< a semaphore: others than the known holders may let a waiter go on
    std::vector<Holder> holders;
    std::vector<std::uint32_t> waiters;  ///< coroutines that are suspended until they get it
};

/// Why a coroutine has Hold::none though words outside all frames lead to it: they stand in objects on the
/// heap to which nothing leads but coroutines.
struct HoldByObjects {
    std::uint32_t coroutine = no_index;
    std::vector<std::uint32_t> known_by;  ///< the other coroutines that lead to these objects
    std::vector<AddressRange> objects;    ///< sorted
};

/// Everything that a runtime found in one snapshot.
struct Observation {
    std::string runtime;  ///< "c++20"
    std::vector<CoroutineFunction> functions;
    std::vector<SourceLocation> locations;
    std::vector<Awaiting> awaitings;
    std::vector<ObservedCoroutine> coroutines;  ///< sorted by address
    std::vector<CoroutineDetails> details;
    std::vector<std::vector<StackPosition>>
        creation_stacks;  ///< innermost first; shared by what was created there
    std::vector<std::vector<std::string>>
        scopes;  ///< names under which something was created, innermost first
    std::vector<CoroutineName> names;
    std::vector<Reference> references;
    std::vector<RunningFrame> running;
    std::vector<ObservedLock> locks;
    std::vector<HoldByObjects> holds_by_objects;  ///< sorted by coroutine
    /// Why a coroutine without a hold may be held all the same (the kernel may hold a pointer to it); empty
    /// when nothing speaks for that.
    std::string holds_uncertain;
    std::vector<Problem> problems;
};

}  // namespace asyncdump

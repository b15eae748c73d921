#include "process/attachment.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "process/access.h"
#include "process/procfs.h"
#include "process/seccomp_filter.h"
#include "process/tracee.h"

namespace asyncdump {
namespace {

using namespace std::chrono_literals;

// Longer than this only a thread takes that gets no processor, is dying or is in uninterruptible sleep.
constexpr auto usual_time_to_stop = 5ms;

// A thread in uninterruptible sleep (a disk that does not answer, a parent in vfork) stops when it wakes up,
// which may be never, and all others wait with it. After this long it is left out.
constexpr auto patience_with_uninterruptible = 250ms;

/// Waits a little longer each time; the first times only lets others run.
class Backoff {
  public:
    void wait() {
        if (rounds_++ < rounds_without_sleep)
            ::sched_yield();
        else {
            std::this_thread::sleep_for(pause_);
            pause_ = std::min<std::chrono::microseconds>(pause_ * 2, 1ms);
        }
    }
    void reset() { *this = Backoff(); }

  private:
    static constexpr int rounds_without_sleep = 8;
    int rounds_ = 0;
    std::chrono::microseconds pause_{5};
};

}  // namespace

Attachment::Attachment(pid_t pid, std::chrono::milliseconds timeout)
    : pid_(pid),
      deadline_(Clock::now() + timeout),
      tasks_(::open(procfs::path(pid, "task").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      program_at_start_(program_identity()),
      has_seccomp_filters_(!seccomp_modes(tasks_.get()).empty()) {}

/// Differs from one exec to the next because the kernel places stack, vdso and program anew; with address
/// randomisation turned off the same program looks the same again.
std::string Attachment::program_identity() const {
    // Of any thread that lives: a main thread that has ended before the others has no memory any more.
    for (const pid_t tid : procfs::list_threads(tasks_.get())) {
        auto auxiliary_vector = procfs::read_file(tasks_.get(), fmt::format("{}/auxv", tid), 4096);
        if (auxiliary_vector && !auxiliary_vector->empty()) return *std::move(auxiliary_vector);
    }
    return "";
}

Error Attachment::replaced_its_program() const {
    return {ErrorCode::process_gone,
            fmt::format("process {} has replaced its program (exec) just now: try again", pid_), 0};
}

std::optional<procfs::Stat> Attachment::read_stat(pid_t tid) const {
    const auto text = procfs::read_file(tasks_.get(), fmt::format("{}/stat", tid), 4096);
    return text ? procfs::parse_stat(*text) : std::nullopt;
}

bool Attachment::has_ended(pid_t tid) const {
    const auto stat = read_stat(tid);
    return !stat || stat->has_ended();
}

bool Attachment::belongs_to_process(pid_t tid) const {
    return ::faccessat(tasks_.get(), std::to_string(tid).c_str(), F_OK, 0) == 0;
}

Result<void> Attachment::stop_all() {
    if (!tasks_)
        return failure(ErrorCode::no_such_process, fmt::format("there is no process {}", pid_), ESRCH);
    // Threads that run can start others. When all that were known have stopped and the list shows no new one,
    // nobody is left who could.
    while (true) {
        const auto seized = seize_new_threads();
        if (!seized) return tl::unexpected<Error>(seized.error());
        if (*seized == 0) {
            if (has_stopped_threads() || !has_untried_threads() || Clock::now() > deadline_) break;
            ::sched_yield();  // the only threads left are changing their ids (exec) just now
            continue;
        }
        interrupt_seized();
        if (auto collected = collect(); !collected) return collected;
        if (Clock::now() > deadline_) {
            problems_.push_back(
                {"threads_not_stopped",
                 fmt::format("process {} started threads faster than they could be stopped: some may "
                             "be missing, and the picture may be blurred",
                             pid_),
                 std::to_string(pid_), true});
            break;
        }
    }
    if (std::none_of(tracees_.begin(), tracees_.end(),
                     [](const Tracee& t) { return t.stage == Stage::stopped; }))
        return tl::unexpected<Error>(nothing_stopped());
    // An exec is seen as an event where its thread was seized before, and only by its result where not.
    const bool some_ended = std::any_of(tracees_.begin(), tracees_.end(),
                                        [](const Tracee& t) { return t.stage == Stage::ended; });
    if (some_ended && program_identity() != program_at_start_)
        return tl::unexpected<Error>(replaced_its_program());
    return {};
}

bool Attachment::has_stopped_threads() const {
    return std::any_of(tracees_.begin(), tracees_.end(),
                       [](const Tracee& t) { return t.stage == Stage::stopped; });
}

bool Attachment::has_untried_threads() const {
    for (const pid_t tid : procfs::list_threads(tasks_.get()))
        if (tid != pid_ && !known_.contains(tid) && !has_ended(tid)) return true;
    // Last, because exec gives the main thread's id to another thread, whose own then vanishes.
    return !known_.contains(pid_) && !has_ended(pid_);
}

Error Attachment::nothing_stopped() const {
    const bool some_abandoned = std::any_of(tracees_.begin(), tracees_.end(),
                                            [](const Tracee& t) { return t.stage == Stage::abandoned; });
    if (some_abandoned)
        return {
            ErrorCode::timed_out,
            fmt::format(
                "no thread of process {} came to a stop: all are in uninterruptible sleep (see \"ps -L -o "
                "stat,wchan -p {}\") or get no processor; try again later",
                procfs::describe(pid_), pid_),
            0};
    return {ErrorCode::process_gone, fmt::format("process {} has ended", pid_), 0};
}

/// Returns how many threads were new and could be seized. Seizing does not stop a thread.
Result<std::size_t> Attachment::seize_new_threads() {
    std::size_t seized = 0;
    for (const pid_t tid : procfs::list_threads(tasks_.get())) {
        if (known_.contains(tid)) continue;
        const auto success = seize(tid);
        if (!success) return tl::unexpected<Error>(success.error());
        if (!*success) continue;
        // A thread that ends now stays listed until we collect its end. If it is not there, the id was
        // another process's already, or exec has just given the thread another one. Released when this OS
        // thread ends.
        if (!belongs_to_process(tid)) return tl::unexpected<Error>(replaced_its_program());
        known_.insert(tid);
        tracees_.emplace_back().thread.tid = tid;
        ++seized;
    }
    return seized;
}

/// False when the thread is left out: it has ended, or may not be touched (and is a problem then).
Result<bool> Attachment::seize(pid_t tid) {
    // The kernel also refuses a thread that is dying, one whose id a thread that executes exec is just taking
    // over, and one that we trace already under its former id. Only what stays refused while nothing explains
    // it is a refusal.
    constexpr int attempts = 3;
    int system_errno = 0;
    for (int attempt = 0; attempt < attempts; ++attempt) {
        // No PTRACE_O_EXITKILL: should we die, the thread has to live.
        if (trace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACEEXEC) == 0) return true;
        system_errno = errno;
        if (system_errno == ESRCH || has_ended(tid)) return false;
        if (const auto tracer = find_tracer(tid)) {
            if (*tracer == ::gettid() && !tracees_.empty())
                return tl::unexpected<Error>(replaced_its_program());
            return tl::unexpected<Error>(already_traced(pid_, *tracer));
        }
    }
    auto refused = explain_refused_access(pid_, system_errno);
    if (tracees_.empty()) return tl::unexpected<Error>(std::move(refused));
    known_.insert(tid);
    problems_.push_back({"thread_not_stopped",
                         fmt::format("thread {} could not be stopped and is missing here: {}",
                                     procfs::describe(tid), refused.message),
                         std::to_string(tid), true});
    return false;
}

void Attachment::interrupt_seized() {
    if (first_stop_request_ == Clock::time_point()) first_stop_request_ = Clock::now();
    for (Tracee& tracee : tracees_) {
        if (tracee.stage != Stage::seized) continue;
        // Refused only when it is dying; its end is then waited for as any other.
        trace(PTRACE_INTERRUPT, tracee.thread.tid);
        tracee.stage = Stage::asked;
    }
}

/// Waits until no thread is in stage `asked` any more.
Result<void> Attachment::collect() {
    Backoff backoff;
    auto last_progress = Clock::now();
    while (true) {
        bool pending = false;
        bool progress = false;
        for (Tracee& tracee : tracees_) {
            if (tracee.stage != Stage::asked) continue;
            if (auto looked = look_at(tracee); !looked) return looked;
            (tracee.stage == Stage::asked ? pending : progress) = true;
        }
        if (!pending) return {};
        const auto now = Clock::now();
        if (progress) {
            last_progress = now;
            backoff.reset();
        } else if (now > deadline_) {
            abandon_pending("did not stop in time");
            return {};
        } else if (now - last_progress > usual_time_to_stop) {
            const auto uninterruptible = examine_slow_threads();
            if (!uninterruptible) return tl::unexpected<Error>(uninterruptible.error());
            if (*uninterruptible && now - last_progress > patience_with_uninterruptible) {
                abandon_pending("is in uninterruptible sleep in the kernel and did not stop in time");
                return {};
            }
        }
        backoff.wait();
    }
}

Result<void> Attachment::look_at(Tracee& tracee) {
    const pid_t tid = tracee.thread.tid;
    const TraceeEvent event = newest_event(tid);
    switch (event.kind) {
        case TraceeEvent::none:
            break;
        case TraceeEvent::stop:
        case TraceeEvent::group_stop:
            tracee.thread.in_group_stop = event.kind == TraceeEvent::group_stop;
            read_registers(tracee);
            break;
        case TraceeEvent::signal:
            // On its way to the thread when we came: it goes on with the signal and stops before it executes
            // the first instruction of a handler. The request to stop is still pending; asking again does no
            // harm.
            trace(PTRACE_CONT, tid, 0, static_cast<std::uintptr_t>(event.signal_number));
            trace(PTRACE_INTERRUPT, tid);
            break;
        case TraceeEvent::other:
            trace(PTRACE_CONT, tid);
            trace(PTRACE_INTERRUPT, tid);
            break;
        case TraceeEvent::exec:
            return tl::unexpected<Error>(replaced_its_program());
        case TraceeEvent::ended:
            mark_ended(tracee);
            // The end of a thread is ours to collect, and an exec in another thread waits for it. The main
            // thread's is its parent's.
            if (tid != pid_) ::waitpid(tid, nullptr, WNOHANG | __WALL);
            break;
        case TraceeEvent::not_ours:
            // A thread vanishes by itself only when another one executes exec; the main thread's id passes to
            // that one.
            mark_ended(tracee);
            if (tid == pid_) return tl::unexpected<Error>(replaced_its_program());
            break;
    }
    return {};
}

/// Its id may come back: exec gives the main thread's to another thread.
void Attachment::mark_ended(Tracee& tracee) {
    tracee.stage = Stage::ended;
    known_.erase(tracee.thread.tid);
}

void Attachment::read_registers(Tracee& tracee) {
    user_regs_struct registers{};
    iovec target{&registers, sizeof registers};
    const pid_t tid = tracee.thread.tid;
    if (trace(PTRACE_GETREGSET, tid, NT_PRSTATUS, reinterpret_cast<std::uintptr_t>(&target)) != 0) {
        mark_ended(tracee);  // killed in its stop
        return;
    }
    tracee.stage = Stage::stopped;
    if (target.iov_len != sizeof registers) {
        problems_.push_back({"thread_not_readable",
                             fmt::format("thread {} executes 32-bit code: its stack is missing here", tid),
                             std::to_string(tid), true});
        return;
    }
    tracee.thread.registers = Registers(registers);
    // At once, not when it goes on: should we die meanwhile, the kernel restarts the call all the same.
    if (tracee.thread.in_group_stop) return;
    if (needs_restart(registers)) request_restart(tid);
    // It then waits its whole time once more, which is better than to be killed.
    if (has_seccomp_filters_ && goes_on_by_restart_call(registers) && !may_call_restart(tid, registers))
        request_restart(tid);
}

/// True when all threads that are waited for are in uninterruptible sleep. On the way it finds what no event
/// tells.
Result<bool> Attachment::examine_slow_threads() {
    bool uninterruptible = true;
    for (Tracee& tracee : tracees_) {
        if (tracee.stage != Stage::asked) continue;
        const auto stat = read_stat(tracee.thread.tid);
        if (tracee.thread.tid == pid_ && stat) {
            // A main thread that ends before the others is reported only when all are gone.
            if (stat->has_ended()) {
                mark_ended(tracee);
                continue;
            }
            // Its id has passed to a thread that is not traced; where the process is a child of ours, waiting
            // for that id is no error.
            if (find_tracer(pid_) != ::gettid()) return tl::unexpected<Error>(replaced_its_program());
        }
        if (!stat || stat->state != 'D') uninterruptible = false;
    }
    return uninterruptible;
}

void Attachment::abandon_pending(const char* reason) {
    for (Tracee& tracee : tracees_) {
        if (tracee.stage != Stage::asked) continue;
        tracee.stage = Stage::abandoned;
        problems_.push_back(
            {"thread_not_stopped",
             fmt::format("thread {} {}: its stack is missing here, and what it changed meanwhile may "
                         "blur the picture",
                         procfs::describe(tracee.thread.tid), reason),
             std::to_string(tracee.thread.tid), true});
    }
}

void Attachment::let_go() {
    if (let_go_) return;
    let_go_ = true;
    for (Tracee& tracee : tracees_) {
        const pid_t tid = tracee.thread.tid;
        if (tracee.stage == Stage::stopped) {
            trace(PTRACE_DETACH, tid);
        } else if (tracee.stage != Stage::ended) {
            // It may have stopped at last, or for a signal, which it takes along.
            const TraceeEvent event = newest_event(tid);
            const int signal_number = event.kind == TraceeEvent::signal ? event.signal_number : 0;
            trace(PTRACE_DETACH, tid, 0, static_cast<std::uintptr_t>(signal_number));
        }
    }
}

void Attachment::give_away(pid_t tid) {
    for (Tracee& tracee : tracees_)
        if (tracee.thread.tid == tid) tracee.stage = Stage::ended;
}

std::vector<StoppedThread> Attachment::stopped_threads() const {
    std::vector<StoppedThread> threads;
    threads.reserve(tracees_.size());
    for (const Tracee& tracee : tracees_)
        if (tracee.stage == Stage::stopped && tracee.thread.registers.is_known(Registers::rip))
            threads.push_back(tracee.thread);
    std::sort(threads.begin(), threads.end(),
              [](const StoppedThread& left, const StoppedThread& right) { return left.tid < right.tid; });
    return threads;
}

}  // namespace asyncdump

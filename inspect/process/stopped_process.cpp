#include "process/stopped_process.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "process/attachment.h"
#include "process/tracee.h"

namespace asyncdump {

/// The OS thread that traces, and what it is told to do. It lives no longer than the stop: its end makes the
/// kernel release whatever could not be detached, which nothing else does.
class StoppedProcess::Tracer {
  public:
    Tracer(pid_t pid, const Options& options) : attachment_arguments_{pid, options.attach_timeout} {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &callers_mask_);  // which the new thread inherits
        try {
            thread_ = std::thread([this] { run(); });
        } catch (const std::system_error& error) {
            start_error_ = error.code().value();
        }
        sigset_t while_stopped = callers_mask_;
        if (start_error_ == 0) ::sigaddset(&while_stopped, SIGTSTP);
        ::pthread_sigmask(SIG_SETMASK, &while_stopped, nullptr);
    }
    ~Tracer() { finish(); }

    int start_error() const { return start_error_; }

    /// Blocks until the target has stopped or could not be.
    Result<void> wait_for_stop() {
        std::unique_lock lock(mutex_);
        constexpr auto longer_than_usual = std::chrono::milliseconds(20);
        while (!changed_.wait_for(lock, longer_than_usual, [this] { return outcome_.has_value(); }))
            collect_ended_threads(attachment_arguments_.first);
        return *outcome_;
    }

    void perform(const std::function<void()>& work) {
        std::unique_lock lock(mutex_);
        work_ = &work;
        changed_.notify_all();
        changed_.wait(lock, [this] { return work_ == nullptr; });
    }

    void perform_on_attachment(const std::function<void(Attachment&)>& work) {
        perform([&] { work(*attachment_); });
    }

    /// Lets the target go on and ends the thread.
    void finish() {
        if (!thread_.joinable()) return;
        {
            const std::lock_guard lock(mutex_);
            finish_ = true;
        }
        changed_.notify_all();
        thread_.join();
        // join() comes back a little before the kernel has ended the thread and released what it traced.
        while (::syscall(SYS_tgkill, ::getpid(), tid_, 0) == 0) ::sched_yield();
        ::pthread_sigmask(SIG_SETMASK, &callers_mask_, nullptr);
    }

    // Valid after wait_for_stop(), the pause after finish().
    std::vector<StoppedThread> threads;
    std::vector<Problem> problems;
    std::chrono::microseconds pause{0};

  private:
    void run() {
        tid_ = ::gettid();
        // The waits for a tracee are microseconds long; the default would round them up to 50.
        ::prctl(PR_SET_TIMERSLACK, 1);
        ::prctl(PR_SET_NAME, "asyncdump-stop");
        Attachment attachment(attachment_arguments_.first, attachment_arguments_.second);
        attachment_ = &attachment;
        auto outcome = attachment.stop_all();
        if (!outcome) attachment.let_go();

        std::unique_lock lock(mutex_);
        threads = attachment.stopped_threads();
        problems = attachment.problems();
        outcome_ = std::move(outcome);
        changed_.notify_all();
        while (!finish_) {
            changed_.wait(lock, [this] { return finish_ || work_ != nullptr; });
            if (work_ == nullptr) continue;
            (*work_)();
            work_ = nullptr;
            changed_.notify_all();
        }
        attachment.let_go();
        pause = std::chrono::duration_cast<std::chrono::microseconds>(Attachment::Clock::now() -
                                                                      attachment.first_stop_request());
    }

    std::pair<pid_t, std::chrono::milliseconds> attachment_arguments_;
    sigset_t callers_mask_{};
    pid_t tid_ = 0;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<Result<void>> outcome_;
    const std::function<void()>* work_ = nullptr;
    Attachment* attachment_ = nullptr;  ///< of the tracing thread, as long as it runs
    bool finish_ = false;
    int start_error_ = 0;
    std::thread thread_;
};

StoppedProcess::StoppedProcess(std::unique_ptr<Tracer> tracer) : tracer_(std::move(tracer)) {}
StoppedProcess::StoppedProcess(StoppedProcess&&) noexcept = default;
StoppedProcess::~StoppedProcess() {
    resume();
}

Result<StoppedProcess> StoppedProcess::stop(pid_t pid, const Options& options) {
    auto tracer = std::make_unique<Tracer>(pid, options);
    if (tracer->start_error() != 0)
        return failure(ErrorCode::system,
                       fmt::format("cannot start a thread: {}", std::strerror(tracer->start_error())),
                       tracer->start_error());
    if (auto stopped = tracer->wait_for_stop(); !stopped) return tl::unexpected<Error>(stopped.error());
    return StoppedProcess(std::move(tracer));
}

const std::vector<StoppedThread>& StoppedProcess::threads() const {
    return tracer_->threads;
}
const std::vector<Problem>& StoppedProcess::problems() const {
    return tracer_->problems;
}
void StoppedProcess::on_tracing_thread(const std::function<void()>& work) {
    tracer_->perform(work);
}

void StoppedProcess::take_over(pid_t tid) {
    tracer_->perform_on_attachment([tid](Attachment& attachment) { attachment.give_away(tid); });
}
void StoppedProcess::release_others() {
    tracer_->perform_on_attachment([](Attachment& attachment) { attachment.let_go(); });
}

std::chrono::microseconds StoppedProcess::resume() {
    if (!tracer_) return {};
    tracer_->finish();
    return tracer_->pause;
}

}  // namespace asyncdump

// Locks for coroutines as different people write them: what the lock remembers of its holder and of its
// waiters, and what the holder keeps, differs on purpose.
#pragma once

#include <atomic>
#include <coroutine>
#include <deque>
#include <utility>

#include "task_library.h"

namespace locks {

/// The awaiter's class is local to the function that makes it.
class InlineMutex {
  public:
    class Guard {
      public:
        explicit Guard(InlineMutex& mutex) : mutex_(&mutex) {}
        Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
        Guard& operator=(Guard&&) = delete;
        ~Guard() {
            if (mutex_ != nullptr) mutex_->unlock();
        }

      private:
        InlineMutex* mutex_;
    };
    auto lock() noexcept {
        struct Waiting {
            InlineMutex& mutex;
            bool await_ready() const noexcept { return !std::exchange(mutex.locked_, true); }
            void await_suspend(std::coroutine_handle<> waiting) { mutex.waiters_.push_back(waiting); }
            Guard await_resume() const noexcept { return Guard(mutex); }
        };
        return Waiting{*this};
    }
    void unlock() {
        if (waiters_.empty()) {
            locked_ = false;
            return;
        }
        tasks::loop.post(waiters_.front());
        waiters_.pop_front();
    }

  private:
    bool locked_ = false;
    std::deque<std::coroutine_handle<>> waiters_;
};

/// A guard in the holder's frame; the waiters' handles lie in a container.
class Mutex {
  public:
    class Guard {
      public:
        explicit Guard(Mutex& mutex) : mutex_(&mutex) {}
        Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
        Guard& operator=(Guard&&) = delete;
        ~Guard() {
            if (mutex_ != nullptr) mutex_->unlock();
        }

      private:
        Mutex* mutex_;
    };
    struct Awaiter {
        Mutex& mutex;
        bool await_ready() const noexcept { return !std::exchange(mutex.locked_, true); }
        void await_suspend(std::coroutine_handle<> waiting) { mutex.waiters_.push_back(waiting); }
        Guard await_resume() const noexcept { return Guard(mutex); }
    };
    Awaiter lock() noexcept { return Awaiter{*this}; }
    /// await_suspend() is that of its base class.
    struct DerivedAwaiter : Awaiter {
        Guard await_resume() const noexcept { return Guard(mutex); }
    };
    DerivedAwaiter acquire() noexcept { return DerivedAwaiter{{*this}}; }
    void unlock() {
        if (waiters_.empty()) {
            locked_ = false;
            return;
        }
        tasks::loop.post(waiters_.front());
        waiters_.pop_front();
    }

  private:
    bool locked_ = false;
    std::deque<std::coroutine_handle<>> waiters_;
};

/// The waiters form a list through their awaiters, and the whole state is one atomic word.
class async_mutex;

class async_mutex_lock {
  public:
    explicit async_mutex_lock(async_mutex& mutex) noexcept : m_mutex(&mutex) {}
    async_mutex_lock(async_mutex_lock&& other) noexcept : m_mutex(std::exchange(other.m_mutex, nullptr)) {}
    async_mutex_lock& operator=(async_mutex_lock&&) = delete;
    ~async_mutex_lock();

  private:
    async_mutex* m_mutex;
};

class async_mutex {
  public:
    class lock_operation {
      public:
        explicit lock_operation(async_mutex& mutex) noexcept : m_mutex(mutex) {}
        bool await_ready() const noexcept { return false; }
        bool await_suspend(std::coroutine_handle<> awaiter) noexcept {
            m_awaiter = awaiter;
            void* old = m_mutex.m_state.load();
            while (true) {
                if (old == &m_mutex) {
                    if (m_mutex.m_state.compare_exchange_weak(old, nullptr)) return false;
                } else {
                    m_next = static_cast<lock_operation*>(old);
                    if (m_mutex.m_state.compare_exchange_weak(old, this)) return true;
                }
            }
        }
        async_mutex_lock await_resume() const noexcept { return async_mutex_lock(m_mutex); }

      private:
        friend class async_mutex;
        async_mutex& m_mutex;
        lock_operation* m_next = nullptr;
        std::coroutine_handle<> m_awaiter;
    };
    lock_operation scoped_lock_async() noexcept { return lock_operation(*this); }
    void unlock() {
        void* state = m_state.load();
        if (state == nullptr) {
            m_state = this;
            return;
        }
        auto* next = static_cast<lock_operation*>(state);
        m_state = next->m_next;
        tasks::loop.post(next->m_awaiter);
    }

  private:
    std::atomic<void*> m_state{this};  ///< itself: not locked; null: locked; else the newest waiter
    [[maybe_unused]] lock_operation* m_waiters = nullptr;
};

inline async_mutex_lock::~async_mutex_lock() {
    if (m_mutex != nullptr) m_mutex->unlock();
}

/// No guard: the lock itself remembers who holds it.
class OwnedMutex {
  public:
    struct LockAwaiter {
        OwnedMutex& mutex;
        bool await_ready() const noexcept { return false; }
        bool await_suspend(std::coroutine_handle<> waiting) {
            if (!mutex.owner_) {
                mutex.owner_ = waiting;
                return false;
            }
            mutex.waiters_.push_back(waiting);
            return true;
        }
        void await_resume() const noexcept {}
    };
    LockAwaiter lock() noexcept { return LockAwaiter{*this}; }
    void unlock() {
        owner_ = nullptr;
        if (waiters_.empty()) return;
        owner_ = waiters_.front();
        waiters_.pop_front();
        tasks::loop.post(owner_);
    }

  private:
    std::coroutine_handle<> owner_;
    std::deque<std::coroutine_handle<>> waiters_;
};

/// Permits that are given back by their destructor.
class Semaphore {
  public:
    class Permit {
      public:
        explicit Permit(Semaphore& semaphore) : semaphore_(&semaphore) {}
        Permit(Permit&& other) noexcept : semaphore_(std::exchange(other.semaphore_, nullptr)) {}
        Permit& operator=(Permit&&) = delete;
        ~Permit() {
            if (semaphore_ != nullptr) semaphore_->release();
        }

      private:
        Semaphore* semaphore_;
    };
    explicit Semaphore(int permits) : permits_(permits) {}
    struct Acquire {
        Semaphore& semaphore;
        bool await_ready() const noexcept { return semaphore.permits_ > 0 && semaphore.permits_-- > 0; }
        void await_suspend(std::coroutine_handle<> waiting) { semaphore.waiters_.push_back(waiting); }
        Permit await_resume() const noexcept { return Permit(semaphore); }
    };
    Acquire acquire() noexcept { return Acquire{*this}; }
    void release() {
        if (waiters_.empty()) {
            ++permits_;
            return;
        }
        tasks::loop.post(waiters_.front());
        waiters_.pop_front();
    }

  private:
    int permits_;
    std::deque<std::coroutine_handle<>> waiters_;
};

/// lock() is a coroutine itself, as a member of the mutex.
class TaskMutex {
  public:
    class Guard {
      public:
        explicit Guard(TaskMutex* mutex) : mutex_(mutex) {}
        Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
        Guard& operator=(Guard&&) = delete;
        ~Guard() {
            if (mutex_ != nullptr) mutex_->unlock();
        }

      private:
        TaskMutex* mutex_;
    };
    struct Turn {
        TaskMutex* mutex;
        bool await_ready() const noexcept { return !mutex->locked_; }
        void await_suspend(std::coroutine_handle<> waiting) { mutex->waiters_.push_back(waiting); }
        void await_resume() const noexcept {}
    };
    tasks::Task lock() {
        while (locked_) co_await Turn{this};
        locked_ = true;
        co_return 0;
    }
    Guard guard() { return Guard(this); }
    void unlock() {
        locked_ = false;
        if (waiters_.empty()) return;
        tasks::loop.post(waiters_.front());
        waiters_.pop_front();
    }

  private:
    bool locked_ = false;
    std::deque<std::coroutine_handle<>> waiters_;
};

}  // namespace locks

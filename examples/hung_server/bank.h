// The bank: accounts with a lock each, and the requests of its customers.
#pragma once

#include <map>
#include <string>

#include "database.h"

/// A mutex for coroutines: a channel that holds one token.
class AsyncMutex {
  public:
    explicit AsyncMutex(asio::io_context& io) : token_(io, 1) { unlock(); }

    /// Owns the mutex until the end of its life.
    class Guard {
      public:
        explicit Guard(AsyncMutex& mutex) : mutex_(&mutex) {}
        Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
        Guard& operator=(Guard&&) = delete;
        ~Guard() {
            if (mutex_ != nullptr) mutex_->unlock();
        }

      private:
        AsyncMutex* mutex_;
    };

    awaitable<Guard> lock();

  private:
    void unlock() { token_.try_send(boost::system::error_code()); }

    asio::experimental::channel<void(boost::system::error_code)> token_;
};

class Bank {
  public:
    Bank(asio::io_context& io, Database& database) : io_(io), database_(database) {}

    /// "balance NAME", "transfer FROM TO" or "statement NAME". Returns the line to answer.
    awaitable<std::string> handle_request(std::string request);

  private:
    AsyncMutex& lock_of(const std::string& account) { return locks_.try_emplace(account, io_).first->second; }

    awaitable<std::string> balance(std::string account);
    awaitable<std::string> transfer(std::string from, std::string to);
    awaitable<std::string> statement(std::string account);
    awaitable<std::string> history(std::string account);

    asio::io_context& io_;
    Database& database_;
    std::map<std::string, AsyncMutex> locks_;
};

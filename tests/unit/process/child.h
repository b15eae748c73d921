// Child processes of the tests: they tell their truth through a pipe and then block until told to go on. They
// are killed with their owner, on every path.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/file_descriptor.h"

class Child {
  public:
    /// The child's end of the two pipes.
    struct Parent {
        int in;
        int out;

        template <class T>
        void send(const T& value) const {
            if (write(out, &value, sizeof value) != static_cast<ssize_t>(sizeof value)) _exit(1);
        }
        template <class T>
        T receive() const {
            T value{};
            if (read(in, &value, sizeof value) != static_cast<ssize_t>(sizeof value)) _exit(1);
            return value;
        }
        /// Blocks until the owner ends this process.
        [[noreturn]] void wait_for_end() const {
            char byte;
            while (read(in, &byte, 1) > 0) {
            }
            _exit(0);
        }
    };

    /// Runs `body` in a copy of this process, which ends with it.
    explicit Child(const std::function<void(const Parent&)>& body) {
        start([&body](int in, int out) {
            body({in, out});
            _exit(0);
        });
    }
    /// Runs a program with the pipes as its standard input and output.
    explicit Child(std::vector<std::string> command) {
        start([&command](int in, int out) {
            std::vector<char*> words;
            for (std::string& word : command) words.push_back(word.data());
            words.push_back(nullptr);
            dup2(in, STDIN_FILENO);
            dup2(out, STDOUT_FILENO);
            execv(words[0], words.data());
            _exit(127);
        });
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() { end(); }

    pid_t pid() const { return pid_; }
    /// Readable when the child has said something.
    int output() const { return in_.get(); }

    template <class T>
    T receive() {
        T value{};
        REQUIRE(read(in_.get(), &value, sizeof value) == static_cast<ssize_t>(sizeof value));
        return value;
    }
    template <class T>
    void send(const T& value) {
        REQUIRE(write(out_.get(), &value, sizeof value) == static_cast<ssize_t>(sizeof value));
    }
    std::string receive_line() {
        std::string line;
        for (char letter = receive<char>(); letter != '\n'; letter = receive<char>()) line += letter;
        return line;
    }
    void send_line(const std::string& line) {
        const std::string text = line + '\n';
        REQUIRE(write(out_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }

    /// Kills and reaps; the exit status as of waitpid(2).
    int end() {
        int status = 0;
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
            }
        }
        pid_ = -1;
        return status;
    }
    /// Reaps a child that ends by itself.
    void join() {
        int status = 0;
        REQUIRE(waitpid(pid_, &status, 0) == pid_);
        pid_ = -1;
    }

  private:
    template <class Body>
    void start(Body body) {
        int to_child[2], from_child[2];
        REQUIRE(pipe2(to_child, O_CLOEXEC) == 0);
        REQUIRE(pipe2(from_child, O_CLOEXEC) == 0);
        pid_ = fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(to_child[1]);
            close(from_child[0]);
            body(to_child[0], from_child[1]);
        }
        close(to_child[0]);
        close(from_child[1]);
        out_ = asyncdump::FileDescriptor(to_child[1]);
        in_ = asyncdump::FileDescriptor(from_child[0]);
    }

    pid_t pid_ = -1;
    asyncdump::FileDescriptor in_, out_;
};

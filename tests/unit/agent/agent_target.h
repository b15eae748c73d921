// Starts a program under the agent and collects what it says.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace agent_test {

using Environment = std::vector<std::pair<std::string, std::string>>;

inline const std::string kAgent = AGENT_TEST_LIBRARY;
inline const std::string kTargets = AGENT_TEST_TARGETS;

inline std::vector<std::string> variants() {
    std::vector<std::string> found;
    std::istringstream list(AGENT_TEST_VARIANTS);
    for (std::string variant; std::getline(list, variant, ',');) found.push_back(variant);
    return found;
}

/// A child with its three standard streams as pipes. Killed at the end if it has not ended, or by an alarm
/// after `most_seconds`.
class Target {
  public:
    Target(const std::vector<std::string>& command, const Environment& environment,
           unsigned most_seconds = 300) {
        int input[2];
        int output[2];
        int errors[2];
        if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0)
            std::abort();
        std::vector<std::string> variables = {"PATH=/usr/bin:/bin"};
        for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
        std::vector<char*> arguments;
        for (const auto& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
        arguments.push_back(nullptr);
        std::vector<char*> environ_pointers;
        for (const auto& variable : variables)
            environ_pointers.push_back(const_cast<char*>(variable.c_str()));
        environ_pointers.push_back(nullptr);
        process_ = fork();
        if (process_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            dup2(input[0], 0);
            dup2(output[1], 1);
            dup2(errors[1], 2);
            alarm(most_seconds);
            execve(arguments[0], arguments.data(), environ_pointers.data());
            _exit(127);
        }
        close(input[0]);
        close(output[1]);
        close(errors[1]);
        input_ = input[1];
        output_ = output[0];
        errors_ = errors[0];
    }
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;
    ~Target() {
        if (process_ > 0) {
            kill(process_, SIGKILL);
            waitpid(process_, nullptr, 0);
        }
        end_input();
        close(output_);
        close(errors_);
    }

    pid_t process() const { return process_; }

    void say(const std::string& text) {
        if (write(input_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
    }

    void end_input() {
        if (input_ >= 0) close(input_);
        input_ = -1;
    }

    std::string line() {
        std::string text;
        for (char character = 0; read(output_, &character, 1) == 1 && character != '\n';) text += character;
        return text;
    }

    /// Waits for the end. Returns the status as waitpid gives it.
    int finish(std::string* output = nullptr, std::string* errors = nullptr) {
        end_input();
        const std::string said = read_all(output_);
        const std::string complained = read_all(errors_);
        if (output != nullptr) *output = said;
        if (errors != nullptr) *errors = complained;
        int status = 0;
        waitpid(process_, &status, 0);
        process_ = -1;
        return status;
    }

  private:
    static std::string read_all(int descriptor) {
        std::string text;
        char part[4096];
        for (ssize_t got = 0; (got = read(descriptor, part, sizeof part)) > 0;)
            text.append(part, static_cast<std::size_t>(got));
        return text;
    }

    pid_t process_ = -1;
    int input_ = -1;
    int output_ = -1;
    int errors_ = -1;
};

struct Outcome {
    int status;
    std::string output;
    std::string errors;
};

inline Outcome run(const std::vector<std::string>& command, const Environment& environment) {
    Target target(command, environment);
    Outcome outcome{};
    outcome.status = target.finish(&outcome.output, &outcome.errors);
    return outcome;
}

}  // namespace agent_test

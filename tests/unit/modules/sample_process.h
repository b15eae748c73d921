// Running a sample and reading the truth that it prints about itself.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "modules/module.h"
#include "samples.h"

namespace asyncdump::test {

inline std::vector<Sample> samples_of(const std::string& source) {
    std::vector<Sample> result;
    for (const Sample& sample : samples)
        if (sample.source == source) result.push_back(sample);
    return result;
}

inline ModuleSet open_file(const std::string& path, std::uint64_t bias = 0,
                           const ModuleSet::Options& options = {}) {
    auto set = ModuleSet::of_file(path, bias, options);
    if (!set) FAIL(set.error().message);
    return std::move(*set);
}

/// The root DIE of each unit.
template <class Visit>
void for_each_unit(Dwarf* dwarf, Visit visit) {
    Dwarf_CU* unit = nullptr;
    Dwarf_Die root;
    std::uint8_t type = 0;
    while (dwarf != nullptr && dwarf_get_units(dwarf, unit, &unit, nullptr, &type, &root, nullptr) == 0)
        visit(root);
}

/// A running sample that has printed its truth and is blocked. Killed at the end.
class SampleProcess {
  public:
    struct Frame {
        std::string function;
        unsigned line;
    };
    struct InlinedCall {
        RemoteAddress return_address;
        unsigned lines[3];  ///< innermost first
    };

    explicit SampleProcess(const std::string& path, const char* argument = nullptr) {
        int to_child[2], from_child[2];
        REQUIRE(pipe2(to_child, O_CLOEXEC) == 0);
        REQUIRE(pipe2(from_child, O_CLOEXEC) == 0);
        pid_ = fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            dup2(to_child[0], STDIN_FILENO);
            dup2(from_child[1], STDOUT_FILENO);
            execl(path.c_str(), path.c_str(), argument, static_cast<char*>(nullptr));
            _exit(127);
        }
        close(to_child[0]);
        close(from_child[1]);
        keeps_it_blocked_ = FileDescriptor(to_child[1]);
        read_truth(from_child[0]);
    }
    SampleProcess(const SampleProcess&) = delete;
    SampleProcess& operator=(const SampleProcess&) = delete;
    ~SampleProcess() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }

    pid_t pid() const { return pid_; }
    const std::vector<Frame>& frames() const { return frames_; }  ///< innermost first
    const InlinedCall& inlined_call() const { return inlined_call_; }
    RemoteAddress address_of(const std::string& name) const {
        for (const auto& [known, address] : addresses_)
            if (known == name) return address;
        FAIL("the sample did not print the address of " << name);
        return {};
    }

  private:
    void read_truth(int descriptor) {
        FILE* output = fdopen(descriptor, "r");
        char line[512];
        bool ready = false;
        while (!ready && fgets(line, sizeof line, output)) {
            std::istringstream words(line);
            std::string kind, name, address;
            words >> kind;
            if (kind == "ready") ready = true;
            if (kind == "address" && words >> name >> address)
                addresses_.emplace_back(name, RemoteAddress(std::strtoull(address.c_str(), nullptr, 16)));
            if (kind == "inlined" && words >> address) {
                inlined_call_.return_address = RemoteAddress(std::strtoull(address.c_str(), nullptr, 16));
                for (unsigned& number : inlined_call_.lines) words >> number;
            }
            unsigned number = 0;
            if (kind == "frame" && words >> name >> number) frames_.insert(frames_.begin(), {name, number});
        }
        fclose(output);
        if (!ready) FAIL("the sample did not get ready");
    }

    pid_t pid_ = -1;
    FileDescriptor keeps_it_blocked_;
    std::vector<std::pair<std::string, RemoteAddress>> addresses_;
    std::vector<Frame> frames_;
    InlinedCall inlined_call_{};
};

}  // namespace asyncdump::test

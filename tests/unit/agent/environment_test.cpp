#include "environment.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace {

/// What is left of an environment with this LD_PRELOAD.
std::vector<std::string> left_of(const std::string& preload) {
    std::vector<std::string> texts = {"A=1", "LD_PRELOAD=" + preload, "B=2"};
    std::vector<char*> pointers;
    for (auto& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    char** const saved = environ;
    environ = pointers.data();
    asyncdump::agent::remove_from_preload("/opt/lib/libasyncdump-agent.so");
    std::vector<std::string> left;
    for (char** variable = environ; *variable != nullptr; ++variable) left.emplace_back(*variable);
    environ = saved;
    return left;
}

using List = std::vector<std::string>;

}  // namespace

TEST_CASE("The agent is taken out of LD_PRELOAD") {
    CHECK(left_of("/opt/lib/libasyncdump-agent.so") == List{"A=1", "B=2"});
    CHECK(left_of("/elsewhere/libasyncdump-agent.so") == List{"A=1", "B=2"});
    CHECK(left_of("libasyncdump-agent.so:x.so") == List{"A=1", "LD_PRELOAD=x.so", "B=2"});
    CHECK(left_of("x.so:/opt/lib/libasyncdump-agent.so") == List{"A=1", "LD_PRELOAD=x.so", "B=2"});
    CHECK(left_of("x.so /opt/lib/libasyncdump-agent.so y.so") == List{"A=1", "LD_PRELOAD=x.so:y.so", "B=2"});
    CHECK(left_of("x.so:notlibasyncdump-agent.so") ==
          List{"A=1", "LD_PRELOAD=x.so:notlibasyncdump-agent.so", "B=2"});
}

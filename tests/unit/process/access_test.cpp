#include "process/access.h"

#include <catch2/catch.hpp>
#include <cerrno>

using namespace asyncdump;

namespace {

AccessFacts facts_of_own_process() {
    AccessFacts facts;
    facts.process = "4132 (server)";
    facts.own_user = facts.target_user = 1000;
    facts.own_user_name = facts.target_user_name = "alice";
    return facts;
}

std::string explain(const AccessFacts& facts) {
    const Error error = explain_refused_access(facts, EPERM);
    CHECK(error.code == ErrorCode::not_permitted);
    CHECK(error.system_errno == EPERM);
    CHECK(error.message.find('\n') == std::string::npos);
    CHECK(error.message.starts_with("not permitted to look into process 4132 (server): "));
    return error.message;
}

}  // namespace

using Catch::Matchers::Contains;

TEST_CASE("Yama is named with its value and what to do") {
    auto facts = facts_of_own_process();
    facts.yama_scope = 1;
    CHECK_THAT(explain(facts), Contains("kernel.yama.ptrace_scope is 1") &&
                                   Contains("sudo sysctl kernel.yama.ptrace_scope=0"));
    facts.yama_scope = 2;
    CHECK_THAT(explain(facts), Contains("ptrace_scope is 2") && Contains("sudo"));
    facts.yama_scope = 3;
    CHECK_THAT(explain(facts), Contains("ptrace_scope is 3") && !Contains("sudo"));
    facts.have_ptrace_capability = true;
    CHECK_THAT(explain(facts), Contains("ptrace_scope is 3") && !Contains("sudo"));
}

TEST_CASE("another user's process names both users") {
    auto facts = facts_of_own_process();
    facts.target_user = 105;
    facts.target_user_name = "postgres";
    facts.all_target_ids_are_ours = false;
    facts.yama_scope = 1;
    CHECK_THAT(explain(facts),
               Contains("belongs to postgres") && Contains("runs as alice") && Contains("sudo"));
}

TEST_CASE("a process that gave up being looked at") {
    auto facts = facts_of_own_process();
    facts.target_is_dumpable = false;
    facts.yama_scope = 0;
    CHECK_THAT(explain(facts), Contains("PR_SET_DUMPABLE") && Contains("sudo"));
    facts.target_is_dumpable = true;
    facts.all_target_ids_are_ours = false;  // a setuid program: the real user is still ours
    CHECK_THAT(explain(facts), Contains("changed its user") && Contains("sudo"));
}

TEST_CASE("root without the capability is in a container") {
    auto facts = facts_of_own_process();
    facts.own_user = 0;
    facts.own_user_name = "root";
    facts.all_target_ids_are_ours = false;
    CHECK_THAT(explain(facts), Contains("CAP_SYS_PTRACE") && Contains("--cap-add=SYS_PTRACE"));
}

TEST_CASE("what no fact explains is said with the kernel's own words") {
    auto facts = facts_of_own_process();
    facts.yama_scope = 0;
    CHECK_THAT(explain(facts), Contains("Operation not permitted") && Contains("AppArmor"));
    facts.have_ptrace_capability = true;
    CHECK_THAT(explain(facts), Contains("although asyncdump has CAP_SYS_PTRACE"));
}

TEST_CASE("a user without a name is a number") {
    CHECK(user_name(0) == "root");
    CHECK(user_name(3999999999) == "uid 3999999999");
}

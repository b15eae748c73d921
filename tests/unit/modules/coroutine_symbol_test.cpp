#include "modules/coroutine_symbol.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "modules/names.h"
#include "sample_process.h"

using namespace asyncdump;
using namespace asyncdump::test;
using Kind = CoroutineSymbol::Kind;
using Compiler = CoroutineSymbol::Compiler;

namespace {

void check(std::string_view symbol, Kind kind, Compiler compiler, std::string_view ramp,
           bool is_cold = false) {
    CAPTURE(symbol);
    const auto parsed = parse_coroutine_symbol(symbol);
    REQUIRE(parsed);
    CHECK(parsed->kind == kind);
    CHECK(parsed->compiler == compiler);
    CHECK(parsed->ramp == ramp);
    CHECK(parsed->is_cold == is_cold);
}

}  // namespace

TEST_CASE("GCC's names of a coroutine's parts are read") {
    check("_Z3fooPZ3fooiE13_Z3fooi.Frame.actor", Kind::resume, Compiler::gcc, "_Z3fooi");
    check("_Z3fooPZ3fooiE13_Z3fooi.Frame.destroy", Kind::destroy, Compiler::gcc, "_Z3fooi");
    check("_Z3fooPZ3fooiE13_Z3fooi.frame.actor", Kind::resume, Compiler::gcc, "_Z3fooi");
    check("_Z3fooPZ3fooiE13_Z3fooi.Frame.actor.cold", Kind::resume, Compiler::gcc, "_Z3fooi", true);
    check("_Z3fooPZ3fooiE13_Z3fooi.Frame.destroy.constprop.0.isra.0", Kind::destroy, Compiler::gcc,
          "_Z3fooi");
    check("_Z3fooPZ3fooiE13_Z3fooi.Frame.actor.lto_priv.0.cold", Kind::resume, Compiler::gcc, "_Z3fooi",
          true);
    check("_ZZ4mainEN5Frame5actorEPZZ4mainENS_5actorEvE30_ZZ4mainEN5Frame5actorEv.Frame.actor", Kind::resume,
          Compiler::gcc, "_ZZ4mainEN5Frame5actorEv");
    check(
        "_ZZZ4mainENKUlT_E0_clIPKcEE4TaskS_ENUliE_clEPZZZ4mainENKS1_IS3_EES4_S_ENKS5_clEiE52_ZZZ4mainENKUlT_"
        "E0_clIPKcEE4"
        "TaskS_ENKUliE_clEi.Frame.destroy",
        Kind::destroy, Compiler::gcc, "_ZZZ4mainENKUlT_E0_clIPKcEE4TaskS_ENKUliE_clEi");
}

TEST_CASE("a ramp with a function as template argument contains _Z itself") {
    // template <void (*F)()> Task t(); t<&f>()
    const std::string ramp = "_Z1tIXadL_Z1fvEEE4Taskv";
    check("_Z1tPZ1tIXadL_Z1fvEEE4TaskvE" + std::to_string(ramp.size() + 6) + ramp + ".Frame.actor",
          Kind::resume, Compiler::gcc, ramp);
}

TEST_CASE("clang's names of a coroutine's parts are read") {
    check("_Z3fooi.resume", Kind::resume, Compiler::clang, "_Z3fooi");
    check("_Z3fooi.destroy", Kind::destroy, Compiler::clang, "_Z3fooi");
    check("_Z3fooi.cleanup", Kind::cleanup, Compiler::clang, "_Z3fooi");
    check("_ZL4sfooi.resume.llvm.1234567", Kind::resume, Compiler::clang, "_ZL4sfooi");
    check("_ZL4sfooi.resume.5", Kind::resume, Compiler::clang, "_ZL4sfooi");
    check("_Z3fooi.resume.cold.1", Kind::resume, Compiler::clang, "_Z3fooi", true);
    check("c_name.resume", Kind::resume, Compiler::clang, "c_name");
}

TEST_CASE("other symbols are no parts of coroutines") {
    for (const std::string_view symbol :
         {"", ".", "_Z3fooi", "main", "_Z3fooi.cold", "_Z3fooi.part.0", "_ZZ4mainEN5Frame6resumeEv",
          ".resume", ".destroy", "resume", "destroy.", "_Z3fooPZ3fooiE14_Z3fooi.Frame.actor",
          "_Z3fooPZ3fooiE23_Z3fooi.Frame.actor", "_Z3foo.Frame.actor", ".Frame.actor", ".actor",
          "_Z3fooi.resumed", "_ZN5Frame5actorEv", "8_Z.Frame.actor"}) {
        CAPTURE(symbol);
        CHECK_FALSE(parse_coroutine_symbol(symbol));
    }
}

TEST_CASE("compiler suffixes are taken off, one by one") {
    CHECK(without_compiler_suffixes("_Z3fooi.constprop.0.isra.0.cold") == "_Z3fooi");
    CHECK(without_compiler_suffixes("_Z3fooi.lto_priv.12") == "_Z3fooi");
    CHECK(without_compiler_suffixes("_Z3fooi.__uniq.123456.llvm.99") == "_Z3fooi");
    CHECK(without_compiler_suffixes("_Z3fooi") == "_Z3fooi");
    CHECK(without_compiler_suffixes("a.b.1") == "a.b");
    CHECK(without_compiler_suffixes(".1") == ".1");
    CHECK(without_compiler_suffixes("") == "");
}

TEST_CASE("every coroutine that a compiler made is recognised with its ramp") {
    const std::set<std::string> expected = {
        "plain(int)",
        "internal(int)",
        "outer::(anonymous namespace)::anonymous(int)",
        "outer::name_with_Frame_inside()",
        "outer::Object::member(std::string) const",
        "outer::Object::operator()(int)",
        "outer::Object::member_template<double>(double)",
        "outer::function_template<int>(int, std::vector<int>)",
        "outer::ClassTemplate<outer::Object>::member(outer::Object)",
        "lambda_coroutines()::Local::member()",
        "lambda_coroutines()::Frame::actor()",
        "lambda_coroutines()::Frame::destroy()",
    };
    const auto all = samples_of("coroutines");
    if (all.empty()) WARN("no compiler for the samples was found");
    for (const Sample& sample : all) {
        CAPTURE(sample.path);
        const auto set = open_file(sample.path);
        std::set<std::string> resumed, destroyed;
        unsigned lambdas = 0;
        for (const Symbol& symbol : set.modules()[0]->symbols()) {
            const auto parsed = parse_coroutine_symbol(symbol.name);
            if (!parsed) continue;
            CHECK((parsed->compiler == Compiler::gcc) == (sample.compiler == "g++-12"));
            const auto name = demangle(parsed->ramp);
            CHECK(demangle(symbol.name) == name);
            if (parsed->kind == Kind::resume)
                resumed.insert(name);
            else
                destroyed.insert(name);
            // Clang numbers lambdas ($_0), GCC mangles their parameters.
            if (name.find("{lambda") != name.npos || name.find("$_") != name.npos) ++lambdas;
        }
        // Whatever is destroyed can be resumed and the reverse; clang drops both of what it proves to be
        // unused.
        CHECK(resumed == destroyed);
        CHECK(resumed.size() >=
              (sample.compiler == "g++-12" || sample.label == "O0" ? expected.size() + 3 : 1));
        if (sample.compiler == "g++-12" || sample.label == "O0") {
            for (const auto& name : expected) {
                CAPTURE(name);
                CHECK(resumed.count(name) == 1);
            }
            CHECK(lambdas >= 6);
        }
    }
}

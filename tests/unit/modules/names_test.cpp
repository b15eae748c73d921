#include "modules/names.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "modules/name_reader.h"

using namespace asyncdump;

namespace {

struct Expected {
    std::string from, to;
};

void check_readable(const std::vector<Expected>& table) {
    for (const Expected& row : table) {
        CAPTURE(row.from);
        CHECK(readable_name(row.from) == row.to);
        CHECK(readable_name(readable_name(row.from)) == row.to);
        CHECK(readable_name(row.from, NameStyle{true}) == row.from);
    }
}

}  // namespace

TEST_CASE("linkage names are demangled and shown without what compilers append") {
    const std::vector<Expected> table = {
        {"_Z3fooi", "foo(int)"},
        {"_Z3fooi.cold", "foo(int)"},
        {"_Z3fooi.constprop.0.isra.0", "foo(int)"},
        {"_Z3fooi.part.0", "foo(int)"},
        {"_Z3fooi.lto_priv.0", "foo(int)"},
        {"_ZL3fooi.llvm.123456", "foo(int)"},
        {"_Z3fooPZ3fooiE13_Z3fooi.Frame.actor", "foo(int)"},
        {"_Z3fooi.resume", "foo(int)"},
        {"main", "main"},
        {"c_function.part.0", "c_function"},
        {"", ""},
        {"_Z", "_Z"},
        {"_Znotmangled", "_Znotmangled"},
        {"_ZN5outer6Object6memberENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
         "outer::Object::member(std::string)"},
        {"_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()(int) const"},
        {"_ZZ4mainENKUlT_E0_clIPKcEE4TaskS_",
         "main::{lambda(auto:1)#2}::operator()<char const*>(char const*) const"},
        {"_ZTV6Object", "vtable for Object"},
        {"_ZTI6Object", "typeinfo for Object"},
        {"_ZThn16_N6Object1fEv", "non-virtual thunk to Object::f()"},
        {"_ZGVZ1fvE1x", "guard variable for f()::x"},
        {"_Znwm", "operator new(unsigned long)"},
        {"_ZdlPvm", "operator delete(void*, unsigned long)"},
        {"_ZN6ObjectcvbEv", "Object::operator bool()"},
        {"_ZN6ObjectcvSsEv", "Object::operator std::string()"},
        {"_ZN6ObjectcvT_IiEEv", "Object::operator int<int>()"},
        {"_ZN6ObjectptEv", "Object::operator->()"},
        {"_ZlsRSo6Object", "operator<<(std::ostream&, Object)"},
        {"_Zlt6ObjectS_", "operator<(Object, Object)"},
        {"_Zgt6ObjectS_", "operator>(Object, Object)"},
        {"_Zss6ObjectS_", "operator<=>(Object, Object)"},
    };
    for (const Expected& row : table) {
        CAPTURE(row.from);
        CHECK(demangle(row.from) == row.to);
    }
    CHECK(demangle("_Z3fooSs.cold", NameStyle{true}) == "foo(std::string)");
}

TEST_CASE("what clang 18 and later say of constrained templates is understood") {
    const std::string constrained = "_Z1gITkSt8integraliEiT_";
    if (demangle(constrained) == constrained) {
        WARN("skipped: built without LLVM's demangler (libc++abi-19-dev)");
        return;
    }
    CHECK(demangle(constrained) == "g<int>(int)");
    CHECK(demangle("_ZN1X1hIiQsr3stdE8integralIT_EEEiv") == "X::h<int>()");
    CHECK(demangle("_Z1fIiTnNSt9enable_ifIXsr3stdE13is_integral_vIT_EEiE4typeELi0EEiS1_") ==
          "f<int, 0>(int)");
    CHECK(demangle("_Z4packIJiiEEiDpT_QgtsZT_Li0E") == "pack<int, int>(int, int)");
    CHECK(demangle("_Z4packIJiiEEiDpT_QgtsZT_Li0E", NameStyle{true}) ==
          "int pack<int, int>(int, int) requires sizeof...(T...) > 0");
    CHECK(demangle("_Z1gITkSt8integraliEiT_.resume") == "g<int>(int)");
    const std::string endless = "_Z1gITkSt8integral" + std::string(100'000, 'P') + "iEiT_";
    CHECK(demangle(endless) == endless);
    const std::string deep = "_Z1gITkSt8integral" + std::string(4'000, 'P') + "iEiT_";
    CHECK_FALSE(demangle(deep).empty());
}

TEST_CASE("the return type of a function template's instance is left out where it can be told") {
    const std::vector<Expected> table = {
        {"_Z3fooIiEvT_", "foo<int>(int)"},
        {"_Z3fooIiEPKcT_", "foo<int>(int)"},
        {"_ZN2ns1S2tmIdEE4TaskT_", "ns::S::tm<double>(double)"},
        {"_ZltIiEbT_S0_", "operator< <int>(int, int)"},
        {"_ZlsIiERSoS0_T_", "operator<< <int>(std::ostream&, int)"},
        {"_ZZ3fooIiEmvENKUlvE_clEv", "foo<int>()::{lambda()#1}::operator()() const"},
        {"_ZN12_GLOBAL__N_13fooIiEEvT_", "(anonymous namespace)::foo<int>(int)"},
        // A function that returns a pointer to function: the return type stands around the name.
        {"_Z3fooIiEPFvcEv", "void (*foo<int>())(char)"},
        {"_Z3fooIiEDTcvT__EES0_", "foo<int>(int)"},
    };
    for (const Expected& row : table) {
        CAPTURE(row.from);
        CHECK(demangle(row.from) == row.to);
    }
    CHECK(demangle("_Z3fooIiEvT_", NameStyle{true}) == "void foo<int>(int)");
    CHECK(without_return_type("std::vector<int, std::allocator<int> > foo<int>(int)") == "foo<int>(int)");
    CHECK(without_return_type("decltype (f({parm#1})) foo<int>(int)") == "foo<int>(int)");
    CHECK(without_return_type("unsigned long (anonymous namespace)::foo<int>(int)") ==
          "(anonymous namespace)::foo<int>(int)");
    CHECK(without_return_type("foo") == "foo");
    CHECK(without_return_type("") == "");
}

TEST_CASE("names of the standard library become what users write") {
    check_readable({
        {"std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string"},
        {"std::__1::basic_string<char, std::__1::char_traits<char>, std::__1::allocator<char> >",
         "std::string"},
        {"std::basic_string_view<char, std::char_traits<char> >", "std::string_view"},
        {"std::__cxx11::basic_string<wchar_t, std::char_traits<wchar_t>, std::allocator<wchar_t> >",
         "std::wstring"},
        {"std::__cxx11::basic_string<char8_t, std::char_traits<char8_t>, std::allocator<char8_t> >",
         "std::u8string"},
        {"std::__cxx11::basic_string<char16_t, std::char_traits<char16_t>, std::allocator<char16_t> >",
         "std::u16string"},
        {"std::basic_string_view<char32_t, std::char_traits<char32_t> >", "std::u32string_view"},
        {"std::__cxx11::basic_string<char, my::traits, std::allocator<char> >",
         "std::basic_string<char, my::traits>"},
        {"std::vector<int, std::allocator<int> >", "std::vector<int>"},
        {"std::vector<int, my::allocator<int> >", "std::vector<int, my::allocator<int>>"},
        {"std::vector<std::vector<int, std::allocator<int> >, std::allocator<std::vector<int, "
         "std::allocator<int> > > >",
         "std::vector<std::vector<int>>"},
        {"std::map<int, std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, "
         "std::less<int>, "
         "std::allocator<std::pair<int const, std::__cxx11::basic_string<char, std::char_traits<char>, "
         "std::allocator<char> > > > >",
         "std::map<int, std::string>"},
        {"std::map<int, char, std::greater<int>, std::allocator<std::pair<int const, char> > >",
         "std::map<int, char, std::greater<int>>"},
        {"std::map<int, char, std::less<int>, std::allocator<std::pair<const int, char> > >",
         "std::map<int, char>"},
        {"std::unordered_map<int, char, std::hash<int>, std::equal_to<int>, std::allocator<std::pair<int "
         "const, char> > >",
         "std::unordered_map<int, char>"},
        {"std::set<int, std::less<void>, std::allocator<int> >", "std::set<int, std::less<>>"},
        {"std::unique_ptr<Object, std::default_delete<Object> >", "std::unique_ptr<Object>"},
        {"std::unique_ptr<int [], std::default_delete<int []> >", "std::unique_ptr<int []>"},
        {"std::priority_queue<int, std::vector<int, std::allocator<int> >, std::less<int> >",
         "std::priority_queue<int>"},
        {"std::coroutine_handle<void>", "std::coroutine_handle<>"},
        {"std::__n4861::coroutine_handle<Task::promise_type>", "std::coroutine_handle<Task::promise_type>"},
        {"std::span<char, 18446744073709551615ul>", "std::span<char>"},
        {"std::span<char, 4ul>", "std::span<char, 4ul>"},
        {"std::filesystem::__cxx11::path", "std::filesystem::path"},
        {"foo[abi:cxx11](int)", "foo(int)"},
        {"std::__cxx11::list<int, std::allocator<int> >::push_back(int const&)",
         "std::list<int>::push_back(int const&)"},
        {"my::__cxx11::thing", "my::__cxx11::thing"},
        {"std::function<void (std::vector<int, std::allocator<int> >)>",
         "std::function<void (std::vector<int>)>"},
        {"std::basic_ostream<char, std::char_traits<char> >& std::operator<< <std::char_traits<char> >("
         "std::basic_ostream<char, std::char_traits<char> >&, char const*)",
         "std::ostream& std::operator<< <std::char_traits<char>>(std::ostream&, char const*)"},
        {"std::tuple<>", "std::tuple<>"},
    });
}

TEST_CASE("times of std::chrono have their short names") {
    check_readable({
        {"std::chrono::duration<long, std::ratio<1l, 1000000000l> >", "std::chrono::nanoseconds"},
        {"std::chrono::duration<long, std::ratio<1l, 1000000l> >", "std::chrono::microseconds"},
        {"std::chrono::duration<long, std::ratio<1l, 1000l> >", "std::chrono::milliseconds"},
        {"std::chrono::duration<long, std::ratio<1l, 1l> >", "std::chrono::seconds"},
        {"std::chrono::duration<long, std::ratio<60l, 1l> >", "std::chrono::minutes"},
        {"std::chrono::duration<long, std::ratio<3600l, 1l> >", "std::chrono::hours"},
        {"std::chrono::duration<long, std::ratio<86400l, 1l> >", "std::chrono::days"},
        {"std::chrono::duration<long int, std::ratio<1, 1000> >", "std::chrono::milliseconds"},
        {"std::__1::chrono::duration<long long, std::__1::ratio<1l, 1000l> >", "std::chrono::milliseconds"},
        {"std::chrono::duration<double, std::ratio<1l, 1l> >", "std::chrono::duration<double>"},
        {"std::chrono::duration<double, std::ratio<1l, 1000l> >",
         "std::chrono::duration<double, std::ratio<1l, 1000l>>"},
        {"std::chrono::duration<long, std::ratio<1l, 30l> >",
         "std::chrono::duration<long, std::ratio<1l, 30l>>"},
        {"std::chrono::time_point<std::chrono::_V2::steady_clock, std::chrono::duration<long, std::ratio<1l, "
         "1000000000l> > >",
         "std::chrono::steady_clock::time_point"},
        {"std::chrono::time_point<std::chrono::_V2::system_clock, std::chrono::duration<long, std::ratio<1l, "
         "1000000000l> > >",
         "std::chrono::system_clock::time_point"},
        {"std::__1::chrono::time_point<std::__1::chrono::system_clock, std::__1::chrono::duration<long long, "
         "std::__1::ratio<1l, 1000000l> > >",
         "std::chrono::system_clock::time_point"},
        {"std::chrono::time_point<std::chrono::_V2::steady_clock, std::chrono::duration<long, std::ratio<1l, "
         "1l> > >",
         "std::chrono::time_point<std::chrono::steady_clock, std::chrono::seconds>"},
    });
}

TEST_CASE("names of Boost.Asio become what users write") {
    check_readable({
        {"boost::asio::awaitable<int, boost::asio::any_io_executor>", "boost::asio::awaitable<int>"},
        {"asio::awaitable<int, asio::any_io_executor>", "asio::awaitable<int>"},
        {"boost::asio::awaitable<int, my::executor>", "boost::asio::awaitable<int, my::executor>"},
        {"boost::asio::basic_waitable_timer<std::chrono::_V2::steady_clock, "
         "boost::asio::wait_traits<std::chrono::_V2::steady_clock>, "
         "boost::asio::any_io_executor>",
         "boost::asio::steady_timer"},
        {"boost::asio::basic_waitable_timer<std::chrono::_V2::system_clock, "
         "boost::asio::wait_traits<std::chrono::_V2::system_clock>, "
         "boost::asio::any_io_executor>",
         "boost::asio::system_timer"},
        {"boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::any_io_executor>",
         "boost::asio::ip::tcp::socket"},
        {"asio::basic_stream_socket<asio::ip::tcp, asio::any_io_executor>", "asio::ip::tcp::socket"},
        {"boost::asio::basic_stream_socket<boost::asio::ip::tcp, my::executor>",
         "boost::asio::basic_stream_socket<boost::asio::ip::tcp, my::executor>"},
        {"boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, boost::asio::any_io_executor>",
         "boost::asio::ip::tcp::acceptor"},
        {"boost::asio::basic_datagram_socket<boost::asio::ip::udp, boost::asio::any_io_executor>",
         "boost::asio::ip::udp::socket"},
        {"boost::asio::ip::basic_resolver<boost::asio::ip::tcp, boost::asio::any_io_executor>",
         "boost::asio::ip::tcp::resolver"},
        {"boost::asio::ip::basic_endpoint<boost::asio::ip::tcp>", "boost::asio::ip::tcp::endpoint"},
        {"boost::asio::basic_signal_set<boost::asio::any_io_executor>", "boost::asio::signal_set"},
        {"boost::asio::use_awaitable_t<boost::asio::any_io_executor>", "boost::asio::use_awaitable_t<>"},
        {"boost::asio::io_context::basic_executor_type<std::allocator<void>, 0ul>",
         "boost::asio::io_context::executor_type"},
        {"boost::asio::io_context::basic_executor_type<std::allocator<void>, 4ul>",
         "boost::asio::io_context::basic_executor_type<std::allocator<void>, 4ul>"},
        {"boost::asio::experimental::basic_channel<boost::asio::any_io_executor, "
         "boost::asio::experimental::channel_traits<std::mutex>, void (boost::system::error_code, int)>",
         "boost::asio::experimental::channel<void (boost::system::error_code, int)>"},
        {"boost::asio::basic_stream_socket<boost::asio::ip::tcp, "
         "boost::asio::any_io_executor>::async_read_some(int)",
         "boost::asio::ip::tcp::socket::async_read_some(int)"},
    });
}

TEST_CASE("operators, lambdas, function pointers and expressions keep their brackets") {
    check_readable({
        {"S::operator<(S const&) const", "S::operator<(S const&) const"},
        {"S::operator<< <int>(int)", "S::operator<< <int>(int)"},
        {"S::operator< <std::vector<int, std::allocator<int> > >(int)",
         "S::operator< <std::vector<int>>(int)"},
        {"S::operator>(S)", "S::operator>(S)"},
        {"S::operator>>(S)", "S::operator>>(S)"},
        {"S::operator->() const", "S::operator->() const"},
        {"S::operator->*(int)", "S::operator->*(int)"},
        {"S::operator()(int)", "S::operator()(int)"},
        {"S::operator()<std::vector<int, std::allocator<int> > >(int)",
         "S::operator()<std::vector<int>>(int)"},
        {"S::operator[](int)", "S::operator[](int)"},
        {"S::operator,(int)", "S::operator,(int)"},
        {"S::operator<=>(S const&)", "S::operator<=>(S const&)"},
        {"S::operator std::vector<int, std::allocator<int> >()", "S::operator std::vector<int>()"},
        {"operator\"\" _s(char const*)", "operator\"\" _s(char const*)"},
        {"f(void (*)(std::vector<int, std::allocator<int> >))", "f(void (*)(std::vector<int>))"},
        {"f(int (S::*)(char) const)", "f(int (S::*)(char) const)"},
        {"std::enable_if<(1ul)>(0ul), int>::type f()", "std::enable_if<(1ul)>(0ul), int>::type f()"},
        {"A<(a < b), (1 >> 2)>::f()", "A<(a < b), (1 >> 2)>::f()"},
        {"decltype (((x)->f)()) g<int>(int)", "decltype (((x)->f)()) g<int>(int)"},
        {"main::{lambda(auto:1)#1}::operator()<std::vector<int, std::allocator<int> > >(int) const",
         "main::{lambda(auto:1)#1}::operator()<std::vector<int>>(int) const"},
        {"main()::<lambda(std::vector<int, std::allocator<int> >)>",
         "main()::<lambda(std::vector<int, std::allocator<int> >)>"},
        {"A<main()::<lambda(int) -> int> >", "A<main()::<lambda(int) -> int>>"},
        {"main::'lambda'(int)::operator()(int) const", "main::'lambda'(int)::operator()(int) const"},
        {"(anonymous namespace)::A<std::vector<int, std::allocator<int> > >",
         "(anonymous namespace)::A<std::vector<int>>"},
        {"A<(char)60, (B)1>", "A<(char)60, (B)1>"},
        {"A<&(S::operator<)>", "A<&(S::operator<)>"},
        {"f(char const (&) [4])", "f(char const (&) [4])"},
        {"A<int,char>", "A<int, char>"},
    });
}

TEST_CASE("a function's name alone") {
    CHECK(unqualified_function_name("now(int)") == "now");
    CHECK(unqualified_function_name("(anonymous namespace)::now(int)") == "now");
    CHECK(unqualified_function_name("Task a::B<int>::read<std::vector<int>>(int (*)(int), C) const") ==
          "read");
    CHECK(unqualified_function_name("std::vector<int> f<(E)1>()") == "f");
    CHECK(unqualified_function_name("f()::{lambda(int)#1}::operator()(int) const").empty());
    CHECK(unqualified_function_name("A::operator<<(int)").empty());
    CHECK(unqualified_function_name("main").empty());
    CHECK(unqualified_function_name("").empty());
    CHECK(unqualified_function_name("((((").empty());
}

TEST_CASE("what is no name comes back as it was") {
    for (const std::string text :
         {"<", ">", "A<", "A<int", "A>", "f(", "f)", "A<f(>)", "{", "'", "\"", "[abi:", "A<<", "A<int>>",
          "A<,>(", "operator", "operator<<<", "\xff\xfe<"}) {
        CAPTURE(text);
        CHECK(readable_name(text) == text);
    }
    CHECK(readable_name("") == "");
    const std::string deep(100000, '(');
    CHECK(readable_name(deep) == deep);
    std::string nested;
    for (int i = 0; i < 1000; ++i) nested += "A<";
    CHECK(readable_name(nested) == nested);
    const std::string endless(1 << 20, 'x');
    CHECK(readable_name(endless) == endless);
    CHECK(demangle("_Z" + endless) == "_Z" + endless);
}

TEST_CASE("any text is read without harm") {
    const std::string letters = "aA<>(){}[]:, *&'\"-=operator~std::0";
    std::uint32_t random = 7;
    for (int round = 0; round < 20000; ++round) {
        std::string text;
        for (int i = 0; i < 40; ++i) {
            random = random * 1664525U + 1013904223U;
            text += letters[(random >> 16) % letters.size()];
        }
        readable_name(text);
        without_return_type(text);
        demangle("_Z" + text);
    }
}

#include "sample_objects.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <queue>
#include <set>
#include <span>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "values/function_variables.h"

namespace asyncdump::test {
namespace {

enum class Colour { red, green = 5 };
enum Flags : unsigned { readable = 1, writable = 2, executable = 4 };

struct Account {
    int id;
    double balance;
};

struct Node {
    Node* next;
    int number;
};

struct Empty {};

struct alignas(64) Aligned {
    int number;
};

struct Named : Account {
    std::string owner;
    bool open : 1;
    int level : 4;
    Account inner;
    union {
        int as_number;
        float as_float;
    };
};

template <class T>
RemoteAddress address_of(const T& object) {
    return RemoteAddress(reinterpret_cast<std::uintptr_t>(&object));
}

template <class T>
T own(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    return std::move(*result);
}

}  // namespace

void with_sample_objects(const VisitObject& visit) {
    int number = -42;
    bool yes = true;
    char letter = 'x';
    double real = 2.5;
    long double extended = 0.5L;
    __int128 wide_number = -1;
    Colour colour = Colour::green;
    Colour no_colour = static_cast<Colour>(3);
    Flags flags = static_cast<Flags>(5);
    const char* text = "text";
    const char* nowhere = reinterpret_cast<const char*>(8);
    const char quoted[] = "a\"b\\\n";
    Node ring{&ring, 1};
    const Node& reference = ring;
    visit("number", address_of(number), "-42");
    visit("yes", address_of(yes), "true");
    visit("letter", address_of(letter), "'x'");
    visit("real", address_of(real), "2.5");
    visit("extended", address_of(extended), "0.5");
    visit("wide_number", address_of(wide_number), "0xffffffffffffffffffffffffffffffff");
    visit("colour", address_of(colour), "Colour::green");
    visit("no_colour", address_of(no_colour), "3");
    visit("flags", address_of(flags), "readable | executable");
    visit("text", address_of(text), "\"text\"");
    visit("nowhere", address_of(nowhere), "0x8 <unreadable>");
    visit("quoted", address_of(quoted), "\"a\\\"b\\\\\\n\"");
    visit("ring", address_of(ring), "{next = {}, number = 1}");
    const Node* reference_as_pointer = &reference;
    visit("reference", address_of(reference_as_pointer), "{next = {}, number = 1}");

    std::string string = "a string that needs memory of its own";
    std::string small = "small";
    std::string long_string(1000, 'z');
    std::u32string utf32 = U"\u00e4\U0001f600";
    std::string_view view = "view";
    std::filesystem::path path = "/a/path";
    visit("string", address_of(string), "\"a string that needs memory of its own\"");
    visit("small", address_of(small), "\"small\"");
    visit("long_string", address_of(long_string), "\"" + std::string(64, 'z') + "\"... (1000 bytes)");
    visit("utf32", address_of(utf32), "\"\u00e4\U0001f600\"");
    visit("view", address_of(view), "\"view\"");
    visit("path", address_of(path), "\"/a/path\"");

    std::vector<int> vector(1000, 9);
    std::vector<std::string> strings{"one", "two"};
    std::vector<bool> bits{true, false};
    std::vector<Account> accounts{{1, 0.5}};
    std::array<int, 3> array{1, 2, 3};
    std::span<int, 1000> fixed_span(vector);
    std::span<int> span(vector);
    std::deque<Aligned> deque(30);
    std::list<int> list{1, 2};
    std::forward_list<int> forward_list{1, 2};
    std::map<int, std::string> map{{1, "a"}, {2, "b"}};
    std::multimap<char, double> multimap{{'a', 1.5}, {'a', 2.5}};
    std::set<int> set{3, 1, 2};
    std::unordered_map<std::string, int> hashed{{"h", 1}};
    std::unordered_set<Account*> pointers{nullptr};
    std::map<int, Aligned> aligned_map{{1, {2}}};
    std::queue<int> queue;
    queue.push(4);
    visit("vector", address_of(vector), "1000 elements {9, 9, 9, 9, 9, ...}");
    visit("strings", address_of(strings), "2 elements {\"one\", \"two\"}");
    visit("bits", address_of(bits), "2 elements {true, false}");
    visit("accounts", address_of(accounts), "1 element {{id = 1, balance = 0.5}}");
    visit("array", address_of(array), "3 elements {1, 2, 3}");
    visit("fixed_span", address_of(fixed_span), "1000 elements {9, {}");
    visit("span", address_of(span), "1000 elements {9, {}");
    visit("deque", address_of(deque), "30 elements {{number = 0}, {}");
    visit("list", address_of(list), "2 elements {1, 2}");
    visit("forward_list", address_of(forward_list), "2 elements {1, 2}");
    visit("map", address_of(map), "2 elements {1: \"a\", 2: \"b\"}");
    visit("multimap", address_of(multimap), "2 elements {'a': 1.5, 'a': 2.5}");
    visit("set", address_of(set), "3 elements {1, 2, 3}");
    visit("hashed", address_of(hashed), "1 element {\"h\": 1}");
    visit("pointers", address_of(pointers), "1 element {nullptr}");
    visit("aligned_map", address_of(aligned_map), "1 element {1: {number = 2}}");
    visit("queue", address_of(queue), "1 element {4}");

    std::pair<int, std::string> pair{1, "p"};
    std::tuple<int, Empty, std::string> tuple{1, {}, "t"};
    std::optional<int> some = 3, none;
    std::variant<std::monostate, int, std::string> variant = "v";
    std::unique_ptr<int> unique = std::make_unique<int>(4), no_unique;
    std::shared_ptr<int> shared = std::make_shared<int>(5);
    std::weak_ptr<int> weak = shared, expired = std::make_shared<int>(6);
    std::reference_wrapper<int> wrapper = number;
    std::function<void()> function = [] {}, no_function;
    std::coroutine_handle<> handle, noop = std::noop_coroutine();
    std::atomic<int> atomic{7};
    std::atomic<int*> atomic_pointer{nullptr};
    std::mutex mutex, locked;
    locked.lock();
    visit("pair", address_of(pair), "(1, \"p\")");
    visit("tuple", address_of(tuple), "(1, {}, \"t\")");
    visit("some", address_of(some), "3");
    visit("none", address_of(none), "nullopt");
    visit("variant", address_of(variant), "(std::string) \"v\"");
    visit("unique", address_of(unique), "0x{} -> 4");
    visit("no_unique", address_of(no_unique), "nullptr");
    visit("shared", address_of(shared), "0x{} -> 5 (1 owner)");
    visit("weak", address_of(weak), "0x{} (1 owner)");
    visit("expired", address_of(expired), "0x{} (expired)");
    visit("wrapper", address_of(wrapper), "0x{} -> -42");
    visit("function", address_of(function), "callable");
    visit("no_function", address_of(no_function), "empty");
    visit("handle", address_of(handle), "nullptr");
    visit("noop", address_of(noop), "0x{}");
    visit("atomic", address_of(atomic), "7");
    visit("atomic_pointer", address_of(atomic_pointer), "nullptr");
    visit("mutex", address_of(mutex), "unlocked");
    visit("locked", address_of(locked), "locked by thread " + std::to_string(gettid()));
    locked.unlock();

    std::chrono::milliseconds duration{250};
    std::chrono::duration<int, std::ratio<1, 30>> frames{3};
    std::chrono::system_clock::time_point when{std::chrono::seconds(1700000000)};
    std::chrono::steady_clock::time_point steady{std::chrono::milliseconds(1500)};
    visit("duration", address_of(duration), "250 ms");
    visit("frames", address_of(frames), "3 x 1/30 s");
    visit("when", address_of(when), "2023-11-14 22:13:20.000 UTC");
    visit("steady", address_of(steady), "1.500 s on steady_clock");

    Named named{};
    named.id = 1, named.owner = "ann", named.open = true, named.level = -3, named.as_number = 0;
    visit("named", address_of(named),
          "{id = 1, balance = 0, owner = \"ann\", open = true, level = -3, inner = {...}, as_number = 0, "
          "as_float = 0}");
}

OwnProcess::OwnProcess()
    : map_(own(MemoryMap::read(getpid()))),
      modules_(ModuleSet::of_process(getpid(), map_, {})),
      live_(own(LiveMemory::open(getpid()))) {
    const RemoteAddress function(reinterpret_cast<std::uintptr_t>(&with_sample_objects));
    const Module* module = modules_.find(function);
    const auto die = module != nullptr ? module->subprogram_at(function) : std::nullopt;
    if (!die) return;
    for (const VariableEntry& entry : read_function_variables(*die).variables)
        variables_.emplace(entry.name, entry.type);
}

const ValueType& OwnProcess::type_of(const std::string& variable) {
    const auto found = variables_.find(variable);
    if (found == variables_.end()) throw std::runtime_error("no debug information of " + variable);
    return types_.of(found->second);
}

bool is_like(const std::string& text, const std::string& expected) {
    std::size_t at = 0, part_begin = 0;
    while (true) {
        const auto wild = expected.find("{}", part_begin);
        const std::string part = expected.substr(part_begin, wild - part_begin);
        const auto found = text.find(part, at);
        if (wild == std::string::npos && part.empty() && part_begin != 0) return true;
        if (found == std::string::npos || (part_begin == 0 && found != 0)) return false;
        at = found + part.size();
        if (wild == std::string::npos) return at == text.size();
        part_begin = wild + 2;
    }
}

}  // namespace asyncdump::test

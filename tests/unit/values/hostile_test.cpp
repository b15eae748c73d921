#include <catch2/catch.hpp>
#include <cstring>
#include <random>

#include "sample_objects.h"

using namespace asyncdump;
using namespace asyncdump::test;

namespace {

/// What a target's memory may hold where an object was: anything. Every read answers, or fails, as it likes.
class HostileMemory final : public Memory {
  public:
    HostileMemory(const Memory& real, unsigned seed) : real_(real), random_(seed) {}

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        ++reads;
        bytes += destination.size();
        switch (random_() % 8) {
            case 0:
                return 0;
            case 1:
                return std::min(destination.size(), real_.read(address, destination)) / 2;
            case 2:
            case 3:
                return real_.read(address, destination);
            default:
                break;
        }
        for (std::size_t i = 0; i < destination.size(); i += 8) {
            const std::uint64_t word = words(address)[random_() % 8];
            std::memcpy(destination.data() + i, &word, std::min<std::size_t>(8, destination.size() - i));
        }
        return destination.size();
    }

    mutable std::size_t reads = 0, bytes = 0;

  private:
    std::array<std::uint64_t, 8> words(RemoteAddress address) const {
        // Circles, absurd sizes, pointers to nowhere.
        return {0, ~0ULL, address.value(), address.value() + 8, 1ULL << 62, 0x7fffffffffffffff, 1, random_()};
    }
    const Memory& real_;
    mutable std::mt19937_64 random_;
};

/// Every object, at every address, is the same bytes again and again.
class MonotonousMemory final : public Memory {
  public:
    explicit MonotonousMemory(std::uint64_t word) : word_(word) {}
    std::size_t read(RemoteAddress, std::span<std::byte> destination) const override {
        ++reads;
        for (std::size_t i = 0; i < destination.size(); i += 8)
            std::memcpy(destination.data() + i, &word_, std::min<std::size_t>(8, destination.size() - i));
        return destination.size();
    }
    mutable std::size_t reads = 0;

  private:
    std::uint64_t word_;
};

class NoMemory final : public Memory {
  public:
    std::size_t read(RemoteAddress, std::span<std::byte>) const override { return 0; }
};

}  // namespace

TEST_CASE("whatever memory holds, printing a value ends soon", "[values]") {
    OwnProcess process;
    const ValueLimits limits;
    with_sample_objects([&](const std::string& name, RemoteAddress object, const std::string&) {
        INFO(name);
        const ValueType& type = process.type_of(name);
        for (unsigned seed = 0; seed < 300; ++seed) {
            const HostileMemory memory(process.memory(), seed);
            const std::string text = print_value(memory, {&type, object});
            REQUIRE(text.size() <= limits.length + 3);
            REQUIRE(memory.reads <= limits.steps);
            REQUIRE(memory.bytes <= 256 * 1024);
        }
        for (const std::uint64_t word :
             {0ULL, 1ULL, 8ULL, ~0ULL, 0x5555555555555550ULL, 1ULL << 63, 0x0101010101010101ULL}) {
            const MonotonousMemory memory(word);
            const std::string text = print_value(memory, {&type, object});
            REQUIRE(text.size() <= limits.length + 3);
            REQUIRE(memory.reads <= limits.steps);
        }
    });
}

TEST_CASE("memory that is not there is unreadable", "[values]") {
    OwnProcess process;
    const NoMemory memory;
    with_sample_objects([&](const std::string& name, RemoteAddress object, const std::string&) {
        const std::string text = print_value(memory, {&process.type_of(name), object});
        INFO(name << ": " << text);
        CHECK(text.find("<unreadable>") != std::string::npos);
    });
}

TEST_CASE("a container that makes no sense is unreadable", "[values]") {
    OwnProcess process;
    with_sample_objects([&](const std::string& name, RemoteAddress object, const std::string&) {
        if (name == "vector" || name == "strings" || name == "accounts") {
            // Its end lies before its beginning.
            struct Reversed final : Memory {
                RemoteAddress object;
                std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
                    const std::uint64_t word = 0x10000 - (address - object);
                    std::memcpy(destination.data(), &word, std::min<std::size_t>(8, destination.size()));
                    return destination.size();
                }
            } memory;
            memory.object = object;
            CHECK(print_value(memory, {&process.type_of(name), object}) == "<unreadable>");
        }
    });
}

#pragma once

#include <vector>

#include "process/memory.h"

namespace asyncdump {

/// Memory with one further object in it that stands nowhere in the target: a variable in registers, a
/// constant, or one whose parts lie in different places. It lives at an address that no process can have.
class PiecedMemory final : public Memory {
  public:
    /// Not canonical on x86-64, with room below the end of the address space.
    static constexpr RemoteAddress object{0xA5C0'0000'0000'0000};
    static constexpr std::uint64_t largest_object = 1 << 20;
    static bool is_pieced(RemoteAddress address) {
        return address >= object && address.value() - object.value() < largest_object;
    }

    explicit PiecedMemory(const Memory& memory) : memory_(memory) {}

    /// The next bytes of the object.
    void add(std::span<const std::byte> bytes) {
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
        known_.resize(bytes_.size(), true);
    }
    void add_unknown(std::size_t size) {
        bytes_.resize(bytes_.size() + size);
        known_.resize(bytes_.size(), false);
    }
    std::size_t size() const { return bytes_.size(); }

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        if (!is_pieced(address)) return memory_.read(address, destination);
        const std::uint64_t begin = address.value() - object.value();
        std::size_t done = 0;
        for (; done < destination.size() && begin + done < bytes_.size() && known_[begin + done]; ++done)
            destination[done] = bytes_[begin + done];
        return done;
    }

  private:
    const Memory& memory_;
    std::vector<std::byte> bytes_;
    std::vector<bool> known_;
};

}  // namespace asyncdump

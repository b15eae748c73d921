#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace asyncdump {

/// Reads the bytes of a DWARF section one after the other; whatever leads beyond them ends the reading: from
/// then on all is zero.
class DwarfBytes {
  public:
    explicit DwarfBytes(std::span<const unsigned char> bytes) : bytes_(bytes) {}

    std::size_t place() const { return place_; }
    bool failed() const { return failed_; }
    bool at_end() const { return failed_ || place_ == bytes_.size(); }

    void skip(std::uint64_t count) {
        if (failed_ || count > bytes_.size() - place_)
            failed_ = true;
        else
            place_ += count;
    }
    /// Forward only.
    void go_to(std::uint64_t place) {
        if (place < place_ || place > bytes_.size())
            failed_ = true;
        else
            place_ = place;
    }
    /// The bytes from here to `place`, and goes there.
    std::span<const unsigned char> up_to(std::uint64_t place) {
        const std::size_t begin = place_;
        go_to(place);
        return failed_ ? std::span<const unsigned char>() : bytes_.subspan(begin, place_ - begin);
    }
    std::uint64_t fixed(std::size_t width) {
        std::uint64_t value = 0;
        const std::size_t begin = place_;
        skip(width);
        if (!failed_) std::memcpy(&value, bytes_.data() + begin, width);
        return value;
    }
    std::uint64_t leb128() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; !failed_ && place_ < bytes_.size(); shift += 7) {
            const unsigned char byte = bytes_[place_++];
            if (shift < 64) value |= std::uint64_t{byte & 0x7fU} << shift;
            if ((byte & 0x80U) == 0) return value;
        }
        failed_ = true;
        return 0;
    }
    std::int64_t signed_leb128() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; !failed_ && place_ < bytes_.size();) {
            const unsigned char byte = bytes_[place_++];
            if (shift < 64) value |= std::uint64_t{byte & 0x7fU} << shift;
            shift += 7;
            if ((byte & 0x80U) != 0) continue;
            if (shift < 64 && (byte & 0x40U) != 0) value |= ~std::uint64_t{0} << shift;
            return static_cast<std::int64_t>(value);
        }
        failed_ = true;
        return 0;
    }
    /// Up to its end, and over it. "" when it has none.
    const char* string() {
        const unsigned char* const begin = bytes_.data() + place_;
        const void* const end =
            !failed_ && place_ < bytes_.size() ? std::memchr(begin, 0, bytes_.size() - place_) : nullptr;
        if (end == nullptr) {
            failed_ = true;
            return "";
        }
        place_ += static_cast<std::size_t>(static_cast<const unsigned char*>(end) - begin) + 1;
        return reinterpret_cast<const char*>(begin);
    }

  private:
    std::span<const unsigned char> bytes_;
    std::size_t place_ = 0;
    bool failed_ = false;
};

}  // namespace asyncdump

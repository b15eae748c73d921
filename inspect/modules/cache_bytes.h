#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace asyncdump {

/// What is put into a cache: numbers as this machine has them, texts and lists behind their lengths.
class CacheWriter {
  public:
    void number(std::uint64_t value) { bytes(std::as_bytes(std::span(&value, 1))); }
    void text(std::string_view text) {
        number(text.size());
        bytes(std::as_bytes(std::span(text)));
    }
    template <class Record>
    void list(const std::vector<Record>& records) {
        static_assert(std::has_unique_object_representations_v<Record>, "no padding goes into a file");
        number(records.size());
        bytes(std::as_bytes(std::span(records)));
    }
    std::vector<std::byte> take() { return std::move(bytes_); }

  private:
    void bytes(std::span<const std::byte> more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
    std::vector<std::byte> bytes_;
};

/// Reads it again and believes no length: what leads beyond the end gives zeros and empty lists, and
/// complete() is false.
class CacheReader {
  public:
    explicit CacheReader(std::span<const std::byte> bytes) : rest_(bytes) {}

    std::uint64_t number() {
        std::uint64_t value = 0;
        copy(&value, sizeof value);
        return value;
    }
    std::string text() {
        std::string text;
        const std::uint64_t size = number();
        if (!has(size)) return text;
        text.resize(size);
        copy(text.data(), size);
        return text;
    }
    template <class Record>
    std::vector<Record> list() {
        static_assert(std::is_trivially_copyable_v<Record>);
        std::vector<Record> records;
        const std::uint64_t count = number();
        if (count > rest_.size() / sizeof(Record)) {
            failed_ = true;
            return records;
        }
        records.resize(count);
        copy(records.data(), count * sizeof(Record));
        return records;
    }
    /// How many records a list may have of which each takes at least `least` bytes.
    std::uint64_t count(std::size_t least) {
        const std::uint64_t value = number();
        if (value <= rest_.size() / least) return value;
        failed_ = true;
        return 0;
    }
    bool failed() const { return failed_; }
    bool complete() const { return !failed_ && rest_.empty(); }

  private:
    bool has(std::uint64_t size) {
        if (size > rest_.size()) failed_ = true;
        return !failed_;
    }
    void copy(void* to, std::size_t size) {
        if (!has(size)) return;
        if (size != 0) std::memcpy(to, rest_.data(), size);
        rest_ = rest_.subspan(size);
    }

    std::span<const std::byte> rest_;
    bool failed_ = false;
};

}  // namespace asyncdump

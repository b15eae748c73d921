#pragma once

#include <cstring>
#include <memory>
#include <string_view>

#include "report/report.h"

namespace asyncdump {

/// Collects small writes into pieces of up to 64 KiB. What is left goes out when it is destroyed.
class OutputBuffer {
  public:
    static constexpr std::size_t piece_bytes = 64 * 1024;

    explicit OutputBuffer(const Output& output) : output_(output), bytes_(new char[piece_bytes]) {}
    OutputBuffer(const OutputBuffer&) = delete;
    OutputBuffer& operator=(const OutputBuffer&) = delete;
    ~OutputBuffer() { flush(); }

    void append(std::string_view text) {
        while (text.size() > piece_bytes - size_) {
            const std::size_t fits = piece_bytes - size_;
            append_fitting(text.substr(0, fits));
            text.remove_prefix(fits);
            flush();
        }
        append_fitting(text);
    }
    void append(char character) {
        if (size_ == piece_bytes) flush();
        bytes_[size_++] = character;
    }
    void flush() {
        if (size_ != 0) output_(std::string_view(bytes_.get(), size_));
        size_ = 0;
    }

  private:
    void append_fitting(std::string_view text) {
        if (text.empty()) return;
        std::memcpy(bytes_.get() + size_, text.data(), text.size());
        size_ += text.size();
    }

    const Output& output_;
    std::unique_ptr<char[]> bytes_;
    std::size_t size_ = 0;
};

}  // namespace asyncdump

// Pages of this process for the tests to read as those of a target.
#pragma once

#include <sys/mman.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstring>

#include "base/remote_address.h"
#include "process/page.h"

class OwnPages {
  public:
    explicit OwnPages(std::size_t pages, int flags = MAP_PRIVATE | MAP_ANONYMOUS)
        : size_(pages * asyncdump::page_size),
          bytes_(static_cast<std::byte*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, flags, -1, 0))) {
        REQUIRE(bytes_ != MAP_FAILED);
        // A huge page would be mapped as a whole by the first touch.
        madvise(bytes_, size_, MADV_NOHUGEPAGE);
    }
    OwnPages(const OwnPages&) = delete;
    OwnPages& operator=(const OwnPages&) = delete;
    ~OwnPages() { munmap(bytes_, size_); }

    std::byte* data() const { return bytes_; }
    asyncdump::RemoteAddress address(std::size_t page, std::size_t offset = 0) const {
        return asyncdump::RemoteAddress(reinterpret_cast<std::uintptr_t>(bytes_) +
                                        page * asyncdump::page_size + offset);
    }
    asyncdump::AddressRange pages(std::size_t first, std::size_t count) const {
        return {address(first), address(first + count)};
    }
    /// Writes into each page a value of its own, derived from `seed`.
    void fill(unsigned seed = 1) {
        for (std::size_t i = 0; i < size_; ++i)
            bytes_[i] = static_cast<std::byte>(i * 31 + i / asyncdump::page_size * 7 + seed);
    }
    void fill_page(std::size_t page) {
        std::memset(bytes_ + page * asyncdump::page_size, 0x5a, asyncdump::page_size);
    }
    /// Makes pages unreadable.
    void forbid(std::size_t first, std::size_t count) {
        REQUIRE(mprotect(bytes_ + first * asyncdump::page_size, count * asyncdump::page_size, PROT_NONE) ==
                0);
    }

  private:
    std::size_t size_;
    std::byte* bytes_;
};

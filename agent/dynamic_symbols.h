// The dynamic symbol table of one loaded module, read in place. Where dlsym would do the same it allocates,
// or needs a handle that only dlopen gives.
#pragma once

#include <elf.h>
#include <link.h>
#include <string.h>

#include <cstdint>

namespace asyncdump::agent {

class DynamicSymbols {
  public:
    DynamicSymbols(ElfW(Addr) base, const ElfW(Dyn) * dynamic) : base_(base) {
        for (; dynamic != nullptr && dynamic->d_tag != DT_NULL; ++dynamic) {
            // glibc relocates these in place, but not in modules whose dynamic section is read-only (the
            // vdso).
            const ElfW(Addr) address =
                dynamic->d_un.d_ptr < base ? dynamic->d_un.d_ptr + base : dynamic->d_un.d_ptr;
            if (dynamic->d_tag == DT_SYMTAB) symbols_ = reinterpret_cast<const ElfW(Sym)*>(address);
            if (dynamic->d_tag == DT_STRTAB) names_ = reinterpret_cast<const char*>(address);
            if (dynamic->d_tag == DT_GNU_HASH) gnu_hash_ = reinterpret_cast<const std::uint32_t*>(address);
            if (dynamic->d_tag == DT_HASH) hash_ = reinterpret_cast<const std::uint32_t*>(address);
        }
    }

    bool is_readable() const {
        return symbols_ != nullptr && names_ != nullptr && (gnu_hash_ != nullptr || hash_ != nullptr);
    }

    /// Whether a symbol whose name begins with `prefix` is taken from elsewhere.
    bool imports(const char* prefix) const {
        // The second word of either table: symbols there are, or symbols before the first defined one.
        const std::uint32_t count = hash_ != nullptr ? hash_[1] : gnu_hash_[1];
        for (std::uint32_t i = 1; i < count; ++i)
            if (symbols_[i].st_shndx == SHN_UNDEF &&
                strncmp(names_ + symbols_[i].st_name, prefix, strlen(prefix)) == 0)
                return true;
        return false;
    }

    /// The address of a function that the module defines and exports; null when it does not.
    void* definition(const char* name) const {
        if (!is_readable()) return nullptr;
        if (gnu_hash_ == nullptr) {
            for (std::uint32_t i = 1; i < hash_[1]; ++i)
                if (is_definition(symbols_[i], name)) return address_of(symbols_[i]);
            return nullptr;
        }
        std::uint32_t hash = 5381;
        for (const char* character = name; *character != 0; ++character)
            hash = hash * 33 + static_cast<unsigned char>(*character);
        const std::uint32_t bucket_count = gnu_hash_[0];
        const std::uint32_t first_symbol = gnu_hash_[1];
        const std::uint32_t bloom_words = gnu_hash_[2];
        const std::uint32_t* buckets = gnu_hash_ + 4 + bloom_words * 2;
        const std::uint32_t* chain = buckets + bucket_count;
        std::uint32_t symbol = bucket_count == 0 ? 0 : buckets[hash % bucket_count];
        if (symbol < first_symbol) return nullptr;
        for (;; ++symbol) {
            const std::uint32_t entry = chain[symbol - first_symbol];
            if ((entry | 1) == (hash | 1) && is_definition(symbols_[symbol], name))
                return address_of(symbols_[symbol]);
            if ((entry & 1) != 0) return nullptr;
        }
    }

  private:
    bool is_definition(const ElfW(Sym) & symbol, const char* name) const {
        // An indirect function's address is known to the dynamic linker only; no allocator has one.
        return symbol.st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol.st_info) == STT_FUNC &&
               strcmp(names_ + symbol.st_name, name) == 0;
    }
    void* address_of(const ElfW(Sym) & symbol) const {
        return reinterpret_cast<void*>(base_ + symbol.st_value);
    }

    ElfW(Addr) base_;
    const ElfW(Sym) * symbols_ = nullptr;
    const char* names_ = nullptr;
    const std::uint32_t* gnu_hash_ = nullptr;
    const std::uint32_t* hash_ = nullptr;
};

}  // namespace asyncdump::agent

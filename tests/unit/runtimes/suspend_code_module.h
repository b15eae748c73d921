// A module that is nothing but bytes at an address: code for the interpreter and the slicer, without symbols
// and debug information.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "modules/module.h"

namespace asyncdump {

class CodeModule final : public Module {
  public:
    CodeModule(std::uint64_t address, std::vector<unsigned char> bytes)
        : address_(address), bytes_(std::move(bytes)) {
        range_ = {RemoteAddress(address), RemoteAddress(address + bytes_.size())};
        executable_.push_back(range_);
    }

    std::span<const Symbol> symbols() const override { return {}; }
    const Symbol* symbol_at(RemoteAddress) const override { return nullptr; }
    std::optional<Symbol> find_symbol(std::string_view) const override { return std::nullopt; }
    const Symbol* vtable_at(RemoteAddress) const override { return nullptr; }
    Dwarf* dwarf() const override { return nullptr; }
    std::uint64_t dwarf_bias() const override { return 0; }
    bool has_symbol_table() const override { return false; }
    std::optional<Dwarf_Die> unit_at(RemoteAddress) const override { return std::nullopt; }
    std::optional<Dwarf_Die> unit_with_lines_at(RemoteAddress) const override { return std::nullopt; }
    std::optional<Dwarf_Die> subprogram_at(RemoteAddress) const override { return std::nullopt; }
    std::size_t read_file_bytes(RemoteAddress address, std::span<std::byte> destination) const override {
        if (!range_.contains(address)) return 0;
        const std::size_t offset = address.value() - address_;
        const std::size_t count = std::min(destination.size(), bytes_.size() - offset);
        std::memcpy(destination.data(), bytes_.data() + offset, count);
        return count;
    }
    std::optional<AddressRange> section(std::string_view) const override { return std::nullopt; }
    const std::vector<AddressRange>& executable_ranges() const override { return executable_; }

  private:
    std::uint64_t address_;
    std::vector<unsigned char> bytes_;
    std::vector<AddressRange> executable_;
};

}  // namespace asyncdump

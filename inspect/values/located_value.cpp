#include "values/located_value.h"

#include <algorithm>

#include "values/pieced_memory.h"

namespace asyncdump {

std::string print_located(const Memory& memory, const ValueType& type,
                          const std::vector<LocationPiece>& pieces, const ValueNames& names,
                          const ValueLimits& limits) {
    if (pieces.empty()) return std::string(optimized_out);
    const LocationPiece& first = pieces.front();
    if (pieces.size() == 1 && first.size == 0 && first.kind == LocationPiece::Kind::memory)
        return print_value(memory, {&type, first.address}, names, limits);

    PiecedMemory pieced(memory);
    for (const LocationPiece& piece : pieces) {
        const std::uint64_t left = PiecedMemory::largest_object -
                                   std::min<std::uint64_t>(pieced.size(), PiecedMemory::largest_object);
        const std::uint64_t whole = piece.size == 0 ? type.size() : piece.size;
        const auto size = static_cast<std::size_t>(std::min(whole, left));
        if (piece.kind == LocationPiece::Kind::value) {
            const std::size_t known = std::min(size, piece.bytes.size());
            pieced.add(std::span(piece.bytes).first(known));
            pieced.add_unknown(size - known);
        } else if (piece.kind == LocationPiece::Kind::memory) {
            std::vector<std::byte> bytes(size);
            const std::size_t got = memory.read(piece.address, bytes);
            pieced.add(std::span(bytes).first(got));
            pieced.add_unknown(size - got);
        } else {
            pieced.add_unknown(size);
        }
    }
    return print_value(pieced, {&type, PiecedMemory::object}, names, limits);
}

}  // namespace asyncdump

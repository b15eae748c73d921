#include "runtimes/cpp20/libraries/libraries.h"

#include <array>

namespace asyncdump::cpp20 {

const Library* library_of(std::string_view symbol) {
    static constexpr std::array libraries = {&boost_asio, &qcoro};
    for (const Library* library : libraries) {
        if (library->is_internal(symbol)) return library;
    }
    return nullptr;
}

}  // namespace asyncdump::cpp20

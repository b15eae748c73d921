#include "runtimes/cpp20/libraries/libraries.h"

#include <array>

namespace asyncdump::cpp20 {
namespace {

constexpr std::array libraries = {&boost_asio, &qcoro};

}  // namespace

const Library* library_of(std::string_view symbol) {
    for (const Library* library : libraries) {
        if (library->is_internal(symbol)) return library;
    }
    return nullptr;
}

std::optional<DescribedWait> describe_wait(std::string_view symbol, std::string_view function,
                                           std::string_view awaiter_type) {
    if (const Library* library = library_of(symbol)) {
        if (auto awaiting = library->describe_wait(function))
            return DescribedWait{*std::move(awaiting), library};
    }
    for (const Library* library : libraries) {
        if (library->describe_awaiter == nullptr) continue;
        if (auto awaiting = library->describe_awaiter(awaiter_type))
            return DescribedWait{*std::move(awaiting), library};
    }
    return std::nullopt;
}

}  // namespace asyncdump::cpp20

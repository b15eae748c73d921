// QCoro: coroutines for Qt.
#include "runtimes/cpp20/libraries/libraries.h"
#include "runtimes/cpp20/libraries/mangled_scope.h"

namespace asyncdump::cpp20 {

const Library qcoro = {
    .name = "QCoro",
    // qCoro() itself, which wraps signals and devices, is a function of the global namespace.
    .is_internal =
        [](std::string_view symbol) {
            return is_in_scope(symbol, {"5QCoro", "6QCoro6"}) || symbol.starts_with("_Z5qCoroI");
        },
    .stands_for_its_leaf = [](std::string_view) { return false; },
    .describe_wait = [](std::string_view) { return std::optional<Awaiting>(); },
    .describe_awaiter = nullptr,
    .describe_object = nullptr,
};

}  // namespace asyncdump::cpp20

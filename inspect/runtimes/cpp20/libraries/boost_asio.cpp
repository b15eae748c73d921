// Boost.Asio and standalone Asio: awaitable<T>, co_spawn, use_awaitable.
#include "runtimes/cpp20/libraries/libraries.h"
#include "runtimes/cpp20/libraries/mangled_scope.h"

namespace asyncdump::cpp20 {

const Library boost_asio = {
    .name = "Boost.Asio",
    .is_internal = [](std::string_view symbol) { return is_in_scope(symbol, {"5boost4asio", "4asio"}); },
    .stands_for_its_leaf =
        [](std::string_view symbol) { return symbol.find("co_spawn_entry_point") != std::string_view::npos; },
};

}  // namespace asyncdump::cpp20

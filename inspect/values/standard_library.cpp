#include "values/standard_library.h"

#include <algorithm>
#include <array>

namespace asyncdump {
namespace {

constexpr auto table = std::to_array<StandardPrinter>({
    {"std::basic_string", printers::string},
    {"std::basic_string_view", printers::string_view},
    {"std::filesystem::path", printers::path},
    {"std::vector", printers::vector},
    {"std::array", printers::array},
    {"std::span", printers::span},
    {"std::deque", printers::deque},
    {"std::list", printers::list},
    {"std::forward_list", printers::forward_list},
    {"std::map", printers::map},
    {"std::multimap", printers::map},
    {"std::set", printers::set},
    {"std::multiset", printers::set},
    {"std::unordered_map", printers::unordered_map},
    {"std::unordered_multimap", printers::unordered_map},
    {"std::unordered_set", printers::unordered_set},
    {"std::unordered_multiset", printers::unordered_set},
    {"std::queue", printers::adapter},
    {"std::stack", printers::adapter},
    {"std::priority_queue", printers::adapter},
    {"std::pair", printers::pair},
    {"std::tuple", printers::tuple},
    {"std::optional", printers::optional},
    {"std::variant", printers::variant},
    {"std::unique_ptr", printers::unique_ptr},
    {"std::shared_ptr", printers::shared_ptr},
    {"std::weak_ptr", printers::weak_ptr},
    {"std::reference_wrapper", printers::reference_wrapper},
    {"std::function", printers::function},
    {"std::coroutine_handle", printers::coroutine_handle},
    {"std::chrono::duration", printers::duration},
    {"std::chrono::time_point", printers::time_point},
    {"std::atomic", printers::atomic},
    {"std::mutex", printers::mutex},
    {"std::timed_mutex", printers::mutex},
    {"std::recursive_mutex", printers::mutex},
    {"std::recursive_timed_mutex", printers::mutex},
    {"std::monostate", printers::monostate},
    {"std::error_code", printers::error_code},
    {"std::experimental::coroutine_handle", printers::coroutine_handle},
});

}  // namespace

const StandardPrinter* find_standard_printer(std::string_view family) {
    if (!family.starts_with("std::")) return nullptr;
    const auto* const found = std::ranges::find(table, family, &StandardPrinter::family);
    return found == table.end() ? nullptr : &*found;
}

}  // namespace asyncdump

#include "json_parts.h"

#include <nlohmann/json.hpp>

namespace asyncdump::tests {

using nlohmann::json;

std::string part(const std::string& document, const std::string& pointer) {
    return json::parse(document).at(json::json_pointer(pointer)).dump(1);
}

std::string same(const std::string& document) {
    return json::parse(document).dump(1);
}

std::vector<std::string> each(const std::string& document, const std::string& list,
                              const std::string& member) {
    std::vector<std::string> result;
    const json parsed = json::parse(document);
    for (const auto& element : parsed.at(list)) result.push_back(element.at(member).dump());
    return result;
}

bool is_json(const std::string& text) {
    return json::accept(text);
}

}  // namespace asyncdump::tests

#pragma once

#include <string>
#include <string_view>

#include "report/report.h"

namespace asyncdump::tests {

inline std::string as_json(const Dump& dump, const ReportFilter& filter = {}) {
    std::string result;
    write_json(dump, filter, [&](std::string_view piece) { result += piece; });
    return result;
}

inline std::string as_text(const Dump& dump, const TextStyle& style = {}, const ReportFilter& filter = {}) {
    std::string result;
    write_text(dump, filter, style, [&](std::string_view piece) { result += piece; });
    return result;
}

}  // namespace asyncdump::tests

// std::chrono. Members' names: libstdc++ 12, libc++ 19.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "values/standard_library.h"
#include "values/value_writer.h"

namespace asyncdump::printers {
namespace {

struct Period {
    std::int64_t numerator = 1, denominator = 1;
    friend bool operator==(const Period&, const Period&) = default;
};

struct Unit {
    Period period;
    std::string_view name;
};

constexpr auto units = std::to_array<Unit>({
    {{1, 1'000'000'000}, "ns"},
    {{1, 1'000'000}, "us"},
    {{1, 1'000}, "ms"},
    {{1, 1}, "s"},
    {{60, 1}, "min"},
    {{3600, 1}, "h"},
    {{86400, 1}, "d"},
});

std::optional<Period> period_of(const ValueType& duration) {
    const ValueType* ratio = duration.template_type(1);
    if (ratio == nullptr) return Period{};
    const auto numerator = ratio->template_value(0), denominator = ratio->template_value(1);
    if (!numerator || !denominator || *numerator <= 0 || *denominator <= 0) return std::nullopt;
    return Period{*numerator, *denominator};
}

std::string unit_of(const Period& period) {
    for (const Unit& unit : units) {
        if (unit.period == period) return std::string(unit.name);
    }
    return fmt::format("x {}/{} s", period.numerator, period.denominator);
}

std::string as_date(double seconds) {
    // Years 1970 to 9999: gmtime and the format's width.
    if (!(seconds >= 0 && seconds < 253402300800.0)) return "";
    const double whole = std::floor(seconds);
    return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03} UTC", fmt::gmtime(static_cast<std::time_t>(whole)),
                       static_cast<int>((seconds - whole) * 1000));
}

}  // namespace

void duration(ValueWriter& writer, const ValueAt& object) {
    const auto ticks = writer.member(object, {"__r", "__rep_"});
    const auto period = period_of(*object.type);
    if (!ticks || !period) return writer.unreadable(object.address);
    writer.value(*ticks);
    writer.text(fmt::format(" {}", unit_of(*period)));
}

void time_point(ValueWriter& writer, const ValueAt& object) {
    const auto since_epoch = writer.member(object, {"__d", "__d_"});
    const ValueType* clock = object.type->template_type(0);
    if (!since_epoch || clock == nullptr) return writer.unreadable(object.address);
    const auto ticks = writer.member(*since_epoch, {"__r", "__rep_"});
    const auto period = period_of(*since_epoch->type);
    const auto number = ticks && ticks->type->kind() != ValueType::Kind::floating
                            ? writer.read_integer(*ticks)
                            : std::nullopt;
    if (!number || !period) {
        duration(writer, *since_epoch);
        return;
    }
    const double seconds = static_cast<double>(*number) * static_cast<double>(period->numerator) /
                           static_cast<double>(period->denominator);
    const std::string& family = clock->family();
    if (family == "std::chrono::system_clock") {
        if (const std::string date = as_date(seconds); !date.empty()) return writer.text(date);
    }
    const auto name = family.rfind("::");
    writer.text(
        fmt::format("{:.3f} s on {}", seconds, name == std::string::npos ? family : family.substr(name + 2)));
}

}  // namespace asyncdump::printers

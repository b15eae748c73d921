#include "graph/findings/confirmation.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "graph/findings/words.h"

namespace asyncdump {

std::string identity_of(const Dump& dump, const Finding& finding) {
    std::vector<std::string> members;
    for (const std::uint32_t index : finding.coroutines) {
        const ObservedCoroutine& coroutine = dump.observed.coroutines[index];
        std::string place;
        if (coroutine.suspended_at != no_index) {
            const SourceLocation& location = dump.observed.locations[coroutine.suspended_at];
            place = fmt::format("{}:{}:{}", location.file, location.line, location.column);
        }
        members.push_back(
            fmt::format("{:x} {} {}", coroutine.address.value(), static_cast<int>(coroutine.state), place));
    }
    for (const std::int32_t tid : finding.threads) {
        const Thread* thread = find_thread(dump, tid);
        const bool waits = thread != nullptr && thread->waiting_for.has_value();
        members.push_back(fmt::format("{} {} {:x} {}", tid, waits ? thread->waiting_for->kind : "",
                                      waits ? thread->waiting_for->address.value() : 0,
                                      waits ? thread->waiting_for->owner : 0));
    }
    std::ranges::sort(members);
    std::string identity = finding.kind + (finding.is_error ? " error" : " warning");
    for (const std::string& member : members) identity += '\n' + member;
    return identity;
}

std::vector<Finding> confirmed_findings(const Dump& first, const Dump& second) {
    std::set<std::string> before;
    for (const Finding& finding : first.findings) before.insert(identity_of(first, finding));
    std::vector<Finding> confirmed;
    for (const Finding& finding : second.findings) {
        if (before.contains(identity_of(second, finding))) confirmed.push_back(finding);
    }
    return confirmed;
}

}  // namespace asyncdump

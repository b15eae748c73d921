#include "process/untouched_pages.h"

#include "process/page.h"
#include "process/resident_pages.h"

namespace asyncdump {
namespace {

/// Each costs some system calls: damaged pointers may lead to very many.
constexpr std::size_t most_pages = 4096;

}  // namespace

bool UntouchedPages::contains(RemoteAddress address) const {
    const RemoteAddress begin = page_begin(address);
    const auto known = known_.find(begin.value());
    if (known != known_.end()) return known->second;
    if (known_.size() >= most_pages) return false;
    return known_[begin.value()] = is_untouched({begin, begin + page_size});
}

bool UntouchedPages::is_untouched(AddressRange page) const {
    const Mapping* mapping = map_.find(page.begin);
    if (mapping == nullptr || mapping->is_file() || mapping->shared || !mapping->readable ||
        !mapping->writable)
        return false;
    return !asyncdump::contains(resident_, page.begin) && resident_parts(pid_, {page}).empty();
}

}  // namespace asyncdump

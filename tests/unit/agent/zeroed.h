// Objects of the agent live in zeroed memory and have no constructors.
#pragma once

#include <memory>

#include "system_calls.h"

template <class T>
struct Unmap {
    void operator()(T* object) const { asyncdump::agent::unmap_pages(object, sizeof(T)); }
};

template <class T>
using Zeroed = std::unique_ptr<T, Unmap<T>>;

template <class T>
Zeroed<T> make_zeroed() {
    return Zeroed<T>(static_cast<T*>(asyncdump::agent::map_pages(sizeof(T))));
}

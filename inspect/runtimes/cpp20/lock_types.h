// Which types are locks, guards and awaiters of locks, by their names and members in debug information.
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "values/value_type.h"

namespace asyncdump::cpp20 {

/// A class of which the last part of the name says that it is a mutex, a lock or a semaphore, and not that it
/// is a guard, an awaiter or an operation on one. Users' own types are recognised like those of libraries; a
/// lock by another name is not.
bool is_lock_name(std::string_view readable);

/// A lock that blocks threads: std::mutex and its relatives, boost::mutex, absl::Mutex, pthread_mutex_t.
bool blocks_threads(std::string_view readable);

/// A lock that several may hold at once: a semaphore, a shared mutex.
bool has_several_permits(std::string_view readable);

/// A pointer or reference to a lock inside an object.
struct LockPointer {
    std::uint32_t offset = 0;
    std::string type;             ///< of the lock, readable
    std::uint32_t lock_size = 0;  ///< 0 when unknown
    Dwarf_Die lock{};             ///< its type's definition
};

/// The pointers to locks among the members of a class, members of members included. Classes that the unit at
/// hand only declares, as clang does where it has no constructor of theirs, are looked for in other units.
std::vector<LockPointer> lock_pointers(Dwarf_Die type, TypeTable& types);

/// A class that holds a lock for as long as it lives.
struct GuardShape {
    std::string type;
    std::vector<LockPointer> pointers;
    bool is_named = false;                   ///< its name says so
    std::optional<std::uint32_t> owns_flag;  ///< offset of a bool that says whether it does hold the lock
    bool flag_says_released = false;         ///< that it no longer does
};

/// Decided by its name (guard, lock, permit, ...), or by a destructor of its own in a class of little besides
/// the pointer. Empty when it is none.
std::optional<GuardShape> guard_shape(Dwarf_Die type, TypeTable& types);

/// A class by its readable name, in the compile unit that covers a function. Empty when the unit does not
/// define it.
std::optional<Dwarf_Die> find_class(Dwarf_Die unit, std::string_view readable);

}  // namespace asyncdump::cpp20

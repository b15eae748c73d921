// Atomic access to plain fields, named by its memory order. The registry's structures are plain C, shared
// with readers in other processes, so that std::atomic members are out of the question.
#pragma once

namespace asyncdump::agent {

template <class T>
inline T load_relaxed(const T& field) {
    T value;
    __atomic_load(&field, &value, __ATOMIC_RELAXED);
    return value;
}

template <class T>
inline T load_acquire(const T& field) {
    T value;
    __atomic_load(&field, &value, __ATOMIC_ACQUIRE);
    return value;
}

template <class T>
inline void store_relaxed(T& field, T value) {
    __atomic_store(&field, &value, __ATOMIC_RELAXED);
}

template <class T>
inline void store_release(T& field, T value) {
    __atomic_store(&field, &value, __ATOMIC_RELEASE);
}

template <class T>
inline T exchange(T& field, T value) {
    return __atomic_exchange_n(&field, value, __ATOMIC_ACQ_REL);
}

/// On failure `expected` holds what was found.
template <class T>
inline bool compare_exchange(T& field, T& expected, T desired) {
    return __atomic_compare_exchange_n(&field, &expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

template <class T>
inline T fetch_add(T& field, T value) {
    return __atomic_fetch_add(&field, value, __ATOMIC_ACQ_REL);
}

template <class T>
inline T fetch_subtract(T& field, T value) {
    return __atomic_fetch_sub(&field, value, __ATOMIC_ACQ_REL);
}

/// For counters that only readers look at.
template <class T>
inline void count(T& field) {
    __atomic_fetch_add(&field, T{1}, __ATOMIC_RELAXED);
}

}  // namespace asyncdump::agent

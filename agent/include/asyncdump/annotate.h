// Names for what asyncdump shows. Header-only, no library to link; without the agent in the process every
// call is two loads and a branch.
//
//     asyncdump::name_task(&session, "session 10.0.0.1:52344");   // anything that lives in the coroutine's
//     frame asyncdump::name_task(handle, "janitor");                    // a std::coroutine_handle
//     asyncdump::label_task(&session, "waiting for the disk");    // what it does now; change it as often as
//     you like asyncdump::scoped_name request("request 17");               // coroutines that this thread
//     creates meanwhile carry it asyncdump::registered_frame frame(address, bytes);          // a frame in
//     memory of your own
//
// Texts are copied, 47 bytes of them at most. All functions may be called from any thread at any time; those
// that concern one frame must not run while that frame is destroyed.
#ifndef ASYNCDUMP_ANNOTATE_H
#define ASYNCDUMP_ANNOTATE_H

#if !defined(__x86_64__) || !defined(__linux__)
#error "asyncdump supports Linux on x86-64 only"
#endif

#include <stdint.h>

#include <cstddef>
#include <string_view>
#if defined(__cpp_impl_coroutine)
#include <coroutine>
#endif

extern "C" {

/// What the agent offers; a newer agent appends functions. Results: 1 done, 0 not.
struct asyncdump_annotation_functions {
    uint32_t size;  ///< of this structure in the agent
    uint32_t reserved;
    int (*name_task)(const void* inside, const char* text, size_t length);
    int (*label_task)(const void* inside, const char* text, size_t length);
    int (*register_frame)(const void* frame, size_t bytes);
    void (*unregister_frame)(const void* frame);
    uint32_t (*begin_scope)(const char* text, size_t length);  ///< 0: not kept
    void (*end_scope)(uint32_t scope);
};

/// The beginning of the agent's registry.
struct asyncdump_registry_prefix {
    uint64_t magic;
    uint16_t version_major;
    uint16_t version_minor;
    uint32_t header_size;
    const struct asyncdump_annotation_functions* annotation_functions;
};
}

namespace asyncdump {
namespace detail {

/// Null without the agent. The reference is weak and goes through the global offset table, so that a program
/// links without the agent, finds it when it is preloaded, and an injector can fill it in later.
inline const asyncdump_annotation_functions* agent() noexcept {
    const asyncdump_registry_prefix* registry;
    __asm__(".weak asyncdump_registry\n\tmovq asyncdump_registry@GOTPCREL(%%rip), %0" : "=r"(registry));
    constexpr uint64_t magic = 0x6d7564636e797361;
    if (registry == nullptr || registry->magic != magic || registry->version_major != 1) return nullptr;
    const asyncdump_annotation_functions* functions = registry->annotation_functions;
    return functions != nullptr && functions->size >= sizeof(asyncdump_annotation_functions) ? functions
                                                                                             : nullptr;
}

}  // namespace detail

/// Names the task whose frame contains `inside`: the frame's own address (coroutine_handle::address()), its
/// promise, or any local variable that lives across a co_await. Returns false without the agent, and when no
/// registered block contains the address (a variable that is on the stack after all, a frame that no hook
/// saw).
inline bool name_task(const void* inside, std::string_view name) noexcept {
    const auto* agent = detail::agent();
    return agent != nullptr && agent->name_task(inside, name.data(), name.size()) != 0;
}

/// Says what the task does at present; shown beside its name.
inline bool label_task(const void* inside, std::string_view label) noexcept {
    const auto* agent = detail::agent();
    return agent != nullptr && agent->label_task(inside, label.data(), label.size()) != 0;
}

/// Registers a frame whose memory no hook sees (an arena, a static buffer), until unregister_frame(). The
/// address must be a multiple of 8. Returns false without the agent, and when another registered block begins
/// in the same 32 bytes.
inline bool register_frame(const void* frame, std::size_t bytes) noexcept {
    const auto* agent = detail::agent();
    return agent != nullptr && agent->register_frame(frame, bytes) != 0;
}

/// To be called before the memory is used for something else.
inline void unregister_frame(const void* frame) noexcept {
    if (const auto* agent = detail::agent()) agent->unregister_frame(frame);
}

class registered_frame {
  public:
    registered_frame(const void* frame, std::size_t bytes) noexcept
        : frame_(register_frame(frame, bytes) ? frame : nullptr) {}
    ~registered_frame() {
        if (frame_ != nullptr) unregister_frame(frame_);
    }
    registered_frame(const registered_frame&) = delete;
    registered_frame& operator=(const registered_frame&) = delete;

  private:
    const void* frame_;
};

/// While it lives, coroutines that this thread creates carry the name, and so does what they await (`--under
/// NAME`). Scopes nest. Make it a local variable of an ordinary function, or of a part of a coroutine without
/// co_await: it must end on the thread on which it began, and in the reverse order. In a coroutine name the
/// task instead.
class scoped_name {
  public:
    explicit scoped_name(std::string_view name) noexcept {
        if (const auto* agent = detail::agent()) scope_ = agent->begin_scope(name.data(), name.size());
    }
    ~scoped_name() {
        if (scope_ == 0) return;
        if (const auto* agent = detail::agent()) agent->end_scope(scope_);
    }
    scoped_name(const scoped_name&) = delete;
    scoped_name& operator=(const scoped_name&) = delete;

  private:
    uint32_t scope_ = 0;
};

#if defined(__cpp_impl_coroutine)

template <class Promise>
bool name_task(std::coroutine_handle<Promise> task, std::string_view name) noexcept {
    return name_task(static_cast<const void*>(task.address()), name);
}

template <class Promise>
bool label_task(std::coroutine_handle<Promise> task, std::string_view label) noexcept {
    return label_task(static_cast<const void*>(task.address()), label);
}

/// `co_await asyncdump::name_this_task("janitor");` names the coroutine itself and goes on at once. For
/// promises whose await_transform accepts it.
class name_this_task {
  public:
    explicit name_this_task(std::string_view name) noexcept : name_(name) {}
    bool await_ready() const noexcept { return detail::agent() == nullptr; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) const noexcept {
        name_task(task, name_);
        return false;
    }
    void await_resume() const noexcept {}

  private:
    std::string_view name_;
};

#endif

}  // namespace asyncdump

#endif

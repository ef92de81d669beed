#pragma once
#include "common/base/handles.hpp"

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace walgd::codec {

/// Library contexts that are costly to make, kept for the next stage of the same kind: a segment then pays no allocation and no
/// page faults. Bounded, so that idle memory stays small. Thread-safe. Lives for ever.
template <class Context, auto free_context> class ContextPool {
public:
    explicit ContextPool(std::size_t kept_max) : kept_max_(kept_max) { kept_.reserve(kept_max); }
    ContextPool(const ContextPool&) = delete;
    ~ContextPool() {
        for (Context* context : kept_) free_context(context);
    }

    /// Frees its context. One that is still good goes back by keep().
    using Handle = std::unique_ptr<Context, FreeWith<free_context>>;

    /// A kept context, or what `make()` returns (which may be null).
    template <class Make> Handle take(Make make) {
        {
            const std::lock_guard lock(mutex_);
            if (!kept_.empty()) {
                Context* context = kept_.back();
                kept_.pop_back();
                return Handle(context);
            }
        }
        return Handle(make());
    }

    /// The context must be fit for a new stream, or be made so by the next user.
    void keep(Handle handle) {
        const std::lock_guard lock(mutex_);
        if (handle && kept_.size() < kept_max_) kept_.push_back(handle.release());
    }

private:
    std::mutex mutex_;
    std::vector<Context*> kept_;
    std::size_t kept_max_;
};

} // namespace walgd::codec

#include "common/storage/failover/groups.hpp"

namespace walgd::storage {

namespace {

constexpr std::size_t remembered_max = 4096;

} // namespace

void Groups::remember(const ObjectKey& anchor, std::size_t member) {
    if (holders_.size() >= remembered_max) holders_.clear();
    holders_[anchor.path()] = member;
}

awaitable<std::optional<std::size_t>> Groups::holder(ObjectKey anchor, Reach reach) {
    if (const auto placed = placed_.find(anchor.path()); placed != placed_.end() && placed->second) co_return placed->second;
    if (const auto known = holders_.find(anchor.path()); known != holders_.end()) co_return known->second;
    auto ask = [anchor](Storage& storage) { return storage.head(anchor); };
    const auto found = co_await members_.find<std::optional<ObjectInfo>>(reach, anchor, ask);
    if (!found.first) co_return std::nullopt;
    remember(anchor, found.second);
    co_return found.second;
}

awaitable<std::size_t> Groups::choose(ObjectKey anchor) {
    forget(anchor); // it may have been moved since
    const auto held = co_await holder(anchor, Reach::answering);
    if (held) co_return *held;
    // The group stays where it begins: so what it begins on is tried first, however well it did a while ago.
    for (std::size_t index = 0; index < members_.size() && members_.options().check; ++index) {
        const bool usable = co_await members_.usable(index);
        if (!usable) continue;
        try {
            co_await members_.check(index);
            co_return index;
        } catch (const Error& error) {
            if (!is_outage(error)) throw;
        }
    }
    co_return 0;
}

awaitable<std::size_t> Groups::place(ObjectKey anchor) {
    for (;;) {
        const auto placed = placed_.find(anchor.path());
        if (placed == placed_.end()) break;
        if (placed->second) co_return *placed->second;
        co_await placed_signal_.wait();
    }
    placed_[anchor.path()] = std::nullopt;
    std::exception_ptr failure;
    std::size_t member = 0;
    try {
        member = co_await choose(anchor);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure)
        placed_.erase(anchor.path());
    else
        placed_[anchor.path()] = member;
    placed_signal_.notify();
    if (failure) std::rethrow_exception(failure);
    co_return member;
}

void Groups::stored(const ObjectKey& anchor, const ObjectKey& key, std::size_t member) {
    // Into a group that was whole before, one object alone was put.
    if (key != anchor && !holders_.contains(anchor.path())) return;
    placed_.erase(anchor.path());
    remember(anchor, member);
}

} // namespace walgd::storage

#pragma once
#include "common/base/signal.hpp"
#include "common/storage/failover/members.hpp"

#include <functional>
#include <map>

namespace walgd::storage {

/// The object that makes a group of objects count: a backup's sentinel, for the sentinel itself and for all below the backup's
/// folder. Nothing for what stands alone.
using AnchorOf = std::function<std::optional<ObjectKey>(const ObjectKey&)>;

/// Where groups are: all objects of one are in one storage, the one that holds its anchor. On the I/O thread.
class Groups {
public:
    Groups(Members& members, AnchorOf anchor_of, asio::any_io_executor io)
        : members_(members), anchor_of_(std::move(anchor_of)), placed_signal_(io) {}

    std::optional<ObjectKey> anchor_of(const ObjectKey& key) const { return anchor_of_(key); }

    /// The member that holds the anchor, or that a group without one is being put to; nothing where there is neither. Looked up
    /// once, then remembered.
    awaitable<std::optional<std::size_t>> holder(ObjectKey anchor, Reach reach);
    /// What was remembered did not hold.
    void forget(const ObjectKey& anchor) { holders_.erase(anchor.path()); }

    /// Where an object of the group is to be put. A new group gets the first member that proves that it can be written to now;
    /// the others of the group follow it there, until its anchor is stored or one of them fails.
    awaitable<std::size_t> place(ObjectKey anchor);
    /// The group's `key` was stored: with the anchor the group is whole.
    void stored(const ObjectKey& anchor, const ObjectKey& key, std::size_t member);
    /// One of a new group was not: its anchor will never be stored, and the next attempt may go elsewhere.
    void failed(const ObjectKey& anchor) { placed_.erase(anchor.path()); }

private:
    awaitable<std::size_t> choose(ObjectKey anchor);
    void remember(const ObjectKey& anchor, std::size_t member);

    Members& members_;
    AnchorOf anchor_of_;
    std::map<std::string, std::optional<std::size_t>> placed_; ///< groups being put; nothing: it is being decided
    std::map<std::string, std::size_t> holders_;
    Signal placed_signal_;
};

} // namespace walgd::storage

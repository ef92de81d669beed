#pragma once
#include "common/base/clock.hpp"
#include "common/storage/storage.hpp"

#include <deque>
#include <functional>
#include <set>

namespace walgd::storage {

/// The beginning of a key's path that it shares with many others which are asked for soon; empty: it has no such neighbours.
using Neighbours = std::function<std::string(const ObjectKey&)>;

/// Which of a storage's names there are, remembered for a while and listed by the hundred, so that it need not be asked for each.
/// What others put there meanwhile is not seen. On the I/O thread.
class RememberedNames {
public:
    RememberedNames(Storage& storage, Neighbours neighbours, Clock::duration lifetime)
        : storage_(storage), neighbours_(std::move(neighbours)), lifetime_(lifetime) {}

    awaitable<bool> has(ObjectKey key);
    void stored(const ObjectKey& key);
    void removed(const ObjectKey& key);

private:
    struct Block {
        std::string beginning;
        Clock::time_point listed;
        std::set<std::string> paths;
    };
    Block* block_of(const std::string& beginning);
    awaitable<Block> listed(std::string beginning) const;

    Storage& storage_;
    Neighbours neighbours_;
    Clock::duration lifetime_;
    std::deque<Block> blocks_; ///< the newest last
};

} // namespace walgd::storage

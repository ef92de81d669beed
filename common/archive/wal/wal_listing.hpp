#pragma once
#include "common/base/async.hpp"
#include "common/storage/storage.hpp"

#include <functional>
#include <string_view>

namespace walgd::archive {

/// What is told of wal_005/ while it is listed, in any order.
struct WalVisitor {
    std::function<void(const storage::ObjectInfo& object)> object; ///< directly in it, each once
    std::function<void(std::string_view name)> folder;             ///< in it, with a slash behind; maybe more than once
};

/// Lists wal_005/: at one request for a thousand objects; when there are many, up to `at_once` of them in parallel where that
/// turns out to be quicker.
awaitable<void> visit_wal(storage::Storage& storage, unsigned at_once, WalVisitor visitor);

} // namespace walgd::archive

#include "daemon/wal/delta_maps.hpp"

#include "common/base/in_quotes.hpp"

namespace walgd::daemon {

DeltaMaps::DeltaMaps(archive::Archive& archive, const std::string& pgdata, std::chrono::milliseconds try_again)
    : archive_(archive), pg_wal_(pgdata.empty() ? "" : pgdata + "/pg_wal"), try_again_(try_again), more_(archive.io) {}

void DeltaMaps::stored(const std::string& name, std::uint64_t file_bytes) {
    const auto group = archive::DeltaGroup::ended_by(name, file_bytes);
    if (!group) return;
    due_.insert(*group);
    if (due_.size() > due_max) due_.erase(due_.begin());
    more_.notify();
}

/// False: it is worth another try.
awaitable<bool> DeltaMaps::record(archive::DeltaGroup group) {
    std::optional<Error> failure;
    try {
        co_await archive::record_group(archive_, pg_wal_, group, false); // of WAL that is never replaced
    } catch (...) {
        failure = as_error(std::current_exception()); // none may end this
    }
    if (!failure) co_return true;
    if (failure->kind() == ErrorKind::cancelled) throw *failure;
    const bool lasting = failure->kind() != ErrorKind::transient;
    archive_.log.warn("event=delta_map_not_written name={} tried_again={} error={} hint=\"a delta across it is made by another "
                      "source\"",
                      group.object_name(), !lasting, in_quotes(failure->what()));
    co_return lasting;
}

awaitable<void> DeltaMaps::run() {
    for (;;) {
        if (due_.empty()) {
            co_await more_.wait();
        }
        const auto group = *due_.begin();
        const bool done = co_await record(group);
        if (done) {
            due_.erase(group);
        } else {
            co_await more_.wait(Clock::now() + try_again_);
        }
    }
}

} // namespace walgd::daemon

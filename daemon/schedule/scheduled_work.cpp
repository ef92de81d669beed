#include "daemon/schedule/scheduled_work.hpp"

#include "common/archive/retention/retention_apply.hpp"
#include "common/backup/verify_state.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace walgd::daemon {

awaitable<std::string> apply_retention(archive::Archive& archive, archive::RetentionPolicy policy) {
    auto inventory = co_await archive::take_inventory(archive);
    inventory.intents = co_await archive::list_intents(archive.storage);
    const auto damaged = co_await backup::known_damage(archive, inventory);
    backup::note_gone(inventory, damaged);
    const auto selection = archive::select_by_policy(inventory, policy);
    auto plan = archive::plan_removal(inventory, selection);
    std::size_t going = 0;
    for (const auto& verdict : plan.backups) going += verdict.stays ? 0 : 1;
    const auto departures = plan.departures;
    const auto removal = co_await archive::remove_planned(archive.storage, inventory, std::move(plan));
    if (!removal.failures.empty())
        throw Error(ErrorKind::failed,
                    fmt::format("{} of {} objects were not deleted; the first: {}: {}", removal.planned - removal.removed,
                                removal.planned, removal.failures.front().key.path(), removal.failures.front().error.what()),
                    "walg delete plan shows what is left");
    if (!departures.empty())
        throw Error(ErrorKind::refused, fmt::format("{}", fmt::join(departures, "; ")), "walg delete plan tells all");
    co_return fmt::format("{} backups and {} objects deleted", going, removal.removed);
}

awaitable<std::string> verify_archive(archive::Archive& archive, asio::any_io_executor thread, backup::VerifyOptions options,
                                      std::stop_token stop) {
    auto work = [&archive, options, stop] { return backup::verify(archive, options, stop); };
    const auto report = co_await run_on(thread, std::move(work));
    if (!report.sound())
        throw Error(ErrorKind::corrupt,
                    report.damaged.empty() ? std::string("there are backups that cannot be restored")
                                           : fmt::format("{} objects are damaged; the first: {}: {}", report.damaged.size(),
                                                         report.damaged.front().object, report.damaged.front().cause),
                    "walg verify names them all, and what can be restored");
    co_return fmt::format("{} objects, {} MiB read, all sound; {} left for the next time", report.objects, report.bytes >> 20,
                          report.left_out);
}

} // namespace walgd::daemon

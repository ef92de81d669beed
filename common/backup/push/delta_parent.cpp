#include "common/backup/push/delta_parent.hpp"

#include "common/archive/catalogue.hpp"
#include "common/archive/layout.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

/// Asks the storage for one backup after the other, and decides.
class Choice {
public:
    Choice(archive::Archive& archive, const DeltaWish& wish, pg::SystemIdentifier system, std::stop_token stop)
        : archive_(archive), wish_(wish), system_(system), stop_(std::move(stop)) {}

    ParentChoice run() {
        if (wish_.full || wish_.steps_max <= 0) return full(named() && !wish_.full ? "WALG_DELTA_MAX_STEPS is 0" : "");
        const auto latest = candidate();
        if (latest.empty()) return full("There is no backup yet");
        try {
            return on(latest);
        } catch (const Error& error) {
            // What is damaged or gone is no parent. A storage that does not answer says nothing of it.
            if (error.kind() != ErrorKind::corrupt) throw;
            return full(fmt::format("{} is no sound parent ({})", latest, error.what()), true);
        }
    }

private:
    template <class T> T ask(awaitable<T> task) { return run_blocking(archive_.io, std::move(task), stop_); }
    bool named() const { return !wish_.from_name.empty() || !wish_.from_user_data.empty(); }

    static ParentChoice full(std::string why, bool unexpected = false) { return {std::nullopt, std::move(why), unexpected}; }

    std::string candidate() {
        if (!wish_.from_name.empty()) return ask(archive::find_backup(archive_.storage, wish_.from_name)).name;
        const auto backups = ask(archive::list_backups(archive_.storage));
        if (wish_.from_user_data.empty()) return backups.empty() ? std::string() : backups.back().name;
        return with_user_data(backups);
    }

    std::string with_user_data(const std::vector<archive::BackupEntry>& backups) {
        const auto wanted = archive::normalized_user_data(wish_.from_user_data);
        std::vector<std::string> found;
        for (const auto& backup : backups) {
            const auto metadata = ask(archive::read_metadata(archive_.storage, backup.name));
            if (metadata && metadata->user_data == wanted) found.push_back(backup.name);
        }
        if (found.size() == 1) return found.front();
        if (found.empty())
            throw Error(ErrorKind::refused, fmt::format("No backups found with the user data {}", wanted),
                        "the whole of it must be equal; walg backup-list --detail --json shows each backup's");
        throw Error(ErrorKind::refused, fmt::format("{} backups have the user data {}", found.size(), wanted),
                    fmt::format("name one of them with --delta-from-name, the newest is {}", found.back()));
    }

    ParentChoice on(const std::string& latest) {
        DeltaParent parent{ask(archive::read_chain(archive_.storage, latest))};
        // On the latest full each step has a chain of one, and is counted all the same: else there would never be a new full.
        const auto counted = parent.sentinel().delta ? parent.sentinel().delta->count : 0;
        parent.step = std::max(counted, static_cast<int>(parent.chain.size()) - 1) + 1;
        if (parent.step > wish_.steps_max) return full("Reached max delta steps");
        const auto metadata = ask(archive::read_metadata(archive_.storage, latest));
        if (!metadata) return full(fmt::format("{} has no metadata.json", latest), true);
        if (metadata->is_permanent && !wish_.permanent && !wish_.on_latest_full)
            return full("Can't do a delta backup from permanent backup");
        if (wish_.on_latest_full) parent.chain.erase(parent.chain.begin(), parent.chain.end() - 1);
        return proved(std::move(parent));
    }

    ParentChoice proved(DeltaParent parent) const {
        const auto& sentinel = parent.sentinel();
        if (!sentinel.start_lsn || !sentinel.finish_lsn)
            return full(fmt::format("{} does not say where in the WAL it begins and ends", parent.name()), true);
        if (sentinel.system && *sentinel.system != system_)
            throw Error(
                ErrorKind::refused,
                fmt::format("Current database and database of base backup are not equal: the server is of system {}, {} of {}",
                            system_.number(), parent.name(), sentinel.system->number()),
                "another cluster's backups are under this prefix: give each cluster a prefix of its own; or, where the archive "
                "has adopted this one, begin with --full");
        for (const auto& link : parent.chain) {
            if (link.sentinel.files_metadata_disabled)
                return full(fmt::format("{} was made without files metadata", link.backup));
        }
        return {std::move(parent), {}, false};
    }

    archive::Archive& archive_;
    const DeltaWish& wish_;
    pg::SystemIdentifier system_;
    std::stop_token stop_;
};

} // namespace

archive::DeltaOrigin DeltaParent::origin() const { return {start_lsn(), name(), chain.back().backup, step}; }

ParentChoice choose_parent(archive::Archive& archive, const DeltaWish& wish, pg::SystemIdentifier system, std::stop_token stop) {
    // WAL-G reads a chain from one storage: the parent is in the one that the delta goes to.
    auto* const home = run_blocking(archive.io, archive.storage.home(), stop);
    auto there = archive::with_storage(archive, *home);
    return Choice(there, wish, system, std::move(stop)).run();
}

std::string reason_against(const DeltaParent& parent, const pg::BackupStart& start, const pg::TimelineHistory& history) {
    const auto timeline = archive::timeline_of(parent.name());
    const auto end = *parent.sentinel().finish_lsn;
    if (!timeline) return fmt::format("the name of {} tells no timeline", parent.name());
    if (*timeline != start.timeline) {
        const auto past = std::ranges::find(history.past, *timeline, &pg::PastTimeline::timeline);
        if (past == history.past.end())
            return fmt::format("{} is of timeline {}, which is not in the history of timeline {}", parent.name(),
                               timeline->number(), start.timeline.number());
        if (past->end < end)
            return fmt::format("{} ends at {}, and the server left timeline {} before, at {}", parent.name(), end.text(),
                               timeline->number(), past->end.text());
    }
    if (end > start.lsn)
        throw Error(ErrorKind::refused,
                    fmt::format("Finish LSN of backup {} greater than current LSN: it ends at {}, this one would start at {}",
                                parent.name(), end.text(), start.lsn.text()),
                    "of a standby: try again after its next restartpoint; else another copy of this cluster took that backup: "
                    "give each its own prefix, or use --full");
    return {};
}

void make_chain_permanent(archive::Archive& archive, const DeltaParent& parent, std::stop_token stop) {
    for (auto link = parent.chain.rbegin(); link != parent.chain.rend(); ++link) {
        auto metadata = run_blocking(archive.io, archive::read_metadata(archive.storage, link->backup), stop);
        if (!metadata)
            throw Error(ErrorKind::refused,
                        fmt::format("{} cannot be made permanent, for it has no metadata.json; a permanent delta needs it to be",
                                    link->backup),
                        "use --full");
        if (metadata->is_permanent) continue;
        metadata->is_permanent = true;
        const auto text = to_json(*metadata);
        run_blocking(archive.io, archive.storage.put(archive::metadata_key(link->backup), bytes_of(text), {}), stop);
        archive.log.info("{} is permanent now: a permanent delta is based on it", link->backup);
    }
}

} // namespace walgd::backup

#include "client/walg/backup_json.hpp"
#include "client/walg/daemon_client.hpp"
#include "client/walg/odd_objects.hpp"
#include "client/walg/verb.hpp"
#include "client/walg/wal_timelines.hpp"
#include "common/archive/archive_summary.hpp"
#include "config/process.hpp"

#include <algorithm>

namespace walgd::cli {

namespace {

class WalShow : public Verb {
public:
    std::string name() const override { return "wal-show"; }
    std::string help() const override { return "The archive's WAL by timeline: ranges, missing segments, backups"; }

    void options(CLI::App& command) override {
        command.add_flag("--detailed-json,--json", json_, "As JSON, with the missing segments and the backups");
        command.add_flag("--without-backups", without_backups_, "Do not look for backups");
        command.add_flag("--no-daemon", no_daemon_,
                         "List the storage, also where a daemon that knows the archive could be asked");
    }

    int run(Context& context) override {
        const auto backups = without_backups_ ? Backups::none : json_ ? Backups::whole : Backups::places;
        auto summary = no_daemon_ ? std::nullopt : summary_by_daemon(context, backups);
        if (!summary) summary = list(context);
        tell_troubles(context, *summary);
        std::ranges::reverse(summary->backups); // the newest first
        const auto& wal = summary->wal;
        std::vector<ShownTimeline> timelines;
        for (const auto& [id, timeline] : wal.timelines)
            timelines.push_back(shown_timeline(timeline, wal.segment_bytes, summary->parents.at(id).left, summary->backups));
        print_timelines(timelines, {wal.segment_bytes, json_, !without_backups_, context.as_walg});
        return 0;
    }

private:
    archive::ArchiveSummary list(Context& context) const {
        auto& archive = context.archive();
        const auto segment_bytes = config::segment_bytes(context.settings);
        archive::ArchiveSummary summary;
        if (without_backups_) {
            auto list = archive::list_wal(archive, segment_bytes, context.at_once());
            summary.wal = run_blocking(context.io, std::move(list), context.stop);
        } else {
            auto list = archive::list_archive(archive, segment_bytes, context.at_once());
            auto listed = run_blocking(context.io, std::move(list), context.stop);
            summary.wal = std::move(listed.wal);
            summary.backups = std::move(listed.backups);
        }
        summary.odd_objects = summary.wal.odd.size();
        summary.parents = run_blocking(context.io, archive::read_parents(archive, summary.wal), context.stop);
        return summary;
    }

    void tell_troubles(Context& context, const archive::ArchiveSummary& summary) const {
        tell_odd_objects(context.log, summary.wal, archive::wal_folder, summary.odd_objects - summary.wal.odd.size());
        if (summary.backups.empty() && !without_backups_) context.log.info("No backups found in storage.");
        cli::tell_troubles(context.log, summary.backups);
        for (const auto& [id, parent] : summary.parents) {
            if (!parent.trouble.empty())
                context.log.warn("the history of timeline {} cannot be read, its parent is not known: {}", id.number(),
                                 parent.trouble);
        }
    }

    bool json_ = false, without_backups_ = false, no_daemon_ = false;
};

} // namespace

std::unique_ptr<Verb> make_wal_show() { return std::make_unique<WalShow>(); }

} // namespace walgd::cli

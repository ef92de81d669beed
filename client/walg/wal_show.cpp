#include "client/walg/backup_json.hpp"
#include "client/walg/odd_objects.hpp"
#include "client/walg/verb.hpp"
#include "client/walg/wal_timelines.hpp"
#include "common/archive/wal_catalogue.hpp"
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
    }

    int run(Context& context) override {
        auto& archive = context.archive();
        auto list = archive::list_wal(archive, config::segment_bytes(context.settings), context.at_once());
        const auto wal = run_blocking(context.io, std::move(list), context.stop);
        tell_odd_objects(context.log, wal);
        std::vector<archive::BackupDetails> backups;
        if (!without_backups_) backups = read_backups(context);
        std::vector<ShownTimeline> timelines;
        for (const auto& [id, timeline] : wal.timelines)
            timelines.push_back(shown_timeline(timeline, wal.segment_bytes, parent_of(context, wal, id), backups));
        print_timelines(timelines, {wal.segment_bytes, json_, !without_backups_, context.as_walg});
        return 0;
    }

private:
    static std::vector<archive::BackupDetails> read_backups(Context& context) {
        auto& storage = context.archive().storage;
        auto entries = run_blocking(context.io, archive::list_backups(storage), context.stop);
        if (entries.empty()) context.log.info("No backups found in storage.");
        auto read = archive::read_details(storage, std::move(entries), context.at_once());
        auto backups = run_blocking(context.io, std::move(read), context.stop);
        tell_troubles(context.log, backups);
        std::ranges::reverse(backups);
        return backups;
    }

    static std::optional<pg::PastTimeline> parent_of(Context& context, const archive::WalCatalogue& wal,
                                                     pg::TimelineId timeline) {
        try {
            auto read = archive::stored_history(context.archive(), timeline, wal.others);
            const auto history = run_blocking(context.io, std::move(read), context.stop);
            if (history && !history->past.empty()) return history->past.back();
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt) throw;
            context.log.warn("the history of timeline {} cannot be read, its parent is not known: {}", timeline.number(),
                             error.what());
        }
        return std::nullopt;
    }

    bool json_ = false, without_backups_ = false;
};

} // namespace

std::unique_ptr<Verb> make_wal_show() { return std::make_unique<WalShow>(); }

} // namespace walgd::cli

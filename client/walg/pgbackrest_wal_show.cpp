#include "client/walg/odd_objects.hpp"
#include "client/walg/pgbackrest.hpp"
#include "client/walg/wal_timelines.hpp"
#include "common/pgbackrest/wal_list.hpp"
#include "config/process.hpp"

namespace walgd::cli {

namespace {

class PgbackrestWalShow : public PgbackrestWord {
public:
    std::string name() const override { return "wal-show"; }
    std::string help() const override { return "The stanza's WAL by timeline: ranges, missing segments"; }

    void options(CLI::App& command) override {
        command.add_flag("--detailed-json,--json", json_, "As JSON, with the missing segments");
    }

    int run(Context& context, pgbackrest::Repository& repository) override {
        auto list = pgbackrest::list_wal(repository, config::segment_bytes(context.settings));
        const auto wal = run_blocking(context.io, std::move(list), context.stop);
        tell_odd_objects(context.log, wal, run_blocking(context.io, repository.wal_folder(), context.stop));
        std::vector<ShownTimeline> timelines;
        for (const auto& [id, timeline] : wal.timelines)
            timelines.push_back(shown_timeline(timeline, wal.segment_bytes, parent_of(context, repository, id), {}));
        print_timelines(timelines, {wal.segment_bytes, json_, false, context.as_walg});
        return 0;
    }

private:
    static std::optional<pg::PastTimeline> parent_of(Context& context, pgbackrest::Repository& repository,
                                                     pg::TimelineId timeline) {
        try {
            auto read = pgbackrest::stored_history(repository, timeline);
            const auto history = run_blocking(context.io, std::move(read), context.stop);
            if (history && !history->past.empty()) return history->past.back();
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt) throw;
            context.log.warn("the history of timeline {} cannot be read, its parent is not known: {}", timeline.number(),
                             error.what());
        }
        return std::nullopt;
    }

    bool json_ = false;
};

} // namespace

std::unique_ptr<PgbackrestWord> make_pgbackrest_wal_show() { return std::make_unique<PgbackrestWalShow>(); }

} // namespace walgd::cli

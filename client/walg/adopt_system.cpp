#include "client/walg/read_words.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/wal_push.hpp"
#include "common/pg/control_file.hpp"
#include "common/pg/wal_name.hpp"

#include <fmt/format.h>
#include <optional>

namespace walgd::cli {

namespace {

/// What pg_upgrade leaves the new cluster on, whatever the old one was on.
constexpr pg::TimelineId after_upgrade{1};

/// The first object of WAL on a later timeline than `timeline`; empty if there is none.
awaitable<std::string> of_later_timeline(storage::Storage& storage, pg::TimelineId timeline) {
    storage::ListOptions options;
    options.after = fmt::format("{:08X}", timeline.number() + 1);
    do {
        const auto page = co_await storage.list(std::string(archive::wal_folder), options);
        for (const auto& object : page.objects) {
            const auto name = std::string_view(object.key.path()).substr(archive::wal_folder.size());
            const auto stem = name.substr(0, name.find('.'));
            if (pg::wal_file_kind(stem) || pg::wal_file_kind(fmt::format("{}.history", stem))) co_return object.key.path();
        }
        options.token = page.next;
    } while (options.token);
    co_return std::string();
}

/// The first object of WAL on `timeline` from `segment` on; empty if there is none.
awaitable<std::string> at_or_behind(storage::Storage& storage, pg::Segment segment, std::uint64_t segment_bytes) {
    storage::ListOptions options;
    // Behind all objects of the segment before, whatever their suffix.
    options.after = segment.number == 0 ? "" : pg::segment_name({segment.timeline, segment.number - 1}, segment_bytes) + "~";
    options.name_prefix = fmt::format("{:08X}", segment.timeline.number());
    do {
        const auto page = co_await storage.list(std::string(archive::wal_folder), options);
        for (const auto& object : page.objects) {
            const auto name = std::string_view(object.key.path()).substr(archive::wal_folder.size());
            const auto there = pg::parse_segment(name.substr(0, name.find('.')), segment_bytes);
            if (there && there->number >= segment.number) co_return object.key.path();
        }
        options.token = page.next;
    } while (options.token);
    co_return std::string();
}

class AdoptSystem : public Verb {
public:
    std::string name() const override { return "adopt-system"; }
    std::string help() const override {
        return "After pg_upgrade: let the archive take the WAL of the cluster's new system identifier";
    }

    void options(CLI::App& command) override {
        command.add_option("db_directory", pgdata_, "The upgraded cluster's data directory; PGDATA if not given");
        command.add_option("--system", system_, "The system identifier, where the data directory is not at hand")
            ->check(is_from_1);
        command.add_flag("--confirm", confirm_, "Do it; without it only says what would be done");
    }

    int run(Context& context) override {
        const auto [system, timeline, next, segment_bytes] = wanted(context);
        auto& archive = context.archive();
        const auto known = run_blocking(context.io, archive::archive_system(archive), context.stop);
        if (known == system) {
            context.log.info("{} belongs to the cluster {} already", archive.storage.describe(), system.number());
            return 0;
        }
        if (known) require_no_later_timeline(context, timeline);
        if (known && next) require_free_names(context, *next, segment_bytes);
        const auto before = known ? std::to_string(known->number()) : "none";
        if (!confirm_) {
            context.log.info("{} belongs to the cluster {}; with --confirm it takes {} from now on, and refuses the other",
                             archive.storage.describe(), before, system.number());
            return 0;
        }
        run_blocking(context.io, archive::adopt_system(archive, system), context.stop);
        context.log.info("{} takes the cluster {} from now on (before: {}); take a base backup soon (walg backup-push --full): "
                         "WAL of the one does not follow a backup of the other",
                         archive.storage.describe(), system.number(), before);
        return 0;
    }

private:
    struct Wanted {
        pg::SystemIdentifier system;
        pg::TimelineId timeline;
        std::optional<pg::Segment> next{}; ///< that the cluster may archive; nothing: not known
        std::uint64_t segment_bytes = 0;
    };

    Wanted wanted(const Context& context) const {
        if (system_ != 0) return {pg::SystemIdentifier(system_), after_upgrade};
        const auto pgdata = pgdata_.empty() ? context.settings.text("pgdata") : pgdata_;
        if (pgdata.empty())
            throw Error(ErrorKind::misconfigured, "no data directory was named",
                        "walg adopt-system PGDATA --confirm, or --system NUMBER");
        const auto control = pg::read_control_file(pgdata);
        const auto number = pg::segment_number(control.redo, control.wal_segment_bytes);
        return {control.system, control.timeline, pg::Segment{control.timeline, number}, control.wal_segment_bytes};
    }

    /// pg_upgrade goes on behind the old cluster's WAL; a cluster that was made anew begins at the begin.
    static void require_free_names(Context& context, pg::Segment next, std::uint64_t segment_bytes) {
        auto& archive = context.archive();
        const auto taken = run_blocking(context.io, at_or_behind(archive.storage, next, segment_bytes), context.stop);
        if (taken.empty()) return;
        throw Error(
            ErrorKind::refused,
            fmt::format("{} has {} of the cluster before, and the new one is at {}: its own WAL would find those names taken",
                        archive.storage.describe(), taken, pg::segment_name(next, segment_bytes)),
            "nothing was changed; archive the new cluster under another prefix, and keep the old one's as long as its "
            "backups may be wanted");
    }

    /// PostgreSQL recovers to the newest timeline that the archive has, and a history file is never replaced.
    void require_no_later_timeline(Context& context, pg::TimelineId timeline) const {
        auto& archive = context.archive();
        const auto later = run_blocking(context.io, of_later_timeline(archive.storage, timeline), context.stop);
        if (later.empty()) return;
        throw Error(
            ErrorKind::refused,
            fmt::format("{} has WAL of later timelines ({}) than the new cluster's, {}: PostgreSQL would try to recover its "
                        "backups to those, and fail; and when it is promoted, its history file would meet the old one",
                        archive.storage.describe(), later, timeline.number()),
            system_ != 0
                ? "nothing was changed; a cluster that is on a later timeline itself is to be named by its data directory, "
                  "and one after pg_upgrade is to be archived under another prefix"
                : "nothing was changed; archive the new cluster under another prefix, and keep the old one's as long as "
                  "its backups may be wanted");
    }

    std::string pgdata_;
    std::uint64_t system_ = 0;
    bool confirm_ = false;
};

} // namespace

std::unique_ptr<Verb> make_adopt_system() { return std::make_unique<AdoptSystem>(); }

} // namespace walgd::cli

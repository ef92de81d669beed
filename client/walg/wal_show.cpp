#include "client/walg/backup_json.hpp"
#include "client/walg/listing.hpp"
#include "client/walg/odd_objects.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/wal_catalogue.hpp"
#include "config/process.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iostream>

namespace walgd::cli {

namespace {

/// One timeline as it is printed.
struct Shown {
    const archive::WalTimeline* wal = nullptr;
    std::optional<pg::PastTimeline> parent;               ///< and where it was left
    std::vector<const archive::BackupDetails*> backups{}; ///< newest first
    std::string start{}, end{};                           ///< segment names
    std::uint64_t range = 0;
    std::string_view status() const { return wal->runs.size() == 1 ? "OK" : "LOST_SEGMENTS"; }
};

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
        std::vector<Shown> timelines;
        for (const auto& [id, timeline] : wal.timelines) timelines.push_back(shown(context, wal, timeline, backups));
        if (json_)
            std::cout << json(timelines, wal.segment_bytes, context.as_walg) << (context.as_walg ? "" : "\n");
        else
            std::cout << (context.as_walg ? table(timelines) : coloured(table(timelines)));
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

    static Shown shown(Context& context, const archive::WalCatalogue& wal, const archive::WalTimeline& timeline,
                       const std::vector<archive::BackupDetails>& backups) {
        auto name = [&](std::uint64_t number) { return pg::segment_name({timeline.id, number}, wal.segment_bytes); };
        Shown shown{.wal = &timeline, .parent = parent_of(context, wal, timeline.id)};
        shown.start = name(timeline.first());
        shown.end = name(timeline.last());
        shown.range = timeline.last() - timeline.first() + 1;
        for (const auto& backup : backups) {
            const auto first = pg::parse_segment(backup.entry.wal_file, wal.segment_bytes);
            if (!first || first->timeline != timeline.id) continue;
            const auto start =
                backup.metadata.start_lsn ? pg::segment_number(*backup.metadata.start_lsn, wal.segment_bytes) : first->number;
            const auto end =
                backup.metadata.finish_lsn ? pg::segment_number(*backup.metadata.finish_lsn, wal.segment_bytes) : start;
            if (start >= timeline.first() && end <= timeline.last()) shown.backups.push_back(&backup);
        }
        return shown;
    }

    std::string table(const std::vector<Shown>& timelines) const {
        Row titles{"TLI",         "PARENT TLI",    "SWITCHPOINT LSN", "START SEGMENT",
                   "END SEGMENT", "SEGMENT RANGE", "SEGMENTS COUNT",  "STATUS"};
        if (!without_backups_) titles.push_back("BACKUPS COUNT");
        std::vector<Row> rows;
        for (const auto& timeline : timelines) {
            const auto parent = timeline.parent.value_or(pg::PastTimeline{});
            rows.push_back({std::to_string(timeline.wal->id.number()), std::to_string(parent.timeline.number()),
                            parent.end.text(), timeline.start, timeline.end, std::to_string(timeline.range),
                            std::to_string(timeline.wal->segments), std::string(timeline.status())});
            if (!without_backups_) rows.back().push_back(std::to_string(timeline.backups.size()));
        }
        return open_table(titles, rows, "rrrllrrlr");
    }

    static std::string missing(const archive::WalTimeline& timeline, std::uint64_t segment_bytes) {
        std::string names;
        auto gaps = timeline.gaps();
        std::ranges::reverse(gaps);
        for (const auto& gap : gaps) {
            for (auto number = gap.last + 1; number-- > gap.first;)
                names +=
                    fmt::format("{}\"{}\"", names.empty() ? "" : ",", pg::segment_name({timeline.id, number}, segment_bytes));
        }
        return names;
    }

    static std::string json(const std::vector<Shown>& timelines, std::uint64_t segment_bytes, bool as_walg) {
        std::string text = "[";
        for (const auto& timeline : timelines) {
            const auto parent = timeline.parent.value_or(pg::PastTimeline{});
            text += fmt::format(
                R"({}{{"id":{},"parent_id":{},"switch_point_lsn":{},"start_segment":"{}","end_segment":"{}","segments_count":{},"missing_segments":[{}])",
                text.size() > 1 ? "," : "", timeline.wal->id.number(), parent.timeline.number(), parent.end.bytes(),
                timeline.start, timeline.end, timeline.wal->segments, missing(*timeline.wal, segment_bytes));
            std::vector<std::string> backups;
            for (const auto* backup : timeline.backups) backups.push_back(backup_json(backup->entry, &backup->metadata));
            if (!backups.empty()) text += fmt::format(R"(,"backups":[{}])", fmt::join(backups, ","));
            text += fmt::format(R"(,"segment_range_size":{},"status":"{}")", timeline.range, timeline.status());
            if (!as_walg) text += fmt::format(R"(,"stored_bytes":{})", timeline.wal->bytes);
            text += "}";
        }
        return text + "]";
    }

    bool json_ = false, without_backups_ = false;
};

} // namespace

std::unique_ptr<Verb> make_wal_show() { return std::make_unique<WalShow>(); }

} // namespace walgd::cli

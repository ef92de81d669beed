#include "client/walg/listing.hpp"
#include "client/walg/odd_objects.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/archive_summary.hpp"
#include "common/archive/retention/kept_alone.hpp"
#include "common/archive/wal/wal_integrity.hpp"
#include "common/pg/server.hpp"
#include "config/process.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iostream>

namespace walgd::cli {

namespace {

constexpr std::string_view integrity = "integrity", timeline_check = "timeline";

/// Where the cluster is now. The number is known once the segment size is.
struct Current {
    pg::TimelineId timeline{1};
    pg::Lsn lsn{0};
    std::uint64_t segment_bytes = 0; ///< 0: not known yet
};

/// One check's outcome as it is printed.
struct Outcome {
    std::string_view check;
    archive::CheckStatus status;
    std::string details, json;
};

class WalVerify : public Verb {
public:
    std::string name() const override { return "wal-verify"; }
    std::string help() const override {
        return "Check the archive's WAL by its names: integrity (no segment missing since the earliest backup), timeline (the "
               "cluster's "
               "is the highest). Exit 1 on FAILURE";
    }

    void options(CLI::App& command) override {
        command.add_option("checks", checks_, "integrity, timeline, or both")->required()->check([](const std::string& word) {
            return word == integrity || word == timeline_check ? std::string() : "invalid check specified: " + word;
        });
        command.add_flag("--json", json_, "As JSON");
        auto* lsn = command.add_option("--lsn", lsn_, "Where the cluster is, as pg_lsn: without asking PostgreSQL");
        auto* timeline = command.add_option("--timeline", timeline_, "The cluster's timeline, with --lsn");
        lsn->needs(timeline);
        timeline->needs(lsn);
        command.add_option("--backup-name", backup_, "Check from this backup on");
    }

    int run(Context& context) override {
        const auto current = lsn_.empty() ? ask_server(context) : given(context.settings);
        const auto [wal, backups] = look(context, current.segment_bytes);
        tell_odd_objects(context.log, wal);
        std::vector<Outcome> outcomes;
        for (const auto& check : checks_) {
            if (std::ranges::find(outcomes, check, &Outcome::check) != outcomes.end()) continue;
            context.log.info("Building check runner: {}", check);
            outcomes.push_back(check == integrity ? check_integrity(context, wal, backups, current)
                                                  : check_timeline(context, wal, current));
        }
        print(outcomes, context.as_walg);
        const bool failed = std::ranges::find(outcomes, archive::CheckStatus::failure, &Outcome::status) != outcomes.end();
        return failed && !context.as_walg ? 1 : 0;
    }

private:
    /// The backups only where they tell from where on is checked.
    archive::ListedArchive look(Context& context, std::uint64_t segment_bytes) const {
        auto& archive = context.archive();
        const bool by_backups = backup_.empty() && std::ranges::find(checks_, integrity) != checks_.end();
        if (by_backups)
            return run_blocking(context.io, archive::list_archive(archive, segment_bytes, context.at_once()), context.stop);
        auto list = archive::list_wal(archive, segment_bytes, context.at_once());
        return {run_blocking(context.io, std::move(list), context.stop), {}};
    }

    Current given(const config::Settings& settings) const {
        const auto lsn = pg::Lsn::parse(lsn_);
        if (!lsn || lsn->bytes() == 0)
            throw Error(ErrorKind::misconfigured, fmt::format("--lsn '{}' is no place in the WAL", lsn_),
                        "write it as 16/B374D848");
        return {pg::TimelineId(timeline_), *lsn, config::segment_bytes(settings)};
    }

    static Current ask_server(Context& context) {
        const auto server = pg::Server::connect(config::connection_options(context.settings));
        const auto facts = server->facts();
        const auto* here =
            facts.in_recovery ? "coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())" : "pg_current_wal_lsn()";
        const auto text = server->value(fmt::format("select {}", here));
        const auto lsn = pg::Lsn::parse(text);
        if (!lsn || lsn->bytes() == 0) throw Error(ErrorKind::failed, fmt::format("the server says it is at '{}'", text));
        const pg::Segment segment{facts.timeline, number_of(*lsn, facts.segment_bytes)};
        context.log.info("Current WAL segment: {}", pg::segment_name(segment, facts.segment_bytes));
        return {facts.timeline, *lsn, facts.segment_bytes};
    }

    /// The segment that is written to: one that just became full has not been left.
    static std::uint64_t number_of(pg::Lsn lsn, std::uint64_t segment_bytes) {
        return pg::segment_number(pg::Lsn(lsn.bytes() - 1), segment_bytes);
    }

    archive::CheckStart find_start(Context& context, const archive::WalCatalogue& wal,
                                   const std::vector<archive::BackupDetails>& backups, const archive::SwitchPoints& switches,
                                   pg::TimelineId current) const {
        if (!backup_.empty()) {
            auto find = archive::find_backup(context.archive().storage, backup_);
            const auto named = run_blocking(context.io, std::move(find), context.stop);
            const auto why = archive::why_not_usable(named, switches, current, wal.segment_bytes);
            if (!why.empty()) throw Error(ErrorKind::refused, fmt::format("checkBackupIsCorrect: {}: {}", named.name, why));
            context.log.info("Detected correct backup with specified name: {}", named.name);
            return {named.name, pg::parse_segment(named.wal_file, wal.segment_bytes)->number};
        }
        std::vector<archive::BackupEntry> entries;
        std::vector<std::string> permanent;
        for (const auto& backup : backups) {
            entries.push_back(backup.entry);
            if (!backup.trouble.empty()) context.log.warn("backup {} is not whole: {}", backup.entry.name, backup.trouble);
            if (backup.metadata.is_permanent) permanent.push_back(backup.entry.name);
        }
        const auto start = archive::earliest_backup(entries, permanent, switches, current, wal.segment_bytes,
                                                    [&](const std::string& why) { context.log.warn("{}", why); });
        if (start.backup.empty())
            context.log.warn(
                "Failed to detect earliest backup WAL segment no: '{}',will scan until the 0000000X0000000000000001 segment.",
                entries.empty() ? "No backups found" : "Could not find any correct backup in storage");
        else
            context.log.info("Detected earliest available backup: {}", start.backup);
        return start;
    }

    /// Those that retention left with the WAL of their own alone: a gap behind them is meant.
    static std::vector<archive::BackupDetails> without_kept_alone(Context& context,
                                                                  const std::vector<archive::BackupDetails>& backups) {
        auto read = archive::read_kept_alone(context.archive().storage);
        const auto alone = run_blocking(context.io, std::move(read), context.stop);
        auto rest = backups;
        const auto gone =
            std::erase_if(rest, [&](const archive::BackupDetails& backup) { return alone.contains(backup.entry.name); });
        if (gone > 0)
            context.log.info("{} backups were kept with their own WAL alone, and are left out: the check begins behind them",
                             gone);
        return rest;
    }

    Outcome check_integrity(Context& context, const archive::WalCatalogue& wal,
                            const std::vector<archive::BackupDetails>& backups, const Current& current) const {
        auto read = archive::stored_history(context.archive(), current.timeline, wal.others);
        const auto history = run_blocking(context.io, std::move(read), context.stop);
        const auto switches = history ? archive::switch_points(*history, wal.segment_bytes) : archive::SwitchPoints();
        auto start = find_start(context, wal, backups, switches, current.timeline);
        context.log.info("Running the check: {}", integrity);
        const archive::CheckWindows windows{
            .delayed = static_cast<std::uint64_t>(context.settings.number("integrity_max_delayed_wals")),
            .uploading = static_cast<std::uint64_t>(context.settings.number("upload_concurrency"))};
        const pg::Segment from{current.timeline, number_of(current.lsn, wal.segment_bytes)};
        auto runs = archive::check_segments(wal, switches, from, start.first, windows);
        if (archive::status_of(runs, true) != archive::CheckStatus::ok && backup_.empty()) {
            const auto rest = without_kept_alone(context, backups);
            if (rest.size() < backups.size()) {
                start = find_start(context, wal, rest, switches, current.timeline);
                runs = archive::check_segments(wal, switches, from, start.first, windows);
            }
        }
        std::vector<Row> rows;
        std::vector<std::string> json;
        for (const auto& run : runs) {
            const auto first = pg::segment_name({run.timeline, run.segments.first}, wal.segment_bytes);
            const auto last = pg::segment_name({run.timeline, run.segments.last}, wal.segment_bytes);
            rows.push_back({std::to_string(run.timeline.number()), first, last, std::to_string(run.segments.count()),
                            std::string(name_of(run.state))});
            json.push_back(
                fmt::format(R"({{"timeline_id":{},"start_segment":"{}","end_segment":"{}","segments_count":{},"status":"{}"}})",
                            run.timeline.number(), first, last, run.segments.count(), name_of(run.state)));
        }
        return {integrity, archive::status_of(runs, !start.backup.empty()),
                open_table({"TLI", "START", "END", "SEGMENTS COUNT", "STATUS"}, rows, "rllrr"),
                json.empty() ? "null" : fmt::format("[{}]", fmt::join(json, ","))};
    }

    static Outcome check_timeline(Context& context, const archive::WalCatalogue& wal, const Current& current) {
        context.log.info("Running the check: {}", timeline_check);
        if (context.as_walg) tell_unparsed(context.log, wal);
        const auto highest = wal.highest_timeline();
        const auto found = highest ? highest->number() : 0;
        return {
            timeline_check, archive::timeline_status(highest, current.timeline),
            fmt::format("Highest timeline found in storage: {}\nCurrent cluster timeline: {}\n", found,
                        current.timeline.number()),
            fmt::format(R"({{"current_timeline_id":{},"highest_storage_timeline_id":{}}})", current.timeline.number(), found)};
    }

    /// WAL-G's word for every object that is neither a segment's nor a history's.
    static void tell_unparsed(Log& log, const archive::WalCatalogue& wal) {
        for (const auto& name : wal.others) {
            if (name.find(".history") == std::string::npos && !name.ends_with(".json"))
                log.warn("Could not parse the timeline Id from {}. Skipping...", name);
        }
    }

    void print(const std::vector<Outcome>& outcomes, bool as_walg) const {
        if (json_) {
            auto sorted = outcomes;
            std::ranges::sort(sorted, {}, &Outcome::check);
            std::vector<std::string> parts;
            for (const auto& one : sorted)
                parts.push_back(fmt::format(R"("{}":{{"status":"{}","details":{}}})", one.check, name_of(one.status), one.json));
            std::cout << fmt::format("{{{}}}{}", fmt::join(parts, ","), as_walg ? "" : "\n");
            return;
        }
        std::string text;
        for (const auto& one : outcomes)
            text += fmt::format("[wal-verify] {0} check status: {1}\n[wal-verify] {0} check details:\n{2}", one.check,
                                name_of(one.status), one.details);
        std::cout << (as_walg ? text : coloured(text));
    }

    std::vector<std::string> checks_;
    std::string lsn_, backup_;
    std::uint32_t timeline_ = 0;
    bool json_ = false;
};

} // namespace

std::unique_ptr<Verb> make_wal_verify() { return std::make_unique<WalVerify>(); }

} // namespace walgd::cli

#include "client/walg/verb.hpp"
#include "common/archive/wal/wal_fetch.hpp"
#include "common/base/files.hpp"
#include "common/pg/control_file.hpp"
#include "common/pg/divergence.hpp"
#include "common/pg/wal_name.hpp"
#include "common/pg/wal_records.hpp"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

namespace walgd::cli {

namespace {

namespace fs = std::filesystem;

std::string history_path(const std::string& pgdata, pg::TimelineId timeline) {
    return pgdata + "/pg_wal/" + pg::history_name(timeline);
}

/// Of a cluster's own timeline. The first one has no file.
pg::TimelineHistory history_of(const std::string& pgdata, pg::TimelineId timeline) {
    if (timeline == pg::TimelineId(1)) return {timeline, {}};
    const auto path = history_path(pgdata, timeline);
    return pg::parse_timeline_history(read_text_file(path), timeline, path);
}

/// Brings files of the archive into one cluster's pg_wal; what is there stays.
class MissingWal {
public:
    MissingWal(Context& context, std::string pgdata) : context_(context), pgdata_(std::move(pgdata)) {}

    std::string path(const std::string& name) const { return pgdata_ + "/pg_wal/" + name; }
    /// True when the file is there now. Why not has been logged.
    bool ensure(const std::string& name) {
        if (fs::exists(path(name))) return true;
        try {
            if (!fetch(name)) throw Error(ErrorKind::failed, fmt::format("{} is not in the archive", name));
            ++fetched_;
            context_.log.info("Fetched {}", name);
            return true;
        } catch (const Error& error) {
            if (error.kind() == ErrorKind::cancelled) throw;
            context_.log.error("{}: {}", name, error.what());
        }
        ++failed_;
        return false;
    }
    unsigned fetched() const { return fetched_; }
    unsigned failed() const { return failed_; }

private:
    bool fetch(const std::string& name) {
        auto& archive = context_.archive();
        std::optional<archive::WalFetcher> fetcher;
        auto task = [&]() -> awaitable<archive::Fetched> {
            fetcher.emplace(archive);
            const auto fetched = co_await fetcher->fetch(name, path(name), true);
            co_return fetched;
        };
        return run_blocking(context_.io, task(), context_.stop) == archive::Fetched::stored;
    }

    Context& context_;
    std::string pgdata_;
    unsigned fetched_ = 0, failed_ = 0;
};

/// A cluster's segments as pg_rewind names them: where a timeline ends within one, the later timeline has it.
class ClusterWal {
public:
    ClusterWal(pg::TimelineHistory history, std::uint64_t segment_bytes)
        : history_(std::move(history)), segment_bytes_(segment_bytes) {}

    std::uint64_t number_of(pg::Lsn lsn) const { return pg::segment_number(lsn, segment_bytes_); }
    std::string name_of(std::uint64_t number) const {
        const pg::Lsn last_byte((number + 1) * segment_bytes_ - 1);
        return pg::segment_name({history_.timeline_at(last_byte), number}, segment_bytes_);
    }

private:
    pg::TimelineHistory history_;
    std::uint64_t segment_bytes_;
};

/// Fetches back to the last checkpoint before `parted`, where pg_rewind begins to read, or to the first segment that cannot be
/// had.
void restore_back_to_checkpoint(MissingWal& wal, const ClusterWal& target, pg::Lsn parted, std::uint64_t segment_bytes) {
    for (auto number = target.number_of(parted);; --number) {
        const auto name = target.name_of(number);
        if (!wal.ensure(name)) return;
        const auto content = read_text_file(wal.path(name), segment_bytes);
        if (pg::last_checkpoint_record(bytes_of(content), parted, wal.path(name))) return;
        // The cluster's first segment is number 1.
        if (number <= 1)
            throw Error(ErrorKind::corrupt, fmt::format("there is no checkpoint before {} in the target's WAL", parted.text()),
                        "is its pg_wal of this cluster?");
    }
}

pg::Lsn end_of(const pg::ControlFile& control) { return std::max(control.checkpoint, control.min_recovery); }

class WalRestore : public Verb {
public:
    std::string name() const override { return "wal-restore"; }
    std::string help() const override {
        return "Fetch the WAL that pg_rewind of one data directory to another reads, and the rewound server after it";
    }
    void options(CLI::App& command) override {
        command.add_option("target_pgdata", target_, "The data directory that will be rewound")->required();
        command.add_option("source_pgdata", source_, "The data directory that it will be rewound to")->required();
    }

    int run(Context& context) override {
        const auto target = pg::read_control_file(target_), source = pg::read_control_file(source_);
        if (target.system != source.system)
            throw Error(ErrorKind::refused,
                        fmt::format("{} and {} are of different clusters: {} and {}", target_, source_, target.system.number(),
                                    source.system.number()),
                        "pg_rewind wants the old primary and a promoted standby of it");
        MissingWal wal(context, target_), of_source(context, source_);
        if (target.timeline != pg::TimelineId(1)) wal.ensure(fs::path(history_path(target_, target.timeline)).filename());
        if (wal.failed() == 0) {
            const auto history = history_of(target_, target.timeline), source_history = history_of(source_, source.timeline);
            const auto parted = pg::divergence(history, source_history);
            restore(context, wal, target, history, parted);
            if (parted) restore_source(of_source, source, source_history, *parted);
        }
        context.log.info("{} files fetched into {}/pg_wal", wal.fetched(), target_);
        if (of_source.fetched() > 0) context.log.info("{} files fetched into {}/pg_wal", of_source.fetched(), source_);
        const auto failed = wal.failed() + of_source.failed();
        if (failed == 0 || context.as_walg) return 0;
        throw Error(ErrorKind::failed,
                    fmt::format("{} files that pg_rewind, or the rewound server after it, may need were not fetched", failed),
                    "the lines above name them; without them a new base backup is the way on");
    }

private:
    static void restore(Context& context, MissingWal& wal, const pg::ControlFile& target, const pg::TimelineHistory& history,
                        std::optional<pg::Lsn> parted) {
        const auto end = end_of(target);
        if (!parted || end <= *parted) {
            context.log.info("The target has no WAL that the source has not: there is nothing to rewind");
            return;
        }
        const auto common = history.timeline_at(pg::Lsn(parted->bytes() - 1)); // at that place the target may be on its own
        context.log.info("The clusters parted at {} on timeline {}", parted->text(), common.number());
        const ClusterWal names(history, target.wal_segment_bytes);
        restore_back_to_checkpoint(wal, names, *parted, target.wal_segment_bytes);
        for (auto number = names.number_of(*parted) + 1; number <= names.number_of(end); ++number)
            wal.ensure(names.name_of(number));
    }

    /// The target will follow the source from where they parted, and the source may have lost some of that WAL.
    static void restore_source(MissingWal& wal, const pg::ControlFile& source, const pg::TimelineHistory& history,
                               pg::Lsn parted) {
        const ClusterWal names(history, source.wal_segment_bytes);
        for (auto number = names.number_of(parted); number <= names.number_of(end_of(source)); ++number)
            wal.ensure(names.name_of(number));
    }

    std::string target_, source_;
};

} // namespace

std::unique_ptr<Verb> make_wal_restore() { return std::make_unique<WalRestore>(); }

} // namespace walgd::cli

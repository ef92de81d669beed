#include "common/backup/push/delta_basis.hpp"

#include "common/archive/catalogue.hpp"
#include "common/archive/layout.hpp"
#include "common/backup/tar_fetch.hpp"
#include "common/backup/timeline_source.hpp"
#include "common/pg/control_file.hpp"
#include "common/pg/page.hpp"

#include <fmt/format.h>

namespace walgd::backup {

namespace {

constexpr int first_with_summaries = 170000;
/// WAL is read instead of the cluster's files only if it has so much less.
constexpr std::uint64_t wal_share = 4;
/// From it on CREATE DATABASE writes all pages into the WAL unless it is told to copy files.
constexpr int first_with_logged_databases = 150000;
/// By so much the clocks of two hosts may differ.
constexpr std::chrono::hours clock_slack{1};

void tell_full(Log& log, const std::string& why, bool unexpected) {
    if (why.empty()) return;
    const auto text = fmt::format("{}. Doing full backup.", why);
    if (unexpected)
        log.warn("{}", text);
    else
        log.info("{}", text);
}

/// Whether the parent's pages have checksums. WAL-G's sentinels do not tell, the backup's pg_control does. Nothing where that
/// cannot be read, with a public key alone.
std::optional<bool> checksums_of(archive::Archive& archive, const DeltaParent& parent, const std::stop_token& stop) {
    if (parent.sentinel().data_checksums) return parent.sentinel().data_checksums;
    if (archive.packing.cipher != nullptr && !archive.packing.cipher->can_decrypt()) return std::nullopt;
    const auto folder = archive::tar_folder(parent.name());
    const auto page = run_blocking(archive.io, storage::list_all(archive.storage, folder, false), stop);
    for (const auto& object : page.objects) {
        const auto name = std::string_view(object.key.path()).substr(object.key.path().rfind('/') + 1);
        const auto* compression = archive::compression_of_tar(name);
        if (!name.starts_with("pg_control.tar") || compression == nullptr) continue;
        return fetch_control(archive, {object.key, object.bytes, compression, {}}, stop).data_checksum_version != 0;
    }
    throw Error(ErrorKind::corrupt, fmt::format("{} has no pg_control.tar", folder));
}

/// Why the parent's pages cannot stay below ours; empty if they can. Turned on, checksums are in every page, and no LSN is new.
std::string reason_in_checksums(archive::Archive& archive, const DeltaParent& parent, bool now, const std::stop_token& stop) {
    const auto then = checksums_of(archive, parent, stop);
    if (!then)
        return fmt::format("Whether pages have checksums in {} is told by its pg_control alone, which a public key does not read",
                           parent.name());
    return *then == now ? std::string()
                        : fmt::format("Page checksums were turned {} since {}", now ? "on" : "off", parent.name());
}

} // namespace

DeltaBasis::DeltaBasis(archive::Archive& archive, const DeltaWish& wish, pg::Lsn from, const pg::ServerFacts& facts,
                       std::string pgdata, std::stop_token stop)
    : archive_(archive), wish_(wish.source), use_maps_(wish.use_maps), asked_(from), from_(from), facts_(facts),
      pgdata_(std::move(pgdata)), stop_(std::move(stop)) {}

std::unique_ptr<DeltaBasis> DeltaBasis::for_standby(archive::Archive& archive, const DeltaWish& wish, pg::Lsn from,
                                                    const pg::ServerFacts& facts, const std::string& pgdata,
                                                    std::stop_token stop) {
    std::unique_ptr<DeltaBasis> basis(new DeltaBasis(archive, wish, from, facts, pgdata, std::move(stop)));
    // A standby puts on its disk what it replayed only as far as there is a checkpoint in the WAL: whoever names the end of what
    // it replayed means a later place than its disk is at.
    const auto checkpoint = pg::read_control_file(pgdata).redo;
    if (checkpoint < from) {
        archive.log.info("What changed since {} is taken too: the last checkpoint began there, and no standby's disk is farther",
                         checkpoint.text());
        basis->from_ = checkpoint;
    }
    return basis;
}

std::unique_ptr<DeltaBasis> DeltaBasis::choose(archive::Archive& archive, const DeltaWish& wish, const pg::ServerFacts& facts,
                                               const std::string& pgdata, std::stop_token stop) {
    auto choice = choose_parent(archive, wish, facts.system, stop);
    if (!choice.parent) {
        tell_full(archive.log, choice.why_full, choice.unexpected);
        return nullptr;
    }
    ParentFiles files;
    try {
        if (const auto reason = reason_in_checksums(archive, *choice.parent, facts.data_checksums, stop); !reason.empty()) {
            tell_full(archive.log, reason, false);
            return nullptr;
        }
        files = read_parent_files(archive, choice.parent->name(), stop);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::misconfigured) throw;
        tell_full(archive.log, fmt::format("{} is no sound parent ({})", choice.parent->name(), error.what()), true);
        return nullptr;
    }
    if (!files.find("/")) {
        tell_full(archive.log,
                  fmt::format("{} was copied by BASE_BACKUP, or by another program than walgd and WAL-G: its list of files lacks "
                              "the data directory itself",
                              choice.parent->name()),
                  false);
        return nullptr;
    }
    std::unique_ptr<DeltaBasis> basis(new DeltaBasis(archive, wish, choice.parent->start_lsn(), facts, pgdata, std::move(stop)));
    basis->parent_ = std::move(choice.parent);
    basis->parent_files_ = std::move(files);
    return basis;
}

std::string DeltaBasis::reason_to_be_full(const pg::BackupStart& start, pg::TimelineHistory& history) const {
    try {
        history = read_history(archive_, pgdata_, start.timeline, stop_);
        return reason_against(*parent_, start, history);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        return error.what();
    }
}

void DeltaBasis::require_past(const pg::BackupStart& start) const {
    if (asked_ <= start.lsn) return;
    throw Error(
        ErrorKind::refused,
        fmt::format("--from-lsn {} is ahead of this server: its backup would start at {}", asked_.text(), start.lsn.text()),
        "name the lagging standby's own place (pg_controldata of it: Latest checkpoint's REDO location), and connect to the "
        "server that it lags behind");
}

/// A time before the standby's place: that of the newest base backup that started before it.
std::optional<Time> DeltaBasis::databases_since() const {
    const auto backups = run_blocking(archive_.io, archive::list_backups(archive_.storage.answering()), stop_);
    auto reading = archive::read_details(archive_.storage, backups, 1);
    std::optional<Time> since;
    for (const auto& [entry, metadata, trouble] : run_blocking(archive_.io, std::move(reading), stop_)) {
        const bool before = metadata.start_lsn && *metadata.start_lsn <= from_ && metadata.system == facts_.system;
        if (before && metadata.start_time != Time())
            since = std::max(since.value_or(Time::min()), metadata.start_time - clock_slack);
    }
    if (since || facts_.version_num >= first_with_logged_databases) return since;
    archive_.log.warn("No base backup of the archive started before {}: which databases are younger is not known, and all are "
                      "copied whole",
                      from_.text());
    return Time::min();
}

bool DeltaBasis::begin(pg::Server& server, const pg::BackupStart& start, std::uint64_t cluster_bytes) {
    pg::TimelineHistory history;
    if (parent_) {
        if (const auto reason = reason_to_be_full(start, history); !reason.empty()) {
            tell_full(archive_.log, reason, true);
            return false;
        }
    } else {
        require_past(start);
        history = read_history(archive_, pgdata_, start.timeline, stop_);
    }
    find_changes(server, {from_, start.lsn, std::move(history)}, cluster_bytes);
    const DeltaFiles::Options options{.pgdata = pgdata_,
                                      .parent_start = from_,
                                      .block_bytes = facts_.block_bytes,
                                      .relation_file_bytes = facts_.relation_file_bytes,
                                      .hint_bits_logged = facts_.data_checksums,
                                      .for_standby = !parent_,
                                      .databases_since = parent_ || changes_ ? std::nullopt : databases_since()};
    rules_ = std::make_unique<DeltaFiles>(options, parent_files_, changes_ ? &*changes_ : nullptr);
    archive_.log.info("{} with LSN {}; what changed since is told by: {}",
                      parent_ ? fmt::format("Delta backup from {}", parent_->name()) : "Catchup backup for a standby",
                      from_.text(), source_);
    return true;
}

/// Best first: what costs least. Each counts only if it speaks of all WAL of the range.
void DeltaBasis::find_changes(pg::Server& server, const ChangeRange& range, std::uint64_t cluster_bytes) {
    using Source = DeltaWish::Source;
    source_ = "scan of page LSNs";
    auto wanted = [this](Source source) { return wish_ == Source::best || wish_ == source; };
    auto take = [this](FoundChanges found, const char* name) {
        if (!found.changes) archive_.log.info("No use of {}: {}", name, found.why_not);
        if (found.changes) source_ = name;
        changes_ = std::move(found.changes);
        return changes_.has_value();
    };
    if (wanted(Source::summaries) && facts_.version_num >= first_with_summaries &&
        take(changes_by_summaries(archive_, server, pgdata_, range, stop_), "WAL summaries"))
        return;
    if (((wish_ == Source::best && use_maps_) || wish_ == Source::map) &&
        take(changes_by_maps(archive_, pgdata_, range, facts_.segment_bytes, facts_.system, stop_), "maps of changed pages"))
        return;
    const auto wal_bytes = range.to.bytes() - range.from.bytes();
    if (wish_ == Source::wal || (wish_ == Source::best && wal_bytes <= cluster_bytes / wal_share))
        take(changes_by_wal(archive_, pgdata_, range, facts_.segment_bytes, stop_), "block references of the WAL");
}

archive::DeltaOrigin DeltaBasis::origin() const { return parent_ ? parent_->origin() : archive::DeltaOrigin{from_, "", "", 1}; }

std::string DeltaBasis::name_suffix() const {
    return parent_ ? fmt::format("{}{}", archive::delta_mark, archive::first_segment_in(parent_->name())) : std::string();
}

void DeltaBasis::confirm() const {
    if (!parent_) return;
    for (const auto& link : parent_->chain) {
        if (run_blocking(archive_.io, archive_.storage.head(archive::sentinel_key(link.backup)), stop_)) continue;
        throw Error(ErrorKind::refused,
                    fmt::format("{} was deleted while a delta on {} was taken, which cannot be restored without it", link.backup,
                                parent_->name()),
                    "run backup-push again");
    }
}

void DeltaBasis::make_permanent() const {
    if (parent_) make_chain_permanent(archive_, *parent_, stop_);
}

void DeltaBasis::tell(const PartsResult& copied) const {
    archive_.log.info("Read {} MiB of the cluster's {} MiB by {}: {} files left as they were, {} by pages",
                      copied.read_bytes >> 20, copied.catalog_bytes >> 20, source_, copied.files_skipped,
                      copied.files_incremented);
}

} // namespace walgd::backup

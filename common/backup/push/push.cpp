#include "common/backup/push/push.hpp"

#include "common/archive/catalogue.hpp"
#include "common/archive/journal.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/system_guard.hpp"
#include "common/backup/push/stop_wal.hpp"
#include "common/base/host_name.hpp"
#include "common/pg/wal_name.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <thread>

namespace walgd::backup {

namespace {

/// Held by the session that takes a backup: "walgd" as a number.
constexpr std::string_view take_lock = "select pg_try_advisory_lock(512970878564)";
constexpr std::string_view drop_lock = "select pg_advisory_unlock(512970878564)";
/// Such a lock is of one database, and a backup may be taken by way of each.
constexpr std::string_view other_has_lock =
    "select exists (select from pg_locks where locktype = 'advisory' and granted and objsubid = 1 and "
    "(classid::bigint << 32 | objid::bigint) = 512970878564 and pid <> pg_backend_pid())";
/// A server lets go of a session's lock some moments after the session's end.
constexpr std::chrono::milliseconds lock_wait{100};
constexpr int lock_tries = 20;
constexpr std::chrono::seconds cleanup_limit{60};
constexpr std::uint64_t part_bytes_least = 32 << 20;
/// So many parts for each core, so that a restore keeps all busy until the end.
constexpr std::uint64_t parts_a_core = 4;
constexpr unsigned cores_least = 4;

Time now() { return std::chrono::ceil<std::chrono::microseconds>(std::chrono::system_clock::now()); }

} // namespace

Push::Push(archive::Archive& archive, const PushOptions& options, Progress& progress, std::stop_token stop)
    : archive_(archive), options_(options), progress_(progress), stop_(std::move(stop)),
      folder_(options.catchup_from ? archive::catchup_folder : archive::backup_folder), places_(options.uploads),
      room_{archive, options.piece_bytes, places_, progress, stored_, stop_} {}

Push::~Push() = default;

PushResult Push::run() {
    if (!options_.user_data.empty()) user_data_ = archive::normalized_user_data(options_.user_data);
    if (user_data_ == "null") user_data_.clear(); // to WAL-G that is none, and its documents do not have it
    host_ = host_name();
    server_ = pg::Server::connect(options_.connection);
    facts_ = server_->facts();
    prepare();
    started_ = now();
    places_at_start_ = database_places();
    try {
        start();
        claim(archive_, intent(), stop_);
    } catch (...) {
        abandon();
        throw;
    }
    try {
        copy();
        finish();
    } catch (...) {
        abandon();
        rethrow_cleaned_up(as_error(std::current_exception()));
    }
    release(archive_, intent());
    progress_.phase = Phase::done;
    PushResult result{name_, sum_.plain_bytes, sum_.stored_bytes, sum_.corrupt_blocks, sum_.read_bytes, {}, {}};
    describe(result);
    return result;
}

/// The newest backup, when it ends behind all that the server has written; nothing also when that cannot be told.
std::string Push::backup_from_the_future() {
    if (facts_.in_recovery) return {};
    try {
        const auto backups = run_blocking(archive_.io, archive::list_backups(archive_.storage), stop_);
        if (backups.empty()) return {};
        const auto sentinel = run_blocking(archive_.io, archive::read_sentinel(archive_.storage, backups.back().name), stop_);
        const auto written = pg::Lsn::parse(server_->value("select pg_current_wal_lsn()"));
        return sentinel.finish_lsn && written && *sentinel.finish_lsn > *written ? backups.back().name : std::string();
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::cancelled) throw;
        return {};
    }
}

/// Where WAL-G would look at the newest backup's end alone, its words come along.
void Push::require_own_archive(const std::string& subject) {
    archive::SystemGuard guard(archive_);
    try {
        run_blocking(archive_.io, guard.check(facts_.system, subject), stop_);
    } catch (const Error& error) {
        const auto future = error.kind() == ErrorKind::refused ? backup_from_the_future() : std::string();
        if (future.empty()) throw;
        throw error.within(fmt::format("Finish LSN of backup {} greater than current LSN", future));
    }
}

bool Push::take_cluster() {
    if (server_->value(std::string(take_lock)) != "t") return false;
    if (server_->value(std::string(other_has_lock)) != "t") return true;
    server_->value(std::string(drop_lock));
    return false;
}

void Push::enter(const std::string& subject, std::string intent_place) {
    intent_place_ = std::move(intent_place);
    require_own_archive(subject);
    for (int tries_left = lock_tries; !take_cluster(); --tries_left) {
        if (tries_left == 0)
            throw Error(ErrorKind::refused, "a base backup of this cluster is being taken already",
                        "wait for it; the session that takes it is in pg_stat_activity as application walgd");
        std::this_thread::sleep_for(lock_wait);
    }
    remove_leftovers(archive_, intent(), stop_);
}

std::uint64_t Push::part_bytes(std::uint64_t total) const {
    // A tenth is for what packing may add, and for the file that makes the part full.
    const auto in_one_object = options_.piece_bytes * (storage::pieces_max - storage::pieces_max / 10);
    if (options_.part_bytes_given) return std::min(options_.part_bytes_max, in_one_object);
    const auto cores = std::max(cores_least, std::thread::hardware_concurrency());
    return std::clamp(total / (parts_a_core * cores), part_bytes_least, std::max(part_bytes_least, options_.part_bytes_max));
}

std::map<std::string, std::string> Push::database_places() {
    std::map<std::string, std::string> places;
    for (const auto& row : server_->rows("select oid, dattablespace from pg_catalog.pg_database")) places[row.at(0)] = row.at(1);
    return places;
}

/// The WAL of a move says only that one folder is to be copied from the other, which was removed behind it: before it was copied
/// here, maybe, and then recovery would end with an empty database.
void Push::require_no_moved_database() {
    for (const auto& [oid, place] : database_places()) {
        const auto before = places_at_start_.find(oid);
        if (before == places_at_start_.end() || before->second == place) continue;
        throw Error(ErrorKind::refused,
                    fmt::format("database {} was moved from tablespace {} to {} while it was copied, which no recovery repeats; "
                                "the copy is no backup",
                                oid, before->second, place),
                    "run backup-push again");
    }
}

void Push::finish() {
    stop();
    require_no_moved_database();
    finished_ = now();
    put_document(archive::metadata_key(name_, folder_), to_json(metadata()));
    if (options_.files_metadata) {
        ObjectUpload files(room_, archive::files_metadata_key(name_, folder_));
        files_.finish(files);
    }
    // A standby that catches up has the WAL behind it from its primary.
    if (!is_catchup()) wait_for_last_wal();
    progress_.phase = Phase::finishing;
    confirm();
    stored_.require_all(archive_, fmt::format("{}{}/", folder_, name_), stop_);
    put_document(archive::sentinel_key(name_, folder_), to_json(sentinel()));
    if (options_.count_journals && !options_.delta.permanent) count_journal();
}

/// The backup is there by now: what fails here costs the count alone.
void Push::count_journal() {
    try {
        run_blocking(archive_.io, archive::add_journal(archive_.storage, name_, finished_), stop_);
    } catch (const Error& error) {
        archive_.log.warn("the WAL between the backups is not counted: {}", error.what());
    }
}

void Push::wait_for_last_wal() {
    const auto number = (finish_lsn_.bytes() - 1) / facts_.segment_bytes;
    const auto segment = pg::segment_name({start_.timeline, number}, facts_.segment_bytes);
    progress_.phase = Phase::waiting_for_wal;
    // Of a standby that does not count: its primary archives.
    if (facts_.archive_mode == "off" && !facts_.in_recovery) {
        archive_.log.warn("archive_mode is off: backup {} needs the WAL up to {} from elsewhere to be of use", name_, segment);
        return;
    }
    const StopWal wal{facts_.system, start_.timeline, start_.lsn, finish_lsn_, facts_.segment_bytes};
    const StopWalOptions waiting{.limit = options_.wal_wait, .from_standby = facts_.in_recovery};
    wait_for_wal(options_.wal_archive == nullptr ? archive_ : *options_.wal_archive, *server_, wal, waiting, stop_);
}

void Push::put_document(const storage::ObjectKey& key, const std::string& text) {
    const storage::PutOptions first{.if_absent = true, .metadata = {}};
    const auto outcome = run_blocking(archive_.io, archive_.storage.put(key, bytes_of(text), first), stop_);
    if (outcome == storage::PutOutcome::exists)
        throw Error(ErrorKind::refused, fmt::format("{} exists already, and nothing is overwritten", key.path()),
                    "another backup of the same name was taken meanwhile: take this one again");
    stored_.add(key, text.size());
}

void Push::add(const PartsResult& part) {
    sum_.plain_bytes += part.plain_bytes;
    sum_.stored_bytes += part.stored_bytes;
    sum_.catalog_bytes += part.catalog_bytes;
    sum_.corrupt_blocks += part.corrupt_blocks;
    sum_.read_bytes += part.read_bytes;
}

archive::BackupMetadata Push::metadata() const {
    archive::BackupMetadata metadata;
    metadata.start_time = started_;
    metadata.finish_time = finished_;
    metadata.hostname = host_;
    metadata.data_dir = facts_.data_directory;
    metadata.pg_version = facts_.version_num;
    metadata.start_lsn = start_.lsn;
    metadata.finish_lsn = finish_lsn_;
    metadata.is_permanent = options_.delta.permanent;
    metadata.system = facts_.system;
    metadata.uncompressed_bytes = static_cast<std::int64_t>(sum_.plain_bytes);
    metadata.compressed_bytes = static_cast<std::int64_t>(sum_.stored_bytes);
    metadata.user_data = user_data_;
    return metadata;
}

archive::Sentinel Push::sentinel() const {
    archive::Sentinel sentinel;
    sentinel.start_lsn = start_.lsn;
    sentinel.finish_lsn = finish_lsn_;
    sentinel.data_checksums = facts_.data_checksums;
    sentinel.pg_version = facts_.version_num;
    sentinel.system = facts_.system;
    sentinel.uncompressed_bytes = static_cast<std::int64_t>(sum_.plain_bytes);
    sentinel.compressed_bytes = static_cast<std::int64_t>(sum_.stored_bytes);
    sentinel.data_catalog_bytes = static_cast<std::int64_t>(sum_.catalog_bytes);
    sentinel.spec = spec_;
    sentinel.user_data = user_data_;
    sentinel.files_metadata_disabled = !options_.files_metadata;
    sentinel.version = 2;
    sentinel.start_time = started_;
    sentinel.finish_time = finished_;
    sentinel.hostname = host_;
    sentinel.data_dir = facts_.data_directory;
    sentinel.is_permanent = options_.delta.permanent;
    describe(sentinel);
    return sentinel;
}

void Push::rethrow_cleaned_up(const Error& error) {
    // Nothing can be told apart once a sentinel may have been stored: then the backup is what it is.
    std::string rest;
    try {
        remove_unfinished(archive_, intent(), cleanup_limit);
    } catch (const std::exception&) {
        rest = fmt::format("what was stored of {} is still in the storage ({}); the next backup-push or catchup-push removes it",
                           name_, walgd::describe(std::current_exception()));
    }
    throw Error(error.kind(), error.what(),
                rest.empty() || error.hint().empty() ? error.hint() + rest : error.hint() + "; " + rest);
}

} // namespace walgd::backup

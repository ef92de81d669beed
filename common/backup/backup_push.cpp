#include "common/backup/backup_push.hpp"

#include "common/archive/documents.hpp"
#include "common/archive/system_guard.hpp"
#include "common/backup/database_names.hpp"
#include "common/backup/delta_basis.hpp"
#include "common/backup/intent.hpp"
#include "common/backup/parts.hpp"
#include "common/backup/server_watch.hpp"
#include "common/backup/stop_wal.hpp"
#include "common/base/files.hpp"
#include "common/base/host_name.hpp"
#include "common/pg/control_file.hpp"
#include "common/pg/wal_name.hpp"

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <thread>
#include <unistd.h>

namespace walgd::backup {

namespace {

/// Held by the session that takes a backup, in the connected database: "walgd" as a number.
constexpr std::string_view take_lock = "select pg_try_advisory_lock(512970878564)";
constexpr std::chrono::seconds cleanup_limit{60};
constexpr std::uint64_t part_bytes_least = 32 << 20;
/// So many parts for each core, so that a restore keeps all busy until the end.
constexpr std::uint64_t parts_a_core = 4;
constexpr unsigned cores_least = 4;
constexpr int control_reads_max = 10;

std::string real_path(const std::string& path) {
    const std::unique_ptr<char, FreeWith<&std::free>> real(::realpath(path.c_str(), nullptr));
    if (!real) throw_errno(fmt::format("cannot find the data directory {}", path));
    return real.get();
}

Time now() { return std::chrono::ceil<std::chrono::microseconds>(std::chrono::system_clock::now()); }

std::uint64_t part_bytes(const PushOptions& options, std::uint64_t total) {
    if (options.part_bytes_given) return options.part_bytes_max;
    const auto cores = std::max(cores_least, std::thread::hardware_concurrency());
    return std::clamp(total / (parts_a_core * cores), part_bytes_least, std::max(part_bytes_least, options.part_bytes_max));
}

/// One backup being taken, step by step.
class Push {
public:
    Push(archive::Archive& archive, const PushOptions& options, Progress& progress, std::stop_token stop)
        : archive_(archive), options_(options), progress_(progress), stop_(std::move(stop)),
          folder_(options.catchup_from ? archive::catchup_folder : archive::backup_folder), places_(options.uploads),
          room_{archive, options.piece_bytes, places_, progress, stop_} {}

    PushResult run() {
        if (!options_.user_data.empty()) user_data_ = archive::normalized_user_data(options_.user_data);
        prepare();
        start();
        try {
            claim(archive_, intent(), stop_);
        } catch (...) {
            server_.reset(); // out of backup mode
            throw;
        }
        try {
            copy();
            finish();
        } catch (...) {
            server_.reset();
            rethrow_cleaned_up(as_error(std::current_exception()));
        }
        release(archive_, intent());
        progress_.phase = Phase::done;
        PushResult result{name_, plain_bytes_, stored_bytes_, corrupt_blocks_, read_bytes_, {}, {}};
        if (basis_) result.parent = basis_->parent_name();
        if (basis_) result.source = basis_->source();
        return result;
    }

private:
    Intent intent() const { return {name_, host_, facts_.data_directory, std::string(folder_)}; }
    bool is_catchup() const { return options_.catchup_from.has_value(); }
    /// What the walk leaves out beside what no backup has.
    std::span<const std::string_view> left_out() const {
        return is_catchup() ? std::span<const std::string_view>(own_settings) : std::span<const std::string_view>();
    }

    /// Everything that can be refused before the server starts a backup.
    void prepare() {
        host_ = host_name();
        server_ = pg::Server::connect(options_.connection);
        facts_ = server_->facts();
        pgdata_ = checked_pgdata(options_.pgdata, facts_);
        archive::SystemGuard guard(archive_);
        run_blocking(archive_.io, guard.check(facts_.system, pgdata_), stop_);
        if (server_->value(std::string(take_lock)) != "t")
            throw Error(ErrorKind::refused, "a base backup of this cluster is being taken already",
                        "wait for it; the session that takes it is in pg_stat_activity as application walgd");
        remove_leftovers(archive_, host_, facts_.data_directory, stop_);
        if (is_catchup())
            basis_ = DeltaBasis::for_standby(archive_, options_.delta, *options_.catchup_from, facts_, pgdata_, stop_);
        else if (options_.files_metadata)
            basis_ = DeltaBasis::choose(archive_, options_.delta, facts_, pgdata_, stop_);
        PgdataWalk walk(pgdata_, left_out());
        std::uint64_t total = 0;
        walk.run([&](const WalkedEntry& entry) {
            if (entry.type == WalkedEntry::Type::file) total += static_cast<std::uint64_t>(entry.about.st_size);
            if (stop_.stop_requested()) throw Error(ErrorKind::cancelled, "the backup was cancelled");
        });
        progress_.bytes_total = total;
    }

    void start() {
        started_ = now();
        archive_.log.info("Starting a {} of {} ({} MiB); the server makes a checkpoint first",
                          is_catchup() ? "catchup backup"
                          : basis_     ? "delta backup"
                                       : "full base backup",
                          pgdata_, progress_.bytes_total.load() >> 20);
        start_ = server_->start_backup(format_time(started_));
        if (basis_ && !basis_->begin(*server_, start_, progress_.bytes_total)) basis_.reset();
        name_ = "base_" + start_.start_segment + (basis_ ? basis_->name_suffix() : "");
        spec_.base_prefix = facts_.data_directory;
        for (const auto& tablespace : server_->tablespaces())
            spec_.tablespaces.push_back({std::to_string(tablespace.oid), tablespace.location});
    }

    void copy() {
        if (options_.table_names && options_.files_metadata)
            collect_database_names(*server_, options_.connection, files_.databases(), archive_.log, stop_);
        progress_.phase = Phase::copying;
        if (basis_ && options_.delta.permanent) basis_->make_permanent();
        const CopySource source{.verify = options_.verify && facts_.data_checksums,
                                .block_bytes = facts_.block_bytes,
                                .start = start_.lsn,
                                .log = archive_.log,
                                .name_all_corrupt = options_.name_all_corrupt,
                                .delta = basis_ ? &basis_->files() : nullptr};
        const PartsOptions parts{.pgdata = pgdata_,
                                 .backup = name_,
                                 .part_bytes_max = part_bytes(options_, progress_.bytes_total),
                                 .readers = std::max(1U, options_.readers),
                                 .by_database = options_.by_database,
                                 .folder = folder_,
                                 .left_out = left_out()};
        const auto copied = copy_parts(source, parts);
        add(copied);
        if (basis_) basis_->tell(copied);
        add(push_tar(room_, {folder_, name_, "pg_control"}, {control_file()}));
    }

    PartsResult copy_parts(const CopySource& source, const PartsOptions& parts) {
        ServerWatch watch(*server_, stop_);
        UploadRoom watched{archive_, options_.piece_bytes, places_, progress_, watch.token()};
        PartsResult copied;
        try {
            copied = push_parts(watched, source, files_, parts);
        } catch (...) {
            watch.end(); // throws the cause, if it is the server
            throw;
        }
        watch.end();
        return copied;
    }

    void finish() {
        const auto stopped = server_->stop_backup();
        finish_lsn_ = stopped.lsn;
        std::vector<SmallFile> labels;
        for (const auto& [name, text] :
             {std::pair("backup_label", &stopped.backup_label), std::pair("tablespace_map", &stopped.tablespace_map)}) {
            codec::TarMember member;
            member.name = name;
            labels.push_back({member, *text});
        }
        add(push_tar(room_, {folder_, name_, "backup_label"}, labels));
        finished_ = now();
        put_document(archive::metadata_key(name_, folder_), to_json(metadata()));
        if (options_.files_metadata) {
            ObjectUpload files(room_, archive::files_metadata_key(name_, folder_));
            files_.finish(files);
        }
        // A standby that catches up has the WAL behind it from its primary.
        if (!is_catchup()) wait_for_last_wal(stopped.lsn);
        progress_.phase = Phase::finishing;
        put_document(archive::sentinel_key(name_, folder_), to_json(sentinel()));
    }

    void wait_for_last_wal(pg::Lsn stop_lsn) {
        const auto number = (stop_lsn.bytes() - 1) / facts_.segment_bytes;
        const auto segment = pg::segment_name({start_.timeline, number}, facts_.segment_bytes);
        progress_.phase = Phase::waiting_for_wal;
        // Of a standby that does not count: its primary archives.
        if (facts_.archive_mode == "off" && !facts_.in_recovery) {
            archive_.log.warn("archive_mode is off: backup {} needs the WAL up to {} from elsewhere to be of use", name_,
                              segment);
            return;
        }
        const StopWalOptions waiting{.limit = options_.wal_wait, .from_standby = facts_.in_recovery};
        wait_for_wal(archive_, *server_, segment, waiting, stop_);
    }

    SmallFile control_file() const {
        const auto path = pgdata_ + "/global/pg_control";
        const auto file = open_file(path, O_RDONLY | O_CLOEXEC);
        struct stat about{};
        if (::fstat(file.get(), &about) != 0) throw_errno(fmt::format("cannot look at {}", path));
        SmallFile control;
        control.member.name = "/global/pg_control";
        control.member.mode = about.st_mode & 07777;
        control.member.uid = about.st_uid;
        control.member.gid = about.st_gid;
        control.member.mtime_seconds = about.st_mtim.tv_sec;
        // The server may be writing it: what has no right checksum is read again.
        for (int attempt = 1;; ++attempt) {
            control.content.assign(static_cast<std::size_t>(about.st_size), '\0');
            read_at(file.get(), std::as_writable_bytes(std::span(control.content)), 0, path);
            try {
                pg::parse_control_file(bytes_of(control.content), path);
                break;
            } catch (const Error&) {
                if (attempt == control_reads_max) throw;
            }
        }
        return control;
    }

    void put_document(const storage::ObjectKey& key, const std::string& text) {
        const storage::PutOptions first{.if_absent = true, .metadata = {}};
        const auto outcome = run_blocking(archive_.io, archive_.storage.put(key, bytes_of(text), first), stop_);
        if (outcome == storage::PutOutcome::exists)
            throw Error(ErrorKind::refused, fmt::format("{} exists already, and nothing is overwritten", key.path()),
                        "another backup of the same name was taken meanwhile: take this one again");
    }

    void add(const PartsResult& part) {
        plain_bytes_ += part.plain_bytes;
        stored_bytes_ += part.stored_bytes;
        catalog_bytes_ += part.catalog_bytes;
        corrupt_blocks_ += part.corrupt_blocks;
        read_bytes_ += part.read_bytes;
    }

    archive::BackupMetadata metadata() const {
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
        metadata.uncompressed_bytes = static_cast<std::int64_t>(plain_bytes_);
        metadata.compressed_bytes = static_cast<std::int64_t>(stored_bytes_);
        metadata.user_data = user_data_;
        return metadata;
    }

    archive::Sentinel sentinel() const {
        archive::Sentinel sentinel;
        sentinel.start_lsn = start_.lsn;
        sentinel.finish_lsn = finish_lsn_;
        if (basis_) sentinel.delta = basis_->origin();
        sentinel.data_checksums = facts_.data_checksums;
        sentinel.pg_version = facts_.version_num;
        sentinel.system = facts_.system;
        sentinel.uncompressed_bytes = static_cast<std::int64_t>(plain_bytes_);
        sentinel.compressed_bytes = static_cast<std::int64_t>(stored_bytes_);
        sentinel.data_catalog_bytes = static_cast<std::int64_t>(catalog_bytes_);
        if (!spec_.tablespaces.empty()) sentinel.spec = spec_;
        sentinel.user_data = user_data_;
        sentinel.files_metadata_disabled = !options_.files_metadata;
        sentinel.version = 2;
        sentinel.start_time = started_;
        sentinel.finish_time = finished_;
        sentinel.hostname = host_;
        sentinel.data_dir = facts_.data_directory;
        sentinel.is_permanent = options_.delta.permanent;
        return sentinel;
    }

    [[noreturn]] void rethrow_cleaned_up(const Error& error) {
        // Nothing can be told apart once a sentinel may have been stored: then the backup is what it is.
        std::string rest;
        try {
            remove_unfinished(archive_, intent(), cleanup_limit);
        } catch (const std::exception&) {
            rest =
                fmt::format("what was stored of {} is still in the storage ({}); the next backup-push or catchup-push removes it",
                            name_, describe(std::current_exception()));
        }
        throw Error(error.kind(), error.what(),
                    rest.empty() || error.hint().empty() ? error.hint() + rest : error.hint() + "; " + rest);
    }

    archive::Archive& archive_;
    const PushOptions& options_;
    Progress& progress_;
    std::stop_token stop_;
    std::string_view folder_;
    MemoryBudget places_;
    UploadRoom room_;
    FilesSpool files_;
    std::unique_ptr<pg::Server> server_;
    std::unique_ptr<DeltaBasis> basis_; ///< nothing: a full backup
    pg::ServerFacts facts_;
    pg::BackupStart start_;
    pg::Lsn finish_lsn_{0};
    archive::TablespaceSpec spec_;
    std::string host_, pgdata_, name_, user_data_;
    Time started_{}, finished_{};
    std::uint64_t plain_bytes_ = 0, stored_bytes_ = 0, catalog_bytes_ = 0, corrupt_blocks_ = 0, read_bytes_ = 0;
};

} // namespace

std::string checked_pgdata(const std::string& pgdata, const pg::ServerFacts& facts) {
    if (pgdata.empty() && ::access(facts.data_directory.c_str(), F_OK) != 0 && errno == ENOENT)
        throw Error(ErrorKind::refused,
                    fmt::format("the connected server's data directory {} is not on this host", facts.data_directory),
                    "a base backup reads the server's files: run it on the server's host, or name where they are mounted");
    const auto given = real_path(pgdata.empty() ? facts.data_directory : pgdata);
    if (!pgdata.empty() && given != facts.data_directory && given != real_path(facts.data_directory))
        throw Error(ErrorKind::refused,
                    fmt::format("Data directory from command line '{}' is not the same as Postgres' one '{}'", pgdata,
                                facts.data_directory),
                    "do PGHOST and PGPORT lead to the server of that directory?");
    const auto control = pg::read_control_file(given);
    if (control.system != facts.system)
        throw Error(ErrorKind::refused,
                    fmt::format("{} is of the cluster {}, the connected server of the cluster {}", given, control.system.number(),
                                facts.system.number()),
                    "does the server run on another host? A backup reads the files of this one");
    return given;
}

PushResult backup_push(archive::Archive& archive, const PushOptions& options, Progress& progress, std::stop_token stop) {
    Push push(archive, options, progress, std::move(stop));
    const auto result = push.run();
    archive.log.info("Wrote backup with name {}", result.name);
    return result;
}

} // namespace walgd::backup

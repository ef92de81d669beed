#include "common/backup/push/backup_push.hpp"

#include "common/backup/push/damage_report.hpp"
#include "common/backup/push/database_names.hpp"
#include "common/backup/push/delta_basis.hpp"
#include "common/backup/push/former_parts.hpp"
#include "common/backup/push/push.hpp"
#include "common/backup/push/ratings.hpp"
#include "common/backup/push/server_watch.hpp"
#include "common/base/files.hpp"
#include "common/pg/control_file.hpp"

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <set>
#include <unistd.h>

namespace walgd::backup {

namespace {

constexpr int control_reads_max = 10;

std::string real_path(const std::string& path) {
    const std::unique_ptr<char, FreeWith<&std::free>> real(::realpath(path.c_str(), nullptr));
    if (!real) throw_errno(fmt::format("cannot find the data directory {}", path));
    return real.get();
}

/// We read the server's files.
class LocalPush : public Push {
public:
    using Push::Push;

private:
    /// What the walk leaves out beside what no backup has.
    std::span<const std::string_view> left_out() const {
        return is_catchup() ? std::span<const std::string_view>(own_settings) : std::span<const std::string_view>();
    }

    void prepare() override {
        pgdata_ = checked_pgdata(options_.pgdata, facts_);
        enter(pgdata_, facts_.data_directory);
        if (is_catchup())
            basis_ = DeltaBasis::for_standby(archive_, options_.delta, *options_.catchup_from, facts_, pgdata_, stop_);
        else if (options_.copy_parts)
            former_ = FormerParts::choose(archive_, facts_, stop_);
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

    void start() override {
        archive_.log.info("Starting a {} of {} ({} MiB); the server makes a checkpoint first",
                          is_catchup() ? "catchup backup"
                          : basis_     ? "delta backup"
                                       : "full base backup",
                          pgdata_, progress_.bytes_total.load() >> 20);
        start_ = server_->start_backup(format_time(started_));
        if (basis_ && !basis_->begin(*server_, start_, progress_.bytes_total)) basis_.reset();
        if (former_ && !former_->begin(start_, pgdata_)) former_.reset();
        name_ = "base_" + start_.start_segment + (basis_ ? basis_->name_suffix() : "");
        archive::TablespaceSpec spec;
        spec.base_prefix = facts_.data_directory;
        for (const auto& tablespace : server_->tablespaces())
            spec.tablespaces.push_back({std::to_string(tablespace.oid), tablespace.location});
        if (!spec.tablespaces.empty()) spec_ = spec;
    }

    void copy() override {
        if (options_.table_names && options_.files_metadata)
            collect_database_names(*server_, options_.connection, files_.databases(), archive_.log, stop_);
        const auto ratings = rated();
        progress_.phase = Phase::copying;
        if (basis_ && options_.delta.permanent) basis_->make_permanent();
        const CopySource source{.verify = options_.verify && facts_.data_checksums,
                                .block_bytes = facts_.block_bytes,
                                .relation_file_bytes = facts_.relation_file_bytes,
                                .start = start_.lsn,
                                .log = archive_.log,
                                .name_all_corrupt = options_.name_all_corrupt,
                                .delta = basis_ ? &basis_->files() : nullptr};
        std::set<std::string> tablespaces;
        if (spec_) {
            for (const auto& entry : spec_->tablespaces) tablespaces.insert(entry.name);
        }
        PartsOptions parts{.pgdata = pgdata_,
                           .backup = name_,
                           .part_bytes_max = part_bytes(progress_.bytes_total),
                           .readers = std::max(1U, options_.readers),
                           .disk_bytes_per_second = options_.disk_bytes_per_second,
                           .by_database = options_.by_database,
                           .ratings = ratings ? &*ratings : nullptr,
                           .folder = folder_,
                           .left_out = left_out(),
                           .tablespaces = std::move(tablespaces)};
        const auto copied = copy_parts(source, std::move(parts));
        add(copied);
        if (basis_) basis_->tell(copied);
        add(push_tar(room_, {folder_, name_, "pg_control"}, {control_file()}));
    }

    /// Nothing: files are put into parts as they come.
    std::optional<Ratings> rated() {
        if (!options_.by_rating || is_catchup()) return std::nullopt;
        auto ratings = collect_ratings(*server_, options_.connection, archive_.log, stop_);
        if (!ratings.empty()) return ratings;
        // A standby counts nothing.
        archive_.log.info(
            "The server's statistics know of no row that was written: parts are composed as without --rating-composer");
        return std::nullopt;
    }

    PartsResult copy_parts(const CopySource& source, PartsOptions parts) {
        ServerWatch watch(*server_, stop_);
        UploadRoom watched{archive_, options_.piece_bytes, places_, progress_, stored_, watch.token()};
        PartsResult copied;
        try {
            if (former_) add(former_->take(watched, source, files_, parts, options_.uploads));
            parts.taken = former_.get();
            copied = push_parts(watched, source, files_, parts);
        } catch (...) {
            watch.end(); // throws the cause, if it is the server
            throw;
        }
        watch.end();
        return copied;
    }

    void stop() override {
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

    void describe(archive::Sentinel& sentinel) const override {
        if (basis_) sentinel.delta = basis_->origin();
    }
    void confirm() override {
        if (basis_) basis_->confirm();
    }
    void describe(PushResult& result) const override {
        if (!basis_) return;
        result.parent = basis_->parent_name();
        result.source = basis_->source();
    }

    std::unique_ptr<DeltaBasis> basis_;   ///< nothing: a full backup
    std::unique_ptr<FormerParts> former_; ///< nothing: all parts are made anew
    std::string pgdata_;
};

} // namespace

std::string checked_pgdata(const std::string& pgdata, const pg::ServerFacts& facts) {
    if (::access(facts.data_directory.c_str(), F_OK) != 0 && errno == ENOENT)
        throw Error(ErrorKind::refused,
                    fmt::format("the connected server's data directory {} is not on this host", facts.data_directory),
                    "run it on the server's host; or leave the directory out, and PGDATA unset: then the server sends its files");
    const auto given = real_path(pgdata);
    if (given != facts.data_directory && given != real_path(facts.data_directory))
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
    const bool remote = options.pgdata.empty() && !options.catchup_from;
    const auto push = remote ? make_remote_push(archive, options, progress, std::move(stop))
                             : std::make_unique<LocalPush>(archive, options, progress, std::move(stop));
    const auto result = push->run();
    // Before the last line, where scripts look for the name.
    if (result.corrupt_blocks > 0) archive.log.warn("{}", damage_text(result.corrupt_blocks));
    archive.log.info("Wrote backup with name {}", result.name);
    return result;
}

} // namespace walgd::backup

#include "common/backup/push/push.hpp"
#include "common/backup/push/server_copy.hpp"
#include "common/pg/base_backup.hpp"
#include "common/pg/wal_name.hpp"

#include <fmt/format.h>

namespace walgd::backup {

namespace {

constexpr auto on_the_host = "run it on the server's host with the data directory named: backup-push DIRECTORY";
constexpr std::string_view may_read_files =
    "select has_function_privilege('pg_read_binary_file(text,bigint,bigint,boolean)', 'execute')";

class RemotePush : public Push {
public:
    using Push::Push;

private:
    /// A connection that was cut because of a stop is no failure of the server.
    template <class Work> auto guarded(Work work) {
        try {
            return work();
        } catch (...) {
            if (stop_.stop_requested()) throw Error(ErrorKind::cancelled, "the backup was cancelled");
            throw;
        }
    }

    void prepare() override {
        stream_ = pg::BaseBackup::connect(options_.connection);
        if (const auto system = stream_->system(); system != facts_.system)
            throw Error(ErrorKind::refused,
                        fmt::format("one connection led to the cluster {}, the one for replication to {} ({})",
                                    facts_.system.number(), system.number(), stream_->name()),
                        "let PGHOST and PGPORT name one server");
        expect_full();
        // Of the server, not of this host: two servers may have their files in the same place.
        enter("the server (" + stream_->name() + ")", fmt::format("{} ({})", facts_.data_directory, stream_->name()));
    }

    void expect_full() const {
        if (options_.copy_parts || options_.by_rating)
            archive_.log.info(
                "The server sends its files whole and in its own order (no data directory was named): copy composer "
                "and rating composer have no effect");
        const auto& wish = options_.delta;
        if (wish.full) return;
        if (!wish.from_name.empty() || !wish.from_user_data.empty())
            throw Error(ErrorKind::refused,
                        "a server sends its files whole, so no backup without a directory can be a delta of the one that "
                        "--delta-from-name or --delta-from-user-data names",
                        on_the_host);
        if (wish.steps_max > 0)
            archive_.log.info("The server sends its files whole (no data directory was named). Doing full backup.");
    }

    void start() override {
        archive_.log.info("Starting a full base backup, sent by the server ({}); it makes a checkpoint first", stream_->name());
        const std::stop_callback on_stop(stop_, [this] { stream_->break_off(); });
        const auto begun = guarded([&] { return stream_->start(format_time(started_)); });
        start_.lsn = begun.lsn;
        start_.timeline = begun.timeline;
        start_.start_segment = pg::segment_name({begun.timeline, begun.lsn.bytes() / facts_.segment_bytes}, facts_.segment_bytes);
        name_ = "base_" + start_.start_segment;
        progress_.bytes_total = begun.bytes_total;
        spec_.emplace();
        spec_->base_prefix = facts_.data_directory;
        for (const auto& tablespace : begun.tablespaces) {
            const bool in_place = !tablespace.location.starts_with('/'); // a folder in pg_tblspc, as any other
            if (!in_place) spec_->tablespaces.push_back({std::to_string(tablespace.oid), tablespace.location});
        }
    }

    void copy() override {
        progress_.phase = Phase::copying;
        const std::stop_callback on_stop(stop_, [this] { stream_->break_off(); });
        ServerCopy copier(room_, files_, copy_options(),
                          [this](const std::string& file, std::uint64_t offset) { return page_of(file, offset); });
        finish_lsn_ = guarded([&] { return stream_->receive(copier); });
        add(copier.finish(facts_.system));
        auto control = push_tar(room_, {folder_, name_, "pg_control"}, {copier.control_file()});
        control.plain_bytes = 0; // counted as it came
        add(control);
    }

    /// The server has left backup mode when it told the end.
    void stop() override { stream_.reset(); }
    void abandon() override {
        stream_.reset();
        Push::abandon();
    }

    ServerCopyOptions copy_options() {
        const auto mode = server_->value("show data_directory_mode");
        return {.backup = name_,
                .part_bytes_max = part_bytes(progress_.bytes_total),
                .by_database = options_.by_database,
                .verify = options_.verify && facts_.data_checksums,
                .block_bytes = facts_.block_bytes,
                .relation_file_bytes = facts_.relation_file_bytes,
                .start = start_.lsn,
                .name_all_corrupt = options_.name_all_corrupt,
                .root_mode = static_cast<unsigned>(std::stoul(mode, nullptr, 8))};
    }

    /// A page as it is now. Nothing for users without the right to read the server's files.
    std::optional<std::string> page_of(const std::string& file, std::uint64_t offset) {
        const bool nameable = file.find('\'') == std::string::npos;
        if (!nameable || server_->value(std::string(may_read_files)) != "t") return std::nullopt;
        return from_hex(server_->value(fmt::format("select coalesce(encode(pg_read_binary_file('{}', {}, {}, true), 'hex'), '')",
                                                   file, offset, facts_.block_bytes)));
    }

    std::unique_ptr<pg::BaseBackup> stream_;
};

} // namespace

std::unique_ptr<Push> make_remote_push(archive::Archive& archive, const PushOptions& options, Progress& progress,
                                       std::stop_token stop) {
    return std::make_unique<RemotePush>(archive, options, progress, std::move(stop));
}

} // namespace walgd::backup

#include "common/backup/restore/backup_fetch.hpp"
#include "client/walg/progress_printer.hpp"
#include "client/walg/verb.hpp"
#include "common/backup/restore/recovery_settings.hpp"
#include "common/base/files.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::cli {

namespace {

class BackupFetch : public Verb {
public:
    std::string name() const override { return "backup-fetch"; }
    std::string help() const override { return "Restore a base backup, with those that it is based on, into an empty folder"; }

    void options(CLI::App& command) override {
        fetch_.backup.clear();
        command
            .add_option("destination_directory", fetch_.destination, "Where to: an empty folder, or one that does not exist yet")
            ->required();
        command.add_option("backup_name", fetch_.backup, "A name of backup-list, or LATEST");
        command.add_option("--target-user-data", fetch_.user_data, "JSON: the backup that has this user data, instead of a name");
        command.add_option("--restore-spec", restore_spec_file_,
                           "File with the tablespaces' new places (JSON, as in the backup's sentinel)");
        command.add_option("--mask", fetch_.mask, "Only files that match, seen from the destination: base/16384/*");
        command
            .add_option("--restore-only", fetch_.restore_only,
                        "Only these databases and tables, and the catalogs: db,db/schema.table; * is any text")
            ->join(); // by ends of lines
        command.add_flag("--in-place", fetch_.in_place,
                         "The destination is a stopped cluster of the same system, older or damaged: rewrite only what differs");
        command.add_flag("--reverse-unpack", accepted_, "Accepted as WAL-G's: the newest backup of a chain comes first always");
        command.add_flag("--skip-redundant-tars", accepted_, "Accepted as WAL-G's: what is not needed is not fetched anyway");
        command.add_option("--target-storage", target_storage_,
                           "Work with this storage alone: default, or a name of WALG_FAILOVER_STORAGES");
    }

    int run(Context& context) override {
        context.target_storage = target_storage_;
        if (fetch_.user_data.empty()) fetch_.user_data = context.settings.text("fetch_target_user_data");
        if (fetch_.backup.empty() == fetch_.user_data.empty())
            throw Error(
                ErrorKind::misconfigured,
                "backup-fetch takes a backup's name or LATEST, or --target-user-data (WALG_FETCH_TARGET_USER_DATA), one of them",
                "walg backup-list shows the names");
        std::ranges::replace(fetch_.restore_only, '\n', ',');
        if (!restore_spec_file_.empty()) fetch_.restore_spec = read_text_file(restore_spec_file_);
        fetch_.downloads = static_cast<unsigned>(context.settings.number("download_concurrency"));
        fetch_.fsync = !context.settings.flag("tar_disable_fsync");
        auto& archive = context.archive();
        backup::Progress progress;
        const auto result = restore(context, archive, progress);
        context.log.info("Backup extraction complete. {} restored into {}: {} files, {} MiB", result.name, fetch_.destination,
                         result.files, result.bytes >> 20);
        if (!fetch_.mask.empty() && result.files == 0)
            context.log.warn("no file of the backup matches the mask '{}': it begins below the data directory, as base/16384/*",
                             fetch_.mask);
        if (!context.as_walg && fetch_.mask.empty())
            context.log.info(
                "To recover: touch {}/recovery.signal, set restore_command = 'walg-fetch \"%f\" \"%p\"', start PostgreSQL",
                fetch_.destination);
        if (backup::names_recovery_target(fetch_.destination))
            context.log.warn("{}/postgresql.auto.conf still has the target of an earlier recovery, where this one would end: "
                             "remove its recovery_target lines first, of walg restore all between its \"begin\" and \"end\"",
                             fetch_.destination);
        return 0;
    }

private:
    backup::FetchResult restore(Context& context, archive::Archive& archive, backup::Progress& progress) {
        const ProgressWatch watch("restore", context.log, progress);
        return backup::backup_fetch(archive, fetch_, progress, context.stop);
    }

    backup::FetchOptions fetch_;
    std::string restore_spec_file_, target_storage_;
    bool accepted_ = false;
};

} // namespace

std::unique_ptr<Verb> make_backup_fetch() { return std::make_unique<BackupFetch>(); }

} // namespace walgd::cli

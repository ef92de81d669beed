#include "client/walg/daemon_client.hpp"
#include "client/walg/progress_printer.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/documents.hpp"
#include "common/backup/push/damage_report.hpp"
#include "config/failover_settings.hpp"
#include "config/process.hpp"

namespace walgd::cli {

namespace {

class BackupPush : public Verb {
public:
    std::string name() const override { return "backup-push"; }
    std::string help() const override {
        return "Take a base backup, full or a delta (WALG_DELTA_MAX_STEPS); by the daemon, if one listens";
    }

    void options(CLI::App& command) override {
        command.add_option("db_directory", pgdata_,
                           "The cluster's data directory, or (not as wal-g) PGDATA; with neither, the server sends its files "
                           "(BASE_BACKUP), from any host: always a full backup");
        command.add_flag("-p,--permanent", permanent_, "Keep it until it is marked impermanent");
        command.add_flag("-f,--full", full_, "Take a full backup, not a delta");
        command.add_option("--delta-from-name", from_name_, "The backup to base a delta on, instead of the latest");
        command.add_option("--delta-from-user-data", from_user_data_, "The same, by that backup's user data")
            ->excludes("--delta-from-name");
        command.add_flag("--delta-from-wal-summaries", by_summaries_,
                         "Let WAL summaries tell what changed (PostgreSQL 17, summarize_wal = on): WALGD_DELTA_SOURCE=summaries");
        command.add_option("--add-user-data", user_data_, "JSON that is kept with the backup");
        command.add_flag("-v,--verify", verify_, "Check page checksums (on, unless WALG_VERIFY_PAGE_CHECKSUMS=false)");
        command.add_flag("-b,--database-composer", by_database_, "Begin a part of its own for the files of each database");
        command.add_flag("-r,--rating-composer", by_rating_, "Put files into one part that are updated about as often");
        command.add_flag("-c,--copy-composer", by_copy_,
                         "Take a full backup, for which the storage copies what parts of the latest full one are unchanged");
        command.add_flag("--without-files-metadata", no_files_, "Write no files_metadata.json: a full backup, no delta's base");
        command.add_option("--target-storage", target_storage_,
                           "Put it into this storage: default, or a name of WALG_FAILOVER_STORAGES");
        command.add_flag("--count-journals", count_journals_,
                         "Keep basebackups_005/journal_BACKUP: the bytes of WAL between backups (not of permanent ones)");
        command.add_flag("-s,--store-all-corrupt", all_corrupt_, "Name all damaged blocks in the metadata, not ten of a file");
    }

    int run(Context& context) override {
        auto options = config::push_options(context.settings);
        // WAL-G looks at no PGDATA here: without a directory the server sends its files.
        if (!pgdata_.empty() || context.as_walg) options.pgdata = pgdata_;
        options.delta.permanent = permanent_;
        if (by_copy_) options.copy_parts = true;
        options.delta.full = full_ || options.copy_parts; // so also for daemons that know no more
        if (by_rating_) options.by_rating = true;
        options.count_journals = count_journals_;
        if (by_summaries_) options.delta.source = backup::DeltaWish::Source::summaries;
        if (!from_name_.empty() || !from_user_data_.empty()) {
            options.delta.from_name = from_name_;
            options.delta.from_user_data = from_user_data_;
        }
        if (verify_) options.verify = true;
        if (by_database_) options.by_database = true;
        if (no_files_) options.files_metadata = false;
        if (all_corrupt_) options.name_all_corrupt = true;
        if (!user_data_.empty()) options.user_data = archive::normalized_user_data(user_data_);
        // The daemon has the settings of its own; wal-g is told everything by its environment, and asks nobody.
        context.target_storage = target_storage_;
        const bool by_daemon = !context.as_walg && target_storage_.empty();
        auto result = by_daemon ? backup_push_by_daemon(context, options, verify_) : std::nullopt;
        if (result) {
            if (result->corrupt_blocks > 0) context.log.warn("{}", backup::damage_text(result->corrupt_blocks));
        } else {
            auto& archive = context.archive();
            // WAL goes to the first storage that takes it, wherever the backup goes.
            std::unique_ptr<config::ArchiveSetup> all;
            if (context.storage_names().size() < config::storage_settings(context.settings).size()) {
                all = std::make_unique<config::ArchiveSetup>(context.settings, context.io, context.log,
                                                             std::string(config::all_storages));
                options.wal_archive = &all->archive();
            }
            backup::Progress progress;
            const ProgressWatch watch("backup", context.log, progress);
            result = backup::backup_push(archive, options, progress, context.stop);
            if (all) context.add_requests(*all->archive().meter);
        }
        // Scripts read WAL-G's last line: "Wrote backup with name ...".
        if (context.as_walg) return 0;
        context.log.info("Backup {}: {} MiB, {} MiB in the storage, {} MiB read", result->name, result->plain_bytes >> 20,
                         result->stored_bytes >> 20, result->read_bytes >> 20);
        if (!result->parent.empty()) context.log.info("It is a delta of {}, made by {}", result->parent, result->source);
        return 0;
    }

private:
    std::string pgdata_, user_data_, from_name_, from_user_data_, target_storage_;
    bool permanent_ = false, full_ = false, verify_ = false, all_corrupt_ = false, by_database_ = false, no_files_ = false,
         by_rating_ = false, by_copy_ = false, by_summaries_ = false, count_journals_ = false;
};

} // namespace

std::unique_ptr<Verb> make_backup_push() { return std::make_unique<BackupPush>(); }

} // namespace walgd::cli

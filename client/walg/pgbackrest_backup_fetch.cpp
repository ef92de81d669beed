#include "client/walg/pgbackrest.hpp"
#include "client/walg/progress_printer.hpp"
#include "common/base/files.hpp"
#include "common/pgbackrest/restore.hpp"

namespace walgd::cli {

namespace {

class PgbackrestBackupFetch : public PgbackrestWord {
public:
    std::string name() const override { return "backup-fetch"; }
    std::string help() const override {
        return "Restore a backup of the stanza, with those that it is based on, into an empty folder";
    }

    void options(CLI::App& command) override {
        command
            .add_option("destination_directory", restore_.destination,
                        "Where to: an empty folder, or one that does not exist yet")
            ->required();
        command.add_option("backup_name", restore_.backup, "A name of pgbackrest backup-list, or LATEST")->required();
        command.add_option("--restore-spec", restore_spec_file_,
                           "File with the tablespaces' new places (JSON, as backup-fetch takes it)");
    }

    int run(Context& context, pgbackrest::Repository& repository) override {
        if (!restore_spec_file_.empty()) restore_.restore_spec = read_text_file(restore_spec_file_);
        restore_.downloads = static_cast<unsigned>(context.settings.number("download_concurrency"));
        restore_.fsync = !context.settings.flag("tar_disable_fsync");
        backup::Progress progress;
        const auto result = restore(context, repository, progress);
        context.log.info("Backup extraction complete. {} restored into {}: {} files, {} MiB", result.label, restore_.destination,
                         result.files, result.bytes >> 20);
        if (!context.as_walg)
            context.log.info("To recover: touch {}/recovery.signal, set restore_command = 'walg pgbackrest wal-fetch \"%f\" "
                             "\"%p\"', start PostgreSQL",
                             restore_.destination);
        return 0;
    }

private:
    pgbackrest::RestoreResult restore(Context& context, pgbackrest::Repository& repository, backup::Progress& progress) {
        const ProgressWatch watch("restore", context.log, progress);
        return pgbackrest::restore(repository, restore_, progress, context.stop);
    }

    pgbackrest::RestoreOptions restore_;
    std::string restore_spec_file_;
};

} // namespace

std::unique_ptr<PgbackrestWord> make_pgbackrest_backup_fetch() { return std::make_unique<PgbackrestBackupFetch>(); }

} // namespace walgd::cli

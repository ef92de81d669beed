#include "common/backup/backup_fetch.hpp"
#include "client/walg/progress_printer.hpp"
#include "client/walg/verb.hpp"
#include "common/base/files.hpp"

#include <fmt/format.h>

namespace walgd::cli {

namespace {

class BackupFetch : public Verb {
public:
    std::string name() const override { return "backup-fetch"; }
    std::string help() const override { return "Restore a base backup into an empty folder"; }

    void options(CLI::App& command) override {
        command
            .add_option("destination_directory", fetch_.destination, "Where to: an empty folder, or one that does not exist yet")
            ->required();
        command.add_option("backup_name", fetch_.backup, "A name of backup-list, or LATEST")->required();
        command.add_option("--restore-spec", restore_spec_file_,
                           "File with the tablespaces' new places (JSON, as in the backup's sentinel)");
        command.add_flag("--reverse-unpack", accepted_, "Accepted as WAL-G's: full backups are written once in any order");
        command.add_flag("--skip-redundant-tars", accepted_, "Accepted as WAL-G's: a full backup has no redundant tars");
        command.add_option("--target-storage", target_storage_, "Accepted as WAL-G's; the only storage is 'default'")
            ->check(CLI::IsMember({"default"}));
    }

    int run(Context& context) override {
        if (!restore_spec_file_.empty()) fetch_.restore_spec = read_text_file(restore_spec_file_);
        fetch_.downloads = static_cast<unsigned>(context.settings.number("download_concurrency"));
        fetch_.fsync = !context.settings.flag("tar_disable_fsync");
        auto& archive = context.archive();
        backup::Progress progress;
        const auto result = restore(context, archive, progress);
        context.log.info("Backup extraction complete. {} restored into {}: {} files, {} MiB", result.name, fetch_.destination,
                         result.files, result.bytes >> 20);
        if (!context.as_walg)
            context.log.info(
                "To recover: touch {}/recovery.signal, set restore_command = 'walg-fetch \"%f\" \"%p\"', start PostgreSQL",
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

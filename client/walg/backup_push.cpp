#include "client/walg/daemon_client.hpp"
#include "client/walg/progress_printer.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/documents.hpp"
#include "config/process.hpp"

namespace walgd::cli {

namespace {

class BackupPush : public Verb {
public:
    std::string name() const override { return "backup-push"; }
    std::string help() const override { return "Take a full base backup; by the daemon, if one listens"; }

    void options(CLI::App& command) override {
        command.add_option("db_directory", pgdata_,
                           "The cluster's data directory; PGDATA or the connected server's if not given");
        command.add_flag("-p,--permanent", permanent_, "Keep it until it is marked impermanent");
        command.add_flag("-f,--full", full_, "Take a full backup (all of them are, in this version)");
        command.add_option("--add-user-data", user_data_, "JSON that is kept with the backup");
        command.add_flag("--verify", verify_, "Check page checksums (on, unless WALG_VERIFY_PAGE_CHECKSUMS=false)");
    }

    int run(Context& context) override {
        auto options = config::push_options(context.settings);
        if (!pgdata_.empty()) options.pgdata = pgdata_;
        options.permanent = permanent_;
        if (verify_) options.verify = true;
        if (!user_data_.empty()) options.user_data = archive::normalized_user_data(user_data_);
        // The daemon has the settings of its own; wal-g is told everything by its environment, and asks nobody.
        auto result = context.as_walg ? std::nullopt : backup_push_by_daemon(context, options);
        if (!result) {
            auto& archive = context.archive();
            backup::Progress progress;
            const ProgressWatch watch("backup", context.log, progress);
            result = backup::backup_push(archive, options, progress, context.stop);
        }
        if (result->corrupt_blocks > 0)
            context.log.warn("{} blocks of the cluster are damaged: files_metadata.json of the backup names them",
                             result->corrupt_blocks);
        context.log.info("Backup {}: {} MiB, {} MiB in the storage", result->name, result->plain_bytes >> 20,
                         result->stored_bytes >> 20);
        return 0;
    }

private:
    std::string pgdata_, user_data_;
    bool permanent_ = false, full_ = false, verify_ = false;
};

} // namespace

std::unique_ptr<Verb> make_backup_push() { return std::make_unique<BackupPush>(); }

} // namespace walgd::cli

#include "client/walg/progress_printer.hpp"
#include "client/walg/verb.hpp"
#include "common/backup/restore/backup_fetch.hpp"
#include "common/base/files.hpp"

namespace walgd::cli {

namespace {

class CatchupFetch : public Verb {
public:
    std::string name() const override { return "catchup-fetch"; }
    std::string help() const override { return "Bring a stopped standby up to a backup that catchup-push made for it"; }

    void options(CLI::App& command) override {
        command.add_option("db_directory", fetch_.destination, "The standby's data directory")->required();
        command.add_option("backup_name", fetch_.backup, "A name of catchup-list, or LATEST")->required();
        command.add_option("--restore-spec", restore_spec_file_,
                           "File with the tablespaces' places (JSON, as in the backup's sentinel), for those that are new");
        command.add_flag("--use-new-unwrap", accepted_, "Accepted as WAL-G's: there is one way to apply it");
    }

    int run(Context& context) override {
        if (!restore_spec_file_.empty()) fetch_.restore_spec = read_text_file(restore_spec_file_);
        fetch_.catchup = true;
        fetch_.downloads = static_cast<unsigned>(context.settings.number("download_concurrency"));
        fetch_.fsync = !context.settings.flag("tar_disable_fsync");
        auto& archive = context.archive();
        backup::Progress progress;
        const auto result = fetch(context, archive, progress);
        context.log.info("{} caught up with {}: {} files, {} MiB. Start it: it replays the WAL behind that", fetch_.destination,
                         result.name, result.files, result.bytes >> 20);
        return 0;
    }

private:
    backup::FetchResult fetch(Context& context, archive::Archive& archive, backup::Progress& progress) {
        const ProgressWatch watch("catchup", context.log, progress);
        return backup::backup_fetch(archive, fetch_, progress, context.stop);
    }

    backup::FetchOptions fetch_;
    std::string restore_spec_file_;
    bool accepted_ = false;
};

} // namespace

std::unique_ptr<Verb> make_catchup_fetch() { return std::make_unique<CatchupFetch>(); }

} // namespace walgd::cli

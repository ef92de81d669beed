#include "common/archive/retention/backup_mark.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/catalogue.hpp"
#include "common/archive/layout.hpp"

#include <fmt/format.h>

namespace walgd::cli {

namespace {

class BackupMark : public Verb {
public:
    std::string name() const override { return "backup-mark"; }
    std::string help() const override { return "Make a backup permanent, with all that it is based on: no delete takes it"; }

    void options(CLI::App& command) override {
        command.add_option("backup_name", backup_, "A name of backup-list")->required();
        command.add_flag("-i,--impermanent", impermanent_, "The other way round: deletes may take it again");
    }

    int run(Context& context) override {
        auto& archive = context.archive();
        const bool permanent = !impermanent_;
        if (context.as_walg) {
            context.log.info("Retrieving previous related backups to be marked: toPermanent={}", permanent);
            check_metadata(context);
        }
        auto taking = archive::take_inventory(archive, archive::unreadable_for_mark(permanent));
        const auto inventory = run_blocking(context.io, std::move(taking), context.stop);
        const auto names = archive::backups_to_mark(inventory, backup_, permanent);
        for (const auto& name : names) {
            run_blocking(context.io, archive::write_mark(archive.storage, name, permanent), context.stop);
            if (!context.as_walg) context.log.info("{} is {} now", name, permanent ? "permanent" : "not permanent any more");
        }
        if (names.empty() && !context.as_walg) context.log.info("{} is that already", backup_);
        return 0;
    }

private:
    /// What WAL-G says first of a backup that is not there.
    void check_metadata(Context& context) {
        const auto metadata = run_blocking(context.io, archive::read_metadata(context.archive().storage, backup_), context.stop);
        if (!metadata)
            throw Error(ErrorKind::refused,
                        fmt::format("Failed to get previous backups: object '{}/{}' not found in storage",
                                    context.archive().storage.describe(), archive::metadata_key(backup_).path()));
    }

    std::string backup_;
    bool impermanent_ = false;
};

} // namespace

std::unique_ptr<Verb> make_backup_mark() { return std::make_unique<BackupMark>(); }

} // namespace walgd::cli

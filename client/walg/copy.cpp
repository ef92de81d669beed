#include "client/walg/other_archive.hpp"
#include "common/archive/archive_copy.hpp"
#include "config/process.hpp"
#include "config/s3_settings.hpp"

namespace walgd::cli {

namespace {

class Copy : public Verb {
public:
    std::string name() const override { return "copy"; }
    std::string help() const override { return "Copy a backup with its WAL, or everything, to another archive, byte for byte"; }

    void options(CLI::App& command) override {
        command.add_option("-f,--from", from_, "Settings file of the archive to copy from")->required();
        command.add_option("-t,--to", to_, "Settings file of the archive to copy to")->required();
        command.add_option("-b,--backup-name", wish_.backup,
                           "This backup with all that it is based on (or LATEST); everything where it is not given");
        auto* with = command.add_flag("-w,--with-history", wish_.with_history,
                                      "All WAL from the backup on, not only what makes it consistent");
        command.add_flag("--without-history", without_history_, "Only the WAL that makes the backup consistent, as without both")
            ->excludes(with);
    }

    int run(Context& context) override {
        OtherArchive from(context, from_), to(context, to_);
        if (wish_.backup.empty())
            context.log.info("Copy all backups and history.");
        else
            context.log.info("Handle backupname '{}'.", wish_.backup);
        auto& target = to.archive();
        auto planned = archive::plan_copy(from.archive(), wish_, config::segment_bytes(from.settings()), context.at_once());
        const auto plan = run_blocking(context.io, std::move(planned), context.stop);
        const archive::CopyRoute route{
            .from = from.archive().storage,
            .to = {target.storage, context.io, target.budget, config::piece_bytes(to.settings()), context.stop},
            .at_once = context.at_once()};
        const auto copied = archive::run_copy(route, plan);
        for (const auto& path : copied.differing)
            context.log.warn("{} differs at the target, and stays as it is there: did backup-mark change it?", path);
        // Of a whole archive what retention takes meanwhile is not missed.
        if (!wish_.backup.empty() && copied.gone != 0)
            throw Error(ErrorKind::failed,
                        fmt::format("{} objects went away from {} while they were copied", copied.gone,
                                    from.archive().storage.describe()),
                        "was the backup deleted meanwhile? What was copied of it stays at the target");
        if (context.as_walg)
            context.log.info("Success copy.");
        else
            context.log.info("{} objects copied ({} bytes), {} were there already", copied.objects, copied.bytes,
                             copied.there_already);
        return 0;
    }

private:
    std::string from_, to_;
    archive::CopyWish wish_;
    bool without_history_ = false; // what is done anyway
};

} // namespace

std::unique_ptr<Verb> make_copy() { return std::make_unique<Copy>(); }

} // namespace walgd::cli

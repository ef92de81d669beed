#include "common/archive/wal/wal_push.hpp"
#include "client/walg/store_ahead.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/delta_recorder.hpp"
#include "common/base/files.hpp"

#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>

namespace walgd::cli {

namespace {

class WalPush : public Verb {
public:
    std::string name() const override { return "wal-push"; }
    std::string help() const override { return "Archive one WAL file (archive_command = 'walg wal-push \"%p\"')"; }

    void options(CLI::App& command) override {
        command.add_option("wal_filepath", path_, "The WAL file, as PostgreSQL says it in %p")->required();
        command.add_option("--target-storage", target_storage_,
                           "Work with this storage alone: default, or a name of WALG_FAILOVER_STORAGES");
    }

    int run(Context& context) override {
        context.target_storage = target_storage_;
        const auto name = std::filesystem::path(path_).filename().string();
        return context.as_walg ? push_as_walg(context, name) : push(context, name);
    }

private:
    archive::WalPushed store(Context& context, const std::string& name, const archive::WalPushOptions& options) {
        auto file = open_file(path_, O_RDONLY | O_CLOEXEC);
        auto& archive = context.archive();
        std::optional<archive::WalPusher> pusher;
        auto task = [&]() -> awaitable<archive::WalPushed> {
            pusher.emplace(archive, options);
            const auto pushed = co_await pusher->push(name, std::move(file));
            co_return pushed;
        };
        const auto pushed = run_blocking(context.io, task(), context.stop);
        context.stored_wal = {name, pushed.already_there ? 0 : pushed.stored_bytes};
        if (context.settings.flag("use_wal_delta")) record_changes(context, name, pushed, options.overwrite);
        return pushed;
    }

    /// The segment is stored, whatever becomes of this.
    void record_changes(Context& context, const std::string& name, const archive::WalPushed& pushed, bool replace) {
        const auto group = archive::DeltaGroup::ended_by(name, pushed.plain_bytes);
        if (!group) return;
        const auto pg_wal = std::filesystem::absolute(path_).parent_path().string();
        try {
            run_blocking(context.io, archive::record_group(context.archive(), pg_wal, *group, replace), context.stop);
        } catch (const Error& error) {
            context.log.warn("{} was not written: {}. A delta across it is made by another source", group->object_name(),
                             error.what());
        }
    }

    int push(Context& context, const std::string& name) {
        // Nobody found out whether this storage keeps If-None-Match: one look more makes sure.
        const archive::WalPushOptions options{.conditional_put = archive::ConditionalPut::look_first};
        tell(context, name, store(context, name, options));
        push_ahead(context, options);
        return 0;
    }

    void push_ahead(Context& context, const archive::WalPushOptions& options) {
        if (!context.settings.flag("pg_ready_rename")) return;
        store_ahead(context, path_, options, [&](const std::string& name, const archive::WalPushed& pushed) {
            context.stored_wal.reset(); // more than one file changed
            tell(context, name, pushed);
            if (context.settings.flag("use_wal_delta")) record_changes(context, name, pushed, options.overwrite);
        });
    }

    static void tell(Context& context, const std::string& name, const archive::WalPushed& pushed) {
        if (context.as_walg)
            context.log.info("FILE PATH: {}", archive::wal_key(name, context.archive().packing.compression->suffix())
                                                  .path()
                                                  .substr(archive::wal_folder.size()));
        else if (pushed.already_there)
            context.log.info("{} is in the archive already, with the same content", name);
        else
            context.log.info("{} is stored: {} bytes, {} in the storage", name, pushed.plain_bytes, pushed.stored_bytes);
    }

    int push_as_walg(Context& context, const std::string& name) {
        archive::WalPushOptions options;
        options.conditional_put = archive::ConditionalPut::look_first;
        options.check_header = false;
        options.any_name = true;
        options.overwrite = !context.settings.flag("prevent_wal_overwrite");
        context.log.info("Files will be uploaded to storage: {}", context.storage_names().front());
        path_ = std::filesystem::absolute(path_).string(); // as its messages say it
        std::error_code error;
        if (!std::filesystem::exists(path_, error))
            throw Error(ErrorKind::failed,
                        fmt::format("upload: could not open '{0}'\n: open {0}: no such file or directory", path_));
        if (!std::filesystem::is_regular_file(path_, error)) // what is refused below has other content
            throw Error(ErrorKind::failed, fmt::format("upload: could not read '{0}'\n: read {0}: is not a regular file", path_));
        archive::WalPushed pushed;
        try {
            pushed = store(context, name, options);
        } catch (const Error& refused) {
            if (refused.kind() == ErrorKind::corrupt)
                throw refused.within("Couldn't check whether there is an overwrite attempt due to inner error");
            if (refused.kind() != ErrorKind::refused) throw;
            throw Error(ErrorKind::refused,
                        fmt::format("WAL file '{}' already archived, contents differ, unable to overwrite", path_));
        }
        if (pushed.already_there)
            context.log.info("WAL file '{}' already archived with equal content, skipping", path_);
        else
            tell(context, name, pushed);
        push_ahead(context, options);
        return 0;
    }

    std::string path_, target_storage_;
};

} // namespace

std::unique_ptr<Verb> make_wal_push() { return std::make_unique<WalPush>(); }

} // namespace walgd::cli

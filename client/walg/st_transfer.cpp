#include "client/walg/st.hpp"
#include "common/archive/catalogue.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/object_move.hpp"
#include "config/s3_settings.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <random>

namespace walgd::cli {

namespace {

class Transfer : public StorageTool {
public:
    std::string name() const override { return "transfer"; }
    std::string help() const override { return "Move objects from another storage to this one"; }

    void options(CLI::App& command) override {
        command.require_subcommand(1);
        command
            .add_option("-s,--source", source_,
                        "Storage to move from: default, a name of WALG_FAILOVER_STORAGES, or the settings file of another one")
            ->required();
        command.add_flag("-o,--overwrite", overwrite_, "Move also what is in the target already, replacing it there");
        command.add_flag("-p,--preserve", move_.preserve, "Leave the source as it is: copy");
        command.add_flag("--fail-fast", move_.fail_fast, "End at the first object that cannot be moved");
        command.add_option("-c,--concurrency", concurrency_, "Groups that are moved at once")->check(CLI::Range(1, 1024));
        command.add_option("-m,--max-files", files_max_, "Move so many objects at most");
        command.add_option("--appearance-checks", move_.checks,
                           "Look for an object at its new place so often before it is removed; 0: do not look");
        command.add_option("--appearance-checks-interval", interval_, "Time between two looks, as 1s or 500ms");
        auto* files = command.add_subcommand("files", "All objects whose path begins so");
        files->fallthrough()->add_option("prefix", prefix_)->required();
        command.add_subcommand("pg-wals", "All WAL")->fallthrough()->callback([this] { prefix_ = archive::wal_folder; });
        auto* backups = command.add_subcommand("backups", "All backups, or one: its sentinel comes last and goes first");
        backups->fallthrough()->add_option("backup_name", backup_);
        backups->add_option("--max-backups", backups_max_, "Move so many backups at most");
        backups->callback([this] { backups_ = true; });
    }

    int run(StorageTools& tools) override {
        if (source_ == tools.name) throw Error(ErrorKind::misconfigured, "source and target storages must be different");
        for (const auto& name : {source_, tools.name}) {
            if (name == config::all_storages)
                throw Error(ErrorKind::misconfigured, "objects are moved from one storage to another, and 'all' is not one",
                            "name each: default, or a name of WALG_FAILOVER_STORAGES");
        }
        NamedArchive source(tools.context, source_);
        auto& from = source.archive().storage;
        auto& target = tools.target.archive();
        const auto interval = config::parse_duration(interval_);
        if (!interval)
            throw Error(ErrorKind::misconfigured, fmt::format("--appearance-checks-interval '{}' is no duration", interval_),
                        "like these: 500ms, 1s, 2m");
        move_.check_interval = *interval;
        // What a transfer that was cut short left of a backup is replaced; WAL, and whatever else, only where that is asked for.
        if (!backups_ && !overwrite_) move_.existing = archive::Existing::keep_same;
        const archive::CopyRoute route{.from = from,
                                       .to = {target.storage, tools.context.io, target.budget,
                                              config::piece_bytes(tools.target.settings()), tools.context.stop},
                                       .at_once = concurrency_};
        auto groups = limited(grouped(tools, missing(tools, from, target.storage)));
        if (overwrite_ && !move_.preserve && !groups.empty()) check_two_places(tools, from, target.storage);
        std::size_t left = 0;
        for (const auto& group : groups) left += group.size();
        auto& log = tools.context.log;
        if (backups_) log.info("Backups will be transferred: {}", groups.size());
        log.info("Files will be transferred: {}", left);
        const auto failures = archive::move_groups(
            route, groups, move_,
            [&](const std::string& path) { log.info("File is transferred ({} left): \"{}\"", --left, path); },
            [&](const std::string& path, const Error& error) { log.error("error with file \"{}\": {}", path, error.what()); });
        if (failures != 0)
            throw Error(ErrorKind::failed, fmt::format("finished with {} errors", failures),
                        "run it again: what was moved is not moved twice");
        return 0;
    }

private:
    /// What is moved onto itself would be gone. Names do not tell: two of them, two addresses or a link lead to one place.
    static void check_two_places(StorageTools& tools, storage::Storage& from, storage::Storage& to) {
        std::random_device dice;
        const storage::ObjectKey key(fmt::format("walgd_005/transfer-{:08x}{:08x}", dice(), dice()));
        run_blocking(tools.context.io, to.put(key, bytes_of("test"), {}), tools.context.stop);
        const auto seen = run_blocking(tools.context.io, from.head(key), tools.context.stop);
        if (!run_blocking(tools.context.io, to.remove({key}), tools.context.stop).empty())
            tools.context.log.warn("{} was not removed from {}", key.path(), to.describe());
        if (seen)
            throw Error(ErrorKind::misconfigured, "source and target storages must be different",
                        fmt::format("what is put into {} is in {} too: nothing was moved", to.describe(), from.describe()));
    }

    static std::vector<storage::ObjectInfo> below(StorageTools& tools, storage::Storage& storage, const std::string& prefix) {
        const auto slash = prefix.rfind('/');
        const auto folder = slash == std::string::npos ? std::string() : prefix.substr(0, slash + 1);
        auto page = run_blocking(tools.context.io, storage::list_all(storage, folder, true), tools.context.stop);
        std::erase_if(page.objects, [&](const storage::ObjectInfo& object) { return !object.key.path().starts_with(prefix); });
        return std::move(page.objects);
    }

    std::vector<storage::ObjectInfo> missing(StorageTools& tools, storage::Storage& from, storage::Storage& to) const {
        const auto given = prefix_.substr(std::min(prefix_.find_first_not_of('/'), prefix_.size()));
        const auto prefix = backups_ ? std::string(archive::backup_folder) : given;
        const auto ended = backups_ ? run_blocking(tools.context.io, archive::list_backups(from), tools.context.stop)
                                    : std::vector<archive::BackupEntry>();
        auto objects = below(tools, from, prefix);
        if (backups_) archive::leave_out_ended_since(ended, objects);
        tools.context.log.info("Total files in the source storage: {}", objects.size());
        std::map<std::string, std::uint64_t> there;
        const auto target = below(tools, to, prefix);
        for (const auto& object : target) there.emplace(object.key.path(), object.bytes);
        const auto whole = archive::backups_with_sentinel(target);
        std::erase_if(objects, [&](const storage::ObjectInfo& object) {
            const auto found = there.find(object.key.path());
            if (found == there.end()) return false;
            // A transfer that was cut short brought it there, and its backup does not exist there yet: it goes with the rest.
            if (backups_ && !whole.contains(archive::backup_of_object(object.key.path()))) return false;
            if (found->second != object.bytes)
                tools.context.log.warn("{} has {} bytes in the source storage and {} in the target", object.key.path(),
                                       object.bytes, found->second);
            return !overwrite_;
        });
        tools.context.log.info("Files missing in the target storage: {}", objects.size());
        return objects;
    }

    std::vector<archive::MoveGroup> grouped(StorageTools& tools, std::vector<storage::ObjectInfo> objects) const {
        if (!backups_) return archive::single_groups(std::move(objects));
        return archive::backup_groups(objects, backup_, [&](const std::string& text) { tools.context.log.info("{}", text); });
    }

    std::vector<archive::MoveGroup> limited(std::vector<archive::MoveGroup> groups) const {
        std::uint64_t files = 0;
        std::size_t count = 0;
        while (count < groups.size() && (!backups_ || count < backups_max_) && files + groups[count].size() <= files_max_)
            files += groups[count++].size();
        groups.resize(count);
        return groups;
    }

    archive::MoveOptions move_;
    std::string source_, prefix_, backup_, interval_ = "1s";
    bool overwrite_ = false, backups_ = false;
    unsigned concurrency_ = 10;
    std::uint64_t files_max_ = UINT64_MAX, backups_max_ = UINT64_MAX;
};

} // namespace

std::unique_ptr<StorageTool> make_st_transfer() { return std::make_unique<Transfer>(); }

} // namespace walgd::cli

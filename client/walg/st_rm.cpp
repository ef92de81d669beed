#include "client/walg/st.hpp"
#include "common/archive/layout.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <fnmatch.h>

namespace walgd::cli {

namespace {

class Remove : public StorageTool {
public:
    std::string name() const override { return "rm"; }
    std::string help() const override { return "Remove an object, or a folder with all that is below"; }
    void options(CLI::App& command) override {
        command.add_option("path", path_, "The object or folder")->required();
        command.add_flag("--all-versions", all_versions_, "Refused: older versions are not reached");
        command.add_option("--version-id", version_, "Refused: older versions are not reached");
    }

    int run(StorageTools& tools) override {
        if (all_versions_ || !version_.empty())
            throw Error(ErrorKind::refused, "versions of objects cannot be removed one by one", "use the storage's own tools");
        if (clean_path(path_).empty() || (tools.glob && matches_everything(clean_path(path_))))
            throw Error(ErrorKind::refused, "that would remove the whole storage", "name an object or a folder");
        const auto objects = objects_at(tools, path_);
        if (objects.empty() && !tools.glob)
            throw Error(ErrorKind::refused, fmt::format("object or folder \"{}\" does not exist", path_),
                        "st ls shows what there is");
        std::vector<storage::ObjectKey> keys;
        for (const auto& object : objects) keys.push_back(object.key);
        const auto failures =
            run_blocking(tools.context.io, tools.target.archive().storage.remove(std::move(keys)), tools.context.stop);
        for (const auto& failure : failures)
            tools.context.log.error("{} was not removed: {}", failure.key.path(), failure.error.what());
        if (!tools.context.as_walg) tools.context.log.info("{} objects removed", objects.size() - failures.size());
        return failures.empty() ? 0 : 1;
    }

private:
    static bool matches_everything(const std::string& pattern) {
        return std::ranges::all_of(std::array{archive::backup_folder, archive::wal_folder}, [&](std::string_view folder) {
            return ::fnmatch(pattern.c_str(), std::string(folder.substr(0, folder.size() - 1)).c_str(), FNM_PATHNAME) == 0;
        });
    }

    std::string path_, version_;
    bool all_versions_ = false;
};

} // namespace

std::unique_ptr<StorageTool> make_st_rm() { return std::make_unique<Remove>(); }

} // namespace walgd::cli

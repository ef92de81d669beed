#include "client/walg/st.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

namespace walgd::cli {

std::string clean_path(std::string path) {
    path.erase(0, std::min(path.find_first_not_of('/'), path.size()));
    path.erase(path.find_last_not_of('/') + 1);
    return path;
}

namespace {

std::vector<storage::ObjectInfo> matching(StorageTools& tools, const std::string& pattern, int flags) {
    // Listed from the last folder on that has no magic in its name.
    const auto magic = std::min(pattern.find_first_of("*?["), pattern.size());
    const auto slash = pattern.rfind('/', magic);
    const auto folder = slash == std::string::npos ? std::string() : pattern.substr(0, slash + 1);
    auto page =
        run_blocking(tools.context.io, storage::list_all(tools.target.archive().storage, folder, true), tools.context.stop);
    std::erase_if(page.objects, [&](const storage::ObjectInfo& object) {
        return ::fnmatch(pattern.c_str(), object.key.path().c_str(), flags) != 0;
    });
    return std::move(page.objects);
}

} // namespace

std::vector<storage::ObjectInfo> objects_matching(StorageTools& tools, const std::string& pattern) {
    return matching(tools, pattern, FNM_PATHNAME);
}

std::vector<storage::ObjectInfo> objects_at(StorageTools& tools, const std::string& path) {
    if (tools.glob) return matching(tools, clean_path(path), FNM_PATHNAME | FNM_LEADING_DIR);
    auto& storage = tools.target.archive().storage;
    const auto clean = clean_path(path);
    if (!clean.empty() && !path.ends_with('/')) {
        const auto object = run_blocking(tools.context.io, storage.head(storage::ObjectKey(clean)), tools.context.stop);
        if (object) return {*object};
    }
    return run_blocking(tools.context.io, storage::list_all(storage, clean.empty() ? clean : clean + "/", true),
                        tools.context.stop)
        .objects;
}

namespace {

class St : public Verb {
public:
    St() {
        for (auto* make : {&make_st_ls, &make_st_stat, &make_st_cat, &make_st_get, &make_st_put, &make_st_rm, &make_st_copy,
                           &make_st_check, &make_st_transfer})
            tools_.push_back(make());
    }
    std::string name() const override { return "st"; }
    std::string help() const override {
        return "The storage's objects as they are: list, read, write, remove, copy, check, transfer";
    }

    void options(CLI::App& command) override {
        command.require_subcommand(1);
        command.add_option("-t,--target", target_,
                           "Which storage: default, a name of WALG_FAILOVER_STORAGES, all, or the settings file of another one");
        command.add_flag("-g,--glob", glob_, "Paths are patterns: * and ? match within a name");
        for (const auto& tool : tools_) {
            auto* word = command.add_subcommand(tool->name(), tool->help());
            word->fallthrough();
            tool->options(*word);
            word->callback([this, tool = tool.get()] { chosen_ = tool; });
        }
    }

    int run(Context& context) override {
        return target_ == config::all_storages && chosen_->in_each_storage() ? run_in_each(context) : run_in(context, target_);
    }

private:
    int run_in(Context& context, const std::string& storage) {
        NamedArchive target(context, storage);
        StorageTools tools{context, target, glob_, storage};
        return chosen_->run(tools);
    }

    int run_in_each(Context& context) {
        const auto storages = config::storage_settings(context.settings);
        std::size_t failed = 0;
        for (const auto& storage : storages) {
            context.log.info("storage {}", storage.name);
            try {
                run_in(context, storage.name);
            } catch (const Error& error) {
                if (error.kind() == ErrorKind::cancelled) throw;
                context.log.error("{}", error.what());
                ++failed;
            }
        }
        if (failed == storages.size()) throw Error(ErrorKind::failed, "all storages failed");
        if (failed > 0 && !context.as_walg)
            throw Error(ErrorKind::failed, fmt::format("{} of {} storages failed", failed, storages.size()));
        return 0;
    }

    std::vector<std::unique_ptr<StorageTool>> tools_;
    StorageTool* chosen_ = nullptr;
    std::string target_ = "default";
    bool glob_ = false;
};

} // namespace

std::unique_ptr<Verb> make_st() { return std::make_unique<St>(); }

} // namespace walgd::cli

#include "client/walg/st.hpp"
#include "client/walg/listing.hpp"
#include "common/base/time_text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iostream>

namespace walgd::cli {

namespace {

/// As Go prints a time: "2026-11-22 22:33:08.635263604 +0000 UTC".
std::string go_time(Time time) {
    auto text = format_time(time);
    text.pop_back();
    text[text.find('T')] = ' ';
    return text + " +0000 UTC";
}

Row object_row(const storage::ObjectInfo& object, const std::string& name) {
    return {"obj", std::to_string(object.bytes), go_time(object.modified), name, "", ""};
}
Row folder_row(const std::string& name) { return {"dir", "0", go_time(Time()), name, "", ""}; }

/// The header has two columns less: WAL-G writes none over versions.
std::string table(const std::vector<Row>& rows) { return tabbed_table({"type", "size", "last modified", "name"}, rows); }

std::string no_versions() { return "walgd reads the current versions only; the storage's own tools show older ones"; }

class List : public StorageTool {
public:
    std::string name() const override { return "ls"; }
    std::string help() const override { return "List a folder"; }
    void options(CLI::App& command) override {
        command.add_option("folder", folder_, "Of the storage; the top where it is not given");
        command.add_flag("-r,--recursive", recursive_, "All that is below, not only the folder itself");
        command.add_flag("--all-versions", all_versions_, "Refused: older versions are not read");
    }

    int run(StorageTools& tools) override {
        if (all_versions_) throw Error(ErrorKind::refused, "--all-versions is not to be had", no_versions());
        std::cout << table(tools.glob ? matching(tools) : below(tools));
        return 0;
    }

private:
    std::vector<Row> matching(StorageTools& tools) const {
        std::vector<Row> rows;
        for (const auto& object : objects_matching(tools, clean_path(folder_)))
            rows.push_back(object_row(object, object.key.path()));
        return rows;
    }

    std::vector<Row> below(StorageTools& tools) const {
        const auto clean = clean_path(folder_);
        const auto folder = clean.empty() ? clean : clean + "/";
        auto page = run_blocking(tools.context.io, storage::list_all(tools.target.archive().storage, folder, recursive_),
                                 tools.context.stop);
        if (recursive_) sort_by_depth(page.objects);
        // WAL-G's file storage shows the folders of a folder with a leading slash.
        const bool slash = tools.context.as_walg && !clean.empty() && tools.target.settings().given("file_prefix");
        std::vector<Row> rows;
        for (const auto& path : page.folders) rows.push_back(folder_row((slash ? "/" : "") + path.substr(folder.size())));
        for (const auto& object : page.objects) rows.push_back(object_row(object, object.key.path().substr(folder.size())));
        return rows;
    }

    /// Folder by folder, those of one level after the other, as WAL-G walks them.
    static void sort_by_depth(std::vector<storage::ObjectInfo>& objects) {
        auto order = [](const storage::ObjectInfo& object) {
            const std::string_view path = object.key.path();
            const auto end = path.rfind('/');
            const auto parent = end == std::string_view::npos ? std::string_view() : path.substr(0, end);
            return std::tuple(std::ranges::count(path, '/'), parent, path);
        };
        std::ranges::sort(objects, {}, order);
    }

    std::string folder_;
    bool recursive_ = false, all_versions_ = false;
};

class Stat : public StorageTool {
public:
    std::string name() const override { return "stat"; }
    std::string help() const override { return "Size and time of one object"; }
    void options(CLI::App& command) override { command.add_option("path", path_, "The object")->required(); }

    int run(StorageTools& tools) override {
        const storage::ObjectKey key(clean_path(path_));
        const auto object = run_blocking(tools.context.io, tools.target.archive().storage.head(key), tools.context.stop);
        if (!object)
            throw Error(ErrorKind::refused, fmt::format("stat object \"{0}\": object '{0}' not found in storage", path_));
        std::cout << table({object_row(*object, key.path())});
        return 0;
    }

private:
    std::string path_;
};

} // namespace

std::unique_ptr<StorageTool> make_st_ls() { return std::make_unique<List>(); }
std::unique_ptr<StorageTool> make_st_stat() { return std::make_unique<Stat>(); }

} // namespace walgd::cli

#include "common/archive/retention/backup_mark.hpp"

#include "common/archive/json_text.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/retention/backup_graph.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace walgd::archive {

namespace {

/// The document with its mark changed, keys in their order and numbers as they are.
std::string marked(std::string_view text, bool permanent, const std::string& object) {
    if (too_deep(text))
        throw Error(ErrorKind::corrupt, fmt::format("{} has values in each other, too deep for any use", object),
                    "restore it from a copy");
    try {
        auto document = nlohmann::ordered_json::parse(text);
        std::string key = "is_permanent";
        for (const auto& [name, value] : document.items()) {
            if (lower_case(name) == "is_permanent") key = name;
        }
        document[key] = permanent;
        return document.dump();
    } catch (const nlohmann::json::exception& error) {
        throw Error(ErrorKind::corrupt, fmt::format("{} is not a backup's metadata: {}", object, json_complaint(error)),
                    "restore it from a copy");
    }
}

/// Error(corrupt) when the backup's sentinel is there, and cannot be read.
void check_readable(const Inventory& inventory, const std::string& name) {
    const auto key = sentinel_key(name);
    if (std::ranges::none_of(inventory.backup_objects, [&](const auto& object) { return object.key == key; })) return;
    throw Error(ErrorKind::corrupt, fmt::format("{} cannot be read: {}", key.path(), fmt::join(inventory.unreadable, "; ")),
                "restore it from a copy");
}

} // namespace

std::vector<std::string> backups_to_mark(const Inventory& inventory, const std::string& name, bool permanent) {
    const BackupGraph graph(inventory.backups);
    const auto* backup = graph.find(name);
    if (backup == nullptr) check_readable(inventory, name);
    if (backup == nullptr)
        throw Error(ErrorKind::refused, fmt::format("Backup '{}' does not exist.", name),
                    fmt::format("walg backup-list shows those of {}", inventory.where));
    std::vector<std::string> names;
    if (permanent) {
        // What it is based on first: killed in between, no permanent backup stands on one that is not.
        const auto chain = graph.chain(*backup);
        if (const auto& base = chain.back()->base; graph.find(base) == nullptr) check_readable(inventory, base);
        for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
            if (!(*link)->permanent || !(*link)->permanence_known) names.push_back((*link)->name);
        }
        return names;
    }
    for (const auto* dependant : graph.dependants(*backup)) {
        if (dependant != backup && dependant->permanent)
            throw Error(ErrorKind::refused, fmt::format("{} is permanent and based on {}", dependant->name, name),
                        fmt::format("walg backup-mark -i {} first", dependant->name));
    }
    if (backup->permanent) names.push_back(name);
    return names;
}

awaitable<void> write_mark(storage::Storage& storage, std::string backup, bool permanent) {
    const auto key = metadata_key(backup);
    bool found = false;
    for (auto* one : storage.each()) {
        const auto document = co_await storage::get_whole(*one, key, document_bytes_max);
        if (!document) continue;
        const auto text = marked(text_of(document->view()), permanent, key.path());
        co_await one->put(key, bytes_of(text), {});
        found = true;
    }
    if (!found)
        throw Error(ErrorKind::corrupt, fmt::format("{} is not there, and the mark stands in it", key.path()),
                    "restore it from a copy");
    if (!permanent) co_return;
    const auto sentinel = co_await storage.head(sentinel_key(backup));
    if (!sentinel)
        throw Error(ErrorKind::refused, fmt::format("backup {} was deleted while it was being marked", backup),
                    "walg backup-list shows what there is; walg delete garbage takes what is left of it");
}

} // namespace walgd::archive

#include "common/pgbackrest/restore_plan.hpp"

#include "common/base/error.hpp"
#include "common/pgbackrest/layout.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <tuple>

namespace walgd::pgbackrest {

namespace {

constexpr std::string_view data_folder = "pg_data", tablespaces_folder = "pg_tblspc";
/// Unneeded bytes between two files of a bundle that are read sooner than another request is made.
constexpr std::uint64_t gap_bytes_max = 256 << 10;

bool is_or_below(std::string_view name, std::string_view folder) {
    return name.starts_with(folder) && (name.size() == folder.size() || name[folder.size()] == '/');
}

/// `file` comes behind what the run reads already, in the same bundle and near.
bool continues(const StoredRun& run, const ManifestFile& last, const ManifestFile& file) {
    if (run.whole || last.label != file.label || last.bundle != file.bundle) return false;
    const auto end = run.offset + run.bytes;
    return file.bundle_offset >= end && file.bundle_offset - end <= gap_bytes_max;
}

} // namespace

RestoreRuns plan_runs(const Manifest& manifest) {
    const auto& files = manifest.files;
    RestoreRuns plan;
    for (std::uint32_t index = 0; index < files.size(); ++index) {
        if (files[index].name == "pg_data/tablespace_map") continue;
        (files[index].bytes == 0 ? plan.empty : plan.order).push_back(index);
    }
    std::ranges::sort(plan.order, {}, [&](std::uint32_t index) {
        const auto& file = files[index];
        return std::tuple(file.label, file.bundle, file.bundle_offset, index);
    });
    for (std::size_t at = 0; at < plan.order.size(); ++at) {
        const auto& file = files[plan.order[at]];
        if (at > 0 && continues(plan.runs.back(), files[plan.order[at - 1]], file)) {
            auto& run = plan.runs.back();
            ++run.count;
            run.bytes = file.bundle_offset + file.stored_bytes - run.offset;
        } else {
            plan.runs.push_back({at, 1, file.bundle_offset, file.stored_bytes, file.bundle == 0});
        }
    }
    return plan;
}

storage::ObjectKey key_of(const Manifest& manifest, const ManifestFile& file, const std::string& stanza) {
    const auto folder = fmt::format("{}{}/{}/", backup_folder, stanza, manifest.labels[file.label]);
    if (file.bundle != 0) return storage::ObjectKey(fmt::format("{}bundle/{}", folder, file.bundle));
    const auto suffix = manifest.compression->suffix();
    return storage::ObjectKey(fmt::format("{}{}{}{}", folder, file.name, suffix.empty() ? "" : ".", suffix));
}

std::string member_of(const std::string& name) {
    if (is_or_below(name, tablespaces_folder)) return name;
    if (!is_or_below(name, data_folder))
        throw Error(ErrorKind::corrupt, fmt::format("the manifest names '{}', which is in no data directory", name),
                    "the backup was tampered with");
    return name.substr(std::min(name.size(), data_folder.size() + 1));
}

} // namespace walgd::pgbackrest

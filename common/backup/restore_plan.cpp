#include "common/backup/restore_plan.hpp"

#include "common/archive/layout.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

/// What follows the last dot; "tar" and nothing at all mean a plain tar (WAL-G 3.0.8 left a trailing dot).
const codec::Compression* compression_of(std::string_view object) {
    const auto dot = object.rfind('.');
    const auto suffix = dot == std::string_view::npos ? std::string_view() : object.substr(dot + 1);
    return codec::compression_by_suffix(suffix == "tar" ? std::string_view() : suffix);
}

bool is_final(std::string_view name) {
    return name.find("pg_control.tar") != std::string_view::npos || name.find("backup_label.tar") != std::string_view::npos;
}

void sort_tars(RestorePlan& plan, const storage::ListPage& page) {
    for (const auto& object : page.objects) {
        const auto& path = object.key.path();
        const auto name = path.substr(path.rfind('/') + 1);
        const auto* compression = compression_of(name);
        if (compression == nullptr)
            throw Error(ErrorKind::corrupt, fmt::format("{} is in a format that nobody knows", path),
                        "only tars of the backup belong there; move it away and try again");
        (is_final(name) ? plan.finals : plan.parts).push_back({object.key, object.bytes, compression});
    }
    // The largest first, so that no core waits for one that was begun last.
    std::ranges::sort(plan.parts, std::ranges::greater{}, &TarObject::bytes);
}

} // namespace

RestorePlan plan_restore(archive::Archive& archive, const std::string& backup, const std::string& restore_spec) {
    RestorePlan plan;
    plan.backup = run_blocking(archive.io, archive::find_backup(archive.storage, backup));
    plan.sentinel = run_blocking(archive.io, archive::read_sentinel(archive.storage, plan.backup.name));
    if (plan.sentinel.delta)
        throw Error(ErrorKind::refused, fmt::format("{} is a delta backup; this version restores full ones", plan.backup.name),
                    fmt::format("restore the full backup it is based on, {}, and recover from there by WAL",
                                plan.sentinel.delta->full_name));
    const auto page = run_blocking(archive.io, storage::list_all(archive.storage, archive::tar_folder(plan.backup.name), true));
    sort_tars(plan, page);
    if (plan.parts.empty())
        throw Error(ErrorKind::corrupt, fmt::format("backup {} has no parts in {}", plan.backup.name, archive.storage.describe()),
                    "restore another backup: walg backup-list");
    if (plan.finals.empty())
        throw Error(ErrorKind::corrupt, fmt::format("Expect pg_control archive, but not found: backup {}", plan.backup.name),
                    "restore another backup: walg backup-list");
    plan.spec_given = !restore_spec.empty();
    plan.spec = plan.spec_given ? archive::parse_tablespace_spec(restore_spec, "the restore spec") : plan.sentinel.spec;
    return plan;
}

} // namespace walgd::backup

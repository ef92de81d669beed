#include "common/backup/restore/restore_plan.hpp"

#include "common/archive/catalogue.hpp"
#include "common/backup/member_name.hpp"
#include "common/backup/restore/backup_fetch.hpp"
#include "common/backup/restore/glob.hpp"
#include "common/base/sha256.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <set>

namespace walgd::backup {

namespace {

bool is_control(const TarObject& tar) { return tar.key.path().find("pg_control.tar") != std::string::npos; }
bool is_final_name(std::string_view name) {
    return name.find("pg_control.tar") != std::string_view::npos || name.find("backup_label.tar") != std::string_view::npos;
}
bool is_final(const TarObject& tar) { return is_final_name(tar.key.path()); }

std::string_view object_name(const storage::ObjectKey& key) {
    const std::string_view path = key.path();
    return path.substr(path.rfind('/') + 1);
}

std::vector<TarObject> list_tars(archive::Archive& archive, const RestorePlan& plan, const std::string& backup) {
    const auto folder = archive::tar_folder(backup, plan.folder());
    const auto page = run_blocking(archive.io, storage::list_all(archive.storage, folder, false));
    for (const auto& below : page.folders)
        archive.log.warn("{} is none of the backup's parts, and is left out with all that is below", below);
    std::vector<TarObject> tars;
    for (const auto& object : page.objects) {
        if (object.bytes == 0) continue; // as good as missing
        const auto* compression = archive::compression_of_tar(object_name(object.key));
        if (compression == nullptr && object.key.path().ends_with(fmt::format(".{}", codec::lzo_suffix)))
            throw Error(ErrorKind::refused, fmt::format("{} is packed with lzo, which walgd does not read", object.key.path()),
                        "WAL-G reads it: restore this backup with that, or another one: walg backup-list");
        if (compression == nullptr)
            throw Error(ErrorKind::corrupt, fmt::format("{} is in a format that nobody knows", object.key.path()),
                        "only tars of the backup belong there; move it away and try again");
        tars.push_back({object.key, object.bytes, compression,
                        fmt::format("{} {}", object.etag, object.modified.time_since_epoch().count())});
    }
    return tars;
}

void sort_tars(RestorePlan& plan, PlannedLink& link, std::vector<TarObject> tars) {
    const bool newest = plan.chain.empty();
    for (auto& tar : tars) {
        if (!is_final(tar))
            link.parts.push_back(std::move(tar));
        else if (newest)
            plan.finals.push_back(std::move(tar));
    }
    // The largest first, so that no core waits for one that was begun last.
    std::ranges::sort(link.parts, std::ranges::greater{}, &TarObject::bytes);
}

/// The cluster's own word for what the sentinels say, and for the size of its pages.
void read_control(archive::Archive& archive, RestorePlan& plan, const std::stop_token& stop) {
    const auto tar = std::ranges::find_if(plan.finals, is_control);
    if (tar == plan.finals.end()) return;
    const auto control = fetch_control(archive, *tar, stop);
    if (plan.system && *plan.system != control.system)
        throw Error(ErrorKind::corrupt,
                    fmt::format("the sentinel of {} is of system {}, its pg_control of system {}", plan.name(),
                                plan.system->number(), control.system.number()),
                    std::string(archive::restore_another));
    plan.system = control.system;
    plan.block_bytes = control.block_bytes;
    plan.control = control;
}

/// False if there is no such object.
bool read_metadata(archive::Archive& archive, const storage::ObjectKey& key, archive::FilesMetadataReader::Callbacks callbacks,
                   const std::stop_token& stop) {
    const OnIoThread reader(archive.io, run_blocking(archive.io, archive.storage.get(key, {}), stop));
    if (!reader) return false;
    archive::FilesMetadataReader document(std::move(callbacks), key.path());
    Blob chunk(256 << 10);
    for (;;) {
        chunk.clear();
        const auto count = run_blocking(archive.io, reader->read(chunk.room()), stop);
        if (count == 0) break;
        chunk.commit(count);
        document.write(text_of(chunk.view()));
    }
    document.finish();
    return true;
}

/// False if the backup has none. Older WAL-G wrote it into the sentinel.
bool read_files_metadata(archive::Archive& archive, const RestorePlan& plan, std::size_t index,
                         const archive::FilesMetadataReader::Callbacks& callbacks, const std::stop_token& stop) {
    const auto& backup = plan.chain[index].backup;
    if (read_metadata(archive, archive::files_metadata_key(backup.backup, plan.folder()), callbacks, stop)) return true;
    return backup.sentinel.has_files &&
           read_metadata(archive, archive::sentinel_key(backup.backup, plan.folder()), callbacks, stop);
}

void read_databases(archive::Archive& archive, RestorePlan& plan, const std::stop_token& stop) {
    archive::FilesMetadataReader::Callbacks callbacks;
    callbacks.relation = [&](const archive::RelationEntry& relation) { plan.databases->add_relation(relation); };
    callbacks.database = [&](std::string_view name, std::uint32_t oid) { plan.databases->end_database(name, oid); };
    read_files_metadata(archive, plan, 0, callbacks, stop);
    plan.databases->finish(plan.name());
    for (const auto& table : plan.databases->half_told())
        archive.log.warn(
            "--restore-only: {}, is partitioned itself, and the backup tells not which partitions are its own: of them "
            "only what is named is restored",
            table);
}

/// Parts of one link that TarFileSets knows, and whether anything of them may be needed.
using KnownParts = std::map<std::string, bool, std::less<>>;

/// "part_001": an older WAL-G's "part_001.tar." is one, too.
std::string_view stem_of(std::string_view name) { return name.substr(0, name.find(".tar")); }

/// Better now than when everything else was written.
void require_parts(const PlannedLink& link, const KnownParts& known) {
    for (const auto& [name, needed] : known) {
        const bool there = std::ranges::any_of(
            link.parts, [&name](const TarObject& tar) { return stem_of(object_name(tar.key)) == stem_of(name); });
        if (needed && !there && !is_final_name(name))
            throw Error(ErrorKind::corrupt, fmt::format("backup {} has no {} in the storage", link.backup.backup, name),
                        std::string(archive::restore_another));
    }
}

void drop_parts(PlannedLink& link, const KnownParts& known) {
    std::erase_if(link.parts, [&](const TarObject& tar) {
        const auto found = known.find(object_name(tar.key));
        return found != known.end() && !found->second;
    });
}

void mark_listed(PlannedLink& link, const KnownParts& known) {
    if (known.empty()) return;
    std::set<std::string_view> stems;
    for (const auto& [name, needed] : known) stems.insert(stem_of(name));
    for (auto& part : link.parts) part.listed = stems.contains(stem_of(object_name(part.key)));
    std::ranges::sort(link.parts, {}, [](const TarObject& part) { return std::pair(!part.listed, ~part.bytes); });
}

void require_metadata(const RestorePlan& plan, std::size_t index) {
    const auto& link = plan.chain[index];
    if (link.backup.sentinel.delta)
        throw Error(
            ErrorKind::corrupt,
            fmt::format("{} is a delta and has no files metadata, without which nobody knows its increments", link.backup.backup),
            std::string(archive::restore_another));
}

void read_link(archive::Archive& archive, RestorePlan& plan, std::size_t index,
               const std::function<void(std::string_view)>& on_name, const std::stop_token& stop) {
    auto& link = plan.chain[index];
    KnownParts parts;
    bool any = false;
    const auto wanted = [&](std::string_view relative) { return plan.wants(relative); };
    archive::FilesMetadataReader::Callbacks callbacks;
    callbacks.file = [&](std::string_view member, const archive::FileDescription& file) {
        const auto relative = relative_member(member);
        any = true;
        plan.files.file(index, relative, file, wanted);
        if (index == 0) on_name(relative);
    };
    callbacks.tar_member = [&](std::string_view tar, std::string_view member) {
        auto& needed = parts.try_emplace(std::string(tar), false).first->second;
        const auto relative = relative_member(member);
        needed = needed || (index == 0 ? plan.wants(relative) : plan.files.may_need(index, relative));
    };
    if (!link.backup.sentinel.files_metadata_disabled)
        link.has_metadata = read_files_metadata(archive, plan, index, callbacks, stop) && any;
    if (!link.has_metadata) {
        require_metadata(plan, index);
        if (index == 0)
            archive.log.info("{} has no files metadata: whether every file was in it cannot be checked", link.backup.backup);
        return plan.files.no_metadata(index);
    }
    plan.files.end_link(index, link.backup.backup);
    require_parts(link, parts);
    drop_parts(link, parts);
    mark_listed(link, parts);
}

/// What a catchup backup is based on is no backup, but the standby.
archive::ChainLink read_catchup(archive::Archive& archive, const FetchOptions& options) {
    const auto folder = archive::catchup_folder;
    const auto found = run_blocking(archive.io, archive::find_backup(archive.storage, options.backup, folder));
    archive::ChainLink link{found.name, {}};
    link.sentinel = run_blocking(archive.io, archive::read_sentinel(archive.storage, link.backup, folder));
    archive::check_version(link);
    const auto& sentinel = link.sentinel;
    if (!sentinel.delta || !sentinel.start_lsn || !sentinel.finish_lsn || sentinel.files_metadata_disabled)
        throw Error(ErrorKind::corrupt, fmt::format("{} in {} is no catchup backup", link.backup, folder),
                    "take one with: walg catchup-push");
    return link;
}

std::string choose_backup(archive::Archive& archive, const FetchOptions& options) {
    if (!options.user_data.empty())
        return run_blocking(archive.io, archive::find_backup_by_user_data(archive.storage, options.user_data)).name;
    return run_blocking(archive.io, archive::find_backup(archive.storage, options.backup)).name;
}

} // namespace

bool RestorePlan::wants(std::string_view relative) const {
    if (!mask.empty() && !glob_match("/" + mask, fmt::format("/{}", relative))) return false;
    return !databases || databases->wants(relative);
}

std::uint64_t RestorePlan::bytes() const {
    if (is_selective()) return 0;
    const auto bytes = chain.size() == 1                   ? sentinel().uncompressed_bytes
                       : sentinel().data_catalog_bytes > 0 ? sentinel().data_catalog_bytes
                                                           : chain.back().backup.sentinel.uncompressed_bytes;
    return static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0));
}

std::uint64_t RestorePlan::space_bytes() const {
    // A catchup backup's own bytes are pages of files that are there; together they become what its cluster was.
    const auto whole = catchup ? sentinel().data_catalog_bytes : 0;
    return whole > 0 ? static_cast<std::uint64_t>(whole) : bytes();
}

std::uint64_t RestorePlan::stored_bytes() const {
    std::uint64_t bytes = 0;
    for (const auto& link : chain)
        for (const auto& part : link.parts) bytes += part.bytes;
    return bytes;
}

std::string RestorePlan::identity(const FetchOptions& options) const {
    Sha256 hash;
    const auto add = [&](std::string_view text) {
        hash.update(bytes_of(std::to_string(text.size()) + ":"));
        hash.update(bytes_of(text));
    };
    add(options.catchup ? "catchup" : options.in_place ? "in place" : "fresh");
    add(options.mask);
    add(options.restore_only);
    add(options.restore_spec);
    if (options.last_step) add("last step"); // what it wrote is not what a restore without it leaves
    for (const auto& link : chain) {
        add(link.backup.backup);
        add(archive::to_json(link.backup.sentinel));
        for (const auto& part : link.parts) add(fmt::format("{} {} {}", part.key.path(), part.bytes, part.version));
    }
    return to_hex(hash.digest());
}

std::unique_ptr<RestorePlan> plan_objects(archive::Archive& archive, const FetchOptions& options, const std::stop_token& stop) {
    std::vector<archive::ChainLink> chain;
    if (options.catchup)
        chain.push_back(read_catchup(archive, options));
    else
        chain = run_blocking(archive.io, archive::read_chain(archive.storage, choose_backup(archive, options)));
    auto plan = std::make_unique<RestorePlan>(chain.size() + (options.catchup ? 1 : 0));
    plan->catchup = options.catchup;
    for (auto& backup : chain) {
        PlannedLink link{std::move(backup), {}, false};
        sort_tars(*plan, link, list_tars(archive, *plan, link.backup.backup));
        if (link.parts.empty())
            throw Error(ErrorKind::corrupt,
                        fmt::format("backup {} has no parts in {}", link.backup.backup, archive.storage.describe()),
                        std::string(archive::restore_another));
        plan->chain.push_back(std::move(link));
    }
    if (plan->finals.empty())
        throw Error(ErrorKind::corrupt, fmt::format("Expect pg_control archive, but not found: backup {}", plan->name()),
                    std::string(archive::restore_another));
    plan->spec_given = plan->leave_out_tablespace_map = !options.restore_spec.empty();
    plan->spec = places_of_tablespaces(plan->sentinel(), options.restore_spec);
    plan->mask = options.mask;
    if (!options.restore_only.empty()) plan->databases = std::make_unique<DatabaseFilter>(options.restore_only);
    plan->system = plan->sentinel().system;
    if (plan->chain.size() > 1 || options.onto_cluster()) read_control(archive, *plan, stop);
    return plan;
}

std::optional<archive::TablespaceSpec> places_of_tablespaces(const archive::Sentinel& sentinel, const std::string& restore_spec) {
    if (restore_spec.empty()) return sentinel.spec;
    const auto spec = archive::parse_tablespace_spec(restore_spec, "the restore spec");
    if (!sentinel.spec) return spec;
    const auto names = [](const archive::TablespaceSpec& one) {
        std::set<std::string> all;
        for (const auto& entry : one.tablespaces) all.insert(entry.name);
        return all;
    };
    const auto there = names(*sentinel.spec), told = names(spec);
    if (there != told)
        throw Error(ErrorKind::refused,
                    fmt::format("the restore spec tells of the tablespaces {}, the backup has {}",
                                told.empty() ? "(none)" : fmt::format("{}", fmt::join(told, ", ")),
                                there.empty() ? "(none)" : fmt::format("{}", fmt::join(there, ", "))),
                    "nothing was written; give each of the backup's its place, and no other");
    return spec;
}

void plan_files(archive::Archive& archive, RestorePlan& plan, const std::function<void(std::string_view relative)>& on_name,
                const std::stop_token& stop) {
    if (plan.databases) read_databases(archive, plan, stop);
    for (std::size_t index = 0; index < plan.chain.size(); ++index) read_link(archive, plan, index, on_name, stop);
    if (plan.catchup) plan.files.own_files(plan.chain.size());
}

void require_complete(archive::Archive& archive, const RestorePlan& plan) {
    const auto count = plan.files.missing_count();
    if (count == 0) return;
    std::vector<std::string> names;
    archive::FilesMetadataReader::Callbacks callbacks;
    callbacks.file = [&](std::string_view member, const archive::FileDescription&) {
        if (names.size() < 5 && plan.files.is_missing(relative_member(member))) names.emplace_back(member);
    };
    read_files_metadata(archive, plan, 0, callbacks, {});
    throw Error(ErrorKind::corrupt,
                fmt::format("backup {} names {} members that are in none of its parts: {}{}", plan.name(), count,
                            fmt::join(names, ", "), count > names.size() ? " ..." : ""),
                "a part is missing from the storage; restore another backup: walg backup-list");
}

} // namespace walgd::backup

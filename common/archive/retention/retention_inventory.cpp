#include "common/archive/retention/retention_inventory.hpp"

#include "common/archive/catalogue.hpp"
#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/stored_header.hpp"
#include "common/archive/wal/wal_find.hpp"
#include "common/archive/wal/wal_listing.hpp"
#include "common/archive/wal/wal_unpack.hpp"
#include "common/base/run_all.hpp"
#include "common/pg/wal_name.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace walgd::archive {

namespace {

constexpr unsigned readers = 16;
constexpr std::size_t history_bytes_max = 16 << 20;
constexpr std::uint64_t segments_of_a_backup_max = 1 << 20;

pg::Segment segment_of_backup(const std::string& name, std::uint64_t segment_bytes) {
    const auto segment = pg::parse_segment(first_segment_in(name), segment_bytes);
    if (!segment || !valid_backup_name(name))
        throw Error(ErrorKind::corrupt, fmt::format("the backup '{}' has no place in the WAL by its name", name),
                    fmt::format("what {} is, only a person can tell: move it away", sentinel_key(name).path()));
    return *segment;
}

/// A server names the segment of the start LSN, or the one before where that LSN is a boundary (walg-format.md, 1.3).
bool fits(const std::string& name, pg::Lsn start, std::uint64_t segment_bytes) {
    const auto segment = pg::parse_segment(first_segment_in(name), segment_bytes);
    if (!segment) return false;
    return segment->number == pg::segment_number(start, segment_bytes) ||
           (start.bytes() > 0 && segment->number == pg::segment_number(pg::Lsn(start.bytes() - 1), segment_bytes));
}

/// The numbers of segments that are there, by timeline.
using Segments = std::set<pg::Segment>;

Segments segments_of(const Inventory& inventory) {
    Segments segments;
    for (const auto& object : inventory.wal_objects) {
        const auto name = stored_segment(object.key.path());
        if (name.empty() || object.bytes == 0) continue;
        if (const auto segment = pg::parse_segment(name, inventory.segment_bytes)) segments.insert(*segment);
    }
    return segments;
}

struct Parts {
    bool part = false, final = false, files_metadata = false;
};

std::map<std::string, Parts, std::less<>> parts_of(const Inventory& inventory) {
    std::map<std::string, Parts, std::less<>> found;
    for (const auto& object : inventory.backup_objects) {
        const std::string_view path = object.key.path();
        const auto backup = backup_of_data_object(path);
        if (backup.empty() || object.bytes == 0) continue;
        auto& parts = found[std::string(backup)];
        const auto name = path.substr(path.rfind('/') + 1);
        const bool final = name.starts_with("pg_control.tar") || name.starts_with("backup_label.tar");
        if (is_tar_of(backup, path)) (final ? parts.final : parts.part) = true;
        if (name == "files_metadata.json") parts.files_metadata = true;
    }
    return found;
}

std::string missing_wal(const HeldBackup& backup, const Segments& segments, std::uint64_t segment_bytes) {
    for (auto number = backup.first.number; number <= backup.last; ++number) {
        const pg::Segment segment{backup.first.timeline, number};
        if (!segments.contains(segment)) return pg::segment_name(segment, segment_bytes);
    }
    return {};
}

std::string missing_data(const HeldBackup& backup, const Parts& parts) {
    if (!parts.part) return "its parts";
    if (!parts.final) return "pg_control.tar and backup_label.tar";
    // Without it the increments of a delta cannot be told from whole files.
    if (!backup.base.empty() && !parts.files_metadata && !backup.has_files) return "files_metadata.json";
    return {};
}

/// Bytes of one object, decrypted and decompressed.
std::string unpacked(const Archive& archive, const codec::Compression& compression, ByteView packed) {
    codec::BlobSink end;
    UnpackChain chain(archive.packing.cipher, compression, end);
    chain.head().write(packed);
    chain.head().finish();
    return std::string(text_of(end.take().view()));
}

/// Reads documents, several at once, and keeps what was wrong with each.
class DocumentReader {
public:
    DocumentReader(Archive& archive, const std::vector<BackupEntry>& entries)
        : archive_(archive), entries_(entries), sentinels_(entries.size()), metadata_(entries.size()) {}

    awaitable<void> read_backups() {
        co_await read_all(entries_.size(), [this](std::size_t index) { return read_backup(index); });
    }
    awaitable<void> read_histories(std::vector<std::string> objects) {
        co_await read_all(objects.size(), [&](std::size_t index) { return read_history(objects[index]); });
    }

    const std::vector<std::string>& wrong() const { return wrong_; }
    const std::optional<Sentinel>& sentinel(std::size_t index) const { return sentinels_[index]; }
    const std::optional<BackupMetadata>& metadata(std::size_t index) const { return metadata_[index]; }
    std::vector<pg::TimelineHistory> histories() { return std::move(histories_); }

private:
    using ReadOne = std::function<awaitable<void>(std::size_t index)>;

    awaitable<void> read_all(std::size_t count, ReadOne read) {
        std::size_t next = 0;
        std::vector<awaitable<void>> tasks;
        for (unsigned reader = 0; reader < readers; ++reader) tasks.push_back(read_next(next, count, read));
        co_await run_all(std::move(tasks));
    }
    awaitable<void> read_next(std::size_t& next, std::size_t count, const ReadOne& read) {
        while (next < count) {
            const auto index = next++;
            std::optional<Error> error;
            try {
                co_await read(index);
            } catch (const Error& failure) {
                error = failure;
            }
            if (!error) continue;
            if (error->kind() != ErrorKind::corrupt) throw *error;
            wrong_.emplace_back(error->what());
        }
    }
    awaitable<void> read_backup(std::size_t index) {
        const auto name = entries_[index].name;
        auto sentinel = co_await read_sentinel(archive_.storage, name);
        sentinels_[index] = std::move(sentinel);
        auto metadata = co_await read_metadata(archive_.storage, name);
        metadata_[index] = std::move(metadata);
        co_await read_other_marks(index);
    }
    /// Of several storages a copy each has a mark of its own: deleting is of all of them, and one that is permanent counts.
    awaitable<void> read_other_marks(std::size_t index) {
        const auto storages = archive_.storage.each();
        if (storages.size() == 1 || !metadata_[index]) co_return;
        for (auto* storage : storages) {
            const auto metadata = co_await read_metadata(*storage, entries_[index].name);
            if (metadata && metadata->is_permanent) metadata_[index]->is_permanent = true;
        }
    }
    awaitable<void> read_history(std::string object) {
        const storage::ObjectKey key(std::string(wal_folder) + object);
        const auto packed = co_await storage::get_whole(archive_.storage, key, history_bytes_max);
        if (!packed) co_return;
        const auto dot = object.rfind('.');
        const auto suffix = object.substr(dot + 1);
        const auto* compression = codec::compression_by_suffix(suffix == "history" ? std::string_view() : suffix);
        if (compression == nullptr) co_return; // .history.json of WAL-G's WAL metadata
        const auto timeline = static_cast<std::uint32_t>(std::stoul(object.substr(0, 8), nullptr, 16));
        try {
            const auto text = unpacked(archive_, *compression, packed->view());
            histories_.push_back(pg::parse_timeline_history(text, pg::TimelineId(timeline), key.path()));
        } catch (const Error& error) {
            throw Error(ErrorKind::corrupt, fmt::format("{}: {}", key.path(), error.what()), error.hint());
        }
    }

    Archive& archive_;
    const std::vector<BackupEntry>& entries_;
    std::vector<std::optional<Sentinel>> sentinels_;
    std::vector<std::optional<BackupMetadata>> metadata_;
    std::vector<pg::TimelineHistory> histories_;
    std::vector<std::string> wrong_;
};

void take_backups(Inventory& inventory, const std::vector<BackupEntry>& entries, const DocumentReader& documents) {
    for (std::size_t index = 0; index < entries.size(); ++index) {
        const auto& sentinel = documents.sentinel(index);
        if (!sentinel) continue;
        const auto& [name, modified, wal_file, storage] = entries[index];
        try {
            inventory.backups.push_back(
                held_backup(name, modified, *sentinel, documents.metadata(index), inventory.segment_bytes));
        } catch (const Error& error) {
            inventory.unreadable.push_back(fmt::format("{}: {}", sentinel_key(name).path(), error.what()));
        }
    }
    std::ranges::sort(inventory.backups, {}, [](const HeldBackup& backup) { return std::pair(backup.started, backup.name); });
}

HeldObject held(const storage::ObjectInfo& object) { return {object.key, object.bytes, object.modified}; }

awaitable<std::vector<HeldObject>> list_held(storage::Storage& storage, std::string folder, bool recursive) {
    std::vector<HeldObject> objects;
    storage::ListOptions options;
    options.recursive = recursive;
    for (;;) {
        auto page = co_await storage.list(folder, options);
        std::ranges::transform(page.objects, std::back_inserter(objects), held);
        if (!page.next) co_return objects;
        options.token = std::move(page.next);
    }
}

/// By name, as one listing tells them.
awaitable<void> list_wal_objects(storage::Storage& storage, std::vector<HeldObject>& objects) {
    WalVisitor visitor{.object = [&](const storage::ObjectInfo& object) { objects.push_back(held(object)); },
                       .folder = [](std::string_view) {}};
    co_await visit_wal(storage, readers, std::move(visitor));
    std::ranges::sort(objects, {}, [](const HeldObject& object) -> const std::string& { return object.key.path(); });
}

std::vector<BackupEntry> entries_of(const std::vector<HeldObject>& objects) {
    std::vector<BackupEntry> entries;
    for (const auto& object : objects) {
        const auto name = std::string_view(object.key.path()).substr(backup_folder.size());
        if (name.find('/') != std::string_view::npos) continue;
        const auto backup = backup_of_sentinel(name);
        if (!backup.empty()) entries.push_back({std::string(backup), object.modified, std::string(first_segment_in(backup)), {}});
    }
    return entries;
}

std::vector<std::string> histories_of(const std::vector<HeldObject>& objects) {
    std::vector<std::string> names;
    for (const auto& object : objects) {
        const auto name = std::string_view(object.key.path()).substr(wal_folder.size());
        if (pg::wal_file_kind(name.substr(0, 16)) == pg::WalFileKind::history) names.emplace_back(name);
    }
    return names;
}

/// Any whole segment tells, where the backups do not.
awaitable<std::uint64_t> segment_bytes_by_header(Archive& archive, const std::vector<HeldObject>& objects) {
    for (const auto& object : objects) {
        const auto& path = object.key.path();
        const auto segment = segment_of_wal_object(path);
        const auto rest = std::string_view(path).substr(std::min(path.size(), wal_folder.size() + pg::segment_digits));
        const auto* compression = codec::compression_by_suffix(rest.substr(rest.empty() ? 0 : 1));
        if (segment.empty() || compression == nullptr) continue;
        if (archive.packing.cipher != nullptr && !archive.packing.cipher->can_decrypt()) break;
        const auto header = co_await stored_wal_header(archive, object.key, compression);
        if (header) co_return header->segment_bytes;
    }
    co_return pg::segment_bytes_default;
}

} // namespace

std::string_view segment_of_wal_object(std::string_view path) {
    if (!path.starts_with(wal_folder)) return {};
    const auto name = path.substr(wal_folder.size());
    return first_segment_in(name.substr(0, pg::segment_digits));
}

std::string_view backup_of_data_object(std::string_view path) {
    if (!path.starts_with(backup_folder)) return {};
    const auto name = path.substr(backup_folder.size());
    const auto slash = name.find('/');
    return slash == std::string_view::npos ? std::string_view() : name.substr(0, slash);
}

std::optional<std::uint64_t> segment_bytes_of(const std::vector<std::pair<std::string, pg::Lsn>>& backups) {
    std::optional<std::uint64_t> only;
    for (std::uint64_t bytes = 1 << 20; bytes <= 1 << 30; bytes <<= 1) {
        const bool all = std::ranges::all_of(backups, [bytes](const auto& one) { return fits(one.first, one.second, bytes); });
        if (!all) continue;
        if (only) return std::nullopt;
        only = bytes;
    }
    return only;
}

HeldBackup held_backup(const std::string& name, storage::Modified modified, const Sentinel& sentinel,
                       const std::optional<BackupMetadata>& metadata, std::uint64_t segment_bytes) {
    HeldBackup backup;
    backup.name = name;
    backup.modified = modified;
    backup.started = sentinel.start_time != Time() ? sentinel.start_time : metadata ? metadata->start_time : Time();
    if (backup.started == Time()) backup.started = modified;
    backup.finished = sentinel.finish_time != Time() ? sentinel.finish_time : metadata ? metadata->finish_time : Time();
    if (backup.finished == Time()) backup.finished = modified;
    backup.system = sentinel.system;
    backup.first = segment_of_backup(name, segment_bytes);
    backup.start = sentinel.start_lsn.value_or(pg::segment_start(backup.first, segment_bytes));
    backup.finish = sentinel.finish_lsn.value_or(backup.start);
    const auto finish = backup.finish.bytes();
    // A damaged end may be anywhere: no backup is so long, and the WAL up to there is missing in any case.
    const auto last = pg::segment_number(pg::Lsn(finish - (finish > 0 ? 1 : 0)), segment_bytes);
    backup.last = std::clamp(last, backup.first.number, backup.first.number + segments_of_a_backup_max);
    if (sentinel.delta) backup.base = sentinel.delta->from;
    backup.has_files = sentinel.has_files;
    backup.user_data = metadata ? metadata->user_data : sentinel.user_data;
    backup.permanent = metadata ? metadata->is_permanent : sentinel.is_permanent;
    backup.permanence_known = metadata.has_value() || sentinel.is_permanent;
    return backup;
}

void note_missing(Inventory& inventory) {
    const auto segments = segments_of(inventory);
    const auto parts = parts_of(inventory);
    for (auto& backup : inventory.backups) {
        const auto found = parts.find(backup.name);
        backup.missing_data = missing_data(backup, found == parts.end() ? Parts() : found->second);
        backup.missing_wal = missing_wal(backup, segments, inventory.segment_bytes);
    }
}

awaitable<Inventory> take_inventory(Archive& archive, Unreadable unreadable) {
    Inventory inventory;
    inventory.where = archive.storage.describe();
    inventory.taken = std::chrono::system_clock::now();
    inventory.backup_objects = co_await list_held(archive.storage, std::string(backup_folder), true);
    const auto entries = entries_of(inventory.backup_objects);
    DocumentReader documents(archive, entries);
    // A backup's WAL is stored before its sentinel: the WAL is listed behind the backups, while their documents are read.
    std::vector<awaitable<void>> tasks;
    tasks.push_back(list_wal_objects(archive.storage, inventory.wal_objects));
    tasks.push_back(documents.read_backups());
    co_await run_all(std::move(tasks));
    // A host with a public key alone cannot read them: timelines without a known history count as descended from every older one.
    const bool readable = archive.packing.cipher == nullptr || archive.packing.cipher->can_decrypt();
    if (readable) {
        co_await documents.read_histories(histories_of(inventory.wal_objects));
    }
    inventory.unreadable = documents.wrong();
    inventory.histories = documents.histories();
    std::vector<std::pair<std::string, pg::Lsn>> starts;
    for (std::size_t index = 0; index < entries.size(); ++index) {
        const auto& sentinel = documents.sentinel(index);
        const auto start = sentinel ? sentinel->start_lsn : std::nullopt;
        if (start) starts.emplace_back(entries[index].name, *start);
    }
    const auto fitting = segment_bytes_of(starts);
    if (fitting)
        inventory.segment_bytes = *fitting;
    else
        inventory.segment_bytes = co_await segment_bytes_by_header(archive, inventory.wal_objects);
    take_backups(inventory, entries, documents);
    if (unreadable == Unreadable::stops && !inventory.unreadable.empty())
        throw Error(
            ErrorKind::corrupt,
            fmt::format("{} documents of {} cannot be read, so nothing is changed: {}", inventory.unreadable.size(),
                        inventory.where, fmt::join(inventory.unreadable, "; ")),
            "restore them from a copy; or, if that backup is worthless, remove its sentinel and let delete garbage do the rest");
    note_missing(inventory);
    co_return inventory;
}

awaitable<std::vector<HeldIntent>> list_intents(storage::Storage& storage) {
    const auto objects = co_await list_held(storage, std::string(jobs_folder), false);
    std::vector<HeldIntent> intents;
    for (const auto& object : objects) {
        auto backup = backup_of_intent(object.key.path());
        if (!backup.empty()) intents.push_back({std::move(backup), object.modified});
    }
    co_return intents;
}

awaitable<std::set<std::string>> sentinels_now(storage::Storage& storage) {
    const auto objects = co_await list_held(storage, std::string(backup_folder), false);
    std::set<std::string> names;
    for (const auto& entry : entries_of(objects)) names.insert(entry.name);
    co_return names;
}

} // namespace walgd::archive

#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/documents.hpp"
#include "common/pg/timeline_history.hpp"
#include "common/pg/wal_name.hpp"

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

/// What there is in an archive, as deciding what to delete needs it.
namespace walgd::archive {

/// An object as a listing has it.
struct HeldObject {
    storage::ObjectKey key;
    std::uint64_t bytes = 0;
    storage::Modified modified{};
};

/// One backup: its sentinel is there.
struct HeldBackup {
    std::string name;
    storage::Modified modified{}; ///< of the sentinel
    Time started{};               ///< as its documents say; `modified` where they do not
    Time finished{};              ///< the same; from then on recovery can stop
    std::optional<pg::SystemIdentifier> system;
    pg::Segment first;      ///< its first WAL
    std::uint64_t last = 0; ///< number of its last segment, on the same timeline
    pg::Lsn start{0}, finish{0};
    std::string base;       ///< whose delta it is; empty: a full backup
    std::string user_data;  ///< JSON text
    bool has_files = false; ///< its sentinel has what else is files_metadata.json
    bool permanent = false;
    bool permanence_known = true; ///< false: metadata.json, which tells, is not there
    std::string missing_data;     ///< what its folder lacks, for people; empty: nothing, by the names of objects
    std::string missing_wal;      ///< the first segment of its own WAL that is not there; empty: all are
};

/// Somebody said that he takes this base backup; maybe he was killed.
struct HeldIntent {
    std::string backup;
    storage::Modified modified{};
};

/// All that a decision is made from, by one look; from then on it ages.
struct Inventory {
    std::string where; ///< of the storage, for messages
    std::uint64_t segment_bytes = pg::segment_bytes_default;
    std::vector<HeldBackup> backups; ///< by start time
    std::vector<pg::TimelineHistory> histories;
    std::vector<HeldObject> backup_objects; ///< all under basebackups_005/
    std::vector<HeldObject> wal_objects;    ///< all under wal_005/
    std::vector<HeldIntent> intents;        ///< of walgd's backups, for who deletes: list_intents()
    Time taken{};                           ///< when
    std::vector<std::string> unreadable;    ///< documents, with what is wrong with each
};

/// The segment size with which the names of these backups fit their start LSNs; nothing where several do.
std::optional<std::uint64_t> segment_bytes_of(const std::vector<std::pair<std::string, pg::Lsn>>& backups);

/// Puts what the documents say into a backup. Error(corrupt) when the name has no place in the WAL.
HeldBackup held_backup(const std::string& name, storage::Modified modified, const Sentinel& sentinel,
                       const std::optional<BackupMetadata>& metadata, std::uint64_t segment_bytes);
/// Fills in what each backup lacks, from the names of the objects.
void note_missing(Inventory& inventory);

/// What a document that cannot be read does.
enum class Unreadable {
    stops, ///< Error(corrupt) that names each: then nothing may be deleted
    noted, ///< backups without a readable sentinel are left out
};
/// Lists the archive and reads the documents of every backup and timeline.
awaitable<Inventory> take_inventory(Archive& archive, Unreadable unreadable = Unreadable::stops);

/// What says of base backups that they are being taken. WAL-G's tell nothing.
awaitable<std::vector<HeldIntent>> list_intents(storage::Storage& storage);

/// The names of the backups whose sentinels are there, by one listing.
awaitable<std::set<std::string>> sentinels_now(storage::Storage& storage);

/// "00000001000000000000000A" of "wal_005/00000001000000000000000A.zst", ".partial", "_delta" and so on; empty for other names.
std::string_view segment_of_wal_object(std::string_view path);
/// "base_..." of "basebackups_005/base_.../metadata.json"; empty for what lies in no backup's folder.
std::string_view backup_of_data_object(std::string_view path);

} // namespace walgd::archive

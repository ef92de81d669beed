#pragma once
#include "common/base/time_text.hpp"
#include "common/pg/lsn.hpp"
#include "common/pgbackrest/ini_reader.hpp"

#include <optional>
#include <string>
#include <vector>

/// backup.info and archive.info: what a stanza holds. Entries that are unknown here are passed over, as newer releases add some.
namespace walgd::pgbackrest {

/// One backup as backup.info has it.
struct BackupInfo {
    std::string label;                       ///< "20261126-033339F_20261126-033344I"
    std::string type;                        ///< full, diff, incr
    std::string archive_start, archive_stop; ///< WAL segments
    std::optional<pg::Lsn> start_lsn, stop_lsn;
    Time start_time{}, stop_time{};
    bool damaged = false; ///< pgBackRest met pages with wrong checksums while it made the backup
};

/// Builds the list while an IniReader reads.
class BackupInfoReader {
public:
    explicit BackupInfoReader(std::string object);
    void write(std::string_view text) { ini_.write(text); }
    /// Those that are complete, by the time they ended.
    std::vector<BackupInfo> finish();

private:
    void take(std::string_view section, std::string_view key, const nlohmann::json& value);

    std::string object_;
    std::vector<BackupInfo> backups_;
    IniReader ini_;
};

/// Finds the folder in which a stanza archives now: "15-1".
class ArchiveInfoReader {
public:
    explicit ArchiveInfoReader(std::string object);
    void write(std::string_view text) { ini_.write(text); }
    std::string finish();

private:
    std::string object_, version_;
    std::uint64_t id_ = 0;
    IniReader ini_;
};

} // namespace walgd::pgbackrest

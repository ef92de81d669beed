#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/lsn.hpp"
#include "common/pg/standby_settings.hpp"

#include <string>

namespace walgd::pg {

/// What we need of global/pg_control (src/include/catalog/pg_control.h), any version from 13 on.
struct ControlFile {
    /// Of DBState: a standby that was stopped, or recovery that ended with recovery_target_action = shutdown; and one that runs,
    /// or ended without a word.
    static constexpr std::uint32_t shut_down_in_recovery = 2, in_archive_recovery = 5;

    SystemIdentifier system{0};
    std::uint32_t control_version = 0; ///< 1300 for PostgreSQL 13 to 16, 1700 for 17, 1800 for 18
    std::uint32_t catalog_version = 0;
    std::uint32_t state = 0; ///< DBState
    std::uint32_t block_bytes = 0;
    std::uint64_t relation_file_bytes = 0; ///< relations are cut into files of so many
    std::uint32_t wal_segment_bytes = 0;
    std::uint32_t data_checksum_version = 0; ///< 0: pages have no checksums
    Lsn checkpoint{0};                       ///< the latest one's record
    Lsn redo{0};                             ///< where replay begins after it: what was changed before is on disk
    TimelineId timeline{0};                  ///< of that checkpoint, or of min_recovery where that is later
    StandbySettings settings;                ///< of the server when it started, or of the primary that it follows
    Lsn min_recovery{0};                     ///< WAL that must be replayed before the cluster is consistent; 0 on a primary
};

/// Checks the CRC; Error(corrupt) names `path`.
ControlFile parse_control_file(ByteView bytes, const std::string& path);
ControlFile read_control_file(const std::string& pgdata);

} // namespace walgd::pg

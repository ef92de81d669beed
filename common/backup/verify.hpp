#pragma once
#include "common/archive/archive.hpp"

#include <chrono>
#include <stop_token>
#include <string>
#include <vector>

namespace walgd::backup {

/// How much is read.
struct VerifyOptions {
    std::size_t sample = 0;      ///< so many objects by chance; 0: all
    bool since_last = false;     ///< only what was stored since the last one; goes on where a budget ended it
    std::uint64_t bytes_max = 0; ///< of stored objects; 0: no limit
    std::chrono::milliseconds time_max{0};
    /// Objects that are read at once, as far as the memory budget goes. The report is the same.
    unsigned at_once = 1;
};

/// An object that cannot be restored from, and why.
struct Damage {
    std::string object, cause;
    bool planned = false; ///< files metadata that does not fit that of another backup of its chain: mended by either
};
struct VerifiedBackup {
    std::string name;
    std::string defect;  ///< why it cannot be restored; empty: it can
    std::string reaches; ///< the last segment up to which WAL follows it without a gap, on the way to the newest timeline
};
struct VerifyReport {
    std::size_t objects = 0, foreign = 0; ///< read; not read, since their names are nobody's
    std::uint64_t bytes = 0, wal_records = 0;
    std::size_t left_out = 0; ///< objects that the budget left for the next time
    std::vector<Damage> damaged;
    std::vector<VerifiedBackup> backups;

    bool sound() const;
};

/// Reads the archive back as restores would, and says what can be restored. Nothing is ever removed. A storage that does not
/// answer is an Error; damaged objects are in the report. Where it came to is kept in walgd_005/verify.json.
VerifyReport verify(archive::Archive& archive, const VerifyOptions& options, std::stop_token stop);

} // namespace walgd::backup

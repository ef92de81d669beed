#pragma once
#include "common/archive/catalogue.hpp"

#include <string>

namespace walgd::cli {

/// One backup as backup-list and wal-show print it in JSON; `metadata` nullptr: without details.
std::string backup_json(const archive::BackupEntry& backup, const archive::BackupMetadata* metadata);

/// A warning in the log for each that is not whole.
void tell_troubles(Log& log, const std::vector<archive::BackupDetails>& backups);

} // namespace walgd::cli

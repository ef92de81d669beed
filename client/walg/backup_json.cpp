#include "client/walg/backup_json.hpp"

#include "common/archive/json_text.hpp"

#include <fmt/format.h>

namespace walgd::cli {

std::string backup_json(const archive::BackupEntry& backup, const archive::BackupMetadata* metadata) {
    const auto text =
        fmt::format(R"({{"backup_name":{},"time":"{}","wal_file_name":{},"storage_name":{}}})", archive::json_string(backup.name),
                    format_time(backup.modified), archive::json_string(backup.wal_file), archive::json_string(backup.storage));
    if (metadata == nullptr) return text;
    return text.substr(0, text.size() - 1) + "," + to_json(*metadata).substr(1);
}

void tell_troubles(Log& log, const std::vector<archive::BackupDetails>& backups) {
    for (const auto& backup : backups) {
        if (!backup.trouble.empty()) log.warn("backup {} is not whole: {}", backup.entry.name, backup.trouble);
    }
}

} // namespace walgd::cli

#include "common/pgbackrest/info.hpp"

#include "common/base/error.hpp"
#include "common/pgbackrest/fields.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::pgbackrest {

BackupInfoReader::BackupInfoReader(std::string object)
    : object_(std::move(object)),
      ini_([this](std::string_view section, std::string_view key, const nlohmann::json& value) { take(section, key, value); },
           object_) {}

void BackupInfoReader::take(std::string_view section, std::string_view key, const nlohmann::json& value) {
    if (section != "backup:current") return;
    const Fields fields(value, object_, key);
    BackupInfo backup{.label = std::string(key),
                      .type = fields.text("backup-type").value_or(""),
                      .archive_start = fields.text("backup-archive-start").value_or(""),
                      .archive_stop = fields.text("backup-archive-stop").value_or(""),
                      .start_lsn = fields.lsn("backup-lsn-start"),
                      .stop_lsn = fields.lsn("backup-lsn-stop"),
                      .start_time = fields.time("backup-timestamp-start").value_or(Time()),
                      .stop_time = fields.time("backup-timestamp-stop").value_or(Time()),
                      .damaged = fields.is_true("backup-error")};
    if (key.find('/') != std::string_view::npos || key.starts_with(".")) fields.refuse("is no backup's label");
    backups_.push_back(std::move(backup));
}

std::vector<BackupInfo> BackupInfoReader::finish() {
    ini_.finish();
    std::ranges::sort(backups_, {}, [](const BackupInfo& backup) { return std::tie(backup.stop_time, backup.label); });
    return std::move(backups_);
}

ArchiveInfoReader::ArchiveInfoReader(std::string object)
    : object_(std::move(object)), ini_(
                                      [this](std::string_view section, std::string_view key, const nlohmann::json& value) {
                                          if (section != "db") return;
                                          const Fields fields(value, object_, key);
                                          if (key == "db-id") id_ = fields.number();
                                          if (key == "db-version") version_ = fields.text();
                                      },
                                      object_) {}

std::string ArchiveInfoReader::finish() {
    ini_.finish();
    if (id_ == 0 || version_.empty() || version_.find_first_not_of("0123456789.") != std::string::npos)
        throw Error(ErrorKind::corrupt, fmt::format("{} does not tell the cluster's db-id and db-version", object_),
                    "is the file damaged?");
    return fmt::format("{}-{}", version_, id_);
}

} // namespace walgd::pgbackrest

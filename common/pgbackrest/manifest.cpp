#include "common/pgbackrest/manifest.hpp"

#include "common/base/error.hpp"
#include "common/pgbackrest/layout.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <limits>
#include <nlohmann/json.hpp>

namespace walgd::pgbackrest {

namespace {

/// Of a file or folder until the defaults are known, which follow the files.
constexpr unsigned mode_default = 0xFFFF;
/// The file's own backup: its label may come after the file.
constexpr std::string_view own_label;

} // namespace

std::uint64_t Manifest::bytes() const {
    std::uint64_t sum = 0;
    for (const auto& file : files) sum += file.bytes;
    return sum;
}

ManifestReader::ManifestReader(std::string object, Files files)
    : object_(std::move(object)), wanted_(files),
      ini_([this](std::string_view section, std::string_view key, const nlohmann::json& value) { take(section, key, value); },
           object_) {}

void ManifestReader::take(std::string_view section, std::string_view key, const nlohmann::json& value) {
    const Fields fields(value, object_, key);
    if (section == "backup") return take_backup(key, fields);
    if (section == "backup:option") return take_option(key, fields);
    if (section == "backup:target") return take_target(key, fields);
    if (section == "backup:db" && key == "db-version") manifest_.pg_version = fields.text();
    if (section == "backup:db" && key == "db-system-id") manifest_.system = pg::SystemIdentifier(fields.number());
    if (section == "target:file:default" && key == "mode") manifest_.file_mode = fields.mode();
    if (section == "target:path:default" && key == "mode") manifest_.folder_mode = fields.mode();
    if (section == "target:path") return take_folder(key, fields);
    if (section == "target:file" && wanted_ == Files::wanted) return take_file(key, fields);
}

void ManifestReader::take_backup(std::string_view key, const Fields& fields) {
    if (key == "backup-label") manifest_.label = fields.text();
    if (key == "backup-type") manifest_.type = fields.text();
    if (key == "backup-archive-start") manifest_.archive_start = fields.text();
    if (key == "backup-lsn-start") manifest_.start_lsn = fields.lsn();
    if (key == "backup-lsn-stop") manifest_.stop_lsn = fields.lsn();
    if (key == "backup-timestamp-start") manifest_.start_time = fields.time();
    if (key == "backup-timestamp-stop") manifest_.stop_time = fields.time();
}

/// Releases before 2.27 knew gzip and nothing else.
void ManifestReader::take_option(std::string_view key, const Fields& fields) {
    if (key == "option-compress-type") compress_type_ = fields.text();
    if (key == "option-compress") compress_ = fields.is_true();
}

void ManifestReader::take_target(std::string_view key, const Fields& fields) {
    if (fields.text("type") != "link") return;
    const auto id = fields.text("tablespace-id");
    if (!id)
        manifest_.links.emplace_back(key);
    else
        manifest_.tablespaces.push_back({*id, fields.text("path").value_or("")});
}

void ManifestReader::take_folder(std::string_view key, const Fields& fields) {
    manifest_.folders.push_back({std::string(key), fields.mode("mode").value_or(mode_default)});
}

void ManifestReader::take_file(std::string_view key, const Fields& fields) {
    if (fields.number("bims").value_or(0) > 0)
        throw Error(ErrorKind::misconfigured,
                    fmt::format("{}: {} was stored as block increments (repo-block), which are not read here", object_, key),
                    "restore this backup with pgBackRest itself");
    const auto bytes = fields.number("size");
    if (!bytes) fields.refuse("has no size");
    ManifestFile file{.name = std::string(key),
                      .bytes = *bytes,
                      .stored_bytes = fields.number("repo-size").value_or(*bytes),
                      .bundle = fields.number("bni").value_or(0),
                      .bundle_offset = fields.number("bno").value_or(0)};
    const auto sha1 = parse_sha1(fields.text("checksum").value_or(""));
    if (!sha1 && file.bytes > 0) fields.refuse("has no SHA-1 as its checksum");
    if (file.bundle_offset > std::numeric_limits<std::uint64_t>::max() - file.stored_bytes) fields.refuse("ends nowhere");
    if (sha1) file.sha1 = *sha1;
    file.label = index_of(fields.text("reference").value_or(std::string(own_label)));
    file.mode = static_cast<std::uint16_t>(fields.mode("mode").value_or(mode_default));
    file.damaged = fields.is_false("checksum-page");
    manifest_.files.push_back(std::move(file));
}

std::uint32_t ManifestReader::index_of(const std::string& label) {
    const auto found = label_indexes_.find(label);
    if (found != label_indexes_.end()) return found->second;
    const auto index = static_cast<std::uint32_t>(manifest_.labels.size());
    manifest_.labels.push_back(label);
    label_indexes_.emplace(label, index);
    return index;
}

Manifest ManifestReader::finish() {
    ini_.finish();
    if (manifest_.label.empty() || manifest_.file_mode == 0 || manifest_.folder_mode == 0)
        throw Error(ErrorKind::corrupt, fmt::format("{} has no backup-label or no default modes", object_),
                    "is the file damaged?");
    for (auto& label : manifest_.labels) {
        if (label.find('/') != std::string::npos || label.starts_with("."))
            throw Error(ErrorKind::corrupt, fmt::format("{} refers to '{}', which is no backup's label", object_, label));
        if (label == own_label) label = manifest_.label;
    }
    if (compress_type_.empty()) compress_type_ = compress_ ? "gz" : "none";
    if (wanted_ == Files::wanted) manifest_.compression = &compression_of_type(compress_type_, object_);
    for (auto& file : manifest_.files) {
        if (file.mode == mode_default) file.mode = static_cast<std::uint16_t>(manifest_.file_mode);
    }
    for (auto& folder : manifest_.folders) {
        if (folder.mode == mode_default) folder.mode = manifest_.folder_mode;
    }
    return std::move(manifest_);
}

} // namespace walgd::pgbackrest

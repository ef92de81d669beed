#include "common/archive/layout.hpp"

#include "common/pg/wal_name.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace walgd::archive {

namespace {

constexpr std::string_view journal_head = "journal_";
constexpr std::string_view sentinel_tail = "_backup_stop_sentinel.json";

constexpr std::string_view intent_tail = ".json";
constexpr std::string_view catchup_head = "catchup-";
constexpr std::size_t intent_digits = 8;

bool is_upper_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); }
bool all_upper_hex(std::string_view text) { return std::ranges::all_of(text, is_upper_hex); }

std::string with_suffix(std::string name, std::string_view suffix) {
    return suffix.empty() ? name : fmt::format("{}.{}", name, suffix);
}

} // namespace

storage::ObjectKey wal_key(std::string_view wal_file, std::string_view suffix) {
    return storage::ObjectKey(with_suffix(fmt::format("{}{}", wal_folder, wal_file), suffix));
}

storage::ObjectKey sentinel_key(std::string_view backup, std::string_view folder) {
    return storage::ObjectKey(fmt::format("{}{}{}", folder, backup, sentinel_tail));
}
storage::ObjectKey metadata_key(std::string_view backup, std::string_view folder) {
    return storage::ObjectKey(fmt::format("{}{}/metadata.json", folder, backup));
}
storage::ObjectKey files_metadata_key(std::string_view backup, std::string_view folder) {
    return storage::ObjectKey(fmt::format("{}{}/files_metadata.json", folder, backup));
}

std::string tar_folder(std::string_view backup, std::string_view folder) {
    return fmt::format("{}{}/tar_partitions/", folder, backup);
}
storage::ObjectKey tar_key(std::string_view backup, std::string_view tar, std::string_view folder) {
    return storage::ObjectKey(tar_folder(backup, folder) + std::string(tar));
}

bool is_tar_of(std::string_view backup, std::string_view path) {
    const auto folder = tar_folder(backup);
    return path.starts_with(folder) && path.find('/', folder.size()) == std::string_view::npos;
}

std::string part_name(int number, std::string_view suffix) { return with_suffix(fmt::format("part_{:03}.tar", number), suffix); }
std::string tar_name(std::string_view stem, std::string_view suffix) { return with_suffix(fmt::format("{}.tar", stem), suffix); }

const codec::Compression* compression_of_tar(std::string_view object) {
    const auto dot = object.rfind('.');
    const auto suffix = dot == object.npos ? std::string_view() : object.substr(dot + 1);
    return codec::compression_by_suffix(suffix == "tar" ? std::string_view() : suffix);
}

bool valid_backup_name(std::string_view name) {
    constexpr std::string_view head = "base_";
    if (!name.starts_with(head)) return false;
    name.remove_prefix(head.size());
    if (name.size() < pg::segment_digits || !all_upper_hex(name.substr(0, pg::segment_digits))) return false;
    name.remove_prefix(pg::segment_digits);
    if (name.empty()) return true;
    if (name.size() == 9 && name[0] == '_' && all_upper_hex(name.substr(1))) return true;
    return name.starts_with(delta_mark) && name.size() == delta_mark.size() + pg::segment_digits &&
           all_upper_hex(name.substr(delta_mark.size()));
}

storage::ObjectKey journal_key(std::string_view backup) {
    return storage::ObjectKey(fmt::format("{}{}{}", backup_folder, journal_head, backup));
}

std::string_view backup_of_journal(std::string_view object_name) {
    return object_name.starts_with(journal_head) ? object_name.substr(journal_head.size()) : std::string_view();
}

std::string_view backup_of_sentinel(std::string_view object_name) {
    if (!object_name.ends_with(sentinel_tail)) return {};
    // WAL-G cuts at the first "_backup".
    return object_name.substr(0, object_name.find("_backup"));
}

/// No run of 24 hex digits may stand in a name of ours: WAL-G's delete would take it for WAL.
storage::ObjectKey intent_key(std::string_view backup, std::string_view folder) {
    std::string name(folder == catchup_folder ? catchup_head : std::string_view());
    std::size_t run = 0;
    for (const char c : backup) {
        run = std::isxdigit(static_cast<unsigned char>(c)) != 0 ? run + 1 : 0;
        name += c;
        if (run == intent_digits) {
            name += '-';
            run = 0;
        }
    }
    return storage::ObjectKey(fmt::format("{}{}{}", jobs_folder, name, intent_tail));
}

std::string backup_of_intent(std::string_view path) {
    if (!path.starts_with(jobs_folder) || !path.ends_with(intent_tail)) return {};
    path.remove_prefix(jobs_folder.size());
    path.remove_suffix(intent_tail.size());
    std::string name(path);
    std::erase(name, '-');
    return valid_backup_name(name) ? name : std::string();
}

std::optional<storage::ObjectKey> sentinel_of(const storage::ObjectKey& key) {
    const std::string_view path = key.path();
    for (const auto folder : {backup_folder, catchup_folder}) {
        if (!path.starts_with(folder)) continue;
        const auto name = path.substr(folder.size());
        const auto slash = name.find('/');
        const auto backup = slash == std::string_view::npos ? backup_of_sentinel(name) : name.substr(0, slash);
        if (!backup.empty()) return sentinel_key(backup, folder);
    }
    return std::nullopt;
}

std::string_view stored_segment(std::string_view path) {
    if (!path.starts_with(wal_folder)) return {};
    const auto object = path.substr(wal_folder.size());
    const auto name = object.substr(0, pg::segment_digits), rest = object.substr(name.size());
    const bool whole = rest.empty() || rest == "." || (rest[0] == '.' && codec::compression_by_suffix(rest.substr(1)) != nullptr);
    return whole && pg::wal_file_kind(name) == pg::WalFileKind::segment ? name : std::string_view();
}

std::string segments_around(const storage::ObjectKey& key) {
    constexpr std::size_t own_digits = 8;
    const std::string_view path = key.path();
    if (!path.starts_with(wal_folder)) return {};
    const auto segment = path.substr(wal_folder.size(), pg::segment_digits);
    if (segment.size() < pg::segment_digits || !all_upper_hex(segment)) return {};
    return std::string(path.substr(0, wal_folder.size() + pg::segment_digits - own_digits));
}

std::optional<pg::TimelineId> timeline_of(std::string_view backup) {
    const auto digits = first_segment_in(backup).substr(0, 8);
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
    if (digits.empty() || error != std::errc() || number == 0) return std::nullopt;
    return pg::TimelineId(number);
}

std::string_view first_segment_in(std::string_view name) {
    std::size_t run = 0;
    for (std::size_t index = 0; index < name.size(); ++index) {
        run = is_upper_hex(name[index]) ? run + 1 : 0;
        if (run == pg::segment_digits) return name.substr(index + 1 - pg::segment_digits, pg::segment_digits);
    }
    return {};
}

} // namespace walgd::archive

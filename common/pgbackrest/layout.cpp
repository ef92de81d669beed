#include "common/pgbackrest/layout.hpp"

#include "common/base/error.hpp"
#include "common/pg/wal_name.hpp"

#include <fmt/format.h>

namespace walgd::pgbackrest {

namespace {

constexpr std::size_t sha1_digits = 40;

} // namespace

void check_stanza(const std::string& stanza) {
    if (stanza.empty() || stanza.front() == '.' || stanza.find('/') != std::string::npos)
        throw Error(ErrorKind::misconfigured, fmt::format("PGBACKREST_STANZA is '{}', which is no stanza's name", stanza),
                    "`pgbackrest info` shows the stanzas of a repository");
}

storage::ObjectKey archive_info_key(const std::string& stanza) {
    return storage::ObjectKey(fmt::format("{}{}/archive.info", archive_folder, stanza));
}

storage::ObjectKey backup_info_key(const std::string& stanza) {
    return storage::ObjectKey(fmt::format("{}{}/backup.info", backup_folder, stanza));
}

storage::ObjectKey manifest_key(const std::string& stanza, const std::string& label) {
    return storage::ObjectKey(fmt::format("{}{}/{}/backup.manifest", backup_folder, stanza, label));
}

const codec::Compression& compression_of_type(std::string_view type, const std::string& object) {
    return compression_of_extension(type == "none" ? "" : type, object);
}

const codec::Compression& compression_of_extension(std::string_view extension, const std::string& object) {
    if (extension.empty() || extension == "gz" || extension == "lz4" || extension == "zst")
        return *codec::compression_by_suffix(extension);
    throw Error(ErrorKind::misconfigured,
                fmt::format("{} is compressed with {}, which is not read here", object,
                            extension == "bz2" ? "bzip2 (bz2)" : fmt::format("'{}'", extension)),
                "none, gz, lz4 and zst are read; restore from this repository with pgBackRest itself");
}

std::optional<ArchivedName> parse_archived_name(std::string_view name) {
    if (pg::wal_file_kind(name) == pg::WalFileKind::backup_history) return ArchivedName{std::string(name), {}, ""};
    const auto dash = name.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto file = name.substr(0, dash);
    const auto kind = pg::wal_file_kind(file);
    if (kind != pg::WalFileKind::segment && kind != pg::WalFileKind::partial) return std::nullopt;
    const auto sha1 = parse_sha1(name.substr(dash + 1, sha1_digits));
    if (!sha1) return std::nullopt;
    auto extension = name.substr(dash + 1 + sha1_digits);
    if (!extension.empty() && (extension.front() != '.' || extension.size() == 1)) return std::nullopt;
    if (!extension.empty()) extension.remove_prefix(1);
    return ArchivedName{std::string(file), sha1, std::string(extension)};
}

} // namespace walgd::pgbackrest

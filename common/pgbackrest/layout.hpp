#pragma once
#include "common/base/sha1.hpp"
#include "common/codec/compression.hpp"
#include "common/storage/storage.hpp"

#include <optional>
#include <string>
#include <string_view>

/// Where things are in a pgBackRest repository, whose root is the storage's prefix:
///
///     archive/<stanza>/archive.info                        and a .copy of it
///     archive/<stanza>/<version>-<id>/TTTTTTTT.history
///     archive/<stanza>/<version>-<id>/<first 16 digits>/<segment>-<SHA-1>[.gz|.lz4|.zst|.bz2]     also <segment>.partial-...
///     archive/<stanza>/<version>-<id>/<first 16 digits>/<segment>.<offset>.backup
///     backup/<stanza>/backup.info                          and a .copy of it
///     backup/<stanza>/<label>/backup.manifest              and a .copy of it
///     backup/<stanza>/<label>/pg_data/...[.ext]            one object a file
///     backup/<stanza>/<label>/bundle/<number>              small files one after the other
namespace walgd::pgbackrest {

inline constexpr std::string_view archive_folder = "archive/", backup_folder = "backup/";
/// What is written beside every info file and manifest.
inline constexpr std::string_view copy_suffix = ".copy";

/// Error(misconfigured) for what cannot be a folder's name.
void check_stanza(const std::string& stanza);

storage::ObjectKey archive_info_key(const std::string& stanza);
storage::ObjectKey backup_info_key(const std::string& stanza);
storage::ObjectKey manifest_key(const std::string& stanza, const std::string& label);

/// The reader for a compress-type or an object's extension; Error(misconfigured), naming `object`, for bzip2 and what is unknown.
const codec::Compression& compression_of_type(std::string_view type, const std::string& object);
const codec::Compression& compression_of_extension(std::string_view extension, const std::string& object);

/// An object in a timeline's folder of the archive, by the name in the folder.
struct ArchivedName {
    std::string file;               ///< PostgreSQL's name for it: segment, .partial or .backup
    std::optional<Sha1Digest> sha1; ///< of the content; .backup files have none
    std::string extension;          ///< without the dot; empty: not compressed
};
/// Nothing, if pgBackRest writes no such name.
std::optional<ArchivedName> parse_archived_name(std::string_view name);

} // namespace walgd::pgbackrest

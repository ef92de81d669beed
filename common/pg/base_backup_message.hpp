#pragma once
#include "common/base/bytes.hpp"

#include <cstdint>
#include <string_view>
#include <variant>

/// The messages inside the CopyOut stream of BASE_BACKUP from PostgreSQL 15 on ("Streaming Replication Protocol" in PostgreSQL's
/// documentation). Older servers send each archive, and the manifest, as a stream of its own without such messages.
namespace walgd::pg {

/// 'n' name NUL path NUL
struct ArchiveBegins {
    std::string_view name; ///< "base.tar", "16384.tar"; a view into the message
    std::string_view path; ///< of the tablespace; empty for the data directory
};

/// 'm': what follows is the manifest.
struct ManifestBegins {};

/// 'd' bytes: of the archive or the manifest that began last.
struct ArchiveData {
    ByteView bytes; ///< a view into the message
};

/// 'p' bytes:8, big-endian: how far the server is.
struct ServerProgress {
    std::uint64_t bytes = 0;
};

using BaseBackupMessage = std::variant<ArchiveBegins, ManifestBegins, ArchiveData, ServerProgress>;

/// Error(protocol) when it is none of them, or its length cannot be right.
BaseBackupMessage parse_base_backup_message(ByteView message);

} // namespace walgd::pg

#pragma once
#include <cstdint>
#include <string>

namespace walgd::codec {

/// What a tar says about one file.
struct TarMember {
    enum class Type { file, directory, symlink };

    std::string name; ///< "/base/1/1259"; no trailing slash
    Type type = Type::file;
    std::uint64_t size = 0; ///< of files
    unsigned mode = 0600;   ///< permission bits, set-id and sticky bits
    std::uint64_t uid = 0, gid = 0;
    std::string uname, gname;
    std::int64_t mtime_seconds = 0;
    std::string link; ///< of symlinks
};

} // namespace walgd::codec

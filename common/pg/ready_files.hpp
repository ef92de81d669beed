#pragma once
#include "common/base/handles.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

namespace walgd::pg {

/// What PostgreSQL says in pg_wal/archive_status: NAME.ready, that it wants NAME archived, NAME.done, that it was
/// (src/backend/access/transam/xlogarchive.c). Only reads, but for mark_done(). Blocks on the disk.
class ReadyFiles {
public:
    explicit ReadyFiles(std::string pg_wal);

    const std::string& folder() const { return folder_; }
    /// The WAL file's name, if this is its .ready.
    static std::optional<std::string> ready_name(std::string_view file);
    /// The names of all files that are .ready.
    std::vector<std::string> scan() const;
    bool is_ready(const std::string& name) const;
    /// The WAL file itself, open for reading; nothing when there is none.
    UniqueFd open(const std::string& name) const;
    /// Whether the WAL file of that name is the one that looked so: nothing took its place.
    bool is_still(const std::string& name, const struct stat& file) const;
    /// Does what PostgreSQL does with a file that was archived: renames .ready to .done. False when .ready is gone.
    bool mark_done(const std::string& name) const;

private:
    std::string pg_wal_, folder_;
};

} // namespace walgd::pg

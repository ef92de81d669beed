#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/documents.hpp"
#include "common/pg/control_file.hpp"

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

/// What is proved of a backup and of the place for it before a byte is written. Each throws what stands in the way, and returns
/// what it found, for people.
namespace walgd::backup {

/// A backup, as check_chain() found it.
struct CheckedChain {
    std::string text;
    std::optional<pg::ControlFile> control; ///< the backup's own; nothing: not one that is known here
};
/// The backup and all that it builds on are there, and this key reads them: the small tars of each are decoded.
CheckedChain check_chain(archive::Archive& archive, const std::string& backup, std::stop_token stop);

/// The folder is empty or absent, this user may write there, the tablespaces' folders are usable, and there is space.
std::string check_place(const std::string& folder, const archive::Sentinel& sentinel, const std::string& restore_spec);

/// Error(refused) when this user cannot write in `folder`, or cannot make it. `what`: "the folder".
void check_writable(const std::string& folder, const std::string& what);

/// PostgreSQL's programs of a version, and where they were looked for.
struct PostgresPrograms {
    std::string folder;              ///< empty: none of that version was found
    std::vector<std::string> others; ///< of other versions
};
/// `given`: the only folder to look into, unless empty; else the PATH and where distributions have them.
PostgresPrograms find_postgres(int major, const std::string& given);

} // namespace walgd::backup

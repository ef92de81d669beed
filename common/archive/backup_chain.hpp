#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/documents.hpp"

#include <string>
#include <vector>

namespace walgd::archive {

/// The hint where a backup, or what it builds on, is of no use.
inline constexpr std::string_view restore_another = "restore another backup: walg backup-list";

/// One backup of a chain.
struct ChainLink {
    std::string backup;
    Sentinel sentinel;
};

/// Error(refused) for a sentinel of a version that this program does not know.
void check_version(const ChainLink& link);

/// `backup` and what it is based on: newest first, the full backup last; one link when `backup` is a full one. Read from the
/// sentinels alone. Error(corrupt) for a loop, a parent that is missing or not the one that the delta was made on, links of two
/// systems; Error(refused) for a sentinel of a version that this program does not know.
awaitable<std::vector<ChainLink>> read_chain(storage::Storage& storage, std::string backup);

} // namespace walgd::archive

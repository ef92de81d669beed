#pragma once
#include "common/archive/catalogue.hpp"
#include "common/archive/wal/wal_catalogue.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

/// What `walg wal-show` tells of an archive, as a value and as a text that one process gives to another: its size depends on the
/// gaps and the backups, not on the number of segments.
namespace walgd::archive {

/// The WAL, and the backups in list_backups()' order.
struct ListedArchive {
    WalCatalogue wal;
    std::vector<BackupDetails> backups;
};
/// Lists the backups, then the WAL while their documents are read: a backup's WAL is stored before its sentinel, so that none
/// is missed. `segment_bytes`, `at_once`: list_wal()'s.
awaitable<ListedArchive> list_archive(Archive& archive, std::uint64_t segment_bytes, unsigned at_once);

/// Where a timeline came from.
struct TimelineParent {
    std::optional<pg::PastTimeline> left; ///< and where that one was left; nothing: the archive does not say
    std::string trouble;                  ///< why not, where its history cannot be read
    friend bool operator==(const TimelineParent&, const TimelineParent&) = default;
};
/// Of each timeline that has segments.
using TimelineParents = std::map<pg::TimelineId, TimelineParent>;

/// Reads the histories of the catalogue's timelines: a request each. A damaged one is that timeline's trouble; a storage that
/// does not answer is an Error.
awaitable<TimelineParents> read_parents(Archive& archive, const WalCatalogue& wal);

struct ArchiveSummary {
    WalCatalogue wal; ///< after a text: its timelines and the first of the odd objects alone
    TimelineParents parents;
    std::vector<BackupDetails> backups; ///< in list_backups()' order
    std::uint64_t odd_objects = 0;      ///< all of them
};

/// So many odd objects are named, and of the others the number is told.
inline constexpr std::size_t odd_named_max = 100;

/// Of the backups' documents: all that they say, or where the backups start and finish alone, which is a quarter of the work.
enum class Documents { whole, places };

/// A JSON document of this release's own; names that are no UTF-8 are told with replacement characters.
std::string to_text(const ArchiveSummary& summary, Documents documents);
/// Error(protocol) when the text is no summary of this release, or one that no archive can have.
ArchiveSummary parse_summary(std::string_view text);

} // namespace walgd::archive

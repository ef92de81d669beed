#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/lsn.hpp"
#include "common/pg/page.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace walgd::backup {

/// Of the cluster that a backup is of.
struct BackupPages {
    std::uint32_t block_bytes = 8192;
    bool checksums = true; ///< false: the headers alone tell; where they were turned off, pages keep what was right once
    std::uint64_t relation_file_bytes = pg::relation_file_bytes;
};

/// Pages written between a backup's start and its end may be torn: those come out of the WAL.
struct BackupSpan {
    pg::Lsn start{0};
    std::optional<pg::Lsn> finish{}; ///< nothing: it is not known, as while the backup is taken
};

/// Checks the pages of files that pass in any cut, one file after the other: headers and checksums of relations' main forks.
class PageScan {
public:
    PageScan(const BackupSpan& span, const BackupPages& pages);

    /// `member`: a name in a tar, with a slash in front or without. True if it is a file that has such pages.
    bool begin(std::string_view member);
    /// Calls `on_damage` with the number of each damaged block, counted from the file's begin.
    using OnDamage = std::function<void(std::uint32_t block)>;
    void write(ByteView bytes, const OnDamage& on_damage);
    /// What is to be added to a block of the file to count from the relation's begin.
    std::uint32_t first_block() const { return first_block_; }
    /// Whether a page that is block `block` of the file is wrong.
    bool damaged(ByteView page, std::uint32_t block) const;

private:
    bool may_be_torn(pg::Lsn written) const { return written > span_.start && (!span_.finish || written <= *span_.finish); }

    BackupSpan span_;
    BackupPages pages_;
    Blob page_; ///< the first bytes of one that is not whole yet
    std::uint32_t first_block_ = 0, block_ = 0;
};

} // namespace walgd::backup

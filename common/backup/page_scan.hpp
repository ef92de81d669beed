#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/lsn.hpp"

#include <cstdint>
#include <functional>
#include <string_view>

namespace walgd::backup {

/// Checks the pages of files that pass in any cut, one file after the other: headers and checksums of relations' main forks.
/// Pages written since `start` may be torn: those come out of the WAL. Without `checksums` the headers alone tell: where they
/// were turned off, pages keep what was right once.
class PageScan {
public:
    PageScan(pg::Lsn start, std::uint32_t block_bytes, bool checksums = true);

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
    pg::Lsn start_;
    std::uint32_t block_bytes_;
    bool checksums_;
    Blob page_; ///< the first bytes of one that is not whole yet
    std::uint32_t first_block_ = 0, block_ = 0;
};

} // namespace walgd::backup

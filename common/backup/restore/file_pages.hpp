#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace walgd::backup {

/// Which pages of one file have their content from an increment already: a bit each. Increments come newest first, so a page that
/// is here stays as it is. The file's size is the newest increment's; where an older one says that the file was shorter then,
/// what lies behind is in a newer increment, or zero.
class FilePages {
public:
    FilePages(std::uint64_t file_bytes, std::uint32_t block_bytes);

    std::uint64_t file_bytes() const { return file_bytes_; }
    /// Content of older backups counts only before this.
    std::uint64_t limit() const { return limit_; }
    std::uint32_t block_bytes() const { return block_bytes_; }
    /// Bytes of the page at `offset` are wanted from a backup that is older than what was set.
    bool wants(std::uint64_t offset) const { return offset < limit_ && !has(offset / block_bytes_); }
    bool has(std::uint64_t block) const { return (bits_[block / 64] >> (block % 64) & 1) != 0; }

    /// An increment was written: its pages are here, the file had `file_bytes` then.
    void add(const std::vector<std::uint32_t>& blocks, std::uint64_t file_bytes);
    /// The next run of bytes in [from, to) that is all wanted; empty (begin == end == to) if there is none.
    struct Run {
        std::uint64_t begin, end;
    };
    Run wanted_run(std::uint64_t from, std::uint64_t to) const;

    /// "40000 40000 0-3 7": sizes and blocks, hexadecimal; what parse() reads.
    std::string text() const;
    /// A map without pages and of size 0 for what is no such text.
    static FilePages parse(std::string_view text, std::uint32_t block_bytes);

private:
    std::uint64_t file_bytes_, limit_;
    std::uint32_t block_bytes_;
    std::vector<std::uint64_t> bits_;
};

} // namespace walgd::backup

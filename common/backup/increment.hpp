#pragma once
#include "common/base/bytes.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// WAL-G's incremented file (walg-format.md, 4.1), the member of a delta backup that holds the changed pages of one relation
/// file. Little-endian, no alignment, no checksum, and nothing in it tells the size of a page:
///
///     0   77 69 31 55       "wi", version "1", magic 0x55
///     4   file size         u64, of the whole file when the backup was made
///     12  N                 u32, number of pages
///     16  N block numbers   u32 each, counted from this file's begin (not the relation's), ascending
///     ..  N pages           in the same order
namespace walgd::backup {

inline constexpr std::string_view increment_magic("wi1\x55", 4);

struct IncrementHead {
    std::uint64_t file_bytes = 0;
    std::vector<std::uint32_t> blocks; ///< ascending, each wholly within file_bytes
};

/// What stands in front of the pages.
std::string compose_increment_head(const IncrementHead& head);
/// The size of the member: head and pages.
std::uint64_t increment_bytes(std::uint64_t block_count, std::uint32_t block_bytes);

/// Reads one increment in any cut. Error(corrupt) names `object` for a wrong magic, a version that nobody knows, blocks that are
/// out of range or out of order, an end that is too early or too late. Memory: four bytes a block.
class IncrementParser {
public:
    class Handler {
    public:
        virtual ~Handler() = default;
        /// Once, before the first page.
        virtual void head(const IncrementHead& head) = 0;
        /// Bytes of one page, or a part of one, in order; `offset` is their place in the file. Gone after the call.
        virtual void page(std::uint64_t offset, ByteView bytes) = 0;
        /// False: nothing is done with the page at `offset`.
        virtual bool wants(std::uint64_t /*offset*/) const { return true; }
    };

    /// `handler` must outlive the parser.
    IncrementParser(Handler& handler, std::uint32_t block_bytes, std::string object)
        : handler_(handler), block_bytes_(block_bytes), object_(std::move(object)) {}
    void write(ByteView bytes);
    void finish();
    /// No page in the `count` bytes behind the next `after` is wanted: skip() may tell of them in place of write().
    bool can_skip(std::uint64_t after, std::uint64_t count) const;
    void skip(std::uint64_t count);

private:
    static constexpr std::size_t fixed_bytes = 16;

    ByteView read_fixed(ByteView bytes);
    ByteView read_blocks(ByteView bytes);
    ByteView read_pages(ByteView bytes);
    void start_blocks();
    void add_block(std::uint32_t block);
    [[noreturn]] void refuse(const std::string& cause) const;

    Handler& handler_;
    std::uint32_t block_bytes_;
    std::string object_;
    std::byte buffer_[fixed_bytes]{}; ///< the fixed part, then a block number, while they come in pieces
    std::size_t buffered_ = 0;
    enum class At { fixed, blocks, pages } at_ = At::fixed;
    std::uint32_t count_ = 0;
    IncrementHead head_;
    std::size_t page_ = 0;        ///< index of the page that comes
    std::uint32_t page_used_ = 0; ///< bytes of it that came
};

} // namespace walgd::backup

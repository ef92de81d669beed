#include "common/archive/wal/run_note.hpp"
#include "common/base/error.hpp"

#include <cstdlib>
#include <cstring>

/// Foreign WAL pages and an index that somebody else wrote. A record comes whole and in order; what is cut anywhere and joined
/// says the same of commits; nothing is read outside the bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    constexpr std::uint32_t page_bytes = 1024;
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        archive::parse_note_block(text_of(bytes), "input");
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) std::abort();
    }
    if (size < 2) return 0;
    const std::size_t header_bytes = pg::RecordHeader::bytes;
    if (size >= header_bytes) {
        const auto header = pg::RecordHeader::parse(bytes, pg::Lsn(0));
        for (const int version : {13, 15, 18}) pg::parse_moment(header, bytes, version);
        pg::parse_requirement(header, bytes);
    }
    // Pages whose headers are right, but for what the input says of the record that goes on.
    std::vector<std::byte> pages(bytes.begin() + 1, bytes.end());
    pages.resize((pages.size() + page_bytes - 1) / page_bytes * page_bytes);
    constexpr std::uint64_t start = 1 << 20;
    for (std::size_t at = 0; at < pages.size(); at += page_bytes) {
        const std::uint16_t magic = 0xD110;
        const std::uint64_t address = start + at;
        std::memcpy(pages.data() + at, &magic, sizeof magic);
        std::memcpy(pages.data() + at + 8, &address, sizeof address);
    }
    const auto whole = archive::RunNote::of(pages, pg::Lsn(start), page_bytes);
    const auto cut = std::min<std::size_t>(pages.size(), data[0] % 8 * page_bytes);
    if (cut == 0 || cut == pages.size()) return 0;
    auto joined = archive::RunNote::of(ByteView(pages).first(cut), pg::Lsn(start), page_bytes);
    joined.join(archive::RunNote::of(ByteView(pages).subspan(cut), pg::Lsn(start + cut), page_bytes));
    if (joined.note.commits != whole.note.commits || joined.note.last_commit != whole.note.last_commit) std::abort();
    return 0;
}

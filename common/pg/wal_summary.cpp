#include "common/pg/wal_summary.hpp"

#include "common/base/error.hpp"
#include "common/base/little_endian.hpp"
#include "common/pg/crc32c.hpp"
#include "common/pg/wal_name.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

constexpr std::string_view suffix = ".summary";
constexpr std::size_t name_digits = 40, lsn_digits = 16;

// magic:4 (entry:24 chunk_sizes:2*n chunks)* zeros:24 crc:4
// entry = tablespace:4 database:4 relation:4 fork:4 limit_block:4 chunk_count:4
// A chunk is of 65536 blocks: 4096 words of bits, or fewer words, each a block.
constexpr std::uint32_t magic = 0x652b137b, no_limit = 0xFFFFFFFF;
constexpr std::size_t entry_bytes = 24, crc_bytes = 4, summary_word_bits = 16;
constexpr std::uint32_t summary_chunk_blocks = 1 << 16;
constexpr std::uint16_t bitmap_words = summary_chunk_blocks / summary_word_bits;

std::optional<std::uint64_t> hex(std::string_view digits) {
    std::uint64_t number = 0;
    const bool upper = std::ranges::all_of(digits, [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); });
    std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
    return upper ? std::optional(number) : std::nullopt;
}

class Reader {
public:
    Reader(ByteView content, std::string_view file) : content_(content), file_(file) {}

    void run(BlockChanges& changes) {
        if (content_.size() < 4 + entry_bytes + crc_bytes) refuse("it is cut");
        check_sum();
        if (take<std::uint32_t>() != magic) refuse("it is of a version that nobody knows");
        while (read_entry(changes)) {
        }
        if (offset_ + crc_bytes != content_.size()) refuse("bytes follow its end");
    }

private:
    void check_sum() const {
        const auto stored = number_at<std::uint32_t>(content_, content_.size() - crc_bytes);
        if (crc32c(content_.first(content_.size() - crc_bytes)) != stored) refuse("its checksum is wrong");
    }
    template <class Number> Number take() {
        if (content_.size() - crc_bytes - offset_ < sizeof(Number)) refuse("it is cut");
        const auto number = number_at<Number>(content_, offset_);
        offset_ += sizeof number;
        return number;
    }

    /// False at the end mark.
    bool read_entry(BlockChanges& changes) {
        RelationId relation;
        relation.tablespace = take<std::uint32_t>();
        relation.database = take<std::uint32_t>();
        relation.relation = take<std::uint32_t>();
        const auto fork = take<std::uint32_t>(), limit = take<std::uint32_t>(), count = take<std::uint32_t>();
        if (relation == RelationId{} && fork == 0 && limit == 0 && count == 0) return false;
        // Of no relation: the whole folder of a database.
        if (relation.relation == 0) changes.replace_database(relation.tablespace, relation.database);
        const bool kept = fork == main_fork && relation.relation != 0;
        if (kept && limit != no_limit) changes.of(relation).truncate(limit);
        read_chunks(count, kept ? &changes.of(relation).blocks : nullptr);
        return true;
    }

    void read_chunks(std::uint32_t count, BlockSet* blocks) {
        if (count > summary_chunk_blocks) refuse(fmt::format("it says that a relation has {} times 65536 blocks", count));
        std::vector<std::uint16_t> sizes;
        for (std::uint32_t index = 0; index < count; ++index) sizes.push_back(take<std::uint16_t>());
        for (std::uint32_t chunk = 0; chunk < count; ++chunk) {
            if (sizes[chunk] > bitmap_words) refuse(fmt::format("one of its chunks has {} words", sizes[chunk]));
            for (std::uint32_t index = 0; index < sizes[chunk]; ++index) {
                const auto word = take<std::uint16_t>();
                if (blocks == nullptr) continue;
                if (sizes[chunk] < bitmap_words)
                    blocks->add(chunk * summary_chunk_blocks + word);
                else
                    add_bits(chunk * summary_chunk_blocks + index * static_cast<std::uint32_t>(summary_word_bits), word, *blocks);
            }
        }
    }

    static void add_bits(std::uint32_t first, std::uint16_t word, BlockSet& blocks) {
        for (std::uint32_t bit = 0; bit < summary_word_bits; ++bit) {
            if ((word >> bit & 1) != 0) blocks.add(first + bit);
        }
    }

    [[noreturn]] void refuse(const std::string& cause) const {
        throw Error(ErrorKind::corrupt, fmt::format("{} is not a good WAL summary: {}", file_, cause),
                    "PostgreSQL makes it anew when it is removed and the WAL is still there");
    }

    ByteView content_;
    std::string_view file_;
    std::size_t offset_ = 0;
};

} // namespace

std::optional<WalSummary> parse_summary_name(std::string_view name) {
    if (name.size() != name_digits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
    const auto timeline = hex(name.substr(0, timeline_digits));
    const auto start = hex(name.substr(timeline_digits, lsn_digits)),
               end = hex(name.substr(timeline_digits + lsn_digits, lsn_digits));
    if (!timeline || !start || !end) return std::nullopt;
    return WalSummary{TimelineId(static_cast<std::uint32_t>(*timeline)), Lsn(*start), Lsn(*end)};
}

std::string summary_name(const WalSummary& summary) {
    return fmt::format("{:08X}{:016X}{:016X}{}", summary.timeline.number(), summary.start.bytes(), summary.end.bytes(), suffix);
}

std::optional<std::vector<WalSummary>> covering(const std::vector<WalSummary>& there, const WalRange& range) {
    std::vector<WalSummary> chosen;
    for (auto reached = range.start; reached < range.end; reached = chosen.back().end) {
        const WalSummary* best = nullptr;
        for (const auto& summary : there) {
            const bool goes_on = summary.timeline == range.timeline && summary.start <= reached && summary.end > reached;
            if (goes_on && (best == nullptr || summary.end > best->end)) best = &summary;
        }
        if (best == nullptr) return std::nullopt;
        chosen.push_back(*best);
    }
    return chosen;
}

void read_wal_summary(ByteView content, std::string_view file, BlockChanges& changes) { Reader(content, file).run(changes); }

} // namespace walgd::pg

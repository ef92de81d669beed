#pragma once
#include "common/pg/block_changes.hpp"
#include "common/pg/crc32c.hpp"
#include "tests/unit/wal_support.hpp"

/// WAL made up by a test, with references to blocks, right checksums and links.
namespace walgd::test {

template <class Number> std::string number(Number value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }
inline std::string named(const pg::RelationId& id) { return number(id.tablespace) + number(id.database) + number(id.relation); }

/// A reference to a block, with `data` bytes of its own; `image`: what describes a page image, behind its length.
inline std::string reference(const pg::RelationId& id, std::uint32_t block, unsigned fork = 0, std::uint16_t data = 0,
                             std::uint16_t image_bytes = 0, const std::string& image = {}) {
    return std::string(1, '\0') + static_cast<char>(fork | (image.empty() ? 0U : 0x10U)) + number(data) +
           (image.empty() ? std::string() : number(image_bytes) + image) + named(id) + number(block);
}
/// A record without length, place and checksum, which WalText sets.
inline std::string record(unsigned manager, unsigned info, const std::string& references, const std::string& data,
                          std::size_t block_bytes = 0) {
    std::string text(24, '\0');
    text[16] = static_cast<char>(info);
    text[17] = static_cast<char>(manager);
    text += references;
    if (!data.empty() && data.size() < 256) text += '\xFF' + std::string(1, static_cast<char>(data.size()));
    if (data.size() >= 256) text += '\xFE' + number(static_cast<std::uint32_t>(data.size()));
    return text + std::string(block_bytes, 'b') + data;
}

/// Segments of 1 MiB, as PostgreSQL writes them, from the `first` on.
class WalText {
public:
    explicit WalText(std::uint64_t first = 1) : first_(first), at_(first * segment) {}
    pg::Lsn add(std::string text) {
        while (at_ % 8 != 0) put('\0');
        enter_page();
        const auto begin = at_;
        auto set = [&text](std::size_t place, const std::string& value) { text.replace(place, value.size(), value); };
        set(0, number(static_cast<std::uint32_t>(text.size())));
        set(8, number(before_));
        set(20, number(pg::crc32c(bytes_of(text.substr(0, 20)), pg::crc32c(bytes_of(text.substr(24))))));
        before_ = begin;
        for (left_ = text.size(); left_ > 0; --left_) {
            enter_page();
            put(text[text.size() - left_]);
        }
        return pg::Lsn(begin);
    }
    void switch_segment() {
        constexpr unsigned xlog_manager = 0, switch_kind = 0x40;
        add(record(xlog_manager, switch_kind, {}, {}));
        const auto end = (at_ + segment - 1) / segment * segment;
        wal_.resize(end - first_ * segment, '\0');
        at_ = end;
    }
    /// Where the next record will begin.
    pg::Lsn end() {
        while (at_ % 8 != 0) put('\0');
        enter_page();
        return pg::Lsn(at_);
    }
    std::string part(std::size_t index) const {
        auto text = wal_.substr(index * segment, segment);
        text.resize(segment, '\0');
        return text;
    }
    std::size_t parts() const { return (wal_.size() + segment - 1) / segment; }

    static constexpr std::size_t segment = 1 << 20, page = 8192;
    std::string& bytes() { return wal_; }

private:
    void put(char c) {
        wal_ += c;
        ++at_;
    }
    void enter_page() {
        if (at_ % page != 0) return;
        test::WalHeaderText header;
        header.address = at_;
        header.info = static_cast<std::uint16_t>((at_ % segment == 0 ? 2 : 0) | (left_ > 0 ? 1 : 0));
        auto text = header.bytes();
        text.replace(16, 4, number(static_cast<std::uint32_t>(left_)));
        if (at_ % segment != 0) text.resize(24);
        wal_ += text;
        at_ += text.size();
    }
    const std::uint64_t first_;
    std::string wal_;
    std::uint64_t at_, before_ = 0;
    std::size_t left_ = 0;
};

} // namespace walgd::test

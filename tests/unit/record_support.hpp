#pragma once
#include "common/base/time_text.hpp"
#include "common/pg/record_scan.hpp"
#include "tests/unit/wal_support.hpp"

#include <vector>

namespace walgd::test {

/// WAL written as PostgreSQL 15 writes it, from a segment's begin on: records at multiples of eight, cut by page headers.
class WrittenWal {
public:
    static constexpr std::uint64_t page_bytes = 8192;
    static constexpr pg::Lsn start{3 << 20};

    /// `rest`: so many bytes of a record of the segment before come first.
    explicit WrittenWal(pg::Lsn begin = start, std::uint32_t rest = 0) : begin_(begin) {
        WalHeaderText header;
        header.address = begin.bytes();
        if (rest > 0) header.info = 3;
        text_ = header.bytes();
        set(16, rest);
        put(std::string(rest, 'r'));
    }
    /// Where the next record begins, but for a page's header.
    pg::Lsn place() const { return pg::Lsn(begin_.bytes() + text_.size()); }

    /// Returns where it begins. `body`: what follows its header.
    pg::Lsn record(unsigned manager, unsigned info, std::uint32_t xid, const std::string& body) {
        while (text_.size() % 8 != 0) text_ += '\0';
        if (text_.size() % page_bytes == 0) new_page(0);
        const auto begin = place();
        std::string bytes(pg::RecordHeader::bytes, '\0');
        const auto length = static_cast<std::uint32_t>(bytes.size() + body.size());
        std::memcpy(bytes.data(), &length, sizeof length);
        std::memcpy(bytes.data() + 4, &xid, sizeof xid);
        bytes[16] = static_cast<char>(info);
        bytes[17] = static_cast<char>(manager);
        put(bytes + body);
        return begin;
    }
    pg::Lsn record(std::uint32_t length, unsigned manager, unsigned info) {
        return record(manager, info, 0, std::string(length - pg::RecordHeader::bytes, 'x'));
    }

    struct End {
        unsigned kind = 0;
        std::uint32_t xid = 0;
        Time time{};
        std::vector<std::uint32_t> subtransactions{};
        std::uint32_t prepared = 0;
    };
    pg::Lsn transaction_end(const End& end) {
        std::string data = number(microseconds(end.time));
        const std::uint32_t parts = (end.subtransactions.empty() ? 0U : 2U) | (end.prepared != 0 ? 16U : 0U);
        if (parts != 0) data += number(parts);
        if (!end.subtransactions.empty()) data += number(static_cast<std::uint32_t>(end.subtransactions.size()));
        for (const auto xid : end.subtransactions) data += number(xid);
        if (end.prepared != 0) data += number(end.prepared);
        return record(pg::manager::xact, end.kind | (parts != 0 ? 0x80U : 0U), end.xid, with_header(data));
    }
    pg::Lsn restore_point(std::string name, Time time) {
        name.resize(64);
        return record(pg::manager::xlog, pg::xlog_kind::restore_point, 0, with_header(number(microseconds(time)) + name));
    }
    pg::Lsn tablespace(std::uint32_t oid, const std::string& location) {
        return record(pg::manager::tablespace, pg::tablespace_kind::create, 7,
                      with_header(number(oid) + location + std::string(1, '\0')));
    }
    /// max_connections = `connections`, and the usual ones beside it.
    pg::Lsn settings(std::uint32_t connections, std::uint32_t wal_level) {
        auto data = number(connections);
        for (const std::uint32_t value : {8U, 10U, 0U, 64U}) data += number(value);
        data += number(wal_level) + std::string(2, '\0');
        return record(pg::manager::xlog, pg::xlog_kind::parameter_change, 0, with_header(data));
    }
    /// A record that was given up: what follows begins with a page that does not go on with it.
    void give_up(std::uint32_t length, unsigned manager, unsigned info) {
        record(length, manager, info);
        text_.resize(text_.size() / page_bytes * page_bytes);
        new_page(0);
    }
    /// Whole pages; behind the last record zeros.
    std::string pages() const {
        auto whole = text_;
        whole.resize((whole.size() + 8 + page_bytes - 1) / page_bytes * page_bytes);
        return whole;
    }

private:
    template <class T> static std::string number(T value) {
        std::string text(sizeof value, '\0');
        std::memcpy(text.data(), &value, sizeof value);
        return text;
    }
    static std::int64_t microseconds(Time time) {
        constexpr std::chrono::seconds epoch(946'684'800);
        return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch() - epoch).count();
    }
    static std::string with_header(const std::string& data) {
        if (data.size() < 256) return number(std::uint8_t{255}) + number(static_cast<std::uint8_t>(data.size())) + data;
        return number(std::uint8_t{254}) + number(static_cast<std::uint32_t>(data.size())) + data;
    }
    void put(std::string_view bytes) {
        while (!bytes.empty()) {
            if (text_.size() % page_bytes == 0) new_page(static_cast<std::uint32_t>(bytes.size()));
            const auto count = std::min(bytes.size(), page_bytes - text_.size() % page_bytes);
            text_ += bytes.substr(0, count);
            bytes.remove_prefix(count);
        }
    }
    void new_page(std::uint32_t rest) {
        const auto at = text_.size();
        WalHeaderText header;
        header.address = begin_.bytes() + at;
        const bool first = header.address % header.segment_bytes == 0;
        header.info = static_cast<std::uint16_t>((first ? 2 : 0) | (rest > 0 ? 1 : 0));
        text_ += header.bytes().substr(0, first ? 40 : 24);
        set(at + 16, rest);
    }
    template <class T> void set(std::size_t at, T value) { std::memcpy(text_.data() + at, &value, sizeof value); }

    const pg::Lsn begin_;
    std::string text_;
};

} // namespace walgd::test

#include "common/codec/tar_header.hpp"

#include "common/base/number_text.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <stdexcept>

namespace walgd::codec::tar {

namespace {

std::string_view field(const Block& block, std::size_t offset, std::size_t size) { return {block.data() + offset, size}; }

/// The text of a field: up to the first NUL.
std::string text(std::string_view raw) { return std::string(raw.substr(0, raw.find('\0'))); }

/// Big-endian two's complement behind a marker bit: GNU's way for numbers that octal digits cannot hold.
std::int64_t binary_number(std::string_view raw) {
    const auto first = static_cast<unsigned char>(raw.front());
    const bool negative = (first & 0x40) != 0;
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    value = value << 7 | (first & 0x7f);
    for (std::size_t i = 1; i < raw.size(); ++i) {
        const auto top = value >> 55;
        if (top != 0 && top != 0x1ff) throw std::runtime_error("a number in it is too large");
        value = value << 8 | static_cast<unsigned char>(raw[i]);
    }
    return static_cast<std::int64_t>(value);
}

std::int64_t number(std::string_view raw) {
    if ((static_cast<unsigned char>(raw.front()) & 0x80) != 0) return binary_number(raw);
    const auto blank = [](char c) { return c == ' ' || c == '\0'; };
    while (!raw.empty() && blank(raw.front())) raw.remove_prefix(1);
    raw = raw.substr(0, std::min(raw.find(' '), raw.find('\0')));
    if (raw.empty()) return 0;
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), value, 8);
    if (error != std::errc() || end != raw.data() + raw.size()) throw std::runtime_error("a number in it is not octal");
    return value;
}

std::uint64_t not_negative(std::int64_t value) {
    if (value < 0) throw std::runtime_error("a size or an owner in it is negative");
    return static_cast<std::uint64_t>(value);
}

void check_sum(const Block& block) {
    std::int64_t as_unsigned = 0, as_signed = 0;
    for (std::size_t i = 0; i < block.size(); ++i) {
        const char c = i >= 148 && i < 156 ? ' ' : block[i];
        as_unsigned += static_cast<unsigned char>(c);
        as_signed += static_cast<signed char>(c); // some old writers
    }
    const auto said = number(field(block, 148, 8));
    if (said != as_unsigned && said != as_signed) throw std::runtime_error("its checksum does not match");
}

std::int64_t pax_integer(std::string_view value) {
    const auto number = whole_number<std::int64_t>(value);
    if (!number) throw std::runtime_error("a pax number is not one");
    return *number;
}

/// "1714557601.25": rounded down.
std::int64_t pax_time(std::string_view value) {
    const auto dot = value.find('.');
    const auto seconds = pax_integer(value.substr(0, dot));
    const bool fraction = dot != std::string_view::npos && value.find_first_not_of('0', dot + 1) != std::string_view::npos;
    const bool can_be_less = seconds > std::numeric_limits<std::int64_t>::min();
    return value.front() == '-' && fraction && can_be_less ? seconds - 1 : seconds;
}

std::string pax_text(std::string_view value) {
    if (value.find('\0') != std::string_view::npos) throw std::runtime_error("a pax record has a NUL byte");
    return std::string(value);
}

void apply_record(std::string_view key, std::string_view value, TarMember& member) {
    if (key.starts_with("GNU.sparse.")) throw std::runtime_error("it is a sparse file, which PostgreSQL has not");
    if (value.empty()) return; // takes back a record: the header block holds
    if (key == "path") member.name = pax_text(value);
    if (key == "linkpath") member.link = pax_text(value);
    if (key == "size") member.size = not_negative(pax_integer(value));
    if (key == "uid") member.uid = not_negative(pax_integer(value));
    if (key == "gid") member.gid = not_negative(pax_integer(value));
    if (key == "uname") member.uname = pax_text(value);
    if (key == "gname") member.gname = pax_text(value);
    if (key == "mtime") member.mtime_seconds = pax_time(value);
}

} // namespace

std::optional<RawHeader> parse(const Block& block) {
    if (std::ranges::all_of(block, [](char c) { return c == '\0'; })) return std::nullopt;
    check_sum(block);
    RawHeader header;
    header.type = block[156];
    TarMember& member = header.member;
    member.name = text(field(block, 0, 100));
    member.mode = static_cast<unsigned>(number(field(block, 100, 8)) & 07777);
    member.uid = not_negative(number(field(block, 108, 8)));
    member.gid = not_negative(number(field(block, 116, 8)));
    member.size = not_negative(number(field(block, 124, 12)));
    member.mtime_seconds = number(field(block, 136, 12));
    member.link = text(field(block, 157, 100));
    if (field(block, 257, 5) != "ustar") return header;
    member.uname = text(field(block, 265, 32));
    member.gname = text(field(block, 297, 32));
    // GNU's own format ("ustar  ") keeps other things there.
    const auto prefix = block[262] == '\0' ? text(field(block, 345, 155)) : std::string();
    if (!prefix.empty()) member.name = prefix + "/" + member.name;
    return header;
}

void apply_pax(std::string_view records, TarMember& member) {
    while (!records.empty()) {
        std::size_t length = 0;
        const auto [end, error] =
            std::from_chars(records.data(), records.data() + std::min<std::size_t>(records.size(), 12), length);
        const auto digits = static_cast<std::size_t>(end - records.data());
        const bool framed = error == std::errc() && length <= records.size() && length >= digits + 4 && *end == ' ' &&
                            records[length - 1] == '\n';
        if (!framed) throw std::runtime_error("its pax records are broken");
        const auto record = records.substr(digits + 1, length - digits - 2);
        const auto equals = record.find('=');
        if (equals == std::string_view::npos || equals == 0) throw std::runtime_error("its pax records are broken");
        apply_record(record.substr(0, equals), record.substr(equals + 1), member);
        records.remove_prefix(length);
    }
}

} // namespace walgd::codec::tar

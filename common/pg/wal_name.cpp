#include "common/pg/wal_name.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

bool upper_hex(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); });
}

std::uint32_t hex_number(std::string_view eight_digits) {
    std::uint32_t number = 0;
    std::from_chars(eight_digits.data(), eight_digits.data() + eight_digits.size(), number, 16);
    return number;
}

/// Segments that share the middle part of their names.
std::uint64_t segments_per_log(std::uint64_t segment_bytes) { return (std::uint64_t{1} << 32) / segment_bytes; }

} // namespace

std::optional<WalFileKind> wal_file_kind(std::string_view name) {
    if (name.size() == 16 && upper_hex(name.substr(0, 8)) && name.substr(8) == ".history") return WalFileKind::history;
    if (name.size() < segment_digits || !upper_hex(name.substr(0, segment_digits))) return std::nullopt;
    const auto rest = name.substr(segment_digits);
    if (rest.empty()) return WalFileKind::segment;
    if (rest == ".partial") return WalFileKind::partial;
    if (rest.size() == 16 && rest[0] == '.' && upper_hex(rest.substr(1, 8)) && rest.substr(9) == ".backup")
        return WalFileKind::backup_history;
    return std::nullopt;
}

bool valid_segment_bytes(std::uint64_t segment_bytes) {
    return std::has_single_bit(segment_bytes) && segment_bytes >= (1ULL << 20) && segment_bytes <= (1ULL << 30);
}

std::optional<Segment> parse_segment(std::string_view name, std::uint64_t segment_bytes) {
    if (name.size() < segment_digits || !upper_hex(name.substr(0, segment_digits))) return std::nullopt;
    const auto low = hex_number(name.substr(16, 8));
    if (low >= segments_per_log(segment_bytes)) return std::nullopt;
    return Segment{TimelineId(hex_number(name.substr(0, 8))),
                   hex_number(name.substr(8, 8)) * segments_per_log(segment_bytes) + low};
}

std::string segment_name(Segment segment, std::uint64_t segment_bytes) {
    const auto per_log = segments_per_log(segment_bytes);
    return fmt::format("{:08X}{:08X}{:08X}", segment.timeline.number(), segment.number / per_log, segment.number % per_log);
}

std::string history_name(TimelineId timeline) { return fmt::format("{:08X}.history", timeline.number()); }

Lsn segment_start(Segment segment, std::uint64_t segment_bytes) { return Lsn(segment.number * segment_bytes); }

std::uint64_t segment_number(Lsn lsn, std::uint64_t segment_bytes) { return lsn.bytes() / segment_bytes; }

} // namespace walgd::pg

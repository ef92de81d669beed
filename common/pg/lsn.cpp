#include "common/pg/lsn.hpp"

#include <charconv>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

std::optional<std::uint32_t> parse_half(std::string_view text) {
    if (text.empty() || text.size() > 8) return std::nullopt;
    std::uint32_t half = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), half, 16);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return half;
}

} // namespace

std::optional<Lsn> Lsn::parse(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto high = parse_half(text.substr(0, slash));
    const auto low = parse_half(text.substr(slash + 1));
    if (!high || !low) return std::nullopt;
    return Lsn(std::uint64_t{*high} << 32 | *low);
}

std::string Lsn::text() const { return fmt::format("{:X}/{:X}", bytes_ >> 32, bytes_ & 0xFFFFFFFF); }

} // namespace walgd::pg

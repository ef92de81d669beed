#include "common/pg/lsn.hpp"

#include "common/base/number_text.hpp"

#include <fmt/format.h>

namespace walgd::pg {

namespace {

std::optional<std::uint32_t> parse_half(std::string_view text) {
    return text.size() > 8 ? std::nullopt : whole_number<std::uint32_t>(text, 16);
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

#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace walgd::pg {

/// A place in the WAL: bytes since the cluster began. Text form as pg_lsn prints it: "16/B374D848".
class Lsn {
public:
    constexpr explicit Lsn(std::uint64_t bytes) : bytes_(bytes) {}
    /// Nothing, if not hex "/" hex of at most eight digits each.
    static std::optional<Lsn> parse(std::string_view text);
    constexpr std::uint64_t bytes() const { return bytes_; }
    std::string text() const;
    friend constexpr auto operator<=>(Lsn, Lsn) = default;

private:
    std::uint64_t bytes_;
};

/// A branch of history, from 1.
class TimelineId {
public:
    constexpr explicit TimelineId(std::uint32_t number) : number_(number) {}
    constexpr std::uint32_t number() const { return number_; }
    friend constexpr auto operator<=>(TimelineId, TimelineId) = default;

private:
    std::uint32_t number_;
};

/// What initdb called the cluster; never changes, and differs between clusters.
class SystemIdentifier {
public:
    constexpr explicit SystemIdentifier(std::uint64_t number) : number_(number) {}
    constexpr std::uint64_t number() const { return number_; }
    friend constexpr auto operator<=>(SystemIdentifier, SystemIdentifier) = default;

private:
    std::uint64_t number_;
};

} // namespace walgd::pg

#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace walgd::pg {

/// Settings of a server that recovery looks at, as WAL and pg_control have them: a hot standby needs at least the same `values`,
/// and nobody recovers over WAL of wal_level_minimal.
struct StandbySettings {
    static constexpr std::array<std::string_view, 5> names{"max_connections", "max_worker_processes", "max_wal_senders",
                                                           "max_prepared_transactions", "max_locks_per_transaction"};
    static constexpr std::uint32_t wal_level_minimal = 0;

    std::array<std::uint32_t, names.size()> values{};
    std::uint32_t wal_level = 1;
    friend bool operator==(const StandbySettings&, const StandbySettings&) = default;
};

} // namespace walgd::pg

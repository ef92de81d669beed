#pragma once

/// What commands for restore_command exit with: PostgreSQL goes on without the file under 126, and stops instead of promoting
/// above it. WAL-G's own are of wal-g.
namespace walgd::cli {

constexpr int fetch_code_absent(bool as_walg) { return as_walg ? 74 : 1; }
constexpr int fetch_code_failed(bool as_walg) { return as_walg ? 1 : 200; }

} // namespace walgd::cli

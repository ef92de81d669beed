#pragma once
#include <cstdint>
#include <string>

/// Where segments that memory has no room for are kept: files without a name, gone with the process.
namespace walgd::daemon {

/// Makes the folder if need be and tries it. Error(misconfigured) when no file can be made in it, and for PostgreSQL's pg_wal.
void prepare_prefetch_folder(const std::string& folder);
/// The first `bytes` of one file into another, from its beginning, within the kernel; `name` is for messages.
void copy_file(int from, int to, std::uint64_t bytes, const std::string& name);

} // namespace walgd::daemon

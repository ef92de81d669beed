#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/wal/wal_find.hpp"

#include <functional>
#include <string>

namespace walgd::archive {

inline constexpr std::size_t wal_piece_bytes = 1 << 20;

/// Takes a WAL file's plain bytes, in pieces of wal_piece_bytes but for the last; on a thread of the CPU pool. False: enough.
using TakeWal = std::function<bool(std::uint64_t offset, ByteView piece)>;

/// Reads a stored WAL file without a file, as far as `take` wants it. False: the storage answered that it is not there.
/// Error(corrupt), naming the key, when it cannot be decoded.
awaitable<bool> read_wal(Archive& archive, WalFinder& finder, std::string name, TakeWal take);

} // namespace walgd::archive

#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/wal/wal_find.hpp"

#include <functional>
#include <optional>
#include <string>

namespace walgd::archive {

enum class Fetched { stored, absent /* the storage answered, for every suffix, that there is no such object */ };

/// Writes a WAL file into the empty file at `fd`. False: there is none.
using FillFile = std::function<awaitable<bool>(int fd)>;
/// Has `destination` filled with the WAL file `name`, durably: in a file without a name, or under a temporary one, beside it,
/// fsynced, then renamed. Nothing is left behind on failure, nor, where files without a name are to be had, by a kill.
/// `exclusive`, as wal-g: an existing destination is an Error.
awaitable<Fetched> fetch_durably(std::string name, std::string destination, bool exclusive, FillFile fill);

/// Fetches WAL files from one archive, remembering which suffix worked last. On the I/O thread.
class WalFetcher {
public:
    explicit WalFetcher(Archive& archive) : archive_(archive), finder_(archive) {}

    /// Decodes wal_005/<name>.* into the empty file open at `fd` and checks it (size, page header, name); its bytes, or nothing
    /// if the archive has none. On an Error the file's content is worth nothing. Not fsynced: PostgreSQL does that itself when
    /// it takes a restored file over (durable_rename() in KeepFileRestoredFromArchive(), xlogarchive.c, in 13 to 18), and
    /// fetches again what a crash tore before.
    awaitable<std::optional<std::uint64_t>> fetch_into(std::string name, int fd);

    /// The same into `destination`, as fetch_durably() does it.
    awaitable<Fetched> fetch(std::string name, std::string destination, bool exclusive);

    /// An object that the finder found, into the file at `fd`, as fetch_into() does it.
    awaitable<std::uint64_t> unpack(std::string name, WalObject object, int fd);
    WalFinder& finder() { return finder_; }

private:
    Archive& archive_;
    WalFinder finder_;
};

} // namespace walgd::archive

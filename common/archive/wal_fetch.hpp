#pragma once
#include "common/archive/archive.hpp"

#include <string>

namespace walgd::archive {

enum class Fetched { stored, absent /* the storage answered, for every suffix, that there is no such object */ };

/// Fetches WAL files from one archive, remembering which suffix worked last. On the I/O thread.
class WalFetcher {
public:
    explicit WalFetcher(Archive& archive) : archive_(archive) {}

    /// Decodes wal_005/<name>.* into the empty file open at `fd`, checks it (size, page header, name) and fsyncs it. The
    /// configured method's suffix is tried first, then the others, then "X." as WAL-G 3.0.8 wrote it. On an Error the file's
    /// content is worth nothing.
    awaitable<Fetched> fetch_into(std::string name, int fd);

    /// The same into `destination`: under a temporary name beside it, then renamed, durably. Nothing is left behind on failure.
    /// `exclusive`, as wal-g: an existing destination is an Error.
    awaitable<Fetched> fetch(std::string name, std::string destination, bool exclusive);

private:
    awaitable<bool> try_object(std::string name, storage::ObjectKey key, const codec::Compression* compression, int fd);

    Archive& archive_;
    const codec::Compression* last_ = nullptr;
};

} // namespace walgd::archive

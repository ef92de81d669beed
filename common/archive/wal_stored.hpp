#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/wal_source.hpp"

#include <optional>
#include <set>
#include <string>

namespace walgd::archive {

/// Metadata of a WAL file that its writer cannot decrypt: the SHA-256 of its plain content, in hex.
inline constexpr std::string_view plain_sha256 = "walgd-sha256";

struct StoredObject {
    storage::ObjectKey key;
    const codec::Compression* compression;
};

/// What is in wal_005/ already, as far as a push must know.
class StoredWal {
public:
    explicit StoredWal(Archive& archive) : archive_(archive) {}

    /// An object of that name under another suffix (the method was changed), or, with `own_suffix_too`, under the configured one
    /// as well. Other suffixes are only asked for when the archive was seen to have them: the common case costs no request.
    awaitable<std::optional<StoredObject>> find_before_put(std::string name, bool own_suffix_too);

    /// Returns when the object's plain content is the file's, by stored hash or by reading it. Error(refused) that names both
    /// when it is not.
    awaitable<void> check_same(const WalSource& source, StoredObject there);

private:
    awaitable<void> look_for_suffixes();

    Archive& archive_;
    std::optional<std::set<std::string>> other_suffixes_;
};

} // namespace walgd::archive

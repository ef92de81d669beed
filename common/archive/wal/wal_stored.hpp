#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/wal/wal_source.hpp"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace walgd::archive {

/// Metadata of a WAL file that its writer cannot decrypt: the SHA-256 of its plain content, in hex.
inline constexpr std::string_view plain_sha256 = "walgd-sha256";

/// An object that holds a WAL file.
struct StoredObject {
    storage::ObjectKey key;
    const codec::Compression* compression;
};

/// What is in wal_005/ already, as far as a push must know.
class StoredWal {
public:
    explicit StoredWal(Archive& archive) : archive_(archive) {}

    /// Finds out by one listing of all of wal_005/ under which other suffixes it holds anything. For a resident process, in the
    /// background: it may take a while, and pushes need not wait for it. After a failure it may be called again.
    awaitable<void> warm_up();

    /// What a later listing showed: who else archives here may do it by another method. Nothing before warm_up().
    void seen(const std::set<const codec::Compression*>& methods);

    /// An object of that name under another suffix (the method was changed), or, with `own_suffix_too`, under the configured one
    /// as well. After warm_up() only suffixes that the archive was seen to have are asked for: the common case costs no request.
    /// Before it all are asked for.
    awaitable<std::optional<StoredObject>> find_before_put(std::string name, bool own_suffix_too);

    /// Returns when the object's plain content is the file's, by stored hash or by reading it. Error(refused) that names both
    /// when it is not, Error(corrupt) when the object cannot be read.
    awaitable<void> check_same(const WalSource& source, StoredObject there);

private:
    Archive& archive_;
    std::optional<std::vector<const codec::Compression*>> other_methods_; ///< nothing before warm_up()
};

} // namespace walgd::archive

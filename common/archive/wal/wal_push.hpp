#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/wal/wal_source.hpp"
#include "common/base/handles.hpp"
#include "common/pg/lsn.hpp"
#include "common/pg/wal_name.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace walgd::archive {

/// How much we know of the storage's If-None-Match.
enum class ConditionalPut { works, look_first };

/// How files are pushed, and what of them is checked.
struct WalPushOptions {
    ConditionalPut conditional_put = ConditionalPut::works;
    /// Of segments and .partial: magic, address against name, system against the archive's; of others the system, where
    /// pg_control is beside pg_wal. False, as wal-g: what is no WAL is taken too, but not another cluster's WAL.
    bool check_header = true;
    bool any_name = false;              ///< as wal-g: names that are not PostgreSQL's are taken too
    std::optional<std::string> level{}; ///< instead of the archive's; for files that are packed whole
    bool overwrite = false; ///< as wal-g without WALG_PREVENT_WAL_OVERWRITE: replaces what is there (never a .history file)
};

/// What came of a push.
struct WalPushed {
    bool already_there = false; ///< with the same content
    std::uint64_t plain_bytes = 0, stored_bytes = 0;
    /// How long it took to pack it, waiting for memory included, and to put it once its turn had come. Zero: what is large is
    /// packed while it is put.
    std::chrono::steady_clock::duration packing{}, putting{};
};

/// Pushes WAL files of one cluster into one archive, remembering what it learnt of it. On the I/O thread.
class WalPusher {
public:
    /// `puts_at_once`: files on their way to the storage; more than those may be being packed, or wait.
    WalPusher(Archive& archive, WalPushOptions options, unsigned puts_at_once = 16);
    ~WalPusher();

    /// Packs the file open at `fd` and stores it as wal_005/<name>.<suffix>, only if absent. Returns only when the storage
    /// confirmed the whole object. Same content already there, under this or another suffix, is success. Other content is an
    /// Error(refused) that names both. The descriptor is read from offset 0 with pread; a file whose size or mtime changes while
    /// it is read is an Error(corrupt).
    /// `observer` sees what is packed, until the await returns.
    awaitable<WalPushed> push(std::string name, UniqueFd fd, WalObserver* observer = nullptr);

    /// Learns of the archive what the first push would have to ask for: whose it is, and how its WAL is packed. Pushes may come
    /// meanwhile. A failure is only logged: then they ask themselves.
    awaitable<void> warm_up();
    /// By which methods a later listing found WAL to be stored.
    void seen(const std::set<const codec::Compression*>& methods);

    /// Gives the memory kept for the next files back to the system, when none was pushed since the call before.
    void rest_if_quiet();

    WalPushOptions& options() { return options_; }

private:
    awaitable<storage::PutOutcome> put_whole(const WalSource& source, storage::ObjectKey key, storage::PutOptions options,
                                             WalPushed& result);
    awaitable<WalPushed> push_source(const WalSource& source, std::optional<pg::WalFileKind> kind);

    struct Parts;
    Archive& archive_;
    WalPushOptions options_;
    std::unique_ptr<Parts> parts_;
    std::uint64_t packed_seen_ = 0;
};

/// The cluster whose WAL this archive holds: as adopted or recorded, else from the newest backup's sentinel, else from a stored
/// segment; nothing for an empty archive.
awaitable<std::optional<pg::SystemIdentifier>> archive_system(Archive& archive);

/// After pg_upgrade, on the operator's order: from now on the archive takes `system`. Recorded under walgd_005/.
awaitable<void> adopt_system(Archive& archive, pg::SystemIdentifier system);

/// Finds out whether the storage keeps If-None-Match: puts a small object under walgd_005/ twice, and removes it.
awaitable<ConditionalPut> probe_conditional_put(Archive& archive);

/// A name for such an object.
storage::ObjectKey probe_key();

/// Removes those that are an hour old: who put them was killed before it removed them. A failure is only logged.
awaitable<void> remove_old_probes(Archive& archive);

} // namespace walgd::archive

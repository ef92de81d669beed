#include "common/archive/wal/system_guard.hpp"

#include "common/archive/catalogue.hpp"
#include "common/archive/json_text.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/stored_header.hpp"
#include "common/archive/wal/wal_push.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::archive {

namespace {

/// {"system_identifier": N}: whose archive this is. Ours alone; without it the backups and the WAL tell.
storage::ObjectKey system_key() { return storage::ObjectKey(std::string(own_folder) + "system.json"); }

std::string system_json(pg::SystemIdentifier system) { return fmt::format(R"({{"system_identifier":{}}})", system.number()); }

/// Asks one object after the other. One that is damaged, or that the storage does not hand out, says nothing, and others may.
class Asking {
public:
    explicit Asking(Archive& archive)
        // Of several storages those that answer tell: a new one would be claimed for the system that writes to it.
        : archive_(archive), storage_(archive.storage.answering()) {}

    awaitable<std::optional<pg::SystemIdentifier>> run() {
        auto record = recorded();
        auto found = co_await sound(std::move(record));
        if (!found) {
            found = co_await of_backups();
        }
        if (!found) {
            found = co_await of_wal();
        }
        if (damage_ && !found) throw *damage_;
        if (damage_) archive_.log.warn("{}: passed over, for other objects tell whose archive this is", damage_->what());
        co_return found;
    }

private:
    using Found = std::optional<pg::SystemIdentifier>;

    awaitable<Found> sound(awaitable<Found> asking) {
        try {
            const auto found = co_await std::move(asking);
            co_return found;
        } catch (const Error& error) {
            const bool kept_back = error.kind() == ErrorKind::refused; // of an archive class
            if (error.kind() != ErrorKind::corrupt && !kept_back) throw;
            damage_ = kept_back ? Error(ErrorKind::failed, error.what(), error.hint()) : error;
        }
        co_return std::nullopt;
    }

    awaitable<Found> recorded() {
        const auto text = co_await storage::get_whole(storage_, system_key(), 1 << 20);
        if (!text) co_return std::nullopt;
        const auto document = parse_object(text_of(text->view()), system_key().path());
        const auto found = document.find("system_identifier");
        if (found == document.end() || !found->is_number_unsigned())
            throw Error(ErrorKind::corrupt, fmt::format("{} names no system", system_key().path()),
                        "remove it: walgd makes it again");
        co_return pg::SystemIdentifier(found->get<std::uint64_t>());
    }

    awaitable<Found> of_backup(std::string name) {
        const auto sentinel = co_await read_sentinel(storage_, name);
        co_return sentinel.system;
    }
    awaitable<Found> of_backups() {
        const auto backups = co_await list_backups(storage_);
        for (auto backup = backups.rbegin(); backup != backups.rend(); ++backup) {
            auto reading = of_backup(backup->name);
            const auto found = co_await sound(std::move(reading));
            if (found) co_return found;
        }
        co_return std::nullopt;
    }

    awaitable<Found> of_segment(storage::ObjectKey key, const codec::Compression* compression) {
        const auto header = co_await stored_wal_header(archive_, key, compression);
        if (!header) co_return std::nullopt;
        co_return header->system;
    }
    /// One page: any segment tells.
    awaitable<Found> of_wal() {
        constexpr int tries_max = 5;
        if (archive_.packing.cipher != nullptr && !archive_.packing.cipher->can_decrypt()) co_return std::nullopt;
        const auto page = co_await storage_.list(std::string(wal_folder), {});
        int tries = 0;
        for (const auto& object : page.objects) {
            const auto name = std::string_view(object.key.path()).substr(wal_folder.size());
            const auto dot = name.find('.');
            const auto* compression =
                codec::compression_by_suffix(dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1));
            if (pg::wal_file_kind(name.substr(0, dot)) != pg::WalFileKind::segment || compression == nullptr) continue;
            auto reading = of_segment(object.key, compression);
            const auto found = co_await sound(std::move(reading));
            if (found || ++tries == tries_max) co_return found;
        }
        co_return std::nullopt;
    }

    Archive& archive_;
    storage::Storage& storage_;
    std::optional<Error> damage_; ///< of what could have told
};

} // namespace

awaitable<std::optional<pg::SystemIdentifier>> archive_system(Archive& archive) {
    Asking asking(archive);
    const auto found = co_await asking.run();
    co_return found;
}

awaitable<void> adopt_system(Archive& archive, pg::SystemIdentifier system) {
    const auto text = system_json(system);
    co_await archive.storage.put(system_key(), bytes_of(text), {});
}

awaitable<void> SystemGuard::warm_up() {
    if (known_) co_return;
    const auto found = co_await archive_system(archive_);
    if (!known_) known_ = found; // a check may have come first, and know more
}

awaitable<void> SystemGuard::check(pg::SystemIdentifier system, std::string file) {
    if (known_ == system) co_return;
    // Asked anew also when something else is remembered: an operator may have let the archive adopt this system meanwhile.
    known_ = co_await archive_system(archive_);
    if (!known_) {
        const auto text = system_json(system);
        const storage::PutOptions first{.if_absent = true, .metadata = {}};
        const auto outcome = co_await archive_.storage.put(system_key(), bytes_of(text), first);
        if (outcome == storage::PutOutcome::exists)
            known_ = co_await archive_system(archive_);
        else
            known_ = system;
    }
    if (known_ == system) co_return;
    throw Error(
        ErrorKind::refused,
        fmt::format("{} is of the cluster {}, the archive {} belongs to the cluster {}", file, system.number(),
                    archive_.storage.describe(), known_ ? known_->number() : 0),
        "three ways on: archive this cluster under another prefix; if it is the same cluster after pg_upgrade, let the archive "
        "take it: walg adopt-system --confirm; if all WAL and backups of the other one were removed on purpose, remove "
        "walgd_005/system.json too");
}

} // namespace walgd::archive

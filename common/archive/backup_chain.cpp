#include "common/archive/backup_chain.hpp"

#include "common/archive/catalogue.hpp"
#include "common/archive/layout.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::archive {

namespace {

constexpr int version_max = 2;

/// The parent is the backup that the delta was made on, not another one of that name.
void check_step(const ChainLink& delta, const ChainLink& parent) {
    const auto& origin = *delta.sentinel.delta;
    if (delta.sentinel.system && parent.sentinel.system && *delta.sentinel.system != *parent.sentinel.system)
        throw Error(ErrorKind::corrupt,
                    fmt::format("{} is of system {}, {}, on which it is based, of system {}", delta.backup,
                                delta.sentinel.system->number(), parent.backup, parent.sentinel.system->number()),
                    std::string(restore_another));
    if (parent.sentinel.start_lsn && *parent.sentinel.start_lsn != origin.lsn)
        throw Error(ErrorKind::corrupt,
                    fmt::format("{} was made on a {} that began at {}; the one in the archive began at {}", delta.backup,
                                parent.backup, origin.lsn.text(), parent.sentinel.start_lsn->text()),
                    std::string(restore_another));
}

awaitable<ChainLink> read_parent(storage::Storage& storage, const ChainLink& delta) {
    ChainLink parent{delta.sentinel.delta->from, {}};
    const auto key = sentinel_key(parent.backup);
    const auto blob = co_await storage::get_whole(storage, key, document_bytes_max);
    if (!blob)
        throw Error(ErrorKind::corrupt,
                    fmt::format("{} is a delta on {}, which is not in {}", delta.backup, parent.backup, storage.describe()),
                    "it cannot be restored without that; walg backup-list shows what there is");
    parent.sentinel = parse_sentinel(text_of(blob->view()), key.path());
    check_version(parent);
    check_step(delta, parent);
    co_return parent;
}

void check_root(const std::vector<ChainLink>& chain) {
    for (const auto& link : chain) {
        if (!link.sentinel.delta || link.sentinel.delta->full_name == chain.back().backup) continue;
        throw Error(ErrorKind::corrupt,
                    fmt::format("the sentinel of {} names {} as its full backup, but its chain ends at {}", link.backup,
                                link.sentinel.delta->full_name, chain.back().backup),
                    std::string(restore_another));
    }
}

} // namespace

void check_version(const ChainLink& link) {
    if (link.sentinel.version <= version_max) return;
    throw Error(ErrorKind::refused,
                fmt::format("the sentinel of {} is of version {}, this program knows them up to {}", link.backup,
                            link.sentinel.version, version_max),
                "restore it with the program that made it, or with a newer walgd");
}

awaitable<std::vector<ChainLink>> read_chain(storage::Storage& storage, std::string backup) {
    std::vector<ChainLink> chain;
    ChainLink link{std::move(backup), {}};
    link.sentinel = co_await read_sentinel(storage, link.backup);
    check_version(link);
    chain.push_back(std::move(link));
    while (chain.back().sentinel.delta) {
        const auto& from = chain.back().sentinel.delta->from;
        if (std::ranges::find(chain, from, &ChainLink::backup) != chain.end())
            throw Error(ErrorKind::corrupt,
                        fmt::format("the chain of {} comes back to {}: it has no full backup", chain[0].backup, from),
                        std::string(restore_another));
        if (!valid_backup_name(from))
            throw Error(
                ErrorKind::corrupt,
                fmt::format("the sentinel of {} names '{}' as its parent, which is no backup's name", chain.back().backup, from),
                std::string(restore_another));
        auto parent = co_await read_parent(storage, chain.back());
        chain.push_back(std::move(parent));
    }
    check_root(chain);
    co_return chain;
}

} // namespace walgd::archive

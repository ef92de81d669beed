#include "common/backup/restore/load_view.hpp"

#include "common/archive/catalogue.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/wal_find.hpp"
#include "common/archive/wal/wal_push.hpp"
#include "common/archive/wal/wal_read.hpp"
#include "common/codec/compression.hpp"
#include "common/pg/wal_page.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <set>

namespace walgd::backup {

namespace {

using archive::Archive;

std::optional<BackupFacts> facts_of(const std::string& name, const archive::Sentinel& sentinel) {
    const auto timeline = archive::timeline_of(name);
    if (!timeline || !sentinel.start_lsn || !sentinel.finish_lsn) return std::nullopt;
    return BackupFacts{name, *timeline, *sentinel.start_lsn, *sentinel.finish_lsn, sentinel.start_time, sentinel.finish_time};
}

/// The backup that the chain of `name` lacks; empty if it is whole.
std::string missing_below(const LoadedView& loaded, const std::string& name) {
    auto link = name;
    for (std::size_t steps = 0; steps <= loaded.sentinels.size(); ++steps) {
        const auto found = loaded.sentinels.find(link);
        if (found == loaded.sentinels.end()) return link;
        if (!found->second.delta) return {};
        link = found->second.delta->from;
    }
    return name; // it comes back to itself
}

/// No way begins at a delta that cannot be restored, but at an older backup perhaps.
void leave_out_broken_chains(Archive& archive, LoadedView& loaded) {
    std::erase_if(loaded.view.backups, [&](const BackupFacts& backup) {
        const auto missing = missing_below(loaded, backup.name);
        if (missing.empty()) return false;
        archive.log.warn("backup {} is left out: {}, which it is based on, is not in the archive or not to be used", backup.name,
                         missing);
        return true;
    });
}

void load_backups(Archive& archive, LoadedView& loaded, std::stop_token stop) {
    for (const auto& backup : run_blocking(archive.io, archive::list_backups(archive.storage), stop)) {
        std::optional<archive::Sentinel> sentinel;
        try {
            sentinel = run_blocking(archive.io, archive::read_sentinel(archive.storage, backup.name), stop);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt) throw;
            archive.log.warn("backup {} is left out: {}", backup.name, error.what());
            continue;
        }
        if (sentinel->system && loaded.system && sentinel->system != loaded.system) {
            archive.log.warn("backup {} is left out: it is of the cluster {}", backup.name, sentinel->system->number());
            continue;
        }
        const auto facts = facts_of(backup.name, *sentinel);
        if (facts)
            loaded.view.backups.push_back(*facts);
        else
            archive.log.warn("backup {} is left out: its sentinel has no LSNs; backup-fetch restores it", backup.name);
        loaded.sentinels.emplace(backup.name, std::move(*sentinel));
    }
    leave_out_broken_chains(archive, loaded);
}

std::string history_text(Archive& archive, archive::WalFinder& finder, const std::string& name, std::stop_token stop) {
    std::string text;
    archive::TakeWal take = [&text](std::uint64_t, ByteView piece) {
        text += text_of(piece);
        return text.size() < 1 << 20;
    };
    run_blocking(archive.io, archive::read_wal(archive, finder, name, std::move(take)), stop);
    return text;
}

/// WAL files, without suffixes.
struct WalNames {
    std::vector<std::pair<std::string, std::uint64_t>> all; ///< with their objects' sizes
    std::vector<std::string> newest;                        ///< segments, those stored last first; not all of them
};

/// Of the objects of their folder.
template <class Objects> WalNames names_of_wal(const Objects& objects) {
    constexpr std::size_t newest_max = 16;
    WalNames names;
    std::set<std::pair<storage::Modified, std::string>, std::greater<>> newest;
    for (const auto& object : objects) {
        if (object.bytes == 0) continue; // as good as missing
        auto name = object.key.path().substr(archive::wal_folder.size());
        if (!pg::wal_file_kind(name)) {
            const auto dot = name.rfind('.');
            // WAL-G's "<segment>.json" speaks of a segment, and is none.
            if (dot == std::string::npos || codec::compression_by_suffix(name.substr(dot + 1)) == nullptr) continue;
            name.resize(dot);
        }
        if (!pg::wal_file_kind(name)) continue;
        if (pg::wal_file_kind(name) == pg::WalFileKind::segment) newest.emplace(object.modified, name);
        if (newest.size() > newest_max) newest.erase(std::prev(newest.end()));
        names.all.emplace_back(std::move(name), object.bytes);
    }
    for (const auto& [modified, name] : newest) names.newest.push_back(name);
    return names;
}

WalNames list_wal(Archive& archive, std::stop_token stop) {
    return names_of_wal(
        run_blocking(archive.io, storage::list_all(archive.storage, std::string(archive::wal_folder), false), stop).objects);
}

/// pg_resetwal may have changed it: the WAL that was stored last tells.
std::uint64_t segment_bytes_of(Archive& archive, archive::WalFinder& finder, const std::vector<std::string>& newest,
                               std::stop_token stop) {
    std::optional<std::uint64_t> bytes;
    for (const auto& name : newest) {
        if (bytes) break;
        archive::TakeWal take = [&](std::uint64_t, ByteView piece) {
            bytes = pg::parse_wal_header(piece.first(std::min(piece.size(), pg::wal_header_bytes)), name).segment_bytes;
            return false;
        };
        try {
            run_blocking(archive.io, archive::read_wal(archive, finder, name, std::move(take)), stop);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt) throw; // another one tells
        }
    }
    return bytes.value_or(pg::segment_bytes_default);
}

/// One that cannot be read leads nowhere; other timelines do without it.
void load_history(Archive& archive, archive::WalFinder& finder, const std::string& name, ArchiveView& view,
                  std::stop_token stop) {
    const auto number = std::stoul(name.substr(0, pg::timeline_digits), nullptr, 16);
    const pg::TimelineId timeline(static_cast<std::uint32_t>(number));
    try {
        const auto text = history_text(archive, finder, name, std::move(stop));
        view.histories.insert_or_assign(timeline, pg::parse_timeline_history(text, timeline, name));
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        archive.log.warn("{} is left out: {}", name, error.what());
    }
}

void load_wal(Archive& archive, archive::WalFinder& finder, const WalNames& names, LoadedView& loaded, std::stop_token stop) {
    auto& view = loaded.view;
    view.segment_bytes = segment_bytes_of(archive, finder, names.newest, stop);
    view.histories.emplace(pg::TimelineId(1), pg::TimelineHistory{pg::TimelineId(1), {}});
    for (const auto& [name, bytes] : names.all) {
        const auto kind = pg::wal_file_kind(name);
        if (kind == pg::WalFileKind::history) {
            load_history(archive, finder, name, view, stop);
        } else if (kind == pg::WalFileKind::segment) {
            const auto segment = pg::parse_segment(name, view.segment_bytes);
            if (!segment) continue;
            view.segments.insert(*segment);
            loaded.stored_bytes.emplace_back(*segment, bytes);
        }
    }
    std::ranges::sort(loaded.stored_bytes);
    view.add_missing_histories();
}

} // namespace

LoadedView load_view(Archive& archive, std::stop_token stop, const std::vector<archive::HeldObject>* wal_objects) {
    LoadedView loaded;
    loaded.system = run_blocking(archive.io, archive::archive_system(archive), stop);
    load_backups(archive, loaded, stop);
    OnIoThread finder(archive.io, std::make_unique<archive::WalFinder>(archive));
    load_wal(archive, *finder, wal_objects != nullptr ? names_of_wal(*wal_objects) : list_wal(archive, stop), loaded, stop);
    return loaded;
}

} // namespace walgd::backup

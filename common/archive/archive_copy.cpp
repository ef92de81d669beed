#include "common/archive/archive_copy.hpp"

#include "common/archive/catalogue.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/wal_catalogue.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <map>
#include <tuple>

namespace walgd::archive {

namespace {

struct Chain {
    std::vector<std::string> backups; ///< the full one first
    Sentinel wanted;                  ///< of the last
    pg::TimelineId timeline{1};       ///< of the last, as its name says
};

awaitable<Chain> chain_of(Archive& from, std::string backup) {
    Chain chain;
    const auto entry = co_await find_backup(from.storage, backup);
    const auto first = pg::parse_segment(entry.wal_file, pg::segment_bytes_default >> 4);
    if (!first)
        throw Error(ErrorKind::refused, fmt::format("the name of backup {} tells no segment", entry.name),
                    "copy everything instead");
    chain.timeline = first->timeline;
    auto name = entry.name;
    for (;;) {
        auto sentinel = co_await read_sentinel(from.storage, name);
        if (std::ranges::find(chain.backups, name) != chain.backups.end())
            throw Error(ErrorKind::corrupt, fmt::format("the chain of backup {} leads back to {}", entry.name, name));
        chain.backups.insert(chain.backups.begin(), name);
        const auto parent = sentinel.delta ? sentinel.delta->from : std::string();
        if (chain.backups.size() == 1) chain.wanted = std::move(sentinel);
        if (parent.empty()) co_return chain;
        name = parent;
    }
}

bool is_document(std::string_view path) { return path.ends_with("/metadata.json") || path.ends_with("/files_metadata.json"); }

void sort_in(CopyPlan& plan, storage::ObjectInfo object) {
    const std::string_view path = object.key.path();
    const auto name = path.substr(path.rfind('/') + 1);
    if (path.starts_with(backup_folder) && path.find('/', backup_folder.size()) == std::string_view::npos &&
        !backup_of_sentinel(name).empty())
        plan.sentinels.push_back(std::move(object));
    else if (is_document(path))
        plan.documents.push_back(std::move(object));
    else
        plan.payload.push_back(std::move(object));
}

/// The WAL that `chain` needs: from before its start to its finish, or to the end, with every history file.
void take_wal(CopyPlan& plan, const std::vector<storage::ObjectInfo>& objects, const Chain& chain, bool to_the_end,
              std::uint64_t segment_bytes) {
    WalCollector collector;
    for (const auto& object : objects) collector.add(std::string_view(object.key.path()).substr(wal_folder.size()), object.bytes);
    const auto wal = std::move(collector).finish(segment_bytes);
    if (!chain.wanted.start_lsn || !chain.wanted.finish_lsn)
        throw Error(ErrorKind::corrupt, fmt::format("the sentinel of {} tells no LSNs", chain.backups.back()),
                    "copy everything instead");
    const auto first = pg::segment_number(pg::Lsn(chain.wanted.start_lsn->bytes() - 1), segment_bytes);
    const auto start = pg::segment_number(*chain.wanted.start_lsn, segment_bytes);
    const auto finish = pg::segment_number(pg::Lsn(chain.wanted.finish_lsn->bytes() - 1), segment_bytes);
    const auto timeline = wal.timelines.find(chain.timeline);
    auto last = finish;
    if (to_the_end && timeline != wal.timelines.end()) last = std::max(finish, timeline->second.last());
    for (auto number = start; number <= last; ++number) {
        if (!wal.has({chain.timeline, number}))
            throw Error(ErrorKind::refused,
                        fmt::format("{} is missing, and backup {} {} it",
                                    pg::segment_name({chain.timeline, number}, segment_bytes), chain.backups.back(),
                                    number <= finish ? "needs" : "is to be copied with"),
                        number <= finish ? "that backup cannot be restored: choose another"
                                         : "leave out --with-history to copy the backup alone");
    }
    for (const auto& object : objects) {
        const auto name = std::string_view(object.key.path()).substr(wal_folder.size());
        const auto segment = pg::parse_segment(name, segment_bytes);
        const bool in_range = segment && segment->timeline >= chain.timeline && segment->number >= first &&
                              (to_the_end || (segment->number <= last && segment->timeline == chain.timeline));
        if (in_range || name.find(".history") != std::string_view::npos) plan.payload.push_back(object);
    }
}

} // namespace

awaitable<CopyPlan> plan_copy(Archive& from, CopyWish wish, std::uint64_t segment_bytes, unsigned at_once) {
    CopyPlan plan;
    if (wish.backup.empty()) {
        const auto ended = co_await list_backups(from.storage);
        auto all = co_await storage::list_all(from.storage, "", true);
        leave_out_ended_since(ended, all.objects);
        for (auto& object : all.objects) sort_in(plan, std::move(object));
        // As they came to be: so a parent comes before its children, and LATEST is the same at the target. Names do not tell:
        // after pg_upgrade they begin anew.
        std::ranges::sort(plan.sentinels, {}, [](const auto& object) { return std::tie(object.modified, object.key.path()); });
        co_return plan;
    }
    const auto chain = co_await chain_of(from, wish.backup);
    for (const auto& backup : chain.backups) {
        auto parts = co_await storage::list_all(from.storage, fmt::format("{}{}/", backup_folder, backup), true);
        for (auto& object : parts.objects) sort_in(plan, std::move(object));
        const auto sentinel = co_await from.storage.head(sentinel_key(backup));
        if (!sentinel)
            throw Error(ErrorKind::refused, fmt::format("the sentinel of {} is gone", backup), "was it deleted meanwhile?");
        plan.sentinels.push_back(*sentinel);
    }
    if (segment_bytes == 0) {
        const auto wal = co_await list_wal(from, 0, at_once);
        segment_bytes = wal.segment_bytes;
    }
    const auto wal = co_await storage::list_all(from.storage, std::string(wal_folder), false);
    take_wal(plan, wal.objects, chain, wish.with_history, segment_bytes);
    co_return plan;
}

namespace {

/// And a bit. Objects that S3 stored within it have one time, and then the last by name is LATEST.
constexpr std::chrono::milliseconds one_second{1100};

const std::string& path_of(const storage::ObjectInfo& object) { return object.key.path(); }

bool is_metadata(std::string_view path) { return path.ends_with("/metadata.json"); }

/// What is written again while a backup or an archive lives: the mark in metadata.json, the journals' sizes, and all that is
/// ours.
bool changes(std::string_view path) {
    return path.starts_with(own_folder) || is_metadata(path) || !backup_of_journal(path.substr(path.rfind('/') + 1)).empty();
}

/// Takes out of `objects` what may differ at the target, and is there. Returns the metadata that do.
std::vector<std::string> leave_changed(std::vector<storage::ObjectInfo>& objects, const std::vector<storage::ObjectInfo>& there) {
    std::map<std::string_view, std::uint64_t> sizes;
    for (const auto& object : there) sizes.emplace(object.key.path(), object.bytes);
    std::vector<std::string> differing;
    std::erase_if(objects, [&](const storage::ObjectInfo& object) {
        const auto& path = object.key.path();
        const auto found = sizes.find(path);
        if (found == sizes.end() || !changes(path)) return false;
        if (found->second != object.bytes && is_metadata(path)) differing.push_back(path);
        return true;
    });
    return differing;
}

} // namespace

Copied run_copy(const CopyRoute& route, const CopyPlan& plan) {
    const auto there = run_blocking(route.to.io, storage::list_all(route.to.storage, "", true), route.to.stop);
    Copied sum;
    auto step = [&](std::vector<storage::ObjectInfo> objects, unsigned at_once) {
        auto limited = route;
        limited.at_once = at_once;
        const auto all = objects.size();
        const auto differing = leave_changed(objects, there.objects);
        sum.differing.insert(sum.differing.end(), differing.begin(), differing.end());
        sum.there_already += all - objects.size();
        const auto copied = copy_objects(limited, objects, there.objects, Existing::keep_same);
        sum.objects += copied.objects;
        sum.gone += copied.gone;
        sum.bytes += copied.bytes;
        sum.there_already += copied.there_already;
    };
    step(plan.payload, route.at_once);
    step(plan.documents, route.at_once);
    // The last is LATEST. Where one before it has a later name it comes alone, so that it is the younger one also in seconds.
    const auto in_order = std::ranges::is_sorted(plan.sentinels, {}, path_of);
    const auto last = in_order ? plan.sentinels.end() : std::prev(plan.sentinels.end());
    step({plan.sentinels.begin(), last}, 1);
    if (!in_order) run_blocking(route.to.io, sleep_for(one_second), route.to.stop);
    step({last, plan.sentinels.end()}, 1);
    return sum;
}

} // namespace walgd::archive

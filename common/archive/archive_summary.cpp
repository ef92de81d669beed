#include "common/archive/archive_summary.hpp"

#include "common/base/run_all.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::archive {

namespace {

using Json = nlohmann::json;

/// Whoever changes what the text holds counts up.
constexpr std::uint64_t format_version = 1;

Json timeline_json(const WalTimeline& timeline, const TimelineParents& parents) {
    auto runs = Json::array();
    for (const auto& run : timeline.runs) runs.push_back({run.first, run.last});
    Json json{{"id", timeline.id.number()}, {"bytes", timeline.bytes}, {"runs", std::move(runs)}};
    const auto parent = parents.find(timeline.id);
    if (parent == parents.end()) return json;
    const auto& [left, trouble] = parent->second;
    if (left) json["parent"] = {left->timeline.number(), left->end.bytes()};
    if (!trouble.empty()) json["trouble"] = trouble;
    return json;
}

Json place_json(const std::optional<pg::Lsn>& lsn) { return lsn ? Json(lsn->bytes()) : Json(); }

Json backup_json(const BackupDetails& backup, Documents documents) {
    const auto& [entry, metadata, trouble] = backup;
    Json json{{"name", entry.name},
              {"modified", entry.modified.time_since_epoch().count()},
              {"wal_file", entry.wal_file},
              // metadata.json says 0 where there is no LSN; here that difference stays.
              {"start", place_json(metadata.start_lsn)},
              {"finish", place_json(metadata.finish_lsn)}};
    if (documents == Documents::whole) json["metadata"] = to_json(metadata);
    if (!trouble.empty()) json["trouble"] = trouble;
    return json;
}

[[noreturn]] void refuse(std::string_view why) {
    throw Error(ErrorKind::protocol, fmt::format("the summary of the archive cannot be read: {}", why),
                "install walg and the daemon of one release");
}

std::uint64_t number(const Json& json) {
    if (!json.is_number_unsigned()) refuse("a number is none");
    return json.get<std::uint64_t>();
}

pg::TimelineId timeline_id(const Json& json) {
    const auto id = number(json);
    if (id > UINT32_MAX) refuse("a timeline's number is too large");
    return pg::TimelineId(static_cast<std::uint32_t>(id));
}

WalTimeline parse_timeline(const Json& json) {
    WalTimeline timeline{.id = timeline_id(json.at("id")), .runs = {}, .bytes = number(json.at("bytes"))};
    for (const auto& pair : json.at("runs")) {
        const SegmentRun run{number(pair.at(0)), number(pair.at(1))};
        const bool behind = timeline.runs.empty() || timeline.runs.back().last + 1 < run.first;
        if (run.last < run.first || run.last > UINT32_MAX * std::uint64_t{UINT32_MAX} || !behind)
            refuse("its segments are out of order");
        timeline.segments += run.count();
        timeline.runs.push_back(run);
    }
    if (timeline.runs.empty()) refuse("a timeline has no segments");
    return timeline;
}

TimelineParent parse_parent(const Json& json) {
    TimelineParent parent;
    if (const auto left = json.find("parent"); left != json.end())
        parent.left = pg::PastTimeline{timeline_id(left->at(0)), pg::Lsn(number(left->at(1)))};
    parent.trouble = json.value("trouble", "");
    return parent;
}

std::optional<pg::Lsn> parse_place(const Json& json) {
    return json.is_null() ? std::nullopt : std::optional(pg::Lsn(number(json)));
}

BackupDetails parse_backup(const Json& json) {
    if (!json.at("modified").is_number_integer()) refuse("a time is none");
    BackupDetails backup;
    backup.entry.name = json.at("name").get<std::string>();
    backup.entry.modified = storage::Modified(std::chrono::nanoseconds(json.at("modified").get<std::int64_t>()));
    backup.entry.wal_file = json.at("wal_file").get<std::string>();
    if (const auto document = json.find("metadata"); document != json.end())
        backup.metadata = parse_metadata(document->get<std::string>(), backup.entry.name);
    backup.metadata.start_lsn = parse_place(json.at("start"));
    backup.metadata.finish_lsn = parse_place(json.at("finish"));
    backup.trouble = json.value("trouble", "");
    return backup;
}

ArchiveSummary parse_document(const Json& json) {
    if (number(json.at("version")) != format_version) refuse("it is another release's");
    ArchiveSummary summary;
    summary.wal.segment_bytes = number(json.at("segment_bytes"));
    if (!pg::valid_segment_bytes(summary.wal.segment_bytes)) refuse("no cluster has segments of that size");
    for (const auto& one : json.at("timelines")) {
        auto timeline = parse_timeline(one);
        summary.parents.emplace(timeline.id, parse_parent(one));
        const auto id = timeline.id;
        if (!summary.wal.timelines.emplace(id, std::move(timeline)).second) refuse("a timeline is there twice");
    }
    for (const auto& one : json.at("odd"))
        summary.wal.odd.push_back({one.at(0).get<std::string>(), one.at(1).get<std::string>()});
    summary.odd_objects = number(json.at("odd_objects"));
    if (summary.odd_objects < summary.wal.odd.size()) refuse("it names more odd objects than there are");
    for (const auto& one : json.at("backups")) summary.backups.push_back(parse_backup(one));
    return summary;
}

} // namespace

awaitable<ListedArchive> list_archive(Archive& archive, std::uint64_t segment_bytes, unsigned at_once) {
    ListedArchive listed;
    auto entries = co_await list_backups(archive.storage);
    auto list = [&]() -> awaitable<void> { listed.wal = co_await list_wal(archive, segment_bytes, at_once); };
    auto read = [&]() -> awaitable<void> {
        listed.backups = co_await read_details(archive.storage, std::move(entries), at_once);
    };
    std::vector<awaitable<void>> tasks;
    tasks.push_back(list());
    tasks.push_back(read());
    co_await run_all(std::move(tasks));
    co_return listed;
}

awaitable<TimelineParents> read_parents(Archive& archive, const WalCatalogue& wal) {
    TimelineParents parents;
    for (const auto& [id, timeline] : wal.timelines) {
        auto& parent = parents[id];
        try {
            const auto history = co_await stored_history(archive, id, wal.others);
            if (history && !history->past.empty()) parent.left = history->past.back();
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt) throw;
            parent.trouble = error.what();
        }
    }
    co_return parents;
}

std::string to_text(const ArchiveSummary& summary, Documents documents) {
    const auto& wal = summary.wal;
    auto timelines = Json::array(), odd = Json::array(), backups = Json::array();
    for (const auto& [id, timeline] : wal.timelines) timelines.push_back(timeline_json(timeline, summary.parents));
    for (const auto& one : wal.odd) {
        if (odd.size() == odd_named_max) break;
        odd.push_back({one.name, one.what});
    }
    for (const auto& backup : summary.backups) backups.push_back(backup_json(backup, documents));
    const Json json{{"version", format_version}, {"segment_bytes", wal.segment_bytes}, {"timelines", std::move(timelines)},
                    {"odd", std::move(odd)},     {"odd_objects", summary.odd_objects}, {"backups", std::move(backups)}};
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ArchiveSummary parse_summary(std::string_view text) {
    const auto json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) refuse("it is no JSON");
    try {
        return parse_document(json);
    } catch (const Json::exception& error) {
        refuse(error.what());
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::protocol) throw;
        refuse(error.what());
    }
}

} // namespace walgd::archive

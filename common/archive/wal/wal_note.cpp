#include "common/archive/wal/wal_note.hpp"

#include "common/archive/json_text.hpp"
#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::archive {

namespace {

using nlohmann::json;

template <class T, class Less> void widen(std::optional<T>& min, std::optional<T>& max, T value, Less less) {
    if (!min || less(value, *min)) min = value;
    if (!max || less(*max, value)) max = value;
}

/// Keeps every other one of too many.
void thin_out(std::vector<NotedEnd>& samples) {
    std::size_t kept = 0;
    for (std::size_t index = 1; index < samples.size(); index += 2) samples[kept++] = samples[index];
    samples.resize(kept);
}

template <class T> bool append_up_to(std::vector<T>& list, const std::vector<T>& later, std::size_t limit) {
    const auto count = std::min(later.size(), limit - std::min(limit, list.size()));
    list.insert(list.end(), later.begin(), later.begin() + static_cast<std::ptrdiff_t>(count));
    return count == later.size();
}

// The document. LSNs are integers, times microseconds since 1970, places of tablespaces bytes in hex. Before version 2 it told of
// no requirements.
constexpr int document_version = 2;
std::int64_t microseconds(Time time) { return std::chrono::floor<std::chrono::microseconds>(time).time_since_epoch().count(); }

json json_of(const NotedEnd& end) { return {end.begin.bytes(), end.end.bytes(), microseconds(end.time), end.xid}; }
json json_of(const NotedPoint& point) { return {point.begin.bytes(), point.end.bytes(), microseconds(point.time), point.name}; }
json json_of(const NotedCheckpoint& point) {
    return {point.begin.bytes(), point.redo.bytes(), microseconds(point.time), point.shutdown};
}
json json_of(const NotedRequirement& requirement) {
    if (const auto* created = std::get_if<pg::TablespaceCreated>(&requirement.what))
        return {requirement.begin.bytes(), "tablespace", created->oid, to_hex(bytes_of(created->location))};
    const auto& settings = std::get<pg::StandbySettings>(requirement.what);
    return {requirement.begin.bytes(), "settings", settings.wal_level, settings.values};
}
template <class T> json json_of(const std::vector<T>& list) {
    json array = json::array();
    for (const auto& one : list) array.push_back(json_of(one));
    return array;
}

json json_of(std::uint64_t number, const WalNote& note) {
    json document{{"segment", number}, {"until", note.until.bytes()}};
    if (!note.complete) document["complete"] = false;
    if (note.ended) document["ended"] = true;
    if (note.commits > 0) document["commits"] = note.commits;
    if (note.aborts > 0) document["aborts"] = note.aborts;
    if (note.first_commit) document["first_commit"] = json_of(*note.first_commit);
    if (note.last_commit) document["last_commit"] = json_of(*note.last_commit);
    if (note.time_min) document["times"] = {microseconds(*note.time_min), microseconds(*note.time_max)};
    if (note.xid_min) document["xids"] = {*note.xid_min, *note.xid_max};
    if (!note.samples.empty()) document["samples"] = json_of(note.samples);
    if (!note.restore_points.empty()) document["restore_points"] = json_of(note.restore_points);
    if (!note.checkpoints.empty()) document["checkpoints"] = json_of(note.checkpoints);
    if (!note.requirements.empty()) document["requirements"] = json_of(note.requirements);
    if (note.stored_bytes > 0) document["stored_bytes"] = note.stored_bytes;
    return document;
}

Time time_of(const json& value) {
    // What a time in nanoseconds can hold.
    constexpr std::int64_t limit = 9'000'000'000'000'000;
    return Time(std::chrono::microseconds(std::clamp(value.get<std::int64_t>(), -limit, limit)));
}
pg::Lsn lsn_of(const json& value) { return pg::Lsn(value.get<std::uint64_t>()); }

void read(const json& value, NotedEnd& end) {
    end = {lsn_of(value.at(0)), lsn_of(value.at(1)), time_of(value.at(2)), value.at(3).get<std::uint32_t>()};
}
void read(const json& value, NotedPoint& point) {
    point = {lsn_of(value.at(0)), lsn_of(value.at(1)), time_of(value.at(2)), value.at(3).get<std::string>()};
}
void read(const json& value, NotedCheckpoint& point) {
    point = {lsn_of(value.at(0)), lsn_of(value.at(1)), time_of(value.at(2)), value.at(3).get<bool>()};
}
void read(const json& value, NotedRequirement& requirement) {
    requirement.begin = lsn_of(value.at(0));
    if (value.at(1).get<std::string>() != "tablespace") {
        requirement.what =
            pg::StandbySettings{value.at(3).get<decltype(pg::StandbySettings::values)>(), value.at(2).get<std::uint32_t>()};
        return;
    }
    const auto location = from_hex(value.at(3).get<std::string>());
    if (!location) throw Error(ErrorKind::corrupt, "a tablespace's place is not in hex");
    requirement.what = pg::TablespaceCreated{value.at(2).get<std::uint32_t>(), *location};
}
template <class T> void read_list(const json& document, const char* name, std::vector<T>& list, std::size_t limit) {
    const auto found = document.find(name);
    if (found == document.end()) return;
    for (const auto& value : *found) {
        if (list.size() == limit) return;
        read(value, list.emplace_back());
    }
}
void read_end(const json& document, const char* name, std::optional<NotedEnd>& end) {
    if (const auto found = document.find(name); found != document.end()) read(*found, end.emplace());
}

WalNote note_of(const json& document) {
    WalNote note;
    note.until = lsn_of(document.at("until"));
    note.complete = document.value("complete", true);
    note.ended = document.value("ended", false);
    note.commits = document.value("commits", std::uint64_t{0});
    note.aborts = document.value("aborts", std::uint64_t{0});
    read_end(document, "first_commit", note.first_commit);
    read_end(document, "last_commit", note.last_commit);
    if (const auto times = document.find("times"); times != document.end()) {
        note.time_min = time_of(times->at(0));
        note.time_max = time_of(times->at(1));
    }
    if (const auto xids = document.find("xids"); xids != document.end()) {
        note.xid_min = xids->at(0).get<std::uint32_t>();
        note.xid_max = xids->at(1).get<std::uint32_t>();
    }
    read_list(document, "samples", note.samples, WalNote::samples_max);
    read_list(document, "restore_points", note.restore_points, WalNote::points_max);
    read_list(document, "checkpoints", note.checkpoints, WalNote::checkpoints_max);
    read_list(document, "requirements", note.requirements, SIZE_MAX);
    note.stored_bytes = document.value("stored_bytes", std::uint64_t{0});
    return note;
}

} // namespace

bool WalNote::may_have_xid(std::uint32_t xid) const {
    return !complete || (xid_min && !xid_before(xid, *xid_min) && !xid_before(*xid_max, xid));
}

void WalNote::add(const pg::Moment& moment, pg::Lsn begin, pg::Lsn end) {
    if (const auto* transaction = std::get_if<pg::TransactionEnd>(&moment)) {
        const NotedEnd noted{begin, end, transaction->time, transaction->xid};
        widen(time_min, time_max, noted.time, std::less<>());
        if (noted.xid == 0)
            complete = false;
        else
            widen(xid_min, xid_max, noted.xid, &xid_before);
        ++(transaction->commit ? commits : aborts);
        if (!transaction->commit) return;
        if (!first_commit) first_commit = noted;
        last_commit = noted;
    } else if (const auto* point = std::get_if<pg::RestorePoint>(&moment)) {
        // JSON holds no names in other encodings than UTF-8.
        const bool ascii = std::ranges::all_of(point->name, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
        if (!ascii || restore_points.size() == points_max)
            complete = false;
        else
            restore_points.push_back({begin, end, point->time, point->name});
    } else if (const auto* checkpoint = std::get_if<pg::Checkpoint>(&moment)) {
        if (checkpoints.size() < checkpoints_max)
            checkpoints.push_back({begin, checkpoint->redo, checkpoint->time, checkpoint->shutdown});
    }
}

void WalNote::add(const pg::Requirement& requirement, pg::Lsn begin) { requirements.push_back({begin, requirement}); }

void WalNote::append(const WalNote& later) {
    until = later.until;
    ended = later.ended;
    commits += later.commits;
    aborts += later.aborts;
    complete = append_up_to(restore_points, later.restore_points, points_max) && complete && later.complete;
    requirements.insert(requirements.end(), later.requirements.begin(), later.requirements.end());
    append_up_to(checkpoints, later.checkpoints, checkpoints_max);
    if (!first_commit) first_commit = later.first_commit;
    if (later.last_commit) {
        if (last_commit) samples.push_back(*last_commit);
        samples.insert(samples.end(), later.samples.begin(), later.samples.end());
        while (samples.size() > samples_max) thin_out(samples);
        last_commit = later.last_commit;
    }
    for (const auto& time : {later.time_min, later.time_max}) {
        if (time) widen(time_min, time_max, *time, std::less<>());
    }
    for (const auto& xid : {later.xid_min, later.xid_max}) {
        if (xid) widen(xid_min, xid_max, *xid, &xid_before);
    }
}

std::string to_json(const NoteBlock& block) {
    json notes = json::array();
    for (const auto& [number, note] : block.notes) notes.push_back(json_of(number, note));
    const json document{{"version", document_version},
                        {"system_identifier", block.system.number()},
                        {"timeline", block.timeline.number()},
                        {"segment_bytes", block.segment_bytes},
                        {"segments", std::move(notes)}};
    return document.dump();
}

NoteBlock parse_note_block(std::string_view text, const std::string& object) {
    try {
        const auto document = json::parse(text);
        NoteBlock block;
        block.system = pg::SystemIdentifier(document.at("system_identifier").get<std::uint64_t>());
        block.timeline = pg::TimelineId(document.at("timeline").get<std::uint32_t>());
        block.segment_bytes = document.at("segment_bytes").get<std::uint64_t>();
        for (const auto& one : document.at("segments"))
            block.notes.emplace_back(one.at("segment").get<std::uint64_t>(), note_of(one));
        if (document.value("version", 1) < document_version) {
            for (auto& [number, note] : block.notes) note.complete = false;
        }
        if (!pg::valid_segment_bytes(block.segment_bytes))
            throw Error(ErrorKind::corrupt, fmt::format("{} is of segments of {} bytes", object, block.segment_bytes));
        std::ranges::sort(block.notes, {}, [](const auto& one) { return one.first; });
        return block;
    } catch (const json::exception& error) {
        throw Error(ErrorKind::corrupt, fmt::format("{} is no part of the commit-time index: {}", object, json_complaint(error)),
                    "remove it: walg restorable --rebuild makes it again");
    }
}

} // namespace walgd::archive

#include "client/walg/moment_printer.hpp"

#include <fmt/format.h>
#include <iostream>
#include <nlohmann/json.hpp>

namespace walgd::cli {

namespace {

using nlohmann::ordered_json;

void describe(ordered_json& line, const pg::TransactionEnd& end) {
    line.update({{"kind", end.commit ? "commit" : "abort"}, {"time", format_time(end.time)}, {"xid", end.xid}});
    if (!end.subtransactions.empty()) line["subtransactions"] = end.subtransactions;
}
void describe(ordered_json& line, const pg::RestorePoint& point) {
    line.update({{"kind", "restore point"}, {"time", format_time(point.time)}, {"name", point.name}});
}
void describe(ordered_json& line, const pg::Checkpoint& point) {
    line.update({{"kind", point.shutdown ? "shutdown checkpoint" : "checkpoint"},
                 {"time", format_time(point.time)},
                 {"redo", point.redo.text()},
                 {"next_xid", point.next_xid}});
}
void describe(ordered_json& line, const pg::EndOfRecovery& end) {
    line.update({{"kind", "end of recovery"},
                 {"time", format_time(end.time)},
                 {"timeline", end.timeline.number()},
                 {"previous_timeline", end.previous_timeline.number()}});
}
std::string plain(const ordered_json& line) {
    std::string text = fmt::format("{:<14} {:<28} {:<19}", line["lsn"].get<std::string>(), line["time"].get<std::string>(),
                                   line["kind"].get<std::string>());
    for (const auto& [key, value] : line.items()) {
        const bool shown = key != "lsn" && key != "time" && key != "kind" && key != "end";
        if (shown) text += fmt::format(" {} {}", key, value.is_string() ? value.get<std::string>() : value.dump());
    }
    return text + "\n";
}

} // namespace

void MomentPrinter::record(const pg::RecordHeader& header, pg::Lsn end, ByteView bytes) {
    enough_ = enough_ || header.begin >= to_;
    if (enough_ || header.begin < from_) return;
    const auto moment = pg::parse_moment(header, bytes, version_);
    if (!moment) return;
    ordered_json line{{"lsn", header.begin.text()}, {"end", end.text()}};
    std::visit([&line](const auto& one) { describe(line, one); }, *moment);
    std::cout << (json_ ? line.dump() + "\n" : plain(line));
}

} // namespace walgd::cli

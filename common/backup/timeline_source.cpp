#include "common/backup/timeline_source.hpp"

#include "common/archive/wal/wal_fetch.hpp"
#include "common/base/files.hpp"
#include "common/pg/wal_name.hpp"

#include <fmt/format.h>
#include <unistd.h>

namespace walgd::backup {

namespace {

/// The content of a WAL file in the archive; nothing, if it has none.
std::optional<std::string> archived_text(archive::Archive& archive, const std::string& name, std::stop_token stop) {
    const auto file = unnamed_file();
    archive::WalFetcher fetcher(archive);
    const auto bytes = run_blocking(archive.io, fetcher.fetch_into(name, file.get()), std::move(stop));
    if (!bytes) return std::nullopt;
    std::string text(static_cast<std::size_t>(*bytes), '\0');
    read_at(file.get(), std::as_writable_bytes(std::span(text)), 0, name);
    return text;
}

} // namespace

pg::TimelineHistory read_history(archive::Archive& archive, const std::string& pgdata, pg::TimelineId timeline,
                                 std::stop_token stop) {
    if (timeline.number() == 1) return {};
    const auto name = pg::history_name(timeline);
    const auto path = pgdata + "/pg_wal/" + name;
    if (::access(path.c_str(), F_OK) == 0) return pg::parse_timeline_history(read_text_file(path), timeline, path);
    const auto text = archived_text(archive, name, std::move(stop));
    if (!text)
        throw Error(ErrorKind::corrupt,
                    fmt::format("the history of timeline {} is neither in {} nor in {}", timeline.number(), path,
                                archive.storage.describe()),
                    "archive it: the server that was promoted has it in its pg_wal");
    return pg::parse_timeline_history(*text, timeline, name);
}

} // namespace walgd::backup

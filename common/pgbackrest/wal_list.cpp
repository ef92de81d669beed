#include "common/pgbackrest/wal_list.hpp"

#include "common/archive/wal/stored_header.hpp"
#include "common/pgbackrest/layout.hpp"

#include <fmt/format.h>

namespace walgd::pgbackrest {

namespace {

/// PostgreSQL keeps a line a timeline.
constexpr std::uint64_t history_bytes_max = 1 << 20;

/// The segment with the highest name.
struct Sample {
    std::string file;
    storage::ObjectKey key{""};
    std::string extension;
};

void collect(archive::WalCollector& collector, Sample& sample, const std::string& folder, const storage::ObjectInfo& object) {
    const auto path = object.key.path().substr(folder.size());
    const auto slash = path.find('/');
    const auto name = slash == std::string::npos ? std::nullopt : parse_archived_name(std::string_view(path).substr(slash + 1));
    if (!name || !name->file.starts_with(path.substr(0, slash))) return collector.add(path, object.bytes);
    collector.add(name->file, object.bytes);
    if (pg::wal_file_kind(name->file) == pg::WalFileKind::segment && name->file > sample.file && object.bytes > 0)
        sample = {name->file, object.key, name->extension};
}

/// What the header of one segment says; 0 when none can be read.
awaitable<std::uint64_t> segment_bytes_of(archive::Archive& archive, Sample sample) {
    std::string why = sample.key.path() + " is too short for a segment";
    try {
        const auto& compression = compression_of_extension(sample.extension, sample.key.path());
        const auto header = co_await archive::stored_wal_header(archive, sample.key, &compression);
        if (header) co_return header->segment_bytes;
    } catch (const Error& error) {
        // No answer is no reason to guess.
        if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::misconfigured) throw;
        why = error.what();
    }
    archive.log.warn(
        "WAL segments are taken to have 16 MiB, since none can be read: {}. WALG_PG_WAL_SIZE tells their size (in MiB)", why);
    co_return 0;
}

} // namespace

awaitable<archive::WalCatalogue> list_wal(Repository& repository, std::uint64_t segment_bytes) {
    auto& archive = repository.archive();
    const auto folder = co_await repository.wal_folder();
    archive::WalCollector collector;
    Sample sample;
    storage::ListOptions options;
    options.recursive = true;
    for (;;) {
        auto page = co_await archive.storage.list(folder, options);
        for (const auto& object : page.objects) collect(collector, sample, folder, object);
        if (!page.next) break;
        options.token = std::move(page.next);
    }
    if (segment_bytes == 0 && !sample.file.empty()) {
        segment_bytes = co_await segment_bytes_of(archive, sample);
    }
    co_return std::move(collector).finish(segment_bytes == 0 ? pg::segment_bytes_default : segment_bytes);
}

awaitable<std::optional<pg::TimelineHistory>> stored_history(Repository& repository, pg::TimelineId timeline) {
    const auto folder = co_await repository.wal_folder();
    const storage::ObjectKey key(folder + pg::history_name(timeline));
    const auto text = co_await storage::get_whole(repository.archive().storage, key, history_bytes_max);
    if (!text) co_return std::nullopt;
    co_return pg::parse_timeline_history(text_of(text->view()), timeline, key.path());
}

} // namespace walgd::pgbackrest

#include "common/archive/wal_fetch.hpp"
#include "common/backup/change_source.hpp"
#include "common/backup/mapped_file.hpp"
#include "common/base/files.hpp"
#include "common/pg/wal_blocks.hpp"
#include "common/pg/wal_name.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

/// Brings the segments of a range, and follows the WAL through them.
class WalChanges {
public:
    WalChanges(archive::Archive& archive, std::string pg_wal, const ChangeRange& range, std::uint64_t segment_bytes,
               std::stop_token stop)
        : archive_(archive), pg_wal_(std::move(pg_wal)), range_(range), segment_bytes_(segment_bytes), stop_(std::move(stop)),
          fetcher_(archive) {}

    FoundChanges run() {
        pg::BlockChanges changes;
        pg::WalBlockReader reader(range_.from, range_.to, changes);
        try {
            while (!reader.done()) read_segment(reader);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::refused) throw;
            return {std::nullopt, error.what()};
        }
        return {std::move(changes), {}};
    }

private:
    void read_segment(pg::WalBlockReader& reader) {
        const auto number = pg::segment_number(reader.at(), segment_bytes_);
        // A segment in which a timeline was left goes on in the file of the next one, which begins as a copy of it.
        const auto last = std::min((number + 1) * segment_bytes_, range_.to.bytes()) - 1;
        const auto name = pg::segment_name({range_.history.timeline_at(pg::Lsn(last)), number}, segment_bytes_);
        const auto path = pg_wal_ + name;
        UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        if (!file && errno != ENOENT) throw_errno(fmt::format("cannot open {}", path));
        if (!file) file = fetched(name);
        const MappedFile content(std::move(file), name);
        reader.segment(content.view(), name);
    }

    UniqueFd fetched(const std::string& name) {
        auto file = open_file(std::filesystem::temp_directory_path().string(), O_TMPFILE | O_RDWR | O_CLOEXEC);
        const auto bytes = run_blocking(archive_.io, fetcher_.fetch_into(name, file.get()), stop_);
        if (!bytes)
            throw Error(ErrorKind::corrupt,
                        fmt::format("WAL {} is neither in {} nor in {}", name, pg_wal_, archive_.storage.describe()));
        return file;
    }

    archive::Archive& archive_;
    std::string pg_wal_;
    const ChangeRange& range_;
    std::uint64_t segment_bytes_;
    std::stop_token stop_;
    archive::WalFetcher fetcher_;
};

} // namespace

FoundChanges changes_by_wal(archive::Archive& archive, const std::string& pgdata, const ChangeRange& range,
                            std::uint64_t segment_bytes, std::stop_token stop) {
    return WalChanges(archive, pgdata + "/pg_wal/", range, segment_bytes, std::move(stop)).run();
}

} // namespace walgd::backup

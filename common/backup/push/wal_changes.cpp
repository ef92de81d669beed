#include "common/archive/wal/segment_files.hpp"
#include "common/backup/push/change_source.hpp"
#include "common/base/mapped_file.hpp"
#include "common/pg/wal_blocks.hpp"
#include "common/pg/wal_name.hpp"

#include <algorithm>

namespace walgd::backup {

namespace {

std::string segment_at(const ChangeRange& range, pg::Lsn at, std::uint64_t segment_bytes) {
    const auto number = pg::segment_number(at, segment_bytes);
    // A segment in which a timeline was left goes on in the file of the next one, which begins as a copy of it.
    const auto last = std::min((number + 1) * segment_bytes, range.to.bytes()) - 1;
    return pg::segment_name({range.history.timeline_at(pg::Lsn(last)), number}, segment_bytes);
}

} // namespace

FoundChanges changes_by_wal(archive::Archive& archive, const std::string& pgdata, const ChangeRange& range,
                            std::uint64_t segment_bytes, std::stop_token stop) {
    archive::SegmentFiles files(archive, pgdata + "/pg_wal");
    pg::BlockChanges changes;
    pg::WalBlockReader reader(range.from, range.to, changes);
    try {
        while (!reader.done()) {
            const auto name = segment_at(range, reader.at(), segment_bytes);
            const MappedFile content(run_blocking(archive.io, files.open(name), stop), name);
            reader.segment(content.view(), name);
        }
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::refused) throw;
        return {std::nullopt, error.what()};
    }
    return {std::move(changes), {}};
}

} // namespace walgd::backup

#include "common/archive/layout.hpp"
#include "common/archive/wal/segment_files.hpp"
#include "common/backup/push/change_source.hpp"
#include "common/base/mapped_file.hpp"
#include "common/pg/delta_object.hpp"
#include "common/pg/wal_name.hpp"

#include <fmt/format.h>

namespace walgd::backup {

namespace {

/// WAL behind the last map that is worth reading instead of a scan: of the group under way, and of one that ended just now.
constexpr std::uint64_t rest_segments_max = 2 * pg::delta_group_segments;

/// Follows the maps from the range's begin on, as far as there are any.
class Maps {
public:
    Maps(archive::Archive& archive, const ChangeRange& range, std::uint64_t segment_bytes, pg::SystemIdentifier system,
         std::stop_token stop)
        : archive_(archive), range_(range), segment_bytes_(segment_bytes), system_(system), stop_(std::move(stop)),
          files_(archive, {}), at_(range.from) {}

    void run() {
        const auto group_bytes = segment_bytes_ * pg::delta_group_segments;
        auto group = range_.from.bytes() / group_bytes;
        for (; (group + 1) * group_bytes <= range_.to.bytes() && take(group, pg::Lsn((group + 1) * group_bytes - 1)); ++group) {
        }
    }
    /// A record begins here: all before it is in the changes.
    pg::Lsn at() const { return at_; }
    std::size_t count() const { return count_; }
    /// Of the first map that is not there or not to be used; empty if none was missed.
    const std::string& why_not() const { return why_not_; }
    pg::BlockChanges& changes() { return changes_; }

private:
    bool take(std::uint64_t group, pg::Lsn last) {
        const auto name = pg::delta_object_name(range_.history.timeline_at(last), group, segment_bytes_);
        try {
            auto file = run_blocking(archive_.io, files_.open_stored(name), stop_);
            if (!file) return refuse(fmt::format("{} has no {}", archive_.storage.describe(), name));
            const MappedFile content(std::move(file), name);
            if (const auto later = stored_behind(name); !later.empty())
                return refuse(fmt::format("{} was made before {} was stored, and speaks of other WAL", name, later));
            return take(pg::parse_delta_object(content.view(), name), name);
        } catch (const Error& error) {
            // One of several storages that does not answer may have it: then the pages are scanned.
            const bool elsewhere = archive_.members != nullptr && storage::is_outage(error);
            if (error.kind() != ErrorKind::corrupt && !elsewhere) throw;
            return refuse(error.what());
        }
    }

    /// A segment of the map's group that was put in the place of another one since; empty: none was. Segments that are stored
    /// while the map is made are no later ones.
    std::string stored_behind(const std::string& name) {
        constexpr std::chrono::minutes while_made{1};
        storage::ListOptions options;
        options.name_prefix = name.substr(0, pg::segment_digits - 1);
        const auto page = run_blocking(archive_.io, archive_.storage.list(std::string(archive::wal_folder), options), stop_);
        storage::Modified map{}, segment{};
        std::string later;
        for (const auto& object : page.objects) {
            const auto file = std::string_view(object.key.path()).substr(archive::wal_folder.size());
            if (file.starts_with(name))
                map = std::max(map, object.modified);
            else if (!archive::stored_segment(object.key.path()).empty() && object.modified > segment) {
                segment = object.modified;
                later = file;
            }
        }
        return segment > map + while_made ? later : std::string();
    }

    /// Each map must go on where the one before ended; in the first one the range begins.
    bool take(const pg::DeltaObject& object, const std::string& name) {
        if (!object.proof)
            return refuse(fmt::format(
                "{} is WAL-G's, which notes no truncated relations and does not say for which WAL it is whole", name));
        const auto& [system, start, end] = *object.proof;
        if (system != system_) return refuse(fmt::format("{} is of another system, {}", name, system.number()));
        if (count_ == 0 ? start > at_ : start != at_)
            return refuse(fmt::format("{} begins at {} and does not go on at {}", name, start.text(), at_.text()));
        for (std::size_t index = 0; index < object.sections.size(); ++index) {
            const auto section_end = index + 1 < object.sections.size() ? object.sections[index + 1].start : end;
            if (section_end > at_) changes_.append(object.sections[index].changes);
        }
        at_ = std::max(at_, end);
        ++count_;
        return true;
    }

    bool refuse(std::string cause) {
        why_not_ = std::move(cause);
        return false;
    }

    archive::Archive& archive_;
    const ChangeRange& range_;
    std::uint64_t segment_bytes_;
    pg::SystemIdentifier system_;
    std::stop_token stop_;
    archive::SegmentFiles files_;
    pg::BlockChanges changes_;
    pg::Lsn at_;
    std::size_t count_ = 0;
    std::string why_not_;
};

} // namespace

FoundChanges changes_by_maps(archive::Archive& archive, const std::string& pgdata, const ChangeRange& range,
                             std::uint64_t segment_bytes, pg::SystemIdentifier system, std::stop_token stop) {
    if (archive.packing.cipher != nullptr && !archive.packing.cipher->can_decrypt())
        return {std::nullopt, "they are encrypted, and this host has no key that decrypts"};
    Maps maps(archive, range, segment_bytes, system, stop);
    maps.run();
    const ChangeRange rest{maps.at(), range.to, range.history};
    const auto rest_bytes = rest.to.bytes() - rest.from.bytes();
    if (rest_bytes > rest_segments_max * segment_bytes) return {std::nullopt, maps.why_not()};
    auto found = changes_by_wal(archive, pgdata, rest, segment_bytes, std::move(stop));
    if (!found.changes) return found;
    maps.changes().append(*found.changes);
    archive.log.info("{} maps of changed pages were read, and {} KiB of WAL behind them", maps.count(), rest_bytes >> 10);
    return {std::move(maps.changes()), {}};
}

} // namespace walgd::backup

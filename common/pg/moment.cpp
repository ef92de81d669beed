#include "common/pg/moment.hpp"

#include "common/pg/record_data.hpp"

#include <algorithm>

namespace walgd::pg {

namespace {

constexpr unsigned xact_has_info = 0x80; // of a transaction's record
// xl_xact_xinfo, src/include/access/xact.h
constexpr std::uint32_t has_database = 1U << 0, has_subtransactions = 1U << 1, has_relations = 1U << 2,
                        has_invalidations = 1U << 3, has_twophase = 1U << 4, has_dropped_statistics = 1U << 8;
constexpr std::size_t database_bytes = 8, relation_bytes = 12, invalidation_bytes = 16;
constexpr std::size_t restore_point_name_bytes = 64;

std::size_t dropped_statistics_bytes(int version) { return version >= 18 ? 16 : 12; }

std::optional<Moment> transaction_end(const RecordHeader& header, ByteView data, int version) {
    const auto kind = header.info & xact_kind::mask;
    const bool prepared = kind == xact_kind::commit_prepared || kind == xact_kind::abort_prepared;
    TransactionEnd end;
    end.commit = kind == xact_kind::commit || kind == xact_kind::commit_prepared;
    end.xid = prepared ? 0 : header.xid;
    Fields fields(data);
    end.time = time_of_postgres(fields.take<std::int64_t>());
    if (!fields.good()) return std::nullopt;
    const auto parts = (header.info & xact_has_info) != 0 ? fields.take<std::uint32_t>() : 0U;
    if ((parts & has_database) != 0) fields.skip(database_bytes);
    if ((parts & has_subtransactions) != 0) {
        const auto count = fields.take<std::uint32_t>();
        const auto there = std::min<std::size_t>(count, fields.rest().size() / sizeof(std::uint32_t));
        for (std::size_t index = 0; index < there; ++index) end.subtransactions.push_back(fields.take<std::uint32_t>());
        if (there < count) return end;
    }
    if (!prepared) return end;
    if ((parts & has_relations) != 0) fields.skip_items(relation_bytes);
    if ((parts & has_dropped_statistics) != 0) fields.skip_items(dropped_statistics_bytes(version));
    if ((parts & has_invalidations) != 0) fields.skip_items(invalidation_bytes);
    if ((parts & has_twophase) != 0) end.xid = fields.take<std::uint32_t>();
    return end;
}

std::optional<Moment> restore_point(ByteView data) {
    Fields fields(data);
    RestorePoint point;
    point.time = time_of_postgres(fields.take<std::int64_t>());
    if (!fields.good()) return std::nullopt;
    const auto name = text_of(fields.rest().first(std::min(fields.rest().size(), restore_point_name_bytes)));
    point.name = name.substr(0, name.find('\0'));
    return point;
}

// redo:8 timeline:4 previous_timeline:4 flags:8 next_xid:8 oids and multixacts:32 time:8 ...
std::optional<Moment> checkpoint(bool shutdown, ByteView data) {
    Fields fields(data);
    Checkpoint point;
    point.shutdown = shutdown;
    point.redo = Lsn(fields.take<std::uint64_t>());
    point.timeline = TimelineId(fields.take<std::uint32_t>());
    point.previous_timeline = TimelineId(fields.take<std::uint32_t>());
    fields.skip(8);
    point.next_xid = fields.take<std::uint64_t>();
    fields.skip(32);
    // pg_time_t: seconds since 1970. One that no clock has is as good as none.
    const auto seconds = fields.take<std::int64_t>();
    if (!fields.good() || seconds < 0 || seconds > 1LL << 33) return std::nullopt;
    point.time = Time(std::chrono::seconds(seconds));
    return point;
}

std::optional<Moment> end_of_recovery(ByteView data) {
    Fields fields(data);
    EndOfRecovery end;
    end.time = time_of_postgres(fields.take<std::int64_t>());
    end.timeline = TimelineId(fields.take<std::uint32_t>());
    end.previous_timeline = TimelineId(fields.take<std::uint32_t>());
    if (!fields.good()) return std::nullopt;
    return end;
}

} // namespace

Time time_of_postgres(std::int64_t microseconds) {
    // What nanoseconds since 1970 can hold: years 1707 to 2262.
    constexpr std::int64_t limit = 8'000'000'000'000'000;
    constexpr std::chrono::seconds epoch(946'684'800);
    return Time(epoch + std::chrono::microseconds(std::clamp(microseconds, -limit, limit)));
}

bool ends_transaction(const RecordHeader& header) {
    const auto kind = header.info & xact_kind::mask;
    return header.manager == manager::xact && (kind == xact_kind::commit || kind == xact_kind::abort ||
                                               kind == xact_kind::commit_prepared || kind == xact_kind::abort_prepared);
}

std::optional<Moment> parse_moment(const RecordHeader& header, ByteView record, int version) {
    if (record.size() < RecordHeader::bytes) return std::nullopt;
    const auto kind = header.info & 0xF0U;
    const auto data = main_data(record);
    if (!data) return std::nullopt;
    if (ends_transaction(header)) return transaction_end(header, *data, version);
    if (header.manager != manager::xlog) return std::nullopt;
    if (kind == xlog_kind::restore_point) return restore_point(*data);
    if (kind == xlog_kind::shutdown_checkpoint || kind == xlog_kind::online_checkpoint)
        return checkpoint(kind == xlog_kind::shutdown_checkpoint, *data);
    if (kind == xlog_kind::end_of_recovery) return end_of_recovery(*data);
    return std::nullopt;
}

} // namespace walgd::pg

#include "common/backup/restore/moment_target.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::backup {

std::string target_time_text(Time time) {
    // PostgreSQL counts microseconds, and its records are compared with what it reads.
    auto text = format_time(std::chrono::floor<std::chrono::microseconds>(time));
    if (const auto separator = text.find('T'); separator != std::string::npos) text[separator] = ' ';
    if (text.ends_with('Z')) text.replace(text.size() - 1, 1, "+00");
    return text;
}

Time parse_target_time(const std::string& text) {
    auto iso = text;
    constexpr std::size_t date_digits = 10;
    if (iso.size() > date_digits && iso[date_digits] == ' ') iso[date_digits] = 'T';
    // An offset of hours alone: "+02".
    const auto sign = iso.find_last_of("+-");
    if (sign != std::string::npos && sign > date_digits && sign + 3 == iso.size()) iso += ":00";
    const auto time = parse_time(iso);
    if (!time)
        throw Error(ErrorKind::misconfigured, fmt::format("'{}' is no time with its zone", text),
                    "like this: 2026-11-25 12:03:04.512+00, or with the zone of another place: 2026-11-25 14:03:04+02");
    return *time;
}

std::string MomentTarget::text() const {
    const auto* how = inclusive ? "" : " (exclusive)";
    switch (kind) {
    case Kind::end:
        return "the end of the archived WAL";
    case Kind::time:
        return fmt::format("time {}{}", target_time_text(time), how);
    case Kind::lsn:
        return fmt::format("LSN {}{}", lsn.text(), how);
    case Kind::xid:
        return fmt::format("transaction {}{}", xid, how);
    case Kind::name:
        return fmt::format("restore point '{}'", name);
    case Kind::immediate:
        return "the end of the backup";
    }
    return {};
}

bool StopFinder::may_stop_in(const archive::WalNote& note, pg::Lsn segment_end) const {
    switch (target_.kind) {
    case MomentTarget::Kind::end:
        return false;
    case MomentTarget::Kind::lsn:
        return segment_end > target_.lsn;
    case MomentTarget::Kind::immediate:
        return segment_end >= consistent_;
    case MomentTarget::Kind::xid:
        return note.may_have_xid(target_.xid);
    case MomentTarget::Kind::time:
        return !note.complete ||
               (note.time_max && (target_.inclusive ? *note.time_max > target_.time : *note.time_max >= target_.time));
    case MomentTarget::Kind::name:
        return !note.complete ||
               std::ranges::find(note.restore_points, target_.name, &archive::NotedPoint::name) != note.restore_points.end();
    }
    return true;
}

void StopFinder::pass(const archive::WalNote& note) {
    if (!note.last_commit) return;
    last_commit_ = note.last_commit;
    past_backup_ = past_backup_ || note.last_commit->begin >= consistent_;
}

bool StopFinder::stops_before(const pg::RecordHeader& header, const std::optional<pg::Moment>& moment) const {
    if (target_.kind == MomentTarget::Kind::lsn) return !target_.inclusive && header.begin >= target_.lsn;
    if (target_.kind == MomentTarget::Kind::immediate) return header.begin >= consistent_;
    const auto* transaction = moment ? std::get_if<pg::TransactionEnd>(&*moment) : nullptr;
    if (transaction == nullptr) return false;
    if (target_.kind == MomentTarget::Kind::time)
        return target_.inclusive ? transaction->time > target_.time : transaction->time >= target_.time;
    return target_.kind == MomentTarget::Kind::xid && !target_.inclusive && transaction->xid == target_.xid;
}

bool StopFinder::stops_after(const pg::RecordHeader& header, pg::Lsn end, const std::optional<pg::Moment>& moment) const {
    switch (target_.kind) {
    case MomentTarget::Kind::lsn:
        return target_.inclusive && header.begin >= target_.lsn;
    case MomentTarget::Kind::immediate:
        return end >= consistent_;
    case MomentTarget::Kind::xid: {
        const auto* transaction = moment ? std::get_if<pg::TransactionEnd>(&*moment) : nullptr;
        return target_.inclusive && transaction != nullptr && transaction->xid == target_.xid;
    }
    case MomentTarget::Kind::name: {
        const auto* point = moment ? std::get_if<pg::RestorePoint>(&*moment) : nullptr;
        return point != nullptr && point->name == target_.name;
    }
    default:
        return false;
    }
}

void StopFinder::note(const pg::RecordHeader& header, pg::Lsn end, const std::optional<pg::Moment>& moment) {
    const auto* transaction = moment ? std::get_if<pg::TransactionEnd>(&*moment) : nullptr;
    if (transaction == nullptr) return;
    past_backup_ = past_backup_ || header.begin >= consistent_;
    if (transaction->commit) last_commit_ = archive::NotedEnd{header.begin, end, transaction->time, transaction->xid};
    if (target_.kind == MomentTarget::Kind::xid && std::ranges::count(transaction->subtransactions, target_.xid) > 0)
        parent_ = transaction->xid;
}

void StopFinder::record(const pg::RecordHeader& header, pg::Lsn end, ByteView bytes) {
    if (stop_ || header.begin < start_) return;
    const auto moment = pg::parse_moment(header, bytes, version_);
    if (stops_before(header, moment)) {
        stop_ = Stop{header.begin, end, true};
        return;
    }
    note(header, end, moment);
    if (stops_after(header, end, moment)) stop_ = Stop{header.begin, end, false};
}

} // namespace walgd::backup

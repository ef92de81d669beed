#include "daemon/wal/wal_queue.hpp"

#include "common/pg/wal_name.hpp"

#include <algorithm>

namespace walgd::daemon {

namespace {

constexpr Clock::duration delay_min = std::chrono::seconds(1), delay_max = std::chrono::seconds(30);

std::int64_t nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

} // namespace

FileIdentity::FileIdentity(const struct stat& about)
    : device(about.st_dev), inode(about.st_ino), size(static_cast<std::uint64_t>(about.st_size)),
      modified_ns(nanoseconds(about.st_mtim)), changed_ns(nanoseconds(about.st_ctim)) {}

bool ArchiveOrder::operator()(const std::string& left, const std::string& right) const {
    const bool left_history = left.ends_with(".history"), right_history = right.ends_with(".history");
    if (left_history != right_history) return left_history;
    return left < right;
}

/// What is in flight stays until it ends.
void WalQueue::forget(const std::string& name) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return;
    std::erase_if(found->second, [](const auto& entry) { return entry.second.state != State::in_flight; });
    if (found->second.empty()) entries_.erase(found);
}

void WalQueue::ready(const std::string& name) {
    if (scans_ > 0) since_scan_[name] = true;
    ready_.insert(name);
}

void WalQueue::not_ready(const std::string& name) {
    if (scans_ > 0) since_scan_[name] = false;
    ready_.erase(name);
    forget(name);
}

void WalQueue::ready_are(const std::vector<std::string>& names) {
    std::set<std::string, ArchiveOrder> now(names.begin(), names.end());
    for (const auto& [name, is_ready] : since_scan_) {
        if (is_ready)
            now.insert(name);
        else
            now.erase(name);
    }
    end_scan();
    std::vector<std::string> gone;
    std::ranges::set_difference(ready_, now, std::back_inserter(gone), ArchiveOrder{});
    for (const auto& name : gone) forget(name);
    ready_ = std::move(now);
}

void WalQueue::end_scan() {
    if (scans_ > 0 && --scans_ > 0) return;
    since_scan_.clear();
}

std::optional<std::string> WalQueue::next(Clock::time_point now) const {
    const bool storage_works = !retry_at_;
    // After a failure one file at a time finds out whether the storage is back.
    if (ahead_in_flight_ >= (storage_works ? limits_.ahead_at_once : std::min(1U, limits_.ahead_at_once))) return std::nullopt;
    if (!storage_works && now < *retry_at_) return std::nullopt;
    std::size_t looked_at = 0;
    for (const auto& name : ready_) {
        if (looked_at++ == limits_.ahead_files) break;
        if (!entries_.contains(name)) return name;
    }
    return std::nullopt;
}

std::optional<WalQueue::State> WalQueue::find(const std::string& name, const FileIdentity& identity) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return std::nullopt;
    const auto entry = found->second.find(identity);
    if (entry == found->second.end()) return std::nullopt;
    return entry->second.state;
}

void WalQueue::begin(const std::string& name, const FileIdentity& identity, bool ahead) {
    entries_[name].insert_or_assign(identity, Entry{State::in_flight, ahead});
    if (ahead) ++ahead_in_flight_;
}

void WalQueue::end(const std::string& name, const FileIdentity& identity, Outcome outcome, Clock::time_point now) {
    auto& entry = entries_.at(name).at(identity);
    if (entry.ahead) --ahead_in_flight_;
    if (outcome == Outcome::failed) {
        delay_ = retry_at_ ? std::min(2 * delay_, delay_max) : delay_min;
        retry_at_ = now + delay_;
    } else
        retry_at_.reset();
    entry.state = outcome == Outcome::stored ? State::stored : State::refused;
    if (outcome == Outcome::failed) {
        entries_.at(name).erase(identity);
        if (entries_.at(name).empty()) entries_.erase(name);
    }
    if (!ready_.contains(name)) forget(name);
}

std::size_t WalQueue::ready_segments() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(ready_, [](const auto& name) { return pg::wal_file_kind(name) == pg::WalFileKind::segment; }));
}

std::size_t WalQueue::backlog() const { return ready_.size() - stored_ahead(); }

std::size_t WalQueue::stored_ahead() const {
    return static_cast<std::size_t>(std::ranges::count_if(entries_, [this](const auto& known) {
        return ready_.contains(known.first) &&
               std::ranges::any_of(known.second, [](const auto& entry) { return entry.second.state == State::stored; });
    }));
}

} // namespace walgd::daemon

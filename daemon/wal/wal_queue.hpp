#pragma once
#include "common/base/clock.hpp"

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <sys/stat.h>
#include <vector>

namespace walgd::daemon {

/// What tells one local file from another of the same name: PostgreSQL renames and reuses segments.
struct FileIdentity {
    explicit FileIdentity(const struct stat& about);
    std::uint64_t device, inode, size;
    std::int64_t modified_ns, changed_ns;
    friend auto operator<=>(const FileIdentity&, const FileIdentity&) = default;
};

/// The order in which PostgreSQL asks: history files first, then by name (pgarch.c).
struct ArchiveOrder {
    bool operator()(const std::string& left, const std::string& right) const;
};

/// What is known of the WAL files on their way out, and which to store next without being asked. Decides only: no file, no
/// storage, no clock of its own.
///
/// A file is known by name and identity, from begin() on. Once stored it stays known for as long as its .ready is there, so that
/// PostgreSQL's request is answered at once; nothing is remembered of a file without .ready.
class WalQueue {
public:
    struct Limits {
        std::size_t ahead_files = 32; ///< of what is .ready, in order: more are not looked at. 0: nothing is stored ahead
        unsigned ahead_at_once = 15;
    };
    explicit WalQueue(Limits limits) : limits_(limits) {}

    enum class State { in_flight, stored, refused };
    enum class Outcome {
        stored,  ///< the storage confirmed it, with this content
        refused, ///< nothing to be gained by trying again before PostgreSQL asks
        failed,  ///< the storage did not answer, or the like
    };

    // What archive_status shows.
    void ready(const std::string& name);
    void not_ready(const std::string& name);
    /// The folder is being read, until ready_are() or scan_failed(): what ready() and not_ready() say meanwhile is newer.
    void scan_begins() { ++scans_; }
    void scan_failed() { end_scan(); }
    /// All there are; what is not among them is not ready any more.
    void ready_are(const std::vector<std::string>& names);

    /// The next file to store ahead; nothing when there is none, enough are under way, or the storage should be left alone until
    /// retry_at().
    std::optional<std::string> next(Clock::time_point now) const;
    /// When next() may answer again after a failure; nothing while the storage works.
    std::optional<Clock::time_point> retry_at() const { return retry_at_; }

    std::optional<State> find(const std::string& name, const FileIdentity& identity) const;
    /// It is being pushed from now on: `ahead`, or because PostgreSQL asked.
    void begin(const std::string& name, const FileIdentity& identity, bool ahead);
    void end(const std::string& name, const FileIdentity& identity, Outcome outcome, Clock::time_point now);

    /// Files that are .ready and not stored yet.
    std::size_t backlog() const;
    /// Files that are .ready.
    std::size_t ready_count() const { return ready_.size(); }
    /// Of these, those that are segments: not history files, backup labels or partial segments.
    std::size_t ready_segments() const;
    std::size_t stored_ahead() const;
    unsigned ahead_in_flight() const { return ahead_in_flight_; }

private:
    struct Entry {
        State state;
        bool ahead;
    };
    void forget(const std::string& name);
    void end_scan();

    Limits limits_;
    std::set<std::string, ArchiveOrder> ready_;
    unsigned scans_ = 0;
    std::map<std::string, bool> since_scan_; ///< names that became ready, or ceased to be, while the folder is being read
    std::map<std::string, std::map<FileIdentity, Entry>> entries_; ///< by name; no inner map is empty
    unsigned ahead_in_flight_ = 0;
    std::optional<Clock::time_point> retry_at_;
    Clock::duration delay_{};
};

} // namespace walgd::daemon

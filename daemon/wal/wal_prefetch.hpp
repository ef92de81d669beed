#pragma once
#include "common/archive/wal/wal_fetch.hpp"
#include "common/archive/wal/wal_unpack.hpp"
#include "common/base/handles.hpp"
#include "common/base/signal.hpp"
#include "daemon/wal/prefetch_memory.hpp"
#include "daemon/wal/prefetch_window.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>

namespace walgd::daemon {

/// How far ahead, and where it is kept.
struct PrefetchOptions {
    unsigned depth_max = 0; ///< so many segments ahead at most; 0: none
    std::string folder;     ///< for segments that memory has no room for; empty: these are not unpacked ahead
    Clock::duration idle{std::chrono::seconds(60)}; ///< after the last answer all is let go of
};

/// Since the start.
struct PrefetchCounters {
    std::uint64_t prefetched = 0, hits = 0, dropped = 0; ///< segments: got ahead; asked for then; or not asked for
};

/// Gets the segments that PostgreSQL in recovery will ask for next, and unpacks and checks the next one, while it replays the one
/// before. An entry answers for exactly its name, and holds nothing but a whole checked segment; that a segment is absent is
/// never remembered. What fails here is told at debug level, and left to the request to find out. On the I/O thread.
class WalPrefetch {
public:
    WalPrefetch(archive::Archive& archive, archive::WalFetcher& fetcher, PrefetchOptions options);

    /// Does its work until cancelled, then lets go of everything. Without it nothing is prefetched.
    awaitable<void> run();

    /// The segment into the empty file at `fd`, and its bytes; nothing, if it is not at hand and the caller has to fetch it.
    /// Error(failed) when the file cannot be written.
    awaitable<std::optional<std::uint64_t>> serve(std::string name, int fd);
    /// A request got its file; what comes next is prefetched.
    void answered(const std::string& name, std::uint64_t bytes);
    /// A request learnt that there is no such file.
    void refused(const std::string& name);

    const PrefetchCounters& counters() const { return counters_; }
    unsigned depth() const { return window_.depth(); }
    /// Segments at hand or on their way.
    std::size_t ahead() const;
    std::uint64_t memory_used() const { return memory_.used(); }

private:
    /// One segment on its way from the storage to PostgreSQL.
    struct Entry {
        Entry(pg::Segment what, std::string text, asio::any_io_executor io)
            : segment(what), identity{std::move(text), storage::ObjectKey(""), nullptr}, changed(io) {}

        enum class Stage { coming, packed, unpacking, ready, failed };
        pg::Segment segment;
        archive::WalIdentity identity;
        Signal changed; ///< of the stage
        Stage stage = Stage::coming;
        bool asked = false;   ///< a request waits for it, or had it
        bool dropped = false; ///< nobody will ask any more
        unsigned readers = 0; ///< requests that are about to write it out
        bool writing = false; ///< one of them has begun
        PrefetchMemory::Lease lease;
        Blob packed;
        std::shared_ptr<SegmentBuffer> buffer;
        UniqueFd file;
        std::uint64_t bytes = 0; ///< of the segment, once it is ready
    };
    using Shared = std::shared_ptr<Entry>;

    void update();
    void drop_unwanted();
    bool start(pg::Segment segment, const std::string& name);
    bool make_room(Entry& entry, std::uint64_t bytes);
    void unpack_next();
    std::shared_ptr<SegmentBuffer> next_buffer();
    void let_go();
    void settle(Entry& entry, Entry::Stage stage);

    awaitable<void> bring(Shared entry);
    awaitable<void> bring_packed(Entry& entry);
    awaitable<void> bring_file(Entry& entry);
    awaitable<void> unpack(Shared entry);
    awaitable<void> settled(Shared entry);
    awaitable<std::optional<std::uint64_t>> write_out(Shared entry, int fd);
    bool uses_folder() const { return !options_.folder.empty() && !memory_.has_room_for_buffers_of(segment_bytes_); }

    archive::Archive& archive_;
    archive::WalFetcher& fetcher_;
    PrefetchOptions options_;
    PrefetchMemory memory_;
    PrefetchWindow window_;
    PrefetchCounters counters_;
    std::map<std::string, Shared> entries_;
    std::uint64_t segment_bytes_ = pg::segment_bytes_default;
    std::uint64_t packed_bytes_ = 0;        ///< of the largest of the objects that came of late: what the next one may need
    std::shared_ptr<SegmentBuffer> buffer_; ///< the one that goes from segment to segment
    bool running_ = false, unpacking_ = false;
    Timer idle_;
    TaskGroup tasks_;
};

} // namespace walgd::daemon

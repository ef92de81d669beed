#include "daemon/wal/wal_prefetch.hpp"

#include "common/base/files.hpp"
#include "common/base/in_quotes.hpp"
#include "daemon/wal/prefetch_folder.hpp"

#include <algorithm>
#include <unistd.h>

namespace walgd::daemon {

namespace {

/// So many of the nearest are unpacked ahead in the folder.
constexpr std::size_t files_max = 2;
/// What is written out at once: then the part behind may be filled again.
constexpr std::size_t written_bytes = 1 << 20;
/// What WAL packs to, before one was seen: an eighth.
constexpr std::uint64_t packed_ratio = 8;
/// Between two pieces a read finds out that it is for nothing.
constexpr std::size_t piece_bytes = 1 << 20;

constexpr auto never = Clock::time_point::max();

void write_buffer(SegmentBuffer& buffer, std::uint64_t bytes, int fd, const std::string& name) {
    for (std::uint64_t done = 0; done < bytes;) {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(written_bytes, bytes - done));
        write_all_at(fd, buffer.bytes().subspan(static_cast<std::size_t>(done), count), done, name);
        done += count;
        buffer.set_written(done);
    }
}

} // namespace

WalPrefetch::WalPrefetch(archive::Archive& archive, archive::WalFetcher& fetcher, PrefetchOptions options)
    : archive_(archive), fetcher_(fetcher), options_(std::move(options)), memory_(archive.budget), window_(options_.depth_max),
      idle_(archive.io, never), tasks_(archive.io, [this](std::exception_ptr failure) {
          archive_.log.debug("event=wal_prefetch_ended error={}", in_quotes(describe(failure)));
      }) {}

awaitable<void> WalPrefetch::run() {
    running_ = options_.depth_max > 0;
    try {
        for (;;) {
            // Ends when it was quiet for long; cut short by every answer, which moves it; cancelled, the next wait throws.
            const auto [moved] = co_await idle_.async_wait(asio::as_tuple(asio::use_awaitable));
            if (moved) continue;
            let_go();
            idle_.expires_at(never);
        }
    } catch (const std::exception&) {
        running_ = false; // cancelled: nothing else ends the loop
    }
    let_go();
    tasks_.cancel();
    // A cancelled coroutine throws at every wait, at this one too, until it is told not to.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await tasks_.join();
    buffer_.reset();
}

void WalPrefetch::let_go() {
    window_.forget();
    drop_unwanted();
    buffer_.reset();
}

void WalPrefetch::settle(Entry& entry, Entry::Stage stage) {
    entry.stage = stage;
    entry.changed.notify();
}

std::size_t WalPrefetch::ahead() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        entries_, [](const auto& item) { return !item.second->asked && item.second->stage != Entry::Stage::failed; }));
}

// ---- what to have ----

void WalPrefetch::answered(const std::string& name, std::uint64_t bytes) {
    const auto kind = pg::wal_file_kind(name);
    if (!running_ || (kind != pg::WalFileKind::segment && kind != pg::WalFileKind::history)) return;
    if (kind == pg::WalFileKind::history) {
        // The timeline turns: what comes next may be the new one's.
        let_go();
        return;
    }
    if (bytes != segment_bytes_) let_go();
    segment_bytes_ = bytes;
    window_.answered(*pg::parse_segment(name, bytes), PrefetchWindow::Came::itself);
    idle_.expires_after(options_.idle);
    update();
}

void WalPrefetch::refused(const std::string& name) {
    const auto segment = pg::parse_segment(name, segment_bytes_);
    if (segment && pg::wal_file_kind(name) == pg::WalFileKind::segment) window_.refused(*segment);
}

void WalPrefetch::update() {
    if (!running_) return;
    drop_unwanted();
    auto wanted = window_.wanted();
    if (uses_folder() && wanted.size() > files_max) wanted.resize(files_max);
    for (const auto& segment : wanted) {
        const auto name = pg::segment_name(segment, segment_bytes_);
        if (!entries_.contains(name) && !start(segment, name)) break;
    }
    unpack_next();
}

void WalPrefetch::drop_unwanted() {
    const auto wanted = window_.wanted();
    std::erase_if(entries_, [&](const auto& item) {
        auto& entry = *item.second;
        if (entry.readers > 0 || entry.segment == window_.last() || std::ranges::find(wanted, entry.segment) != wanted.end())
            return false;
        if (!entry.asked && entry.stage != Entry::Stage::failed) ++counters_.dropped;
        entry.dropped = true;
        return true;
    });
}

/// False when memory has no room for one more.
bool WalPrefetch::start(pg::Segment segment, const std::string& name) {
    auto entry = std::make_shared<Entry>(segment, name, archive_.io);
    if (!uses_folder()) {
        auto lease = memory_.try_acquire(packed_bytes_ > 0 ? packed_bytes_ : segment_bytes_ / packed_ratio);
        if (!lease) return false;
        entry->lease = std::move(*lease);
    }
    entries_.emplace(name, entry);
    tasks_.spawn(bring(entry));
    return true;
}

// ---- out of the storage ----

awaitable<void> WalPrefetch::bring(Shared entry) {
    std::exception_ptr failure;
    try {
        if (uses_folder()) {
            co_await bring_file(*entry);
        } else {
            co_await bring_packed(*entry);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    // A failed one stays in its place, so that it is not tried again and again, until it is asked for.
    if (entry->stage == Entry::Stage::coming) settle(*entry, Entry::Stage::failed);
    if (failure)
        archive_.log.debug("event=wal_prefetch_failed segment={} error={}", entry->identity.name, in_quotes(describe(failure)));
    if (entry->stage == Entry::Stage::failed)
        entry->lease = {};
    else
        ++counters_.prefetched;
    update();
}

/// The entry's lease for so many bytes; what would be asked for later gives way. False: there is no room even so.
bool WalPrefetch::make_room(Entry& entry, std::uint64_t bytes) {
    entry.lease = {};
    for (;;) {
        auto lease = memory_.try_acquire(bytes);
        if (lease) {
            entry.lease = std::move(*lease);
            return true;
        }
        const auto farthest = std::ranges::find_if(entries_.rbegin(), entries_.rend(), [&entry](const auto& item) {
            return item.second->stage == Entry::Stage::packed && !item.second->asked && item.second->segment > entry.segment;
        });
        if (farthest == entries_.rend()) break;
        ++counters_.dropped;
        entries_.erase(std::next(farthest).base());
    }
    // Not a failure: it is begun again when there is room.
    entries_.erase(entry.identity.name);
    return false;
}

awaitable<void> WalPrefetch::bring_packed(Entry& entry) {
    const auto object = co_await fetcher_.finder().find_expected(entry.identity.name);
    if (!object) {
        window_.ends_at(entry.segment);
        co_return;
    }
    entry.identity.key = object->key;
    entry.identity.compression = object->compression;
    // One byte more than announced, so that the end is seen without growing.
    const auto bytes = object->reader->info().bytes + 1;
    packed_bytes_ = std::max(bytes, packed_bytes_ / 8 * 7);
    if (!make_room(entry, bytes)) co_return;
    Blob packed(static_cast<std::size_t>(bytes));
    for (;;) {
        if (entry.dropped && !entry.asked) co_return;
        const auto piece = packed.room().first(std::min(packed.room().size(), piece_bytes));
        const auto count = co_await object->reader->read(piece);
        packed.commit(count);
        if (count < piece.size()) break;
        if (packed.room().empty()) throw Error(ErrorKind::corrupt, "it is longer than was announced");
    }
    entry.packed = std::move(packed);
    settle(entry, Entry::Stage::packed);
}

awaitable<void> WalPrefetch::bring_file(Entry& entry) {
    auto object = co_await fetcher_.finder().find_expected(entry.identity.name);
    if (!object) {
        window_.ends_at(entry.segment);
        co_return;
    }
    entry.file = unnamed_file_in(options_.folder);
    entry.bytes = co_await fetcher_.unpack(entry.identity.name, std::move(*object), entry.file.get());
    settle(entry, Entry::Stage::ready);
}

// ---- unpacked ahead ----

/// The buffer, if the segment in it was asked for once: it may still be on its way out, then it is filled behind that.
std::shared_ptr<SegmentBuffer> WalPrefetch::next_buffer() {
    if (!buffer_) buffer_ = memory_.try_buffer(segment_bytes_);
    if (!buffer_) return nullptr;
    const auto holder = std::ranges::find_if(entries_, [this](const auto& item) { return item.second->buffer == buffer_; });
    if (holder == entries_.end()) return buffer_;
    const auto& entry = *holder->second;
    const bool leaving = entry.readers == 1 && entry.writing;
    if (entry.stage != Entry::Stage::ready || !entry.asked || (entry.readers > 0 && !leaving)) return nullptr;
    entries_.erase(holder);
    return buffer_;
}

void WalPrefetch::unpack_next() {
    const auto wanted = window_.wanted();
    if (unpacking_ || wanted.empty()) return;
    const auto found = entries_.find(pg::segment_name(wanted.front(), segment_bytes_));
    if (found == entries_.end() || found->second->stage != Entry::Stage::packed || found->second->asked) return;
    const auto entry = found->second;
    if (!archive::stored_plain(archive_.packing, entry->identity)) {
        entry->buffer = next_buffer();
        if (!entry->buffer) return;
    }
    entry->stage = Entry::Stage::unpacking;
    unpacking_ = true;
    tasks_.spawn(unpack(entry));
}

awaitable<void> WalPrefetch::unpack(Shared entry) {
    std::exception_ptr failure;
    try {
        auto work = [this, &held = *entry]() -> std::uint64_t {
            if (held.buffer) {
                const auto may_fill = [&held](std::size_t end) { held.buffer->wait_until_written(end); };
                return archive::unpack_wal(archive_.packing, held.identity, held.packed.view(), held.buffer->bytes(), may_fill);
            }
            archive::check_wal_content(held.identity, held.packed.view(), held.packed.size());
            return held.packed.size();
        };
        entry->bytes = co_await run_on(archive_.cpu, std::move(work));
    } catch (...) {
        failure = std::current_exception();
    }
    unpacking_ = false;
    if (failure || entry->buffer) {
        entry->packed = {};
        entry->lease = {};
    }
    if (failure) {
        entry->buffer.reset();
        archive_.log.debug("event=wal_prefetch_failed segment={} error={}", entry->identity.name, in_quotes(describe(failure)));
    }
    settle(*entry, failure ? Entry::Stage::failed : Entry::Stage::ready);
    update();
}

// ---- to PostgreSQL ----

awaitable<void> WalPrefetch::settled(Shared entry) {
    while (entry->stage == Entry::Stage::coming || entry->stage == Entry::Stage::unpacking) {
        co_await entry->changed.wait();
    }
}

awaitable<std::optional<std::uint64_t>> WalPrefetch::serve(std::string name, int fd) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) co_return std::nullopt;
    const auto entry = found->second;
    entry->asked = true;
    const bool late = entry->stage == Entry::Stage::coming;
    while (entry->stage == Entry::Stage::coming) {
        co_await entry->changed.wait();
    }
    if (entry->stage == Entry::Stage::failed) co_return std::nullopt;
    // The window moves now, so that the ones behind come while this one is written.
    window_.answered(entry->segment, late ? PrefetchWindow::Came::late : PrefetchWindow::Came::ready);
    ++entry->readers;
    update();
    std::optional<std::uint64_t> bytes;
    std::exception_ptr failure;
    try {
        co_await settled(entry);
        const SegmentBuffer::Writing writing(entry->buffer);
        entry->writing = true;
        // The next one is unpacked behind this one's writing, once that is on its way.
        asio::post(archive_.io, [this] { update(); });
        bytes = co_await write_out(entry, fd);
    } catch (...) {
        failure = std::current_exception();
    }
    --entry->readers;
    entry->writing = false;
    // One that stayed packed has done its work: its memory is the next one's.
    if (entry->stage == Entry::Stage::packed && entry->readers == 0)
        std::erase_if(entries_, [&](const auto& item) { return item.second == entry; });
    update();
    if (failure) std::rethrow_exception(failure);
    if (bytes) ++counters_.hits;
    co_return bytes;
}

awaitable<std::optional<std::uint64_t>> WalPrefetch::write_out(Shared entry, int fd) {
    if (entry->stage == Entry::Stage::failed) co_return std::nullopt;
    const bool packed = entry->stage == Entry::Stage::packed;
    auto work = [this, &held = *entry, packed, fd]() -> std::uint64_t {
        const auto& name = held.identity.name;
        if (packed) {
            archive::WalToFile file(archive_.packing, held.identity, fd);
            file.write(held.packed.view());
            return file.finish();
        }
        if (held.file)
            copy_file(held.file.get(), fd, held.bytes, name);
        else if (held.buffer)
            write_buffer(*held.buffer, held.bytes, fd, name);
        else
            write_all_at(fd, held.packed.view(), 0, name);
        return held.bytes;
    };
    std::optional<Error> damage;
    try {
        const auto bytes = co_await run_on(archive_.cpu, std::move(work));
        co_return bytes;
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        damage = error;
    }
    // What is left of it in the file is no segment: the request begins anew.
    archive_.log.debug("event=wal_prefetch_failed segment={} error={}", entry->identity.name, in_quotes(damage->what()));
    entry->stage = Entry::Stage::failed;
    if (::ftruncate(fd, 0) != 0) throw_errno(fmt::format("cannot empty {}", entry->identity.name));
    co_return std::nullopt;
}

} // namespace walgd::daemon

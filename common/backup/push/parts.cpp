#include "common/backup/push/parts.hpp"

#include "common/backup/push/former_parts.hpp"
#include "common/backup/push/ratings.hpp"
#include "common/backup/push/tar_upload.hpp"
#include "common/base/error.hpp"
#include "common/base/rate_limit.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <fmt/format.h>
#include <optional>
#include <thread>
#include <utility>

namespace walgd::backup {

namespace {

constexpr std::size_t queue_entries_max = 512;

/// From the thread that walks to the threads that read.
class EntryQueue {
public:
    /// False when nobody takes any more.
    bool push(WalkedEntry entry) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return entries_.size() < queue_entries_max || closed_; });
        if (closed_) return false;
        entries_.push_back(std::move(entry));
        changed_.notify_all();
        return true;
    }
    /// Nothing more will be pushed.
    void end() {
        const std::lock_guard lock(mutex_);
        ended_ = true;
        changed_.notify_all();
    }
    /// Nothing more will be taken.
    void close() {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }
    std::optional<WalkedEntry> pop() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !entries_.empty() || ended_ || closed_; });
        if (entries_.empty() || closed_) return std::nullopt;
        auto entry = std::move(entries_.front());
        entries_.pop_front();
        changed_.notify_all();
        return entry;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<WalkedEntry> entries_;
    bool ended_ = false, closed_ = false;
};

class PartsPush {
public:
    PartsPush(UploadRoom& room, const CopySource& source, FilesSpool& files, const PartsOptions& options)
        : room_(room), source_(source), files_(files), options_(options), on_stop_(room.stop, [this] {
              fail(std::make_exception_ptr(Error(ErrorKind::cancelled, "the backup was cancelled")));
          }) {
        if (options.disk_bytes_per_second > 0) disk_.emplace(options.disk_bytes_per_second);
    }

    PartsResult run() {
        // The first failure stops all: uploads under way are cancelled, not waited for.
        UploadRoom own_room{room_.archive, room_.piece_bytes, room_.places, room_.progress, room_.stored, stop_.get_token()};
        std::vector<std::jthread> readers;
        // Where a thread cannot be had the others are told to end.
        guarded([&] {
            for (unsigned index = 0; index < options_.readers; ++index)
                readers.emplace_back([&] { guarded([&] { read(own_room); }); });
            walk();
        });
        queue_.end();
        readers.clear(); // joins
        const std::lock_guard lock(mutex_);
        if (failure_) std::rethrow_exception(failure_);
        return result_;
    }

private:
    template <class Work> void guarded(Work work) {
        try {
            work();
        } catch (...) {
            fail(std::current_exception());
        }
    }

    void fail(std::exception_ptr failure) {
        {
            const std::lock_guard lock(mutex_);
            if (!failure_) failure_ = std::move(failure);
        }
        queue_.close();
        stop_.request_stop();
    }

    /// Cut short when all is stopped.
    void wait(Clock::duration time) {
        if (time.count() == 0) return;
        std::unique_lock lock(mutex_);
        stopped_.wait_for(lock, stop_.get_token(), time, [] { return false; });
    }

    /// Once for each class, so that those of one come after each other and none need be kept.
    void walk() {
        struct Ended {};
        PgdataWalk walk(options_.pgdata, options_.left_out);
        walk.leave_out_tablespaces_but(options_.tablespaces);
        try {
            for (unsigned number = 0; number < Ratings::classes; ++number) {
                if (options_.ratings == nullptr ? number > 0 : !options_.ratings->has_class(number)) continue;
                walk.run([&](WalkedEntry entry) {
                    if (class_of(entry.member) == number && !queue_.push(std::move(entry))) throw Ended();
                });
            }
        } catch (const Ended&) {
            return;
        }
        const std::lock_guard lock(mutex_);
        result_.catalog_bytes = walk.catalog_bytes();
    }

    std::uint64_t updates_of(std::string_view member) const {
        return options_.ratings == nullptr ? 0 : options_.ratings->of(member);
    }
    unsigned class_of(std::string_view member) const {
        return options_.ratings == nullptr ? 0 : options_.ratings->class_of_member(member);
    }

    bool may_follow(std::string_view last, std::string_view member) const {
        if (options_.by_database && !same_database(last, member)) return false;
        return class_of(last) == class_of(member);
    }

    void read(UploadRoom& room) {
        std::uint64_t limited = 0; // of what is read: a delta is done with more than that
        FileCopy copier(source_, [&](std::uint64_t bytes) {
            room.progress.bytes_done += bytes;
            if (disk_) wait(disk_->take(copier.bytes_read() - std::exchange(limited, copier.bytes_read())));
            if (stop_.stop_requested()) throw Error(ErrorKind::cancelled, "the backup was cancelled");
        });
        std::optional<TarUpload> tar;
        std::uint64_t skipped = 0, incremented = 0;
        while (auto entry = queue_.pop()) {
            if (options_.taken != nullptr && options_.taken->hold(*entry)) {
                ++room.progress.files_done;
                continue;
            }
            if (auto description = copier.skipped(*entry)) {
                ++room.progress.files_done;
                ++skipped;
                description->updates = updates_of(entry->member);
                files_.add(entry->member, *description);
                continue;
            }
            if (tar && !tar->members.empty() && !may_follow(tar->members.back(), entry->member)) close(tar);
            if (!tar) begin(tar, room);
            auto copied = copier.copy(*entry, tar->writer());
            if (!copied) continue;
            auto& description = copied->description;
            description.updates = updates_of(entry->member);
            tar->content_bytes += copied->member_bytes;
            ++room.progress.files_done;
            if (description.is_incremented) ++incremented;
            files_.add(entry->member, description);
            tar->members.push_back(std::move(entry->member));
            corrupt_blocks_ += description.corrupt_block_count;
            if (tar->content_bytes > options_.part_bytes_max) close(tar);
        }
        if (tar && !stop_.stop_requested()) close(tar);
        const std::lock_guard lock(mutex_);
        result_.read_bytes += copier.bytes_read();
        result_.files_skipped += skipped;
        result_.files_incremented += incremented;
    }

    void begin(std::optional<TarUpload>& tar, UploadRoom& room) {
        auto name = archive::part_name(++numbers_, room.archive.packing.compression->suffix());
        const auto key = archive::tar_key(options_.backup, name, options_.folder);
        tar.emplace(room, std::move(name), key);
    }

    void close(std::optional<TarUpload>& tar) {
        const auto stored = tar->finish();
        files_.part(tar->name(), tar->members);
        {
            const std::lock_guard lock(mutex_);
            result_.plain_bytes += tar->content_bytes;
            result_.stored_bytes += stored;
            result_.corrupt_blocks = corrupt_blocks_;
        }
        tar.reset();
    }

    UploadRoom& room_;
    const CopySource& source_;
    FilesSpool& files_;
    const PartsOptions& options_;
    EntryQueue queue_;
    std::stop_source stop_;
    std::atomic<int> numbers_ = 0;
    std::atomic<std::uint64_t> corrupt_blocks_ = 0;
    std::mutex mutex_;
    std::condition_variable_any stopped_; ///< nobody notifies it: stop_ does
    std::optional<RateLimit> disk_;
    std::exception_ptr failure_;
    PartsResult result_;
    std::stop_callback<std::function<void()>> on_stop_;
};

} // namespace

PartsResult push_parts(UploadRoom& room, const CopySource& source, FilesSpool& files, const PartsOptions& options) {
    return PartsPush(room, source, files, options).run();
}

PartsResult push_tar(UploadRoom& room, const SmallTar& what, const std::vector<SmallFile>& files) {
    const auto name = archive::tar_name(what.stem, room.archive.packing.compression->suffix());
    TarUpload tar(room, name, archive::tar_key(what.backup, name, what.folder));
    PartsResult result;
    for (const auto& file : files) {
        auto member = file.member;
        member.size = file.content.size();
        tar.writer().begin(member);
        tar.writer().write(bytes_of(file.content));
        tar.writer().end_member();
        result.plain_bytes += file.content.size();
    }
    result.stored_bytes = tar.finish();
    return result;
}

} // namespace walgd::backup

#pragma once
#include "common/backup/progress.hpp"
#include "common/backup/restore/restore_plan.hpp"
#include "common/backup/restore/restore_state.hpp"
#include "common/backup/restore/restore_target.hpp"

#include <memory>
#include <mutex>
#include <unordered_map>

namespace walgd::backup {

/// The page maps of all files that have increments. From any thread; one map is used by one thread at a time, since a file is in
/// a link once.
class PageMaps {
public:
    struct File {
        FilePages pages;
        unsigned mode;
    };
    /// nullptr: no increment of it was written yet.
    File* find(std::uint64_t name);
    File& add(std::uint64_t name, File file);

private:
    std::mutex mutex_;
    std::unordered_map<std::uint64_t, File> files_;
};

/// What all tars of a restore share.
struct RestoreJob {
    RestorePlan& plan;
    RestoreTarget& target;
    Progress& progress;
    PageMaps pages;
    std::atomic<std::uint64_t> files = 0, bytes = 0; ///< restored, what was there already too
};

/// Files, folders and links of one tar, as they come, into the target: of every file what the plan says.
class MemberWriter : public codec::TarReader::Handler {
public:
    /// A file's content on its way; defined where it is used.
    class Content {
    public:
        virtual ~Content() = default;
        virtual void write(ByteView bytes) = 0;
        virtual bool can_skip(std::uint64_t /*after*/, std::uint64_t /*count*/) const { return false; }
        virtual void skip(std::uint64_t /*count*/) {}
        virtual bool has(std::uint64_t /*count*/, const codec::ContentHash& /*hash*/) { return false; }
        virtual void end(RestoreState::TarMark& mark) = 0;
    };

    /// `listed`: as TarObject says it. Of one that is not only files are taken that no listed one had; it comes after them.
    MemberWriter(RestoreJob& job, std::size_t link, bool listed) : job_(job), link_(link), listed_(listed) {}
    void begin(const codec::TarMember& member) override;
    void data(ByteView bytes) override;
    /// What newer links have, and what is not restored at all.
    bool can_skip(std::uint64_t after, std::uint64_t count) const override {
        return !content_ || content_->can_skip(after, count);
    }
    void skip(std::uint64_t count) override;
    bool has(std::uint64_t count, const codec::ContentHash& hash) override { return content_ && content_->has(count, hash); }
    void end() override;
    void other(const codec::TarMember& member) override;
    /// There was a member of which nothing is made: only the tar itself tells that it is not missing.
    bool passed_over() const { return passed_over_; }
    /// What was done, for the state of the restore.
    RestoreState::TarMark& mark() { return mark_; }

private:
    void begin_file(const codec::TarMember& member, const std::string& relative);
    bool leaves_out(std::string_view relative) const;
    void refuse_increment(ByteView bytes);

    RestoreJob& job_;
    std::size_t link_;
    bool listed_;
    std::unique_ptr<Content> content_;
    bool suspect_ = false;    ///< a relation's whole file in a delta, of which too little was seen
    std::string name_, head_; ///< of its member; its first bytes
    RestoreState::TarMark mark_;
    bool passed_over_ = false;
};

} // namespace walgd::backup

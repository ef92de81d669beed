#include "common/backup/restore/restore_members.hpp"

#include "common/backup/increment.hpp"
#include "common/backup/member_name.hpp"
#include "common/backup/pgdata_walk.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::backup {

PageMaps::File* PageMaps::find(std::uint64_t name) {
    const std::lock_guard lock(mutex_);
    const auto found = files_.find(name);
    return found == files_.end() ? nullptr : &found->second;
}

PageMaps::File& PageMaps::add(std::uint64_t name, File file) {
    const std::lock_guard lock(mutex_);
    return files_.insert_or_assign(name, std::move(file)).first->second;
}

namespace {

class WholeContent : public MemberWriter::Content {
public:
    WholeContent(RestoreJob& job, const codec::TarMember& member, std::uint64_t name)
        : name_(name), file_(job.target.create_file(member.name, member.mode)) {}

    void write(ByteView bytes) override { file_.write(bytes); }
    void skip(std::uint64_t count) override { file_.skip(count); }
    bool has(std::uint64_t count, const codec::ContentHash& hash) override { return file_.has(file_.next(), count, hash); }
    void end(RestoreState::TarMark& mark) override {
        const auto written = file_.finish();
        mark.files.push_back({name_, written.bytes, written.modified_ns});
    }

private:
    std::uint64_t name_;
    RestoredFile file_;
};

/// A whole file under the pages of newer increments.
class BelowContent : public MemberWriter::Content {
public:
    BelowContent(RestoreJob& job, const codec::TarMember& member, std::uint64_t name, const PageMaps::File& newer)
        : name_(name), mode_(newer.mode), pages_(newer.pages),
          file_(job.target.open_pages(member.name, newer.mode, pages_.file_bytes())) {}

    void write(ByteView bytes) override {
        const auto begin = next_;
        next_ += bytes.size();
        for (auto run = pages_.wanted_run(begin, next_); run.begin < run.end; run = pages_.wanted_run(run.end, next_))
            file_.write_at(run.begin, bytes.subspan(run.begin - begin, run.end - run.begin));
    }
    bool can_skip(std::uint64_t after, std::uint64_t count) const override {
        const auto run = pages_.wanted_run(next_ + after, next_ + after + count);
        return run.begin == run.end;
    }
    void skip(std::uint64_t count) override { next_ += count; }
    bool has(std::uint64_t count, const codec::ContentHash& hash) override { return file_.has(next_, count, hash); }
    void end(RestoreState::TarMark& mark) override {
        // What no backup of the chain has was zero.
        zero_rest(next_, pages_.limit());
        zero_gaps(pages_.limit());
        file_.finish();
        mark.pages.push_back({name_, mode_, pages_.text()});
    }

private:
    void zero_rest(std::uint64_t from, std::uint64_t to) {
        for (auto run = pages_.wanted_run(from, to); run.begin < run.end; run = pages_.wanted_run(run.end, to))
            file_.zero(run.begin, run.end);
    }
    /// Behind the limit only the increments' pages count.
    void zero_gaps(std::uint64_t from) {
        const auto page = std::uint64_t{pages_.block_bytes()};
        for (auto at = from; at < pages_.file_bytes(); at = (at / page + 1) * page)
            if (!pages_.has(at / page)) file_.zero(at, std::min((at / page + 1) * page, pages_.file_bytes()));
    }

    std::uint64_t name_;
    unsigned mode_;
    const FilePages& pages_;
    RestoredFile file_;
    std::uint64_t next_ = 0;
};

class IncrementContent : public MemberWriter::Content, IncrementParser::Handler {
public:
    IncrementContent(RestoreJob& job, const codec::TarMember& member, std::uint64_t name)
        : job_(job), member_(member), name_(name), parser_(*this, job.plan.block_bytes, member.name) {}

    void write(ByteView bytes) override { parser_.write(bytes); }
    bool can_skip(std::uint64_t after, std::uint64_t count) const override { return parser_.can_skip(after, count); }
    void skip(std::uint64_t count) override { parser_.skip(count); }
    void end(RestoreState::TarMark& mark) override {
        parser_.finish();
        map_->pages.add(head_.blocks, head_.file_bytes);
        file_->finish(false);
        mark.pages.push_back({name_, map_->mode, map_->pages.text()});
    }

private:
    void head(const IncrementHead& head) override {
        if (head.file_bytes > job_.target.room())
            throw Error(ErrorKind::corrupt, fmt::format("{} says that its file has {} bytes, more than there is room for",
                                                        member_.name, head.file_bytes));
        if (job_.plan.catchup) require_pages_below(head);
        head_ = head;
        map_ = job_.pages.find(name_);
        if (map_ == nullptr) map_ = &job_.pages.add(name_, {FilePages(head.file_bytes, job_.plan.block_bytes), member_.mode});
        file_ = std::make_unique<RestoredFile>(job_.target.open_pages(member_.name, map_->mode, map_->pages.file_bytes()));
    }
    /// Every page that the increment has not is the standby's. A try before this one may have made the file as long as it will
    /// be, and had looked then.
    void require_pages_below(const IncrementHead& head) const {
        const auto page = std::uint64_t{job_.plan.block_bytes};
        const auto there = job_.target.file_bytes(member_.name) / page, wanted = head.file_bytes / page;
        if (wanted <= there) return;
        const auto first = std::ranges::lower_bound(head.blocks, there);
        const auto new_pages = static_cast<std::uint64_t>(head.blocks.end() - first);
        if (new_pages == wanted - there) return;
        throw Error(ErrorKind::refused,
                    fmt::format("{} must get {} pages; the standby has {} of them, and of the others {} are not in the backup",
                                member_.name, wanted, there, wanted - there - new_pages),
                    "was the file copied by CREATE DATABASE since? Take the standby anew: walg backup-fetch, or pg_basebackup");
    }
    bool wants(std::uint64_t offset) const override { return map_->pages.wants(offset); }
    void page(std::uint64_t offset, ByteView bytes) override {
        if (wants(offset)) file_->write_at(offset, bytes);
    }

    RestoreJob& job_;
    codec::TarMember member_;
    std::uint64_t name_;
    IncrementParser parser_;
    IncrementHead head_;
    PageMaps::File* map_ = nullptr;
    std::unique_ptr<RestoredFile> file_;
};

} // namespace

void MemberWriter::begin(const codec::TarMember& member) {
    const auto relative = relative_member(member.name);
    using Type = codec::TarMember::Type;
    if (member.type == Type::file) return begin_file(member, relative);
    if (link_ > 0) return; // folders that are gone stay so
    job_.plan.files.see(link_, relative);
    if (member.type == Type::directory) {
        job_.target.create_folder(member.name, member.mode);
        return mark_.folders.push_back(relative);
    }
    job_.target.create_link(member.name, member.link);
    mark_.links.emplace_back(member.name, member.link);
}

/// WAL-G packs the fifos and devices that lie in a data directory, and restores none.
void MemberWriter::other(const codec::TarMember& member) {
    job_.plan.files.see(link_, relative_member(member.name));
    passed_over_ = true;
}

bool MemberWriter::leaves_out(std::string_view relative) const {
    if (!is_of_one_backup(relative)) return false;
    // As WAL-G: its masks are matched against "/global/pg_control" and, without a slash, "backup_label".
    if (!job_.plan.mask.empty()) return relative != control_member || !job_.plan.wants(relative);
    return relative == "tablespace_map" && job_.plan.leave_out_tablespace_map;
}

void MemberWriter::begin_file(const codec::TarMember& member, const std::string& relative) {
    const auto take = leaves_out(relative) ? RestoreFiles::Take::nothing : job_.plan.files.take(link_, relative);
    if (take == RestoreFiles::Take::nothing) return;
    if (member.size > job_.target.room())
        throw Error(ErrorKind::corrupt, fmt::format("{} has {} bytes, more than there is room for", member.name, member.size),
                    "is the file system large enough? A backup's sentinel tells less than its parts hold");
    const bool first = job_.plan.files.see(link_, relative);
    if (!first && !listed_) return;
    if (!first)
        throw Error(ErrorKind::corrupt, fmt::format("{} is in the backup twice", member.name),
                    "parts of another backup of the same name lie in the same folder; restore another backup: walg backup-list");
    const auto name = hash_of_name(relative);
    auto* newer = take == RestoreFiles::Take::below ? job_.pages.find(name) : nullptr;
    if (take == RestoreFiles::Take::increment)
        content_ = std::make_unique<IncrementContent>(job_, member, name);
    else if (newer != nullptr)
        content_ = std::make_unique<BelowContent>(job_, member, name, *newer);
    else
        content_ = std::make_unique<WholeContent>(job_, member, name);
    RelationFile file;
    const bool may_be_increment = job_.plan.chain[link_].backup.sentinel.delta &&
                                  parse_relation_file(std::string_view(relative).substr(relative.rfind('/') + 1), file);
    suspect_ = may_be_increment && take != RestoreFiles::Take::increment;
    name_ = member.name;
    head_.clear();
}

void MemberWriter::data(ByteView bytes) {
    job_.progress.bytes_done += bytes.size();
    if (!content_) return;
    if (suspect_) refuse_increment(bytes);
    content_->write(bytes);
    job_.bytes += bytes.size();
}

/// No page begins so: the LSN that stands there has never been reached.
void MemberWriter::refuse_increment(ByteView bytes) {
    head_ += text_of(bytes.first(std::min(bytes.size(), increment_magic.size() - head_.size())));
    if (head_ == increment_magic)
        throw Error(ErrorKind::corrupt,
                    fmt::format("{} of {} is an increment, and the files metadata says that it is whole", name_,
                                job_.plan.chain[link_].backup.backup),
                    "that metadata is of another backup or damaged: restore another backup: walg backup-list");
    suspect_ = head_.size() < increment_magic.size();
}

void MemberWriter::skip(std::uint64_t count) {
    suspect_ = false;
    job_.progress.bytes_done += count;
    if (!content_) return;
    content_->skip(count);
    job_.bytes += count;
}

void MemberWriter::end() {
    if (!content_) return;
    content_->end(mark_);
    content_.reset();
    ++job_.progress.files_done;
    ++job_.files;
}

} // namespace walgd::backup

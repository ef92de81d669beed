#include "common/backup/push/server_copy.hpp"

#include "common/archive/layout.hpp"
#include "common/backup/member_name.hpp"
#include "common/backup/push/damage_report.hpp"
#include "common/base/error.hpp"
#include "common/pg/crc32c.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

/// More wrong pages of one file than that are not merely being written.
constexpr std::uint64_t read_again_max = 100;
constexpr std::uint64_t sent_control_bytes_max = 64 << 10;

} // namespace

ServerCopy::ServerCopy(UploadRoom& room, FilesSpool& files, ServerCopyOptions options, ReadPageAgain read_again)
    : room_(room), files_(files), options_(std::move(options)), read_again_(std::move(read_again)),
      pages_({.start = options_.start},
             {.block_bytes = options_.block_bytes, .relation_file_bytes = options_.relation_file_bytes}) {}

void ServerCopy::begin_archive(std::optional<std::uint32_t> tablespace) {
    prefix_ = tablespace ? fmt::format("{}{}/", tablespace_prefix, *tablespace) : std::string();
    auto what = tablespace ? fmt::format("what the server sent of tablespace {}", *tablespace)
                           : std::string("what the server sent of its data directory");
    codec::TarReader::Handler& handler = *this;
    reader_ = std::make_unique<codec::TarReader>(handler, std::move(what));
}

void ServerCopy::archive_data(ByteView bytes) {
    if (room_.stop.stop_requested()) throw Error(ErrorKind::cancelled, "the backup was cancelled");
    result_.plain_bytes += bytes.size();
    result_.read_bytes += bytes.size();
    const auto done = room_.progress.bytes_done += bytes.size();
    // The server counted its files, without the tars' headers.
    if (done > room_.progress.bytes_total) room_.progress.bytes_total = done;
    reader_->write(bytes);
}

void ServerCopy::end_archive() { reader_->finish(); }

/// The data directory itself, as the tars of local backups have it: else a restore would leave its mode to the umask.
void ServerCopy::begin_root(const codec::TarMember& like) {
    has_root_ = true;
    codec::TarMember root = like;
    root.name = "/";
    root.type = codec::TarMember::Type::directory;
    root.mode = options_.root_mode;
    make_room_for(root);
    tar_->writer().begin(root);
    tar_->writer().end_member();
}

void ServerCopy::begin(const codec::TarMember& member) {
    auto named = member;
    named.name = prefix_ + member.name;
    if (!has_root_) begin_root(member);
    current_ = {};
    current_.path = relative_member(named.name);
    current_.is_file = member.type == codec::TarMember::Type::file;
    current_.is_control = current_.is_file && current_.path == control_member;
    current_.description.modified = Time(std::chrono::seconds(member.mtime_seconds));
    if (current_.is_control) return begin_control(named);
    current_.has_pages = options_.verify && current_.is_file && pages_.begin(current_.path);
    if (member.type == codec::TarMember::Type::directory) named.name += '/';
    make_room_for(named);
    tar_->writer().begin(named);
}

void ServerCopy::begin_control(const codec::TarMember& member) {
    if (member.size > sent_control_bytes_max)
        throw Error(ErrorKind::protocol, fmt::format("the server sent a pg_control of {} bytes", member.size),
                    "is it PostgreSQL, of a version from 13 to 18?");
    control_ = {member, {}};
}

void ServerCopy::make_room_for(const codec::TarMember& member) {
    const auto bytes = member.type == codec::TarMember::Type::file ? member.size : 0;
    const bool full = tar_ && tar_->content_bytes > 0 && tar_->content_bytes + bytes > options_.part_bytes_max;
    if (full || (tar_ && options_.by_database && !same_database(last_member_, member.name))) close_part();
    if (!tar_) {
        auto name = archive::part_name(++parts_, room_.archive.packing.compression->suffix());
        const auto key = archive::tar_key(options_.backup, name);
        tar_.emplace(room_, std::move(name), key);
    }
    tar_->content_bytes += bytes;
    last_member_ = member.name;
}

void ServerCopy::data(ByteView bytes) {
    current_.bytes += bytes.size();
    current_.crc32c = pg::crc32c(bytes, current_.crc32c);
    if (current_.is_control) {
        control_.content += text_of(bytes);
        return;
    }
    if (current_.has_pages) check_pages(bytes);
    tar_->writer().write(bytes);
}

void ServerCopy::check_pages(ByteView bytes) {
    auto& found = current_.description;
    pages_.write(bytes, [&](std::uint32_t block) {
        if (!still_damaged(block)) return;
        ++found.corrupt_block_count;
        if (options_.name_all_corrupt || found.corrupt_blocks.size() < named_corrupt_blocks_max)
            found.corrupt_blocks.push_back(block);
    });
}

/// The server may have been writing the page while it read it: then the WAL has the whole page, and another look is a good one.
bool ServerCopy::still_damaged(std::uint32_t block) {
    if (current_.description.corrupt_block_count >= read_again_max) return true;
    for (int reads = 1; reads < reads_of_a_page_max; ++reads) {
        const auto page = read_again_(current_.path, std::uint64_t{block} * options_.block_bytes);
        if (!page) return true;
        if (page->size() < options_.block_bytes || !pages_.damaged(bytes_of(*page), block)) return false; // or truncated away
    }
    return true;
}

void ServerCopy::end() {
    if (!current_.is_control) tar_->writer().end_member();
    if (current_.is_file) end_file();
}

void ServerCopy::end_file() {
    const auto& found = current_.description;
    manifest_.passed(current_.path, current_.bytes, current_.crc32c);
    ++room_.progress.files_done;
    if (!is_of_one_backup(current_.path)) files_.add(current_.path, found);
    if (current_.has_pages && current_.bytes % options_.block_bytes != 0)
        warn_of_file_size(room_.archive.log, current_.path, current_.bytes, options_.block_bytes);
    if (found.corrupt_block_count == 0) return;
    result_.corrupt_blocks += found.corrupt_block_count;
    warn_of_damage(room_.archive.log, current_.path, found);
}

void ServerCopy::close_part() {
    result_.stored_bytes += tar_->finish();
    ++result_.tars;
    tar_.reset();
}

PartsResult ServerCopy::finish(pg::SystemIdentifier system) {
    if (control_.content.empty())
        throw Error(ErrorKind::protocol, "the server sent no pg_control", "is it PostgreSQL, of a version from 13 to 18?");
    if (tar_) close_part();
    manifest_.finish(system);
    return result_;
}

} // namespace walgd::backup

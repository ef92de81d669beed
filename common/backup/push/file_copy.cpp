#include "common/backup/push/file_copy.hpp"

#include "common/backup/increment.hpp"
#include "common/backup/push/damage_report.hpp"
#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/pg/page.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::backup {

namespace {

constexpr std::size_t copy_buffer_bytes = 256 << 10;

/// The kernel's clock for files moves on in steps: of a few milliseconds, or of a second where it keeps no fractions.
constexpr std::chrono::milliseconds fine_step{20}, coarse_step{1100};

/// When the file was written last, for the next delta: it takes an equal time for an unchanged file. A write that comes after
/// our reading, in the same step of the clock, would leave the time as it is: then a time that is nobody's is noted.
Time noted_time(const timespec& time) {
    const Time modified(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
    const Time now = std::chrono::system_clock::now();
    const auto step = time.tv_nsec == 0 ? coarse_step : fine_step;
    return modified + step < now ? modified : modified - std::chrono::nanoseconds(1);
}

} // namespace

FileCopy::FileCopy(const CopySource& source, OnBytes on_bytes)
    : source_(source), on_bytes_(std::move(on_bytes)), buffer_(copy_buffer_bytes) {}

const std::string& FileCopy::user_name(std::uint32_t id) {
    auto [found, fresh] = users_.try_emplace(id);
    if (fresh) {
        passwd entry{};
        passwd* result = nullptr;
        char text[4096];
        if (::getpwuid_r(id, &entry, text, sizeof text, &result) == 0 && result != nullptr) found->second = entry.pw_name;
    }
    return found->second;
}

const std::string& FileCopy::group_name(std::uint32_t id) {
    auto [found, fresh] = groups_.try_emplace(id);
    if (fresh) {
        group entry{};
        group* result = nullptr;
        char text[4096];
        if (::getgrgid_r(id, &entry, text, sizeof text, &result) == 0 && result != nullptr) found->second = entry.gr_name;
    }
    return found->second;
}

codec::TarMember FileCopy::member_of(const WalkedEntry& entry) {
    using Type = WalkedEntry::Type;
    codec::TarMember member;
    member.name = entry.member;
    member.type = entry.type == Type::file        ? codec::TarMember::Type::file
                  : entry.type == Type::directory ? codec::TarMember::Type::directory
                                                  : codec::TarMember::Type::symlink;
    member.size = entry.type == Type::file ? static_cast<std::uint64_t>(entry.about.st_size) : 0;
    member.mode = entry.about.st_mode & 07777;
    member.uid = entry.about.st_uid;
    member.gid = entry.about.st_gid;
    member.uname = user_name(entry.about.st_uid);
    member.gname = group_name(entry.about.st_gid);
    member.mtime_seconds = entry.about.st_mtim.tv_sec + (entry.about.st_mtim.tv_nsec >= 500'000'000 ? 1 : 0);
    member.link = entry.link;
    return member;
}

FileCopy::OpenFile FileCopy::opened(const WalkedEntry& entry, int fd) const {
    RelationFile relation;
    const auto name = std::string_view(entry.member).substr(entry.member.rfind('/') + 1);
    const bool main_fork = parse_relation_file(name, relation) && relation.fork.empty();
    const bool of_relations =
        entry.member.starts_with("/base/") || entry.member.starts_with("/global/") || entry.member.starts_with("/pg_tblspc/");
    return {entry, fd, source_.verify && main_fork && of_relations,
            static_cast<std::uint32_t>(relation.segment * (source_.relation_file_bytes / source_.block_bytes))};
}

std::optional<archive::FileDescription> FileCopy::skipped(const WalkedEntry& entry) {
    if (source_.delta == nullptr || source_.delta->way(entry) != DeltaFiles::Way::skip) return std::nullopt;
    archive::FileDescription description;
    description.is_skipped = true;
    description.modified = noted_time(entry.about.st_mtim);
    on_bytes_(static_cast<std::uint64_t>(entry.about.st_size));
    return description;
}

std::optional<FileCopy::Copied> FileCopy::copy(const WalkedEntry& entry, codec::TarWriter& tar) {
    Copied copied;
    copied.description.modified = noted_time(entry.about.st_mtim);
    if (entry.type != WalkedEntry::Type::file) {
        tar.begin(member_of(entry));
        tar.end_member();
        return copied;
    }
    const UniqueFd fd(::open(entry.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd && errno == ENOENT) return std::nullopt; // dropped meanwhile
    if (!fd)
        throw_errno(fmt::format("cannot open {}", entry.path), errno, "does the user of this process own the data directory?");
    const auto file = opened(entry, fd.get());
    const bool by_pages = source_.delta != nullptr && source_.delta->way(entry) == DeltaFiles::Way::pages;
    if (!by_pages || !copy_increment(file, tar, copied)) {
        copied.description.corrupt_block_count = 0;
        copied.description.corrupt_blocks.clear();
        copied.member_bytes = static_cast<std::uint64_t>(entry.about.st_size);
        copy_whole(file, tar, copied.description);
    }
    report(file, copied.description);
    return copied;
}

void FileCopy::report(const OpenFile& file, const archive::FileDescription& found) const {
    if (found.corrupt_block_count > 0) warn_of_damage(source_.log, file.entry.path, found);
    if (!file.has_pages || static_cast<std::uint64_t>(file.entry.about.st_size) % source_.block_bytes == 0) return;
    // Looked at again, for the server may have been making it longer.
    struct stat now{};
    if (::fstat(file.fd, &now) != 0) throw_errno(fmt::format("cannot look at {}", file.entry.path));
    const auto bytes = static_cast<std::uint64_t>(now.st_size);
    if (bytes % source_.block_bytes != 0) warn_of_file_size(source_.log, file.entry.path, bytes, source_.block_bytes);
}

/// Fills `into`, with zeros where the file has become too short.
std::size_t FileCopy::read(const OpenFile& file, MutableBytes into, std::uint64_t offset) {
    const auto count = read_at(file.fd, into, offset, file.entry.path);
    if (count < into.size()) std::memset(into.data() + count, 0, into.size() - count);
    bytes_read_ += count;
    return count;
}

void FileCopy::copy_whole(const OpenFile& file, codec::TarWriter& tar, archive::FileDescription& description) {
    ::posix_fadvise(file.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    tar.begin(member_of(file.entry));
    const auto size = static_cast<std::uint64_t>(file.entry.about.st_size);
    for (std::uint64_t offset = 0; offset < size;) {
        const MutableBytes bytes(buffer_.data(),
                                 static_cast<std::size_t>(std::min<std::uint64_t>(copy_buffer_bytes, size - offset)));
        const auto count = read(file, bytes, offset);
        if (file.has_pages) check_pages(bytes.first(count), offset, file, description);
        tar.write(bytes);
        on_bytes_(bytes.size());
        offset += bytes.size();
    }
    tar.end_member();
}

/// False, with nothing written: every page belongs into the delta, and the file is better copied whole.
bool FileCopy::copy_increment(const OpenFile& file, codec::TarWriter& tar, Copied& copied) {
    const auto size = static_cast<std::uint64_t>(file.entry.about.st_size);
    Scan pages;
    if (source_.delta->has_changes()) {
        auto blocks = source_.delta->changed_blocks(file.entry);
        if (!blocks) return false;
        pages.blocks = std::move(*blocks);
    } else {
        pages = scan(file, copied.description);
    }
    if (pages.blocks.size() == size / source_.block_bytes) return false;
    copied.description.is_incremented = true;
    copied.member_bytes = increment_bytes(pages.blocks.size(), source_.block_bytes);
    auto member = member_of(file.entry);
    member.size = copied.member_bytes;
    tar.begin(member);
    const auto head = compose_increment_head({size, pages.blocks});
    tar.write(bytes_of(head));
    write_pages(file, pages, tar, source_.delta->has_changes() ? &copied.description : nullptr);
    tar.end_member();
    on_bytes_(size);
    return true;
}

/// Finds the pages that a delta must have: changed since the parent's start, or of no known age.
FileCopy::Scan FileCopy::scan(const OpenFile& file, archive::FileDescription& found) {
    const bool visible_too = source_.delta->may_be_visible_unlogged(file.entry);
    const auto page_bytes = source_.block_bytes;
    auto belongs = [&](MutableBytes page, std::uint32_t block) {
        if (file.has_pages ? damaged(file, page, block, found) : !pg::plausible_page(page)) return true;
        const auto lsn = pg::page_lsn(page);
        return pg::fresh_page(page) || lsn == pg::Lsn(0) || lsn >= source_.delta->parent_start() ||
               (visible_too && pg::all_visible_page(page));
    };
    ::posix_fadvise(file.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    const auto size = static_cast<std::uint64_t>(file.entry.about.st_size);
    Scan pages;
    pages.in_buffer = size <= copy_buffer_bytes;
    for (std::uint64_t offset = 0; offset < size; offset += copy_buffer_bytes) {
        const MutableBytes bytes(buffer_.data(),
                                 static_cast<std::size_t>(std::min<std::uint64_t>(copy_buffer_bytes, size - offset)));
        read(file, bytes, offset); // what was truncated meanwhile reads as fresh pages
        for (std::size_t at = 0; at + page_bytes <= bytes.size(); at += page_bytes) {
            const auto block = static_cast<std::uint32_t>((offset + at) / page_bytes);
            if (belongs(bytes.subspan(at, page_bytes), block)) pages.blocks.push_back(block);
        }
        on_bytes_(0);
    }
    return pages;
}

/// `found`: the pages were not looked at before.
void FileCopy::write_pages(const OpenFile& file, const Scan& pages, codec::TarWriter& tar, archive::FileDescription* found) {
    const auto page_bytes = source_.block_bytes;
    const auto pages_max = copy_buffer_bytes / page_bytes;
    for (std::size_t index = 0; index < pages.blocks.size();) {
        const auto first = pages.blocks[index];
        std::size_t count = 1;
        while (count < pages_max && index + count < pages.blocks.size() && pages.blocks[index + count] == first + count) ++count;
        const auto offset = std::uint64_t{first} * page_bytes;
        const MutableBytes bytes(buffer_.data() + (pages.in_buffer ? offset : 0), count * page_bytes);
        const auto there = pages.in_buffer ? bytes.size() : read(file, bytes, offset);
        if (found != nullptr && file.has_pages) check_pages(bytes.first(there), offset, file, *found);
        tar.write(bytes);
        index += count;
        on_bytes_(0);
    }
}

/// What a page is once nobody writes it any more. One that was truncated away meanwhile is fresh.
pg::PageState FileCopy::settled(const OpenFile& file, MutableBytes page, std::uint32_t block) {
    using enum pg::PageState;
    auto state = pg::check_page(page, file.first_block + block);
    for (int reads = 1; state != valid && state != fresh && reads < reads_of_a_page_max; ++reads) {
        // Written since the backup began: recovery brings the whole page from the WAL.
        if (pg::page_lsn(page) > source_.start) break;
        if (read_at(file.fd, page, std::uint64_t{block} * page.size(), file.entry.path) < page.size()) return fresh;
        state = pg::check_page(page, file.first_block + block);
    }
    return state;
}

/// Notes a page that is wrong, and not only under way.
bool FileCopy::damaged(const OpenFile& file, MutableBytes page, std::uint32_t block, archive::FileDescription& found) {
    const auto state = settled(file, page, block);
    if (state == pg::PageState::valid || state == pg::PageState::fresh) return false;
    if (state == pg::PageState::bad_checksum && pg::page_lsn(page) > source_.start) return false;
    ++found.corrupt_block_count;
    if (source_.name_all_corrupt || found.corrupt_blocks.size() < named_corrupt_blocks_max) found.corrupt_blocks.push_back(block);
    return true;
}

void FileCopy::check_pages(MutableBytes bytes, std::uint64_t offset, const OpenFile& file, archive::FileDescription& found) {
    const auto page_bytes = source_.block_bytes;
    for (std::size_t at = 0; at + page_bytes <= bytes.size(); at += page_bytes)
        damaged(file, bytes.subspan(at, page_bytes), static_cast<std::uint32_t>((offset + at) / page_bytes), found);
}

} // namespace walgd::backup

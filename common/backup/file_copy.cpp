#include "common/backup/file_copy.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/pg/page.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

namespace walgd::backup {

namespace {

constexpr std::size_t buffer_bytes = 256 << 10;
/// Numbers that go into files_metadata.json, as with WAL-G.
constexpr std::size_t named_blocks_max = 10;
/// A page that is being written reads wrong for a moment.
constexpr int reads_of_a_page_max = 5;
/// PostgreSQL cuts relations into files of 1 GiB.
constexpr std::uint64_t segment_bytes = 1ULL << 30;

Time time_of(const timespec& time) { return Time(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec)); }

} // namespace

struct FileCopy::Pages {
    const WalkedEntry& entry;
    std::uint32_t first_block; ///< of the file, counted from the relation's begin
};

FileCopy::FileCopy(const CopySource& source, OnBytes on_bytes)
    : source_(source), on_bytes_(std::move(on_bytes)), buffer_(buffer_bytes) {}

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

std::optional<archive::FileDescription> FileCopy::copy(const WalkedEntry& entry, codec::TarWriter& tar) {
    archive::FileDescription description;
    description.modified = time_of(entry.about.st_mtim);
    UniqueFd file;
    if (entry.type == WalkedEntry::Type::file) {
        file = UniqueFd(::open(entry.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (!file && errno == ENOENT) return std::nullopt; // dropped meanwhile
        if (!file)
            throw_errno(fmt::format("cannot open {}", entry.path), errno,
                        "does the user of this process own the data directory?");
        ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    tar.begin(member_of(entry));
    if (file) copy_content(entry, file.get(), tar, description);
    tar.end_member();
    return description;
}

void FileCopy::copy_content(const WalkedEntry& entry, int fd, codec::TarWriter& tar, archive::FileDescription& description) {
    const auto size = static_cast<std::uint64_t>(entry.about.st_size);
    RelationFile relation;
    const auto name = std::string_view(entry.member).substr(entry.member.rfind('/') + 1);
    const bool has_pages =
        source_.verify && parse_relation_file(name, relation) && relation.fork.empty() &&
        (entry.member.starts_with("/base/") || entry.member.starts_with("/global/") || entry.member.starts_with("/pg_tblspc/"));
    const Pages pages{entry, static_cast<std::uint32_t>(relation.segment * (segment_bytes / source_.block_bytes))};
    for (std::uint64_t offset = 0; offset < size;) {
        const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(buffer_bytes, size - offset));
        auto count = read_at(fd, {buffer_.data(), wanted}, offset, entry.path);
        if (count < wanted) std::memset(buffer_.data() + count, 0, wanted - count);
        const MutableBytes bytes(buffer_.data(), wanted);
        if (has_pages) check_pages(bytes.first(count), offset, fd, pages, description);
        tar.write(bytes);
        on_bytes_(wanted);
        offset += wanted;
    }
    if (description.corrupt_block_count > 0)
        source_.log.warn("{}: {} of its blocks are damaged: {}{}", entry.path, description.corrupt_block_count,
                         fmt::join(description.corrupt_blocks, ", "),
                         description.corrupt_block_count > description.corrupt_blocks.size() ? " ..." : "");
}

void FileCopy::check_pages(MutableBytes bytes, std::uint64_t offset, int fd, const Pages& pages,
                           archive::FileDescription& found) {
    const auto page_bytes = source_.block_bytes;
    for (std::size_t at = 0; at + page_bytes <= bytes.size(); at += page_bytes) {
        const auto page = bytes.subspan(at, page_bytes);
        const auto block = static_cast<std::uint32_t>((offset + at) / page_bytes);
        auto state = pg::check_page(page, pages.first_block + block);
        for (int read = 1; state != pg::PageState::valid && state != pg::PageState::fresh && read < reads_of_a_page_max; ++read) {
            // Written since the backup began: recovery brings the whole page from the WAL.
            if (pg::page_lsn(page) > source_.start) break;
            if (read_at(fd, page, offset + at, pages.entry.path) < page_bytes) return; // truncated meanwhile
            state = pg::check_page(page, pages.first_block + block);
        }
        if (state == pg::PageState::valid || state == pg::PageState::fresh) continue;
        if (state == pg::PageState::bad_checksum && pg::page_lsn(page) > source_.start) continue;
        ++found.corrupt_block_count;
        if (found.corrupt_blocks.size() < named_blocks_max) found.corrupt_blocks.push_back(block);
    }
}

} // namespace walgd::backup

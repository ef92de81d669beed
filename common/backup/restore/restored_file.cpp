#include "common/backup/restore/restored_file.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::backup {

namespace {

/// Compared, and written if it differs, as one: PostgreSQL's page.
constexpr std::size_t unit_bytes = 8192;

constexpr std::uint64_t write_out_bytes_min = 1 << 20;
/// So much of a large file is left to collect before it starts to go to disk.
constexpr std::uint64_t write_out_step_bytes = 8 << 20;

int flags_of(const RestoredFile::Open& how) {
    const int access = how.compare ? O_RDWR : O_WRONLY;
    return access | O_CREAT | O_NOFOLLOW | (how.compare || how.keep ? 0 : O_TRUNC);
}

/// A file that has other names too, which are not the backup's to write to, becomes one of its own. Killed in the middle it
/// leaves one that no backup knows, which a try after it removes.
UniqueFd unshared(UniqueFd fd, const std::string& path) {
    struct stat about{};
    if (::fstat(fd.get(), &about) != 0) throw_errno(fmt::format("cannot look at {}", path));
    if (about.st_nlink < 2) return fd;
    const auto other = path + ".walgd-unshared";
    ::unlink(other.c_str());
    auto copy = open_file(other, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    const auto source = open_file(path, O_RDONLY | O_NOFOLLOW);
    Blob buffer(1 << 20);
    for (std::uint64_t at = 0;;) {
        const auto count = read_at(source.get(), {buffer.data(), buffer.capacity()}, at, path);
        if (count == 0) break;
        write_all_at(copy.get(), {buffer.data(), count}, at, other);
        at += count;
    }
    if (::fchown(copy.get(), about.st_uid, about.st_gid) != 0 && errno != EPERM)
        throw_errno(fmt::format("cannot set the owner of {}", other));
    if (::rename(other.c_str(), path.c_str()) != 0) throw_errno(fmt::format("cannot rename {} to {}", other, path));
    return copy;
}

UniqueFd opened_as_it_is(const RestoredFile::Open& how) {
    UniqueFd fd(::open(how.path.c_str(), flags_of(how) | O_CLOEXEC, 0600));
    if (fd) return fd;
    // A cluster's file, or one of an earlier try, may be closed to its owner, who may open it. Where that fails, it shows below.
    if (errno == EACCES) ::fchmodat(AT_FDCWD, how.path.c_str(), 0600, AT_SYMLINK_NOFOLLOW);
    // The cluster that is brought up had a link there, the backup has a file.
    if (errno == ELOOP && how.compare) ::unlink(how.path.c_str());
    // Or a folder, of whose content the backup knows nothing.
    std::error_code ignored;
    if (errno == EISDIR && how.compare) std::filesystem::remove_all(how.path, ignored);
    return open_file(how.path, flags_of(how), 0600);
}

UniqueFd opened(const RestoredFile::Open& how) {
    auto fd = opened_as_it_is(how);
    return how.compare ? unshared(std::move(fd), how.path) : std::move(fd);
}

} // namespace

RestoredFile::RestoredFile(const Open& how)
    : path_(how.path), mode_(how.mode & 07777), compare_(how.compare), keep_(how.keep), write_out_(how.write_out),
      fd_(opened(how)) {
    if (compare_) old_ = Blob(unit_bytes);
}

void RestoredFile::write(ByteView bytes) {
    if (compare_)
        write_at(next_, bytes);
    else
        write_all(fd_.get(), bytes, path_);
    next_ += bytes.size();
    if (write_out_ && next_ - going_out_ >= write_out_step_bytes) start_write_out(next_ - going_out_);
}

/// Its failure shows at the end.
void RestoredFile::start_write_out(std::uint64_t count) {
    ::sync_file_range(fd_.get(), static_cast<off_t>(going_out_), static_cast<off_t>(count), SYNC_FILE_RANGE_WRITE);
    going_out_ += count;
}

void RestoredFile::write_at(std::uint64_t offset, ByteView bytes) {
    if (!compare_) return write_all_at(fd_.get(), bytes, offset, path_);
    while (!bytes.empty()) {
        const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), unit_bytes - offset % unit_bytes));
        const auto count = read_at(fd_.get(), {old_.data(), piece.size()}, offset, path_);
        if (count < piece.size() || std::memcmp(old_.data(), piece.data(), count) != 0)
            write_all_at(fd_.get(), piece, offset, path_);
        offset += piece.size();
        bytes = bytes.subspan(piece.size());
    }
}

bool RestoredFile::has(std::uint64_t offset, std::uint64_t count, const codec::ContentHash& hash) {
    if (!compare_) return false;
    if (old_.capacity() < count) old_ = Blob(count);
    const MutableBytes there(old_.data(), count);
    return read_at(fd_.get(), there, offset, path_) == count && codec::content_hash(there) == hash;
}

void RestoredFile::zero(std::uint64_t begin, std::uint64_t end) {
    static constexpr std::byte zeros[unit_bytes]{};
    for (auto at = begin; at < end; at += unit_bytes)
        write_at(at, ByteView(zeros).first(std::min<std::uint64_t>(unit_bytes, end - at)));
}

void RestoredFile::set_size(std::uint64_t bytes) {
    struct stat about{};
    // Even to the same size it would count as a change.
    if (::fstat(fd_.get(), &about) == 0 && static_cast<std::uint64_t>(about.st_size) == bytes) return;
    if (::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0)
        throw_errno(fmt::format("cannot give {} its size of {} bytes", path_, bytes));
}

RestoredFile::Written RestoredFile::finish(bool complete) {
    if (compare_ && !keep_) set_size(next_);
    if (::fchmod(fd_.get(), mode_) != 0) throw_errno(fmt::format("cannot set the mode of {}", path_));
    struct stat about{};
    if (::fstat(fd_.get(), &about) != 0) throw_errno(fmt::format("cannot look at {}", path_));
    // Its failure shows at the end. Small files are better left to the kernel, which writes many of them at once.
    const bool large = static_cast<std::uint64_t>(about.st_size) >= write_out_bytes_min;
    if (complete && write_out_ && large) ::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    fd_.close(path_);
    return {static_cast<std::uint64_t>(about.st_size), about.st_mtim.tv_sec * 1'000'000'000 + about.st_mtim.tv_nsec};
}

} // namespace walgd::backup

#include "common/archive/wal/wal_source.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/base/sha256.hpp"
#include "common/pg/control_file.hpp"

#include <chrono>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <thread>

namespace walgd::archive {

namespace {

std::chrono::nanoseconds nanoseconds_of(const timespec& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

} // namespace

WalSource::WalSource(std::string name, UniqueFd fd, WalObserver* observer)
    : name_(std::move(name)), fd_(std::move(fd)), observer_(observer) {
    if (::fstat(fd_.get(), &about_) != 0) throw_errno(fmt::format("cannot look at {}", name_));
    if (!S_ISREG(about_.st_mode))
        throw Error(ErrorKind::refused, fmt::format("{} is not a regular file", name_),
                    "give the path of a WAL file, as PostgreSQL's %p");
    ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
}

std::optional<pg::WalHeader> WalSource::check_header() const {
    const auto kind = pg::wal_file_kind(name_);
    if (kind != pg::WalFileKind::segment && kind != pg::WalFileKind::partial) return std::nullopt;
    std::byte first[pg::wal_header_bytes];
    const auto count = read_at(fd_.get(), first, 0, name_);
    const auto header = pg::parse_wal_header({first, count}, name_);
    pg::check_wal_header(header, name_, bytes());
    return header;
}

std::optional<pg::SystemIdentifier> WalSource::cluster_around() const {
    constexpr std::size_t control_bytes_max = 8192;
    std::error_code error;
    const auto file = std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", fd_.get()), error);
    const auto path = file.parent_path().parent_path() / "global/pg_control";
    // Not blocking, should somebody have put a pipe there.
    const UniqueFd control(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat about{};
    if (error || !control || ::fstat(control.get(), &about) != 0 || !S_ISREG(about.st_mode)) return std::nullopt;
    std::byte bytes[control_bytes_max];
    try {
        const auto count = read_at(control.get(), bytes, 0, path.string());
        return pg::parse_control_file({bytes, count}, path.string()).system;
    } catch (const Error&) {
        return std::nullopt; // the server may be writing it
    }
}

std::string WalSource::sha256() const {
    Sha256 hash;
    Blob buffer(256 << 10);
    for (std::uint64_t offset = 0;;) {
        const auto count = read({buffer.data(), buffer.capacity()}, offset);
        if (count == 0) break;
        hash.update({buffer.data(), count});
        offset += count;
    }
    const auto digest = hash.digest();
    return to_hex(digest);
}

/// A file system's clock moves in ticks of some milliseconds, and a second change within one tick leaves the mtime as it is. So a
/// file that was changed just now is read from the next tick on: then every later change shows.
void WalSource::wait_for_tick() const {
    timespec tick{}, now{};
    ::clock_getres(CLOCK_REALTIME_COARSE, &tick);
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    const auto since_change = nanoseconds_of(now) - nanoseconds_of(about_.st_mtim);
    const auto left = 2 * nanoseconds_of(tick) - since_change;
    if (since_change >= std::chrono::nanoseconds(0) && left > std::chrono::nanoseconds(0)) std::this_thread::sleep_for(left);
}

std::size_t WalSource::read(MutableBytes into, std::uint64_t offset) const {
    if (offset == 0) wait_for_tick();
    const auto count = read_at(fd_.get(), into, offset, name_);
    if (observer_ != nullptr) observer_->piece(offset, into.first(count));
    return count;
}

void WalSource::check_unchanged() const {
    struct stat now{};
    if (::fstat(fd_.get(), &now) != 0) throw_errno(fmt::format("cannot look at {}", name_));
    const bool same = now.st_size == about_.st_size && now.st_mtim.tv_sec == about_.st_mtim.tv_sec &&
                      now.st_mtim.tv_nsec == about_.st_mtim.tv_nsec;
    if (!same)
        throw Error(ErrorKind::corrupt, fmt::format("{} changed while it was read", name_),
                    "PostgreSQL never writes into a segment that it archives: what else does?");
}

} // namespace walgd::archive

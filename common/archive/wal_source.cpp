#include "common/archive/wal_source.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/codec/sha256.hpp"

#include <fcntl.h>
#include <fmt/format.h>

namespace walgd::archive {

WalSource::WalSource(std::string name, UniqueFd fd) : name_(std::move(name)), fd_(std::move(fd)) {
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
    const auto count = read(first, 0);
    const auto header = pg::parse_wal_header({first, count}, name_);
    pg::check_wal_header(header, name_, bytes());
    return header;
}

std::string WalSource::sha256() const {
    codec::Sha256 hash;
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

std::size_t WalSource::read(MutableBytes into, std::uint64_t offset) const { return read_at(fd_.get(), into, offset, name_); }

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

#include "daemon/wal/prefetch_folder.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"

#include <cerrno>
#include <filesystem>
#include <fmt/format.h>
#include <sys/sendfile.h>
#include <unistd.h>

namespace walgd::daemon {

namespace fs = std::filesystem;

void prepare_prefetch_folder(const std::string& folder) {
    const std::string hint =
        "name a folder that walgd's user may write to, as /var/cache/walgd, in WALG_PREFETCH_DIR, or leave it out";
    if (fs::path(folder).lexically_normal().filename() == "pg_wal" || fs::path(folder).parent_path().filename() == "pg_wal")
        throw Error(ErrorKind::misconfigured,
                    fmt::format("prefetch_dir {} is PostgreSQL's own, walgd keeps nothing in it", folder), hint);
    std::error_code error;
    fs::create_directories(folder, error);
    if (error)
        throw Error(ErrorKind::misconfigured, fmt::format("cannot make prefetch_dir {}: {}", folder, error.message()), hint);
    try {
        unnamed_file_in(folder);
    } catch (const Error& failure) {
        throw Error(ErrorKind::misconfigured, fmt::format("prefetch_dir cannot be used: {}", failure.what()), hint);
    }
}

void copy_file(int from, int to, std::uint64_t bytes, const std::string& name) {
    off_t read_at = 0, write_at = 0;
    const auto left = [&] { return static_cast<std::size_t>(bytes - static_cast<std::uint64_t>(read_at)); };
    while (left() > 0) {
        const auto count = ::copy_file_range(from, &read_at, to, &write_at, left(), 0);
        if (count == 0 || (count < 0 && errno != EINTR)) break;
    }
    if (left() == 0) return;
    // Two file systems, or one that cannot. sendfile() writes where the descriptor stands.
    if (::lseek(to, read_at, SEEK_SET) < 0) throw_errno(fmt::format("cannot write {}", name));
    while (left() > 0) {
        const auto count = ::sendfile(to, from, &read_at, left());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno(fmt::format("cannot write {}", name));
        if (count == 0) throw Error(ErrorKind::failed, fmt::format("cannot write {}: its copy became shorter", name));
    }
}

} // namespace walgd::daemon

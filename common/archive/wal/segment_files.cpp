#include "common/archive/wal/segment_files.hpp"

#include "common/base/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>

namespace walgd::archive {

awaitable<UniqueFd> SegmentFiles::open(std::string name) {
    const auto path = pg_wal_ + "/" + name;
    if (!pg_wal_.empty()) {
        UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        if (file) co_return file;
        if (errno != ENOENT) throw_errno(fmt::format("cannot open {}", path));
    }
    auto file = co_await open_stored(name);
    if (!file)
        throw Error(ErrorKind::corrupt,
                    fmt::format("WAL {} is neither in {} nor in {}", name, pg_wal_, archive_.storage.describe()));
    co_return file;
}

awaitable<UniqueFd> SegmentFiles::open_stored(std::string name) {
    auto file = unnamed_file();
    const auto bytes = co_await fetcher_.fetch_into(name, file.get());
    if (!bytes) co_return UniqueFd();
    co_return file;
}

} // namespace walgd::archive

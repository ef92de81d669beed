#include "common/archive/wal/wal_fetch.hpp"

#include "common/archive/wal/wal_unpack.hpp"
#include "common/base/files.hpp"
#include "common/base/late_name.hpp"

#include <atomic>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::archive {

awaitable<std::uint64_t> WalFetcher::unpack(std::string name, WalObject object, int fd) {
    const WalIdentity identity{std::move(name), object.key, object.compression};
    WalToFile file(archive_.packing, identity, fd);
    Blob chunk(storage::read_chunk_bytes);
    for (;;) {
        const auto count = co_await object.reader->read({chunk.data(), chunk.capacity()});
        if (count == 0) break;
        auto work = [&file, &chunk, count] { file.write({chunk.data(), count}); };
        co_await run_on(archive_.cpu, std::move(work));
    }
    auto finish = [&file] { return file.finish(); };
    const auto bytes = co_await run_on(archive_.cpu, std::move(finish));
    co_return bytes;
}

awaitable<std::optional<std::uint64_t>> WalFetcher::fetch_into(std::string name, int fd) {
    auto object = co_await finder_.find(name);
    if (!object) co_return std::nullopt;
    const auto bytes = co_await unpack(name, std::move(*object), fd);
    co_return bytes;
}

awaitable<Fetched> fetch_durably(std::string name, std::string destination, bool exclusive, FillFile fill) {
    static std::atomic<unsigned> counter = 0;
    const auto parent = std::filesystem::path(destination).parent_path();
    const auto folder = parent.empty() ? std::string(".") : parent.string();
    const auto temporary = fmt::format("{}/.walgd.{}.{}.{}", folder, name, ::getpid(), counter++);
    if (exclusive && ::access(destination.c_str(), F_OK) == 0)
        throw Error(ErrorKind::refused, fmt::format("open {}: file exists", destination),
                    "remove it first, or name another destination");
    ::unlink(temporary.c_str()); // of one that was killed, and had our process id
    const auto named = [&temporary] { return open_file(temporary, O_RDWR | O_CREAT | O_EXCL, 0600); };
    UniqueFd fd(open_unnamed(folder));
    const bool unnamed = static_cast<bool>(fd);
    if (!unnamed) fd = named();
    bool filled = false;
    std::exception_ptr failure;
    try {
        filled = co_await fill(fd.get());
        if (filled) sync_file(fd.get(), temporary);
        if (filled && unnamed && !give_name(fd.get(), temporary)) { // a file system that makes such files, and names none
            fd = named();
            filled = co_await fill(fd.get());
            sync_file(fd.get(), temporary);
        }
        if (filled) {
            fd.close(temporary);
            const auto flags = exclusive ? RENAME_NOREPLACE : 0U;
            if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, destination.c_str(), flags) != 0)
                throw_errno(fmt::format("cannot rename {} to {}", temporary, destination));
            sync_folder(folder);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure || !filled) ::unlink(temporary.c_str());
    if (failure) std::rethrow_exception(failure);
    co_return filled ? Fetched::stored : Fetched::absent;
}

awaitable<Fetched> WalFetcher::fetch(std::string name, std::string destination, bool exclusive) {
    FillFile fill = [this, &name](int fd) -> awaitable<bool> {
        const auto bytes = co_await fetch_into(name, fd);
        co_return bytes.has_value();
    };
    const auto fetched = co_await fetch_durably(name, destination, exclusive, std::move(fill));
    co_return fetched;
}

} // namespace walgd::archive

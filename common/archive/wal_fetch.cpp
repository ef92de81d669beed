#include "common/archive/wal_fetch.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/base/files.hpp"
#include "common/pg/wal_page.hpp"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::archive {

namespace {

constexpr std::size_t chunk_bytes = 256 << 10;

/// Ends an unpacking chain in a file.
class FileSink : public codec::Sink {
public:
    FileSink(int fd, const std::string& name) : fd_(fd), name_(name) {}
    void write(ByteView bytes) override {
        write_all_at(fd_, bytes, offset_, name_);
        offset_ += bytes.size();
    }
    void finish() override {}
    std::uint64_t bytes() const { return offset_; }

private:
    int fd_;
    const std::string& name_;
    std::uint64_t offset_ = 0;
};

/// What PostgreSQL is about to replay: refused here rather than there.
void check_content(const std::string& name, const storage::ObjectKey& key, int fd, std::uint64_t bytes) {
    const auto kind = pg::wal_file_kind(name);
    std::byte first[pg::wal_header_bytes];
    const auto count = read_at(fd, first, 0, name);
    if (kind == pg::WalFileKind::segment || kind == pg::WalFileKind::partial) {
        const auto header = pg::parse_wal_header({first, count}, key.path());
        pg::check_wal_header(header, name, bytes);
    }
    if (kind == pg::WalFileKind::history) {
        const auto text = text_of({first, count});
        if (!text.empty() && text[0] != '#' && text[0] != '\n' && std::isdigit(static_cast<unsigned char>(text[0])) == 0)
            throw Error(ErrorKind::corrupt, fmt::format("{} is not a timeline history", key.path()),
                        "is it of another key, or damaged?");
    }
}

} // namespace

awaitable<bool> WalFetcher::try_object(std::string name, storage::ObjectKey key, const codec::Compression* compression, int fd) {
    const auto reader = co_await archive_.storage.get(key, {});
    if (!reader) co_return false;
    std::optional<Error> failure;
    try {
        FileSink file(fd, name);
        UnpackChain chain(archive_.packing.cipher, *compression, file);
        Blob chunk(chunk_bytes);
        for (bool done = false; !done;) {
            const auto count = co_await reader->read({chunk.data(), chunk.capacity()});
            done = count == 0;
            auto work = [&, count] {
                if (count > 0) {
                    chain.head().write({chunk.data(), count});
                    return;
                }
                chain.head().finish();
                check_content(name, key, fd, file.bytes());
                sync_file(fd, name);
            };
            co_await run_on(archive_.cpu, std::move(work));
        }
        co_return true;
    } catch (const Error& error) {
        failure = error;
    }
    if (std::string_view(failure->what()).find(key.path()) != std::string_view::npos) throw *failure;
    throw failure->within(key.path());
}

awaitable<Fetched> WalFetcher::fetch_into(std::string name, int fd) {
    std::vector<const codec::Compression*> order{archive_.packing.compression};
    if (last_ != nullptr) order.insert(order.begin(), last_);
    for (const auto* method : codec::compressions()) order.push_back(method);
    for (std::size_t index = 0; index < order.size(); ++index) {
        const auto* method = order[index];
        if (std::find(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(index), method) !=
            order.begin() + static_cast<std::ptrdiff_t>(index))
            continue;
        const auto key = wal_key(name, method->suffix());
        const bool found = co_await try_object(name, key, method, fd);
        if (!found) continue;
        last_ = method;
        co_return Fetched::stored;
    }
    // WAL-G 3.0.8 and earlier wrote a trailing dot with method none.
    const storage::ObjectKey dotted(fmt::format("{}{}.", wal_folder, name));
    const bool found = co_await try_object(name, dotted, codec::compression_by_suffix(""), fd);
    co_return found ? Fetched::stored : Fetched::absent;
}

awaitable<Fetched> WalFetcher::fetch(std::string name, std::string destination, bool exclusive) {
    static std::atomic<unsigned> counter = 0;
    const auto parent = std::filesystem::path(destination).parent_path();
    const auto folder = parent.empty() ? std::string(".") : parent.string();
    const auto temporary = fmt::format("{}/.walgd.{}.{}.{}", folder, name, ::getpid(), counter++);
    if (exclusive && ::access(destination.c_str(), F_OK) == 0)
        throw Error(ErrorKind::refused, fmt::format("open {}: file exists", destination),
                    "remove it first, or name another destination");
    auto fd = open_file(temporary, O_RDWR | O_CREAT | O_EXCL, 0600);
    auto fetched = Fetched::absent;
    std::exception_ptr failure;
    try {
        fetched = co_await fetch_into(name, fd.get());
        if (fetched == Fetched::stored) {
            fd.close(temporary);
            const auto flags = exclusive ? RENAME_NOREPLACE : 0U;
            if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, destination.c_str(), flags) != 0)
                throw_errno(fmt::format("cannot rename {} to {}", temporary, destination));
            sync_folder(folder);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure || fetched == Fetched::absent) ::unlink(temporary.c_str());
    if (failure) std::rethrow_exception(failure);
    co_return fetched;
}

} // namespace walgd::archive

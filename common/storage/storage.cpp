#include "common/storage/storage.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace walgd::storage {

namespace {

constexpr std::size_t unannounced_bytes = 16 << 10;

} // namespace

awaitable<ListPage> list_all(Storage& storage, std::string folder, bool recursive) {
    ListPage all;
    ListOptions options;
    options.recursive = recursive;
    for (;;) {
        auto page = co_await storage.list(folder, options);
        std::ranges::move(page.objects, std::back_inserter(all.objects));
        std::ranges::move(page.folders, std::back_inserter(all.folders));
        if (!page.next) co_return all;
        options.token = std::move(page.next);
    }
}

awaitable<std::optional<Blob>> get_whole(Storage& storage, ObjectKey key, std::uint64_t bytes_max) {
    const auto reader = co_await storage.get(key, ByteRange{});
    if (!reader) co_return std::nullopt;
    const auto bytes = reader->info().bytes;
    if (bytes > bytes_max)
        throw Error(ErrorKind::corrupt, fmt::format("{} in {} has {} bytes, more than the {} that such an object may have",
                                                    key.path(), storage.describe(), bytes, bytes_max));
    // One byte more than announced, so that the end is seen without growing.
    Blob blob(static_cast<std::size_t>(bytes) + 1);
    for (;;) {
        const auto count = co_await reader->read(blob.room());
        if (count == 0) co_return blob;
        blob.commit(count);
        if (!blob.room().empty()) continue;
        // Who sends piece by piece, as some do that stand between us and a storage, announces nothing.
        if (bytes > 0 || blob.size() > bytes_max)
            throw Error(ErrorKind::corrupt, fmt::format("{} in {} is longer than the {} bytes that were announced", key.path(),
                                                        storage.describe(), bytes));
        Blob larger(std::max(2 * blob.size(), unannounced_bytes));
        larger.append(blob.view());
        blob = std::move(larger);
    }
}

} // namespace walgd::storage

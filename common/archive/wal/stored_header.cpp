#include "common/archive/wal/stored_header.hpp"

#include "common/archive/chain.hpp"

#include <algorithm>

namespace walgd::archive {

namespace {

constexpr std::size_t chunk_bytes = 64 << 10;

/// Ends a chain once the first bytes are there.
class FirstBytes : public codec::Sink {
public:
    void write(ByteView bytes) override {
        const auto wanted = std::min(bytes.size(), pg::wal_header_bytes - std::min(blob_.size(), pg::wal_header_bytes));
        blob_.append(bytes.first(wanted));
    }
    void finish() override {}
    bool full() const { return blob_.size() == pg::wal_header_bytes; }
    ByteView view() const { return blob_.view(); }

private:
    Blob blob_;
};

} // namespace

awaitable<std::optional<pg::WalHeader>> stored_wal_header(Archive& archive, storage::ObjectKey key,
                                                          const codec::Compression* compression) {
    const auto reader = co_await archive.storage.get(key, {});
    if (!reader) co_return std::nullopt;
    FirstBytes first;
    UnpackChain chain(archive.packing.cipher, *compression, first);
    Blob chunk(chunk_bytes);
    while (!first.full()) {
        const auto count = co_await reader->read({chunk.data(), chunk.capacity()});
        if (count == 0) chain.head().finish();
        if (count == 0) break;
        auto decode = [&] { chain.head().write({chunk.data(), count}); };
        co_await run_on(archive.cpu, std::move(decode));
    }
    if (!first.full()) co_return std::nullopt;
    co_return pg::parse_wal_header(first.view(), key.path());
}

} // namespace walgd::archive

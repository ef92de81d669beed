#include "common/archive/wal/stored_header.hpp"

#include "common/archive/chain.hpp"

#include <algorithm>

namespace walgd::archive {

namespace {

constexpr std::size_t chunk_bytes = 64 << 10;
/// librnp complains on stderr where it is cut off, as if the object were damaged: up to so much it is given to its end.
constexpr std::uint64_t openpgp_whole_bytes_max = 32 << 20;

/// Ends a chain once the first bytes are there.
class FirstBytes : public codec::Sink {
public:
    void write(ByteView bytes) override {
        const auto wanted = std::min(bytes.size(), pg::wal_header_bytes - std::min(blob_.size(), pg::wal_header_bytes));
        blob_.append(bytes.first(wanted));
    }
    void finish() override {}
    bool full() const { return blob_.size() == pg::wal_header_bytes; }
    /// Hands `packed` to the chain that ends here, nothing at its end. What is wrong behind the first bytes is no matter.
    void decode(codec::Sink& chain, ByteView packed) const {
        try {
            packed.empty() ? chain.finish() : chain.write(packed);
        } catch (const Error&) {
            if (!full()) throw;
        }
    }
    ByteView view() const { return blob_.view(); }

private:
    Blob blob_;
};

} // namespace

awaitable<std::optional<pg::WalHeader>> stored_wal_header(Archive& archive, storage::ObjectKey key,
                                                          const codec::Compression* compression) {
    const auto reader = co_await archive.storage.get(key, {});
    if (!reader) co_return std::nullopt;
    const auto* cipher = archive.packing.cipher;
    const bool whole = cipher != nullptr && cipher->name() == "openpgp" && reader->info().bytes <= openpgp_whole_bytes_max;
    FirstBytes first;
    UnpackChain chain(cipher, *compression, first);
    Blob chunk(chunk_bytes);
    for (bool at_end = false; !at_end && (whole || !first.full());) {
        const auto count = co_await reader->read({chunk.data(), chunk.capacity()});
        at_end = count == 0;
        auto decode = [&] {
            try {
                first.decode(chain.head(), {chunk.data(), count});
            } catch (const Error& error) {
                throw error.within(key.path());
            }
        };
        co_await run_on(archive.cpu, std::move(decode));
    }
    if (!first.full()) co_return std::nullopt;
    co_return pg::parse_wal_header(first.view(), key.path());
}

} // namespace walgd::archive

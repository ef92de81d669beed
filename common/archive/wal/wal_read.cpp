#include "common/archive/wal/wal_read.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/read_through.hpp"

#include <algorithm>

namespace walgd::archive {

namespace {

/// Cuts what is decoded into pieces.
class Pieces : public codec::Sink {
public:
    explicit Pieces(TakeWal take) : take_(std::move(take)) {}
    void write(ByteView bytes) override {
        while (!bytes.empty() && !enough_) {
            const auto count = std::min(bytes.size(), wal_piece_bytes - piece_.size());
            piece_.append(bytes.first(count));
            bytes = bytes.subspan(count);
            if (piece_.size() == wal_piece_bytes) give();
        }
    }
    void finish() override {
        if (!piece_.empty() && !enough_) give();
    }
    bool enough() const { return enough_; }

private:
    void give() {
        enough_ = !take_(offset_, piece_.view());
        offset_ += piece_.size();
        piece_.clear();
    }
    TakeWal take_;
    Blob piece_{wal_piece_bytes};
    std::uint64_t offset_ = 0;
    bool enough_ = false;
};

} // namespace

awaitable<bool> read_wal(Archive& archive, WalFinder& finder, std::string name, TakeWal take) {
    const auto object = co_await finder.find(name);
    if (!object) co_return false;
    Pieces pieces(std::move(take));
    UnpackChain chain(archive.packing.cipher, *object->compression, pieces);
    std::function<bool()> enough = [&pieces] { return pieces.enough(); };
    std::optional<Error> failure;
    try {
        co_await read_through(archive, *object->reader, chain.head(), std::move(enough));
    } catch (const Error& error) {
        failure = error;
    }
    if (!failure) co_return true;
    if (std::string_view(failure->what()).find(name) != std::string_view::npos) throw *failure;
    throw failure->within(object->key.path());
}

} // namespace walgd::archive

#include "common/backup/tar_fetch.hpp"

#include "common/archive/chain.hpp"

#include <future>

namespace walgd::backup {

namespace {

constexpr std::size_t chunk_bytes = 512 << 10;

/// The next chunk is on its way while this one is decoded.
void pump(archive::Archive& archive, storage::ObjectReader& reader, codec::Sink& sink, const std::stop_token& stop,
          const std::function<void(std::size_t)>& on_stored) {
    const auto lease = archive.budget.acquire(2 * chunk_bytes, stop);
    Blob chunks[2] = {Blob(chunk_bytes), Blob(chunk_bytes)};
    auto ask = [&](Blob& chunk) {
        return asio::co_spawn(archive.io, reader.read({chunk.data(), chunk.capacity()}), asio::use_future);
    };
    auto answer = ask(chunks[0]);
    for (unsigned turn = 0;; ++turn) {
        const auto count = answer.get();
        if (count == 0) break;
        on_stored(count);
        const auto& chunk = chunks[turn % 2];
        answer = ask(chunks[(turn + 1) % 2]);
        try {
            sink.write({chunk.data(), count});
        } catch (...) {
            answer.wait(); // it writes into a chunk of ours
            throw;
        }
    }
    sink.finish();
}

void fetch(archive::Archive& archive, const TarObject& tar, codec::TarReader::Handler& handler, const std::stop_token& stop,
           const std::function<void(std::size_t)>& on_stored) {
    const OnIoThread reader(archive.io, run_blocking(archive.io, archive.storage.get(tar.key, {}), stop));
    if (!reader)
        throw Error(ErrorKind::corrupt, "was listed, and is not there any more",
                    "is something deleting from this archive? Try again, or restore another backup");
    codec::TarReader members(handler, tar.key.path());
    archive::UnpackChain unpack(archive.packing.cipher, *tar.compression, members);
    pump(archive, *reader, unpack.head(), stop, on_stored);
}

} // namespace

void fetch_tar(archive::Archive& archive, const TarObject& tar, codec::TarReader::Handler& handler, std::stop_token stop,
               const std::function<void(std::size_t)>& on_stored) {
    try {
        fetch(archive, tar, handler, stop, on_stored);
    } catch (const Error& error) {
        if (std::string_view(error.what()).find(tar.key.path()) != std::string_view::npos) throw;
        throw error.within(tar.key.path());
    }
}

} // namespace walgd::backup

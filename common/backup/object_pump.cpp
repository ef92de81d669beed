#include "common/backup/object_pump.hpp"

#include <future>

namespace walgd::backup {

namespace {

constexpr std::size_t pump_chunk_bytes = 512 << 10;

} // namespace

void pump(archive::Archive& archive, storage::ObjectReader& reader, codec::Sink& sink, const std::stop_token& stop,
          const std::function<void(std::size_t)>& on_stored) {
    const auto lease = archive.budget.acquire(2 * pump_chunk_bytes, stop);
    Blob chunks[2] = {Blob(pump_chunk_bytes), Blob(pump_chunk_bytes)};
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

} // namespace walgd::backup

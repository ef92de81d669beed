#include "common/archive/read_through.hpp"

namespace walgd::archive {

awaitable<void> read_through(Archive& archive, storage::ObjectReader& reader, codec::Sink& head, std::function<bool()> enough) {
    Blob chunk(storage::read_chunk_bytes);
    for (;;) {
        const auto count = co_await reader.read({chunk.data(), chunk.capacity()});
        auto work = [&head, &chunk, count] {
            if (count > 0)
                head.write({chunk.data(), count});
            else
                head.finish();
        };
        co_await run_on(archive.cpu, std::move(work));
        if (count == 0 || (enough && enough())) co_return;
    }
}

} // namespace walgd::archive

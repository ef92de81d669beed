#include "common/base/error.hpp"
#include "common/pg/replication_message.hpp"
#include "common/pg/timeline_history.hpp"

#include <cstdlib>

/// What a server sends on a replication connection: messages of the stream, and timeline history files.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        const auto message = pg::parse_replication_message(bytes);
        if (const auto* wal = std::get_if<pg::WalData>(&message); wal != nullptr && wal->wal.size() > size) std::abort();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::protocol) std::abort();
    }
    try {
        const auto history = pg::parse_timeline_history(text_of(bytes), pg::TimelineId(9), "fuzz");
        for (const auto& past : history.past) {
            if (past.timeline >= history.timeline) std::abort();
        }
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) std::abort();
    }
    return 0;
}

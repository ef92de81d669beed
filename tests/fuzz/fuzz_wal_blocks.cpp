#include "common/base/error.hpp"
#include "common/pg/wal_blocks.hpp"

#include <cstdint>
#include <cstdlib>

/// Foreign WAL is refused or read, and never read past its end: as one record, and as a segment.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
    for (const int version : {13, 15, 17}) {
        try {
            pg::BlockChanges changes;
            pg::read_record_changes(bytes, version, changes);
        } catch (const Error&) {
        }
    }
    try {
        pg::BlockChanges changes;
        pg::WalBlockReader reader(pg::Lsn((1 << 20) + 40), pg::Lsn(UINT64_MAX / 2), changes);
        reader.segment(bytes, "input");
        if (reader.at().bytes() > (1 << 20) + size + 8) std::abort();
    } catch (const Error&) {
    }
    return 0;
}

#include "common/base/error.hpp"
#include "common/pg/wal_records.hpp"

#include <cstdint>
#include <cstdlib>

/// What is found lies in the segment and before the limit; nothing is read outside the bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    const pg::Lsn before(UINT64_MAX / 2);
    try {
        const auto found = pg::last_checkpoint_record({reinterpret_cast<const std::byte*>(data), size}, before, "input");
        if (found && *found >= before) std::abort();
    } catch (const Error&) {
    }
    return 0;
}

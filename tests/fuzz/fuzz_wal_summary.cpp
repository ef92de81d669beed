#include "common/base/error.hpp"
#include "common/pg/crc32c.hpp"
#include "common/pg/wal_summary.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

/// What is read lies within the bytes, and the blocks found are no more than they can say. The checksum is put right, so that
/// what is behind it is reached.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    std::vector<std::byte> content(size + 4);
    if (size > 0) std::memcpy(content.data(), data, size);
    const auto sum = pg::crc32c({content.data(), size});
    std::memcpy(content.data() + size, &sum, sizeof sum);
    try {
        pg::BlockChanges changes;
        pg::read_wal_summary(content, "input", changes);
        std::uint64_t blocks = 0;
        for (const auto& [relation, fork] : changes.relations()) blocks += fork.blocks.size();
        if (blocks > content.size() * 8) std::abort();
    } catch (const Error&) {
    }
    return 0;
}

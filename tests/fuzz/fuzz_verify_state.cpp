#include "common/backup/verify_state.hpp"

#include <cstdlib>

/// A state that can be read is written again to the same state, or an Error says what is wrong with it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        const auto written = backup::to_json(backup::parse_verify_state(text, "walgd_005/verify.json"));
        if (backup::to_json(backup::parse_verify_state(written, "walgd_005/verify.json")) != written) std::abort();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) std::abort();
    }
    return 0;
}

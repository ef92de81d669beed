#include "common/archive/archive_summary.hpp"

#include <cstdlib>

/// What was read is written, and read again to the same text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    std::string first;
    try {
        first = archive::to_text(archive::parse_summary({reinterpret_cast<const char*>(data), size}), archive::Documents::whole);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::protocol) std::abort();
        return 0;
    }
    if (archive::to_text(archive::parse_summary(first), archive::Documents::whole) != first) std::abort();
    return 0;
}

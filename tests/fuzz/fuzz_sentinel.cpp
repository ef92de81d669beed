#include "common/archive/documents.hpp"
#include "common/base/error.hpp"

#include <cstdlib>

namespace {

using namespace walgd;

/// What was read is written, and read again to the same text.
template <class Parse> void check(std::string_view text, Parse parse) {
    std::string first;
    try {
        first = archive::to_json(parse(text));
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::misconfigured) std::abort();
        return;
    }
    if (archive::to_json(parse(first)) != first) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    if (data[0] % 4 == 2)
        check(text, [](std::string_view json) { return archive::parse_journal(json, "base_x", "fuzz"); });
    else if (data[0] % 2 == 0)
        check(text, [](std::string_view json) { return archive::parse_sentinel(json, "fuzz"); });
    else
        check(text, [](std::string_view json) { return archive::parse_metadata(json, "fuzz"); });
    return 0;
}

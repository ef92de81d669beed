#include "common/backup/increment.hpp"
#include "common/base/error.hpp"

#include <algorithm>
#include <cstdlib>

namespace {

using namespace walgd;

constexpr std::uint32_t block_bytes = 64;

/// Checks the order of the calls and the places, and composes what was read again.
struct Checker : backup::IncrementParser::Handler {
    void head(const backup::IncrementHead& given) override {
        if (!again.empty()) std::abort();
        file_bytes = given.file_bytes;
        again = backup::compose_increment_head(given);
    }
    void page(std::uint64_t offset, ByteView bytes) override {
        if (again.empty() || bytes.empty() || offset + bytes.size() > file_bytes || offset < next) std::abort();
        next = offset + bytes.size();
        again += text_of(bytes);
    }
    std::uint64_t file_bytes = 0, next = 0;
    std::string again;
};

} // namespace

/// First byte: the size of the pieces.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t piece = data[0] + std::size_t{1};
    const auto all = std::as_bytes(std::span(data, size)).subspan(1);
    Checker checker;
    backup::IncrementParser parser(checker, block_bytes, "fuzz");
    try {
        for (auto bytes = all; !bytes.empty(); bytes = bytes.subspan(std::min(piece, bytes.size())))
            parser.write(bytes.first(std::min(piece, bytes.size())));
        parser.finish();
        if (checker.again != text_of(all)) std::abort();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) std::abort();
    }
    return 0;
}

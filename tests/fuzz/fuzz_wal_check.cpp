#include "common/base/error.hpp"
#include "common/pg/wal_check.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace walgd;

/// What the check says of the bytes, given in pieces of so many.
std::string verdict(ByteView bytes, std::size_t piece) {
    pg::WalCheck check;
    try {
        // Two that follow each other, so that state goes on from one to the next.
        for (const auto* name : {"000000010000000000000001", "000000010000000000000002"}) {
            check.begin(name, name);
            for (auto rest = bytes; !rest.empty(); rest = rest.subspan(std::min(piece, rest.size())))
                check.write(rest.first(std::min(piece, rest.size())));
            check.finish();
        }
    } catch (const Error& error) {
        return error.what();
    }
    return std::to_string(check.records());
}

} // namespace

/// Nothing is read outside the bytes, and any cut of them gives the same answer.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
    if (verdict(bytes, 8192) != verdict(bytes, 777)) std::abort();
    return 0;
}

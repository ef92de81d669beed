#include "proto/walg_frame.hpp"

#include <algorithm>
#include <cstdlib>

/// First byte: the size of the pieces. What comes out must be what its own encoding gives back.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd::proto;
    if (size == 0) return 0;
    const std::size_t piece = data[0] + std::size_t{1};
    std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    WalgFrameReader reader;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
        reader.feed(bytes.substr(0, piece));
        while (const auto request = reader.next()) {
            WalgFrameReader again;
            again.feed(encoded(*request));
            const auto same = again.next();
            if (!same || same->type != request->type || same->body != request->body) std::abort();
            const auto arguments = parse_arguments(request->body);
            if (arguments && encoded_arguments(*arguments) != request->body) std::abort();
            if (name_in_push(request->body).find('\0') != std::string_view::npos) std::abort();
        }
    }
    return 0;
}

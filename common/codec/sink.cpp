#include "common/codec/sink.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::codec {

void MemorySink::write(ByteView bytes) {
    if (bytes.size() > into_.size() - count_)
        throw Error(ErrorKind::corrupt, fmt::format("more than {} bytes come out of it", into_.size()),
                    "the object is damaged, or not what its name says");
    if (may_fill_) may_fill_(count_ + bytes.size());
    std::ranges::copy(bytes, into_.begin() + static_cast<std::ptrdiff_t>(count_));
    count_ += bytes.size();
}

} // namespace walgd::codec

#pragma once
#include "common/base/bytes.hpp"

#include <bit>
#include <cstring>
#include <string>

/// Numbers in the bytes of files that are as the machine has them: PostgreSQL's, WAL-G's, ours.
namespace walgd {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in memory");

/// The bytes must reach that far. They need not be aligned.
template <class Number> Number number_at(ByteView bytes, std::size_t offset) {
    Number number;
    std::memcpy(&number, bytes.data() + offset, sizeof number);
    return number;
}

template <class Number> void append_number(std::string& text, Number number) {
    text.append(reinterpret_cast<const char*>(&number), sizeof number);
}

} // namespace walgd

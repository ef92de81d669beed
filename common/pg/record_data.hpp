#pragma once
#include "common/base/bytes.hpp"

#include <cstdint>
#include <cstring>
#include <optional>

namespace walgd::pg {

/// Takes numbers off the front; once something is missing, nothing more comes.
class Fields {
public:
    explicit Fields(ByteView bytes) : bytes_(bytes) {}
    template <class T> T take() {
        T number{};
        if (!need(sizeof number)) return number;
        std::memcpy(&number, bytes_.data(), sizeof number);
        bytes_ = bytes_.subspan(sizeof number);
        return number;
    }
    void skip(std::uint64_t bytes) {
        if (need(bytes)) bytes_ = bytes_.subspan(static_cast<std::size_t>(bytes));
    }
    /// A count, then so many items of a size.
    void skip_items(std::size_t item_bytes) { skip(std::uint64_t{take<std::uint32_t>()} * item_bytes); }
    ByteView rest() const { return bytes_; }
    bool good() const { return good_; }

private:
    bool need(std::uint64_t bytes) {
        if (bytes > bytes_.size()) good_ = false;
        if (!good_) bytes_ = {};
        return good_;
    }
    ByteView bytes_;
    bool good_ = true;
};

/// The main data of a record that refers to no blocks, as far as the record is there; nothing where it does
/// (src/include/access/xlogrecord.h). The record has a whole header.
std::optional<ByteView> main_data(ByteView record);

} // namespace walgd::pg

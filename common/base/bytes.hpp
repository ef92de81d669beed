#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace walgd {

using ByteView = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline ByteView bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }
/// Without the blanks and line ends before and behind it. Refers to the text.
std::string_view trimmed(std::string_view text);
/// The text with its letters, those of ASCII, in lower case.
inline std::string lower_case(std::string_view text) {
    std::string out(text);
    for (auto& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}
/// The text with its letters, those of ASCII, in upper case.
inline std::string upper_case(std::string_view text) {
    std::string out(text);
    for (auto& c : out) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return out;
}
inline std::string_view text_of(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

/// Owned bytes, not initialised, not copied. Where a retry starts from.
class Blob {
public:
    Blob() = default;
    /// Room for `capacity` bytes, none of them used yet.
    explicit Blob(std::size_t capacity) : data_(std::make_unique_for_overwrite<std::byte[]>(capacity)), capacity_(capacity) {}
    static Blob copy_of(ByteView bytes);

    std::size_t size() const { return size_; }
    std::size_t capacity() const { return capacity_; }
    bool empty() const { return size_ == 0; }
    const std::byte* data() const { return data_.get(); }
    std::byte* data() { return data_.get(); }

    /// The used bytes.
    ByteView view() const { return {data_.get(), size_}; }
    /// The room behind the used bytes.
    MutableBytes room() { return {data_.get() + size_, capacity_ - size_}; }
    /// Says that `count` more bytes of room() are used now.
    void commit(std::size_t count) { size_ += count; }
    void clear() { size_ = 0; }
    /// Appends, growing as needed (by half at least).
    void append(ByteView bytes);

private:
    std::unique_ptr<std::byte[]> data_;
    std::size_t size_ = 0, capacity_ = 0;
};

/// Lower-case hex, two digits a byte.
std::string to_hex(ByteView bytes);
/// The bytes that hex digits of either case stand for; nothing when `text` is something else.
std::optional<std::string> from_hex(std::string_view text);

} // namespace walgd

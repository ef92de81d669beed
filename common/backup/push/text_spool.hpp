#pragma once
#include "common/base/handles.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace walgd::backup {

/// Text that may grow beyond memory, in a temporary file that has no name. Appended, cut, read back; one thread at a time.
class TextSpool {
public:
    /// `what`: for errors, "the temporary file of files_metadata.json".
    explicit TextSpool(std::string what);
    void append(std::string_view text);
    /// Forgets what was appended after the first `bytes`.
    void cut(std::uint64_t bytes);
    std::uint64_t bytes() const { return written_ + buffer_.size(); }
    std::string read(std::uint64_t offset, std::size_t bytes);
    /// All of it, in order, piece by piece.
    void copy_to(const std::function<void(std::string_view)>& out);

private:
    void flush();

    std::string what_;
    UniqueFd file_;
    std::string buffer_;
    std::uint64_t written_ = 0;
};

} // namespace walgd::backup

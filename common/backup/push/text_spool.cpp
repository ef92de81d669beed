#include "common/backup/push/text_spool.hpp"

#include "common/base/files.hpp"

#include <algorithm>

namespace walgd::backup {

namespace {

constexpr std::size_t buffer_bytes = 128 << 10;

} // namespace

TextSpool::TextSpool(std::string what) : what_(std::move(what)), file_(unnamed_file()) {}

void TextSpool::flush() {
    write_all_at(file_.get(), bytes_of(buffer_), written_, what_);
    written_ += buffer_.size();
    buffer_.clear();
}

void TextSpool::append(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() >= buffer_bytes) flush();
}

void TextSpool::cut(std::uint64_t bytes) {
    buffer_.resize(bytes > written_ ? static_cast<std::size_t>(bytes - written_) : 0);
    written_ = std::min(written_, bytes);
}

std::string TextSpool::read(std::uint64_t offset, std::size_t bytes) {
    flush();
    const auto left = offset < written_ ? written_ - offset : 0;
    std::string text(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, left)), '\0');
    read_at(file_.get(), std::as_writable_bytes(std::span(text)), offset, what_);
    return text;
}

void TextSpool::copy_to(const std::function<void(std::string_view)>& out) {
    for (std::uint64_t offset = 0;;) {
        const auto text = read(offset, buffer_bytes);
        if (text.empty()) return;
        out(text);
        offset += text.size();
    }
}

} // namespace walgd::backup

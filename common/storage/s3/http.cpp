#include "common/storage/s3/http.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

namespace walgd::storage {

std::string base64(ByteView bytes) {
    std::string text(4 * ((bytes.size() + 2) / 3), '\0');
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), reinterpret_cast<const unsigned char*>(bytes.data()),
                    static_cast<int>(bytes.size()));
    return text;
}

std::string uri_encoded(std::string_view text, bool keep_slash) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const auto c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                           c == '.' || c == '~' || (keep_slash && c == '/');
        if (plain)
            out += c;
        else {
            out += '%';
            out += digits[byte >> 4];
            out += digits[byte & 15];
        }
    }
    return out;
}

std::string HttpRequest::target() const {
    auto text = path;
    char mark = '?';
    for (const auto& [name, value] : query) {
        text += mark;
        text += uri_encoded(name, false) + "=" + uri_encoded(value, false);
        mark = '&';
    }
    return text;
}

std::string HttpHead::header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
}

awaitable<std::string> read_text(HttpAnswer& answer, std::size_t bytes_max) {
    std::string text;
    std::byte chunk[8192];
    for (;;) {
        const auto count = co_await answer.read(chunk);
        if (count == 0) co_return text;
        text += text_of({chunk, count});
        if (text.size() > bytes_max)
            throw Error(ErrorKind::transient, fmt::format("the answer has more than {} bytes", bytes_max),
                        "is it an S3 server that answers there?");
    }
}

} // namespace walgd::storage

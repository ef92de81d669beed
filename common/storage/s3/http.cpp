#include "common/storage/s3/http.hpp"

#include <charconv>
#include <fmt/format.h>

namespace walgd::storage {

std::string HttpServer::authority() const {
    const auto name = host.find(':') != std::string::npos ? "[" + host + "]" : host;
    return port == (tls ? 443 : 80) ? name : fmt::format("{}:{}", name, port);
}

HttpServer parse_endpoint(std::string_view text, std::string_view setting) {
    const auto wrong = [&](std::string_view why) -> Error {
        return Error(ErrorKind::misconfigured, fmt::format("{}={} is not an endpoint: {}", setting, text, why),
                     "it has the form http://host:port or https://host");
    };
    HttpServer server;
    auto rest = text;
    if (rest.starts_with("https://"))
        rest.remove_prefix(8);
    else if (rest.starts_with("http://")) {
        rest.remove_prefix(7);
        server.tls = false;
    } else if (rest.find("://") != std::string_view::npos)
        throw wrong("its scheme is neither http nor https");
    server.port = server.tls ? 443 : 80;
    while (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest.find('/') != std::string_view::npos) throw wrong("it has a path");
    std::string_view port;
    if (rest.starts_with('[')) {
        const auto end = rest.find(']');
        if (end == std::string_view::npos) throw wrong("a bracket is missing");
        server.host = rest.substr(1, end - 1);
        port = rest.substr(end + 1);
    } else {
        const auto colon = rest.find(':');
        server.host = rest.substr(0, colon);
        if (colon != std::string_view::npos) port = rest.substr(colon);
    }
    if (server.host.empty()) throw wrong("it has no host");
    if (!port.empty()) {
        port.remove_prefix(1);
        const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), server.port);
        if (error != std::errc() || end != port.data() + port.size() || server.port == 0)
            throw wrong("its port is no number from 1 to 65535");
    }
    return server;
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

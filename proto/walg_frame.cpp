#include "proto/walg_frame.hpp"

namespace walgd::proto {

namespace {

void put_u16(std::string& out, std::size_t number) {
    out += static_cast<char>(number >> 8 & 0xFF);
    out += static_cast<char>(number & 0xFF);
}

std::size_t u16_at(std::string_view bytes, std::size_t offset) {
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[offset])) << 8 |
           static_cast<unsigned char>(bytes[offset + 1]);
}

bool known(char type) {
    return type == static_cast<char>(WalgType::check) || type == static_cast<char>(WalgType::push) ||
           type == static_cast<char>(WalgType::fetch);
}

} // namespace

std::string encoded(const WalgRequest& request) {
    if (request.body.size() > walg_body_bytes_max) return {};
    std::string out(1, static_cast<char>(request.type));
    put_u16(out, walg_head_bytes + request.body.size());
    return out + request.body;
}

std::string encoded_arguments(const std::vector<std::string>& arguments) {
    if (arguments.size() > 0xFF) return {};
    std::string out(1, static_cast<char>(arguments.size()));
    for (const auto& argument : arguments) {
        if (argument.size() > 0xFFFF) return {};
        put_u16(out, argument.size());
        out += argument;
    }
    return out.size() > walg_body_bytes_max ? std::string() : out;
}

std::optional<std::vector<std::string>> parse_arguments(std::string_view body) {
    if (body.empty()) return std::nullopt;
    const auto count = static_cast<unsigned char>(body[0]);
    body.remove_prefix(1);
    std::vector<std::string> arguments;
    for (unsigned index = 0; index < count; ++index) {
        if (body.size() < 2) return std::nullopt;
        const auto length = u16_at(body, 0);
        body.remove_prefix(2);
        if (body.size() < length) return std::nullopt;
        arguments.emplace_back(body.substr(0, length));
        body.remove_prefix(length);
    }
    if (!body.empty()) return std::nullopt;
    return arguments;
}

std::string_view name_in_push(std::string_view body) { return body.substr(0, body.find('\0')); }

std::optional<WalgRequest> WalgFrameReader::next() {
    if (failed() || buffer_.empty()) return std::nullopt;
    if (!known(buffer_[0])) {
        failure_ = "request type " + std::to_string(static_cast<unsigned char>(buffer_[0])) + " is none of WAL-G's protocol";
        return std::nullopt;
    }
    if (buffer_.size() < walg_head_bytes) return std::nullopt;
    const auto length = u16_at(buffer_, 1);
    if (length < walg_head_bytes) {
        failure_ = "a request says it has " + std::to_string(length) + " bytes, fewer than its own head";
        return std::nullopt;
    }
    if (buffer_.size() < length) return std::nullopt;
    WalgRequest request{static_cast<WalgType>(buffer_[0]), buffer_.substr(walg_head_bytes, length - walg_head_bytes)};
    buffer_.erase(0, length);
    return request;
}

} // namespace walgd::proto

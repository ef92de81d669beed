#include "proto/frame.hpp"

namespace walgd::proto {

namespace {

void put_u32(std::string& out, std::uint32_t number) {
    for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(number >> shift & 0xFF);
}

std::uint32_t u32_at(std::string_view bytes, std::size_t offset) {
    std::uint32_t number = 0;
    for (std::size_t index = 0; index < 4; ++index)
        number |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[offset + index])) << 8 * index;
    return number;
}

} // namespace

std::string encoded(const Frame& frame) {
    std::string body;
    for (const auto& field : frame.fields) {
        put_u32(body, static_cast<std::uint32_t>(field.size()));
        body += field;
    }
    const auto length = head_bytes - 4 + body.size();
    if (length + 4 > frame_bytes_max) return {};
    std::string out;
    put_u32(out, static_cast<std::uint32_t>(length));
    out += static_cast<char>(version);
    out += static_cast<char>(frame.type);
    put_u32(out, frame.request);
    return out + body;
}

std::size_t FrameReader::wanted() const {
    if (buffer_.size() < 4) return 4 - buffer_.size();
    const std::size_t whole = std::size_t{u32_at(buffer_, 0)} + 4;
    return whole > buffer_.size() ? whole - buffer_.size() : 0;
}

std::optional<Frame> FrameReader::next() {
    if (failed() || buffer_.size() < 4) return std::nullopt;
    const std::size_t length = u32_at(buffer_, 0);
    if (length < head_bytes - 4 || length + 4 > frame_bytes_max) {
        failure_ = "a frame says it has " + std::to_string(length) + " bytes: the peer does not speak walgd's protocol";
        return std::nullopt;
    }
    if (buffer_.size() >= 5 && static_cast<std::uint8_t>(buffer_[4]) != version) {
        failure_ = "a frame of protocol version " + std::to_string(static_cast<unsigned char>(buffer_[4])) +
                   ", this is version " + std::to_string(version) + ": install shims and daemon of one release";
        return std::nullopt;
    }
    if (buffer_.size() < length + 4) return std::nullopt;
    Frame frame;
    frame.type = static_cast<Type>(static_cast<std::uint8_t>(buffer_[5]));
    frame.request = u32_at(buffer_, 6);
    for (std::size_t offset = head_bytes; offset < length + 4;) {
        const bool whole = offset + 4 <= length + 4;
        const std::size_t field = whole ? u32_at(buffer_, offset) : 0;
        if (!whole || field > length + 4 - offset - 4) {
            failure_ = "a frame's fields are longer than the frame";
            return std::nullopt;
        }
        frame.fields.emplace_back(buffer_, offset + 4, field);
        offset += 4 + field;
    }
    buffer_.erase(0, length + 4);
    return frame;
}

} // namespace walgd::proto

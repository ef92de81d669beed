#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The language of WAL-G's daemon, as walg-daemon-client and the walg_archive module speak it.
///
///   request   = type:1 length:2 body           big-endian; length counts type and itself too
///   arguments = count:1 (length:2 bytes)*      the body of a fetch
///   reply     = 'O' | 'E' | 'N'                one byte, no framing
namespace walgd::proto {

enum class WalgType : char {
    check = 'C', ///< any body; the connection goes on
    push = 'F',  ///< the file's name
    fetch = 'f', ///< arguments: name, destination
};

enum class WalgReply : char { done = 'O', error = 'E', absent = 'N' };

inline constexpr std::size_t walg_head_bytes = 3;
inline constexpr std::size_t walg_body_bytes_max = 0xFFFF - walg_head_bytes;

struct WalgRequest {
    WalgType type = WalgType::check;
    std::string body;
};

/// The request's bytes; empty when the body would be too long.
std::string encoded(const WalgRequest& request);

/// The body of a request that has arguments; empty when they would be too long or too many.
std::string encoded_arguments(const std::vector<std::string>& arguments);
/// Nothing, if they do not fill `body` exactly.
std::optional<std::vector<std::string>> parse_arguments(std::string_view body);

/// The name in a push's body. walg_archive always sends 24 bytes: after a shorter name come a zero byte and whatever there was.
std::string_view name_in_push(std::string_view body);

/// Takes bytes in any cut, gives requests.
class WalgFrameReader {
public:
    void feed(std::string_view bytes) { buffer_.append(bytes); }
    /// The next whole request; nothing when more bytes are needed, or when failed().
    std::optional<WalgRequest> next();
    /// The peer speaks something else; the text says what. Nothing more comes out of this reader.
    bool failed() const { return !failure_.empty(); }
    const std::string& failure() const { return failure_; }
    bool holds_part() const { return !buffer_.empty(); }

private:
    std::string buffer_, failure_;
};

} // namespace walgd::proto

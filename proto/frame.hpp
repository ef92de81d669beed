#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The control socket's language. No exceptions, no dependencies: the static shims use it too.
///
///   frame   = length:4 version:1 type:1 request:4 body         little-endian; length counts all that follows it
///   body    = field*                                           as many as the type has
///   field   = length:4 bytes
///
/// A request may carry one descriptor (SCM_RIGHTS) with its first byte.
namespace walgd::proto {

inline constexpr std::uint8_t version = 1;
inline constexpr std::size_t head_bytes = 10;
inline constexpr std::size_t frame_bytes_max = 64 << 10;

enum class Type : std::uint8_t {
    // requests
    ping = 1,
    wal_push = 2,  ///< name; descriptor: the file, open for reading
    wal_fetch = 3, ///< name; descriptor: an empty file, open for reading and writing
    status = 4,    ///< "text" or "json"
    /// The fields of backup_request.hpp; progress until the job ends, then ok with name, plain bytes, stored bytes, damaged
    /// blocks, bytes read, parent, source. absent with the reason: the daemon has another archive, server,
    /// encryption or setting.
    backup_push = 5,
    cancel_job = 6, ///< of the job that runs
    reload = 7,     ///< the settings; ok with what came of it
    /// What the daemon knows of the archive: where it is, "b" with the backups, "d" with their documents; parts of a text
    /// (common/archive/archive_summary.hpp), then ok with its age in milliseconds. absent with the reason: its listing is not
    /// what the archive holds now, or of another archive.
    catalogue = 8,
    /// The client changed an archive. Of a WAL file that it stored: where the archive is, the file's name, its bytes in the
    /// storage. No fields: something else, somewhere.
    archive_changed = 9,
    // answers
    ok = 64,       ///< text
    absent = 65,   ///< the storage says that there is no such object
    error = 66,    ///< kind, message, hint, the request's id in the daemon's log
    progress = 67, ///< bytes done, bytes total, stored bytes, phase, as decimal numbers
    part = 68,     ///< a piece of a text
};

struct Frame {
    Type type = Type::ping;
    std::uint32_t request = 0;
    std::vector<std::string> fields;

    /// Empty when there is no such field.
    std::string_view field(std::size_t index) const {
        return index < fields.size() ? std::string_view(fields[index]) : std::string_view();
    }
};

/// The frame's bytes; empty when it would be too long.
std::string encoded(const Frame& frame);

/// Takes bytes in any cut, gives frames.
class FrameReader {
public:
    void feed(std::string_view bytes) { buffer_.append(bytes); }
    /// The next whole frame; nothing when more bytes are needed, or when failed().
    std::optional<Frame> next();
    /// The peer speaks something else; the text says what. Nothing more comes out of this reader.
    bool failed() const { return !failure_.empty(); }
    const std::string& failure() const { return failure_; }
    bool holds_part() const { return !buffer_.empty(); }
    /// How many bytes more belong to the frame that is under way: those of its length first, then the rest. Who reads no more
    /// than these knows which frame a descriptor came with.
    std::size_t wanted() const;

private:
    std::string buffer_, failure_;
};

} // namespace walgd::proto

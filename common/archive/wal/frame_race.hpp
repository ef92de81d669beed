#pragma once
#include "common/archive/wal/wal_source.hpp"
#include "common/base/blob_pool.hpp"
#include "common/codec/compression.hpp"

#include <condition_variable>
#include <exception>
#include <mutex>

namespace walgd::archive {

/// One WAL file compressed as independent frames by one or two threads: the first takes frames from the front, the helper, if it
/// comes in time, from the back, until they meet. Nobody waits for a helper that has not begun.
///
///     buffer: | front frames, in order ->        <- back frames, in order |
class FrameRace {
public:
    /// `buffer` has room for every frame at its bound (room_for()). `frames`: for single ones.
    FrameRace(const WalSource& source, const codec::Compression& compression, std::string level, MutableBytes buffer,
              BlobPool& frames);

    static std::uint64_t room_for(std::uint64_t plain_bytes);

    /// The first thread's part: takes frames until none is left, waits for the helper's last one, and puts all together at the
    /// front of the buffer. Returns how many bytes there are. Throws what either met.
    std::size_t run();
    /// The helper's part. Comes at any time, also after run() has returned; touches source, buffer and frames only before that.
    void help();

private:
    struct Tools;
    std::optional<std::uint64_t> take(bool from_front);
    ByteView read(std::uint64_t frame, Tools& tools) const;

    const WalSource& source_;
    const codec::Compression& compression_;
    const std::string level_;
    const MutableBytes buffer_;
    BlobPool& frames_;
    std::mutex mutex_;
    std::condition_variable helper_left_;
    std::uint64_t front_ = 0, back_; ///< frames not taken yet: from front_ to before back_
    bool helping_ = false;
    std::size_t helped_bytes_ = 0; ///< at the end of the buffer
    std::exception_ptr failure_;
};

} // namespace walgd::archive

#pragma once
#include "common/base/bytes.hpp"
#include "common/base/handles.hpp"
#include "common/codec/frame_table.hpp"

#include <cstdint>
#include <string>

namespace walgd::backup {

/// One file being written. Where the target holds a cluster already, what the file has is read and only what differs is written.
class RestoredFile {
public:
    struct Open {
        std::string path;
        unsigned mode = 0600;
        bool compare = false;
        bool keep = false; ///< what the file holds stays
        bool write_out =
            false; ///< a large file starts to go to disk while it is written, so that the sync at the end finds little left
    };
    explicit RestoredFile(const Open& how);

    /// The next bytes.
    void write(ByteView bytes);
    /// Where they go.
    std::uint64_t next() const { return next_; }
    /// Leaves the next bytes as they are.
    void skip(std::uint64_t count) { next_ += count; }
    /// The target holds a cluster, and these bytes of it have that hash.
    bool has(std::uint64_t offset, std::uint64_t count, const codec::ContentHash& hash);
    void write_at(std::uint64_t offset, ByteView bytes);
    void zero(std::uint64_t begin, std::uint64_t end);
    void set_size(std::uint64_t bytes);
    /// Cuts a file that was longer before, sets the mode, closes. `complete`: nothing more will be written to it.
    struct Written {
        std::uint64_t bytes;
        std::int64_t modified_ns;
    };
    Written finish(bool complete = true);

private:
    void start_write_out(std::uint64_t count);

    std::string path_;
    unsigned mode_;
    bool compare_, keep_, write_out_;
    UniqueFd fd_;
    std::uint64_t next_ = 0, going_out_ = 0;
    Blob old_;
};

} // namespace walgd::backup

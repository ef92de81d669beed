#pragma once
#include "common/base/bytes.hpp"
#include "common/base/handles.hpp"
#include "common/pg/wal_page.hpp"

#include <optional>
#include <string>
#include <sys/stat.h>

namespace walgd::archive {

/// Sees what is read of a file, piece by piece as it is read; from several threads at once. Must not throw but std::bad_alloc.
class WalObserver {
public:
    virtual ~WalObserver() = default;
    virtual void piece(std::uint64_t offset, ByteView bytes) = 0;
};

/// The local file of a push: read by offset, and known to be the same from begin to end.
class WalSource {
public:
    /// Error(refused) for anything but a regular file.
    /// `observer`, which may be nullptr, must outlive it.
    WalSource(std::string name, UniqueFd fd, WalObserver* observer = nullptr);

    const std::string& name() const { return name_; }
    std::uint64_t bytes() const { return static_cast<std::uint64_t>(about_.st_size); }
    /// The segment's header, checked against name and size; nothing for files that are no segments.
    std::optional<pg::WalHeader> check_header() const;
    /// Of the cluster whose pg_wal the file lies in, for files whose content does not tell; nothing where its pg_control is not
    /// beside that, or may not be read.
    std::optional<pg::SystemIdentifier> cluster_around() const;
    /// Of the whole content, in hex.
    std::string sha256() const;
    /// Blocks, for a few milliseconds where the file was changed just now: not for the I/O thread.
    std::size_t read(MutableBytes into, std::uint64_t offset) const;
    /// Error(corrupt) when size or mtime are not what they were at the beginning.
    void check_unchanged() const;
    /// Returns when every later change would show in check_unchanged(): at once, but for a file that was changed in this tick of
    /// the file system's clock. read() from offset 0 does so; whoever reads elsewhere first calls it.
    void wait_for_tick() const;

private:
    std::string name_;
    UniqueFd fd_;
    WalObserver* observer_;
    struct stat about_{};
};

} // namespace walgd::archive

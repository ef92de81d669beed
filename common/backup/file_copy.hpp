#pragma once
#include "common/archive/documents.hpp"
#include "common/backup/pgdata_walk.hpp"
#include "common/base/log.hpp"
#include "common/codec/tar_writer.hpp"
#include "common/pg/lsn.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace walgd::backup {

/// What a copy of the cluster's files needs to know of it.
struct CopySource {
    bool verify = false; ///< page checksums: wanted, and the cluster has them
    std::uint32_t block_bytes = 8192;
    pg::Lsn start{0}; ///< pages changed since then come out of the WAL again
    Log& log;
};

/// Copies what a walk met into tars, byte by byte as it is while PostgreSQL writes. One a thread.
class FileCopy {
public:
    using OnBytes = std::function<void(std::uint64_t)>; ///< progress; throws to stop
    FileCopy(const CopySource& source, OnBytes on_bytes);

    /// The member's description; nothing when the file is gone, and then nothing went into `tar`. A file that shrank is padded
    /// with zeros, one that grew is cut: recovery puts both right. Wrong pages are named in the log.
    std::optional<archive::FileDescription> copy(const WalkedEntry& entry, codec::TarWriter& tar);

private:
    struct Pages; // of one file

    codec::TarMember member_of(const WalkedEntry& entry);
    void copy_content(const WalkedEntry& entry, int fd, codec::TarWriter& tar, archive::FileDescription& description);
    void check_pages(MutableBytes bytes, std::uint64_t offset, int fd, const Pages& pages, archive::FileDescription& found);
    const std::string& user_name(std::uint32_t id);
    const std::string& group_name(std::uint32_t id);

    const CopySource& source_;
    OnBytes on_bytes_;
    Blob buffer_;
    std::map<std::uint32_t, std::string> users_, groups_;
};

} // namespace walgd::backup

#pragma once
#include "common/archive/documents.hpp"
#include "common/backup/pgdata_walk.hpp"
#include "common/backup/push/delta_files.hpp"
#include "common/base/log.hpp"
#include "common/codec/tar_writer.hpp"
#include "common/pg/lsn.hpp"
#include "common/pg/page.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace walgd::backup {

/// What a copy of the cluster's files needs to know of it.
struct CopySource {
    bool verify = false; ///< page checksums: wanted, and the cluster has them
    std::uint32_t block_bytes = 8192;
    std::uint64_t relation_file_bytes = pg::relation_file_bytes;
    pg::Lsn start{0}; ///< pages changed since then come out of the WAL again
    Log& log;
    bool name_all_corrupt = false; ///< all damaged blocks go into the metadata, not only the first ten of a file
    DeltaFiles* delta = nullptr;   ///< nullptr: everything is copied whole
};

/// Copies what a walk met into tars, byte by byte as it is while PostgreSQL writes. One a thread.
class FileCopy {
public:
    using OnBytes = std::function<void(std::uint64_t)>; ///< bytes of the cluster that are done; throws to stop
    FileCopy(const CopySource& source, OnBytes on_bytes);

    struct Copied {
        archive::FileDescription description;
        std::uint64_t member_bytes = 0;
    };
    /// The description of a file that a delta leaves out; nothing when it must be copied.
    std::optional<archive::FileDescription> skipped(const WalkedEntry& entry);
    /// Nothing when the file is gone, and then nothing went into `tar`. A file that shrank is padded with zeros, one that grew is
    /// cut: recovery puts both right. In a delta the member may be an increment. Wrong pages are named in the log.
    std::optional<Copied> copy(const WalkedEntry& entry, codec::TarWriter& tar);
    /// Of the files that were opened, over all calls.
    std::uint64_t bytes_read() const { return bytes_read_; }

private:
    struct OpenFile { // of a relation, or another one
        const WalkedEntry& entry;
        int fd;
        bool has_pages;            ///< that have checksums, and are wanted checked
        std::uint32_t first_block; ///< of the file, counted from the relation's begin
    };
    struct Scan { // what was found in a file
        std::vector<std::uint32_t> blocks;
        bool in_buffer = false; ///< all of the file is there still
    };

    codec::TarMember member_of(const WalkedEntry& entry);
    OpenFile opened(const WalkedEntry& entry, int fd) const;
    void copy_whole(const OpenFile& file, codec::TarWriter& tar, archive::FileDescription& description);
    bool copy_increment(const OpenFile& file, codec::TarWriter& tar, Copied& copied);
    Scan scan(const OpenFile& file, archive::FileDescription& found);
    void write_pages(const OpenFile& file, const Scan& pages, codec::TarWriter& tar, archive::FileDescription* found);
    std::size_t read(const OpenFile& file, MutableBytes into, std::uint64_t offset);
    pg::PageState settled(const OpenFile& file, MutableBytes page, std::uint32_t block);
    void check_pages(MutableBytes bytes, std::uint64_t offset, const OpenFile& file, archive::FileDescription& found);
    bool damaged(const OpenFile& file, MutableBytes page, std::uint32_t block, archive::FileDescription& found);
    void report(const OpenFile& file, const archive::FileDescription& found) const;
    const std::string& user_name(std::uint32_t id);
    const std::string& group_name(std::uint32_t id);

    const CopySource& source_;
    OnBytes on_bytes_;
    Blob buffer_;
    std::uint64_t bytes_read_ = 0;
    std::map<std::uint32_t, std::string> users_, groups_;
};

} // namespace walgd::backup

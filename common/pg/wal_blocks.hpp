#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/block_changes.hpp"
#include "common/pg/lsn.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace walgd::pg {

/// What one WAL record changed, appended to `changes`: block references, and the records that speak of files without any:
/// relations made, dropped and truncated, folders of databases made and removed (XLogRecord in src/include/access/xlogrecord.h
/// and the records of xlog, xact, smgr and dbase, PostgreSQL 13 to 18). `record`: all of it, its header too. Error(corrupt) when
/// it cannot be read, Error(refused) when WAL does not tell all from here on (wal_level minimal).
void read_record_changes(ByteView record, int server_version, BlockChanges& changes);

/// Follows the WAL from one record's begin to another's, segment by segment, and notes what it changed. Nothing is passed over
/// unseen: each page must be the one that its place says, each record must be whole, have its checksum, and name the one before.
class WalBlockReader {
public:
    /// `from` and `to` are places where a record begins.
    WalBlockReader(Lsn from, Lsn to, BlockChanges& changes) : at_(from), to_(to), changes_(changes) {}

    /// The next segment, from its first byte on; the first one holds `from`. What is behind `to` may be anything. Error(corrupt),
    /// naming `file`, where the WAL does not go on.
    void segment(ByteView content, std::string_view file);
    bool done() const { return done_; }
    /// Where the next segment must go on.
    Lsn at() const { return at_; }
    /// Behind the last record that came whole: where the one under way begins, else the next one.
    Lsn whole_until() const { return record_bytes_ != 0 ? record_at_ : at_; }
    /// What came of the record under way.
    const std::string& open_record() const { return record_; }

private:
    std::size_t enter_page(ByteView content, std::string_view file);
    void read_page(ByteView rest, std::string_view file);
    void begin_record(ByteView rest, std::string_view file);
    void end_record(ByteView record, std::string_view file);
    [[noreturn]] void refuse(std::string_view file, const std::string& cause) const;

    Lsn at_, to_;
    BlockChanges& changes_;
    std::uint64_t segment_start_ = 0, segment_bytes_ = 0;
    std::uint32_t page_bytes_ = 0;
    int version_ = 0;
    std::string record_;           ///< what came of the record under way
    std::size_t record_bytes_ = 0; ///< its length; 0: none is under way
    Lsn record_at_{0};
    Lsn before_{0}; ///< begin of the record before; 0: not known yet
    bool done_ = false, switched_ = false;
};

} // namespace walgd::pg

#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/chain.hpp"

#include <string>

/// From an object's bytes to a WAL file's, checked before PostgreSQL sees them: a segment's size, page header and name; that a
/// history file is one. Plain synchronous code for a thread of the CPU pool. What does not pass is an Error that names the key.
namespace walgd::archive {

/// What is unpacked, for checks and messages.
struct WalIdentity {
    std::string name; ///< of the WAL file
    storage::ObjectKey key;
    const codec::Compression* compression;
};

/// Unpacks an object that comes piece by piece into a file, from its first byte on.
class WalToFile {
public:
    /// `identity` must outlive it.
    WalToFile(const Packing& packing, const WalIdentity& identity, int fd);

    void write(ByteView packed);
    /// All came: checks. The file's bytes.
    std::uint64_t finish();

private:
    class End : public codec::Sink {
    public:
        End(int fd, const std::string& name) : fd_(fd), name_(name) {}
        void write(ByteView bytes) override;
        void finish() override {}
        std::uint64_t bytes() const { return offset_; }

    private:
        int fd_;
        const std::string& name_;
        std::uint64_t offset_ = 0;
    };

    const WalIdentity& identity_;
    int fd_;
    End end_;
    UnpackChain chain_;
};

/// A whole object into memory that is there already. The bytes that came out.
std::size_t unpack_wal(const Packing& packing, const WalIdentity& identity, ByteView packed, MutableBytes into,
                       const codec::MayFill& may_fill = {});

/// True if the object's bytes are the file's: neither compressed nor encrypted.
bool stored_plain(const Packing& packing, const WalIdentity& identity);

/// `first` holds the beginning of a file that is `bytes` long.
void check_wal_content(const WalIdentity& identity, ByteView first, std::uint64_t bytes);

} // namespace walgd::archive

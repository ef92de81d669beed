#pragma once
#include "common/codec/sink.hpp"
#include "common/codec/tar_member.hpp"

#include <cstdint>
#include <string>

namespace walgd::codec {

/// Writes a tar as WAL-G does: ustar, pax only where ustar cannot hold a value; names as given ("/base", "/"), no slash behind
/// directories; two zero blocks at the end and no further padding. Call order: (begin write* end_member)* finish.
class TarWriter {
public:
    explicit TarWriter(Sink& out) : out_(out) {}
    /// Directories and symlinks have no content, whatever their size says.
    void begin(const TarMember& member);
    /// Error(failed) when the member gets more bytes than its header says.
    void write(ByteView bytes);
    /// Error(failed) when the member got fewer bytes than its header says: pad with zeros before.
    void end_member();
    /// Ends the archive, and finishes `out`.
    void finish();
    /// Bytes of the tar so far.
    std::uint64_t written() const { return written_; }

private:
    void pass(ByteView bytes);

    Sink& out_;
    std::string name_;
    std::uint64_t left_ = 0, written_ = 0;
    std::size_t padding_ = 0;
};

} // namespace walgd::codec

#include "common/archive/wal/wal_unpack.hpp"

#include "common/base/files.hpp"
#include "common/base/naming.hpp"
#include "common/pg/wal_page.hpp"

#include <cctype>
#include <fmt/format.h>

namespace walgd::archive {

void check_wal_content(const WalIdentity& identity, ByteView first, std::uint64_t bytes) {
    const auto kind = pg::wal_file_kind(identity.name);
    if (kind == pg::WalFileKind::segment || kind == pg::WalFileKind::partial) {
        const auto header = pg::parse_wal_header(first.first(std::min(first.size(), pg::wal_header_bytes)), identity.key.path());
        pg::check_wal_header(header, identity.name, bytes);
    }
    if (kind == pg::WalFileKind::history) {
        const auto text = text_of(first);
        if (!text.empty() && text[0] != '#' && text[0] != '\n' && std::isdigit(static_cast<unsigned char>(text[0])) == 0)
            throw Error(ErrorKind::corrupt, fmt::format("{} is not a timeline history", identity.key.path()),
                        "is it of another key, or damaged?");
    }
}

bool stored_plain(const Packing& packing, const WalIdentity& identity) {
    return packing.cipher == nullptr && identity.compression->name() == "none";
}

std::size_t unpack_wal(const Packing& packing, const WalIdentity& identity, ByteView packed, MutableBytes into,
                       const codec::MayFill& may_fill) {
    return naming(identity.key.path(), [&] {
        std::size_t count = 0;
        if (packing.cipher == nullptr) {
            count = identity.compression->decompress(packed, into, may_fill);
        } else {
            codec::MemorySink end(into, may_fill);
            UnpackChain chain(packing.cipher, *identity.compression, end);
            chain.head().write(packed);
            chain.head().finish();
            count = end.count();
        }
        check_wal_content(identity, into.first(count), count);
        return count;
    });
}

WalToFile::WalToFile(const Packing& packing, const WalIdentity& identity, int fd)
    : identity_(identity), fd_(fd), end_(fd, identity.name), chain_(packing.cipher, *identity.compression, end_) {}

void WalToFile::End::write(ByteView bytes) {
    write_all_at(fd_, bytes, offset_, name_);
    offset_ += bytes.size();
}

void WalToFile::write(ByteView packed) {
    naming(identity_.key.path(), [&] { chain_.head().write(packed); });
}

std::uint64_t WalToFile::finish() {
    return naming(identity_.key.path(), [&] {
        chain_.head().finish();
        std::byte first[pg::wal_header_bytes];
        const auto count = read_at(fd_, first, 0, identity_.name);
        check_wal_content(identity_, {first, count}, end_.bytes());
        return end_.bytes();
    });
}

} // namespace walgd::archive

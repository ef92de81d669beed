#pragma once
#include "common/base/bytes.hpp"
#include "common/codec/tar_member.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// The 512-byte blocks of POSIX tar (ustar, with pax records), written and read.
///
/// Our own, beside libarchive, for two reasons: its writer puts a slash behind the name of every directory, WAL-G's tars do not;
/// its reader pulls, so it would need a thread for each stream. The tests hold both sides against libarchive and GNU tar.
namespace walgd::codec::tar {

inline constexpr std::size_t block_bytes = 512;
using Block = std::array<char, block_bytes>;

/// The bytes of zero padding behind `size` bytes of content.
constexpr std::size_t padding_of(std::uint64_t size) {
    return static_cast<std::size_t>((block_bytes - size % block_bytes) % block_bytes);
}

/// The header blocks of a member: one ustar block, with a pax header in front of it when something does not fit. Throws
/// Error(failed) for names that no tar can carry (empty, with a NUL).
std::string compose(const TarMember& member);

/// A header block as it stands, before pax records and long names are applied.
struct RawHeader {
    char type = '0';
    TarMember member; ///< `type` not set
};

/// Nothing if the block is all zeros. Throws std::runtime_error saying what is wrong with the block.
std::optional<RawHeader> parse(const Block& block);

/// Applies the records of a pax header to a member. Throws std::runtime_error.
void apply_pax(std::string_view records, TarMember& member);

} // namespace walgd::codec::tar

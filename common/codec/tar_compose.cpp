#include "common/base/error.hpp"
#include "common/codec/tar_header.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>

// offset  0 name 100 | 100 mode 8 | 108 uid 8 | 116 gid 8 | 124 size 12 | 136 mtime 12 | 148 checksum 8 | 156 type
// offset 157 link 100 | 257 "ustar\0" "00" | 265 uname 32 | 297 gname 32 | 329 devmajor 8 | 337 devminor 8 | 345 prefix 155

namespace walgd::codec::tar {

namespace {

constexpr std::size_t name_max = 100, prefix_max = 155, owner_max = 31;

struct Field {
    std::size_t offset, size;
};
constexpr Field name_field{0, 100}, mode_field{100, 8}, uid_field{108, 8}, gid_field{116, 8}, size_field{124, 12},
    mtime_field{136, 12}, link_field{157, 100}, uname_field{265, 32}, gname_field{297, 32}, devmajor_field{329, 8},
    devminor_field{337, 8}, prefix_field{345, 155};

bool is_ascii(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > 0; });
}

bool fits_octal(Field field, std::uint64_t value) { return value < std::uint64_t{1} << 3 * (field.size - 1); }

void put_text(Block& block, Field field, std::string_view text) {
    std::ranges::copy(text.substr(0, field.size), block.begin() + static_cast<std::ptrdiff_t>(field.offset));
}

/// Zero-padded octal digits and a NUL.
void put_number(Block& block, Field field, std::uint64_t value) {
    put_text(block, field, fmt::format("{:0{}o}", value, field.size - 1));
}

void put_checksum(Block& block) {
    std::fill_n(block.begin() + 148, 8, ' ');
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    put_text(block, {148, 7}, fmt::format("{:06o}", sum));
    block[154] = '\0';
}

/// Where to cut a long name: the part before goes to the prefix field, the slash itself to neither.
std::size_t split_point(std::string_view name) {
    const auto slash = name.rfind('/', prefix_max);
    const bool good =
        slash != std::string_view::npos && slash > 0 && name.size() - slash - 1 <= name_max && slash + 1 < name.size();
    return good ? slash : std::string_view::npos;
}

std::string numeric(std::uint64_t value) { return fmt::format("{}", value); }

/// The pax records that a member needs, by key; empty for nearly all.
using Records = std::map<std::string, std::string>;

void put_or_record(Block& block, Field field, std::uint64_t value, Records& records, const char* key) {
    const bool fits = fits_octal(field, value);
    put_number(block, field, fits ? value : 0);
    if (!fits) records[key] = numeric(value);
}

void put_or_record(Block& block, Field field, std::string_view text, std::size_t size_max, Records& records, const char* key) {
    const bool fits = is_ascii(text) && text.size() <= size_max;
    if (fits) put_text(block, field, text);
    if (!fits) records[key] = text;
}

void put_name(Block& block, const std::string& name, Records& records) {
    if (is_ascii(name) && name.size() <= name_max) return put_text(block, name_field, name);
    const auto slash = is_ascii(name) ? split_point(name) : std::string::npos;
    if (slash != std::string::npos) {
        put_text(block, prefix_field, std::string_view(name).substr(0, slash));
        put_text(block, name_field, std::string_view(name).substr(slash + 1));
        return;
    }
    records["path"] = name;
    put_text(block, name_field, "pax-name"); // for readers without pax
}

Block ustar_block(const TarMember& member, char type, Records& records) {
    Block block{};
    put_name(block, member.name, records);
    put_number(block, mode_field, member.mode & 07777);
    put_or_record(block, uid_field, member.uid, records, "uid");
    put_or_record(block, gid_field, member.gid, records, "gid");
    put_or_record(block, size_field, type == '2' || type == '5' ? 0 : member.size, records, "size");
    const bool before_1970 = member.mtime_seconds < 0;
    put_or_record(block, mtime_field, before_1970 ? 0 : static_cast<std::uint64_t>(member.mtime_seconds), records, "mtime");
    if (before_1970) records["mtime"] = fmt::format("{}", member.mtime_seconds);
    block[156] = type;
    if (type == '2') put_or_record(block, link_field, member.link, link_field.size, records, "linkpath");
    put_text(block, {257, 8}, std::string_view("ustar\00000", 8));
    put_or_record(block, uname_field, member.uname, owner_max, records, "uname");
    put_or_record(block, gname_field, member.gname, owner_max, records, "gname");
    put_number(block, devmajor_field, 0);
    put_number(block, devminor_field, 0);
    put_checksum(block);
    return block;
}

/// "<length> key=value\n", the length counting itself.
std::string pax_record(const std::string& key, const std::string& value) {
    const std::size_t rest = key.size() + value.size() + 3;
    std::size_t length = rest + numeric(rest).size();
    if (rest + numeric(length).size() != length) length = rest + numeric(length).size();
    return fmt::format("{} {}={}\n", length, key, value);
}

std::string pax_blocks(const Records& records) {
    std::string content;
    for (const auto& [key, value] : records) content += pax_record(key, value);
    TarMember header;
    header.name = "PaxHeaders.0";
    header.mode = 0;
    header.size = content.size();
    Records none;
    const Block block = ustar_block(header, 'x', none);
    content.append(padding_of(content.size()), '\0');
    return std::string(block.data(), block.size()) + content;
}

void require_text(std::string_view what, std::string_view text) {
    if (text.find('\0') != std::string_view::npos)
        throw Error(ErrorKind::failed, fmt::format("cannot put \"{}\" into a tar: the {} has a NUL byte", text, what));
}

} // namespace

std::string compose(const TarMember& member) {
    if (member.name.empty()) throw Error(ErrorKind::failed, "cannot put a file without a name into a tar");
    require_text("name", member.name);
    require_text("link", member.link);
    const char type = member.type == TarMember::Type::directory ? '5' : member.type == TarMember::Type::symlink ? '2' : '0';
    Records records;
    const Block block = ustar_block(member, type, records);
    const std::string pax = records.empty() ? std::string() : pax_blocks(records);
    return pax + std::string(block.data(), block.size());
}

} // namespace walgd::codec::tar

#include "common/codec/tar_reader.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <utility>

namespace walgd::codec {

namespace {

constexpr std::uint64_t extension_bytes_max = 1 << 20;
constexpr std::uint64_t member_bytes_max = std::uint64_t{1} << 60;

bool all_zero(ByteView bytes) {
    return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

} // namespace

void TarReader::write(ByteView bytes) {
    while (!bytes.empty()) bytes = bytes.subspan(step(bytes));
}

/// Uses some of `bytes`, at least one.
std::size_t TarReader::step(ByteView bytes) {
    switch (at_) {
    case At::header: {
        const auto count = std::min(bytes.size(), block_.size() - block_used_);
        std::memcpy(block_.data() + block_used_, bytes.data(), count);
        block_used_ += count;
        if (block_used_ == block_.size()) read_header();
        return count;
    }
    case At::content:
    case At::ignored:
        return read_content(bytes);
    case At::pax:
    case At::long_name:
    case At::long_link:
        return read_extension(bytes);
    case At::padding: {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_));
        left_ -= count;
        if (left_ == 0) at_ = At::header;
        return count;
    }
    case At::tail:
        if (!all_zero(bytes)) refuse("bytes that are not zero follow its end mark");
        return bytes.size();
    }
    return bytes.size();
}

void TarReader::read_header() {
    block_used_ = 0;
    std::optional<tar::RawHeader> header;
    try {
        header = tar::parse(block_);
    } catch (const std::runtime_error& error) {
        refuse(fmt::format("a header is broken: {}", error.what()));
    }
    if (header) return start(std::move(*header));
    if (!pax_.empty() || !long_name_.empty() || !long_link_.empty()) refuse("it ends behind an extended header");
    at_ = At::tail;
}

void TarReader::start(tar::RawHeader header) {
    if (header.member.size > member_bytes_max) refuse("a header gives a size that no file has");
    switch (header.type) {
    case 'x':
        return start_extension(At::pax, header.member.size);
    case 'L':
        return start_extension(At::long_name, header.member.size);
    case 'K':
        return start_extension(At::long_link, header.member.size);
    case 'g': // says something about all members, nothing about one: not needed for restoring
        at_ = At::ignored;
        left_ = header.member.size;
        padding_ = tar::padding_of(left_);
        if (left_ == 0) content_done();
        return;
    default:
        return start_member(std::move(header));
    }
}

void TarReader::start_extension(At extension, std::uint64_t size) {
    if (size > extension_bytes_max)
        refuse(fmt::format("an extended header has {} bytes, more than {}", size, extension_bytes_max));
    at_ = extension;
    left_ = size;
    padding_ = tar::padding_of(size);
    extension_.clear();
    if (left_ == 0) content_done();
}

void TarReader::apply_extensions(TarMember& member) {
    if (!long_name_.empty()) member.name = std::exchange(long_name_, {});
    if (!long_link_.empty()) member.link = std::exchange(long_link_, {});
    try {
        tar::apply_pax(std::exchange(pax_, {}), member);
    } catch (const std::runtime_error& error) {
        refuse(fmt::format("the header of {} is broken: {}", member.name, error.what()));
    }
    if (member.size > member_bytes_max) refuse(fmt::format("the header of {} gives a size that no file has", member.name));
}

void TarReader::start_member(tar::RawHeader header) {
    TarMember& member = header.member;
    apply_extensions(member);
    last_name_ = member.name;
    if (member.name.empty()) refuse("a member has no name");
    if (header.type == '1') refuse(fmt::format("{} is a hard link, which no backup of a cluster has", member.name));
    if (header.type == 'S') refuse(fmt::format("{} is a sparse file, which no backup of a cluster has", member.name));
    const bool slash = member.name.size() > 1 && member.name.ends_with('/');
    bool known = true;
    switch (header.type) {
    case '0':
    case '\0':
    case '7': // contiguous: a file to everybody
        // Before POSIX, the slash was all that told a directory.
        member.type = slash ? TarMember::Type::directory : TarMember::Type::file;
        if (slash && member.size > 0) refuse(fmt::format("{} is named like a directory but has content", member.name));
        break;
    case '2':
        member.type = TarMember::Type::symlink;
        break;
    case '5':
        member.type = TarMember::Type::directory;
        break;
    default:
        known = false;
    }
    // Links, devices, directories and fifos have no content, whatever their size says.
    if (header.type >= '2' && header.type <= '6') member.size = 0;
    if (member.type == TarMember::Type::directory)
        while (member.name.size() > 1 && member.name.ends_with('/')) member.name.pop_back();
    if (known && member.type != TarMember::Type::symlink) member.link.clear();
    at_ = known ? At::content : At::ignored;
    left_ = member.size;
    padding_ = tar::padding_of(left_);
    if (known)
        handler_.begin(member);
    else
        handler_.other(member);
    if (left_ == 0) content_done();
}

std::size_t TarReader::read_content(ByteView bytes) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_));
    if (at_ == At::content) handler_.data(bytes.first(count));
    left_ -= count;
    if (left_ == 0) content_done();
    return count;
}

bool TarReader::can_skip(std::uint64_t after, std::uint64_t count) const {
    if (after > left_ || count > left_ - after) return false;
    return at_ == At::ignored || (at_ == At::content && handler_.can_skip(after, count));
}

bool TarReader::has(std::uint64_t count, const ContentHash& hash) {
    return at_ == At::content && count <= left_ && handler_.has(count, hash);
}

void TarReader::skip(std::uint64_t count) {
    if (at_ == At::content) handler_.skip(count);
    left_ -= count;
    if (left_ == 0) content_done();
}

std::size_t TarReader::read_extension(ByteView bytes) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_));
    extension_.append(text_of(bytes.first(count)));
    left_ -= count;
    if (left_ == 0) content_done();
    return count;
}

/// The content of a member or an extension has come whole; its padding may follow.
void TarReader::content_done() {
    // GNU's long names end with a NUL.
    const auto name = [this] { return extension_.substr(0, extension_.find('\0')); };
    if (at_ == At::content) handler_.end();
    if (at_ == At::pax) pax_ = extension_;
    if (at_ == At::long_name) long_name_ = name();
    if (at_ == At::long_link) long_link_ = name();
    left_ = padding_;
    at_ = left_ > 0 ? At::padding : At::header;
}

void TarReader::finish() {
    const bool pending = !pax_.empty() || !long_name_.empty() || !long_link_.empty();
    const bool in_header = at_ == At::header && !all_zero(std::as_bytes(std::span(block_)).first(block_used_));
    if (in_header || pending || (at_ != At::header && at_ != At::padding && at_ != At::tail)) refuse("it is cut");
}

void TarReader::refuse(std::string_view cause) const {
    const auto place = last_name_.empty() ? std::string("at its start") : fmt::format("after the header of {}", last_name_);
    throw Error(ErrorKind::corrupt, fmt::format("{} is not a good tar: {} ({})", object_, cause, place),
                "the object is damaged: keep it and compare it with other copies");
}

} // namespace walgd::codec

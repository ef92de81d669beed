#include "common/pg/base_backup_message.hpp"

#include "common/base/error.hpp"

#include <fmt/format.h>

namespace walgd::pg {

namespace {

constexpr std::size_t progress_length = 1 + 8;
constexpr auto hint = "does a proxy between walg and PostgreSQL change what passes?";

[[noreturn]] void refuse_message(std::string_view what) {
    throw Error(ErrorKind::protocol, fmt::format("the server sent {} in the stream of a base backup", what), hint);
}

/// Takes the text before the next NUL, and the NUL, off `rest`.
std::string_view take_text(std::string_view& rest) {
    const auto end = rest.find('\0');
    if (end == std::string_view::npos) refuse_message("the beginning of an archive that is cut");
    const auto text = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return text;
}

ArchiveBegins parse_begin(std::string_view rest) {
    ArchiveBegins begin;
    begin.name = take_text(rest);
    begin.path = take_text(rest);
    if (!rest.empty()) refuse_message("the beginning of an archive with more than a name and a path");
    return begin;
}

std::uint64_t number_in(ByteView bytes) {
    std::uint64_t number = 0;
    for (const auto byte : bytes) number = number << 8 | std::to_integer<std::uint64_t>(byte);
    return number;
}

} // namespace

BaseBackupMessage parse_base_backup_message(ByteView message) {
    if (message.empty()) refuse_message("an empty message");
    switch (std::to_integer<char>(message[0])) {
    case 'd':
        return ArchiveData{message.subspan(1)};
    case 'n':
        return parse_begin(text_of(message.subspan(1)));
    case 'm':
        if (message.size() != 1) refuse_message("the beginning of a manifest that has content");
        return ManifestBegins{};
    case 'p':
        if (message.size() != progress_length) refuse_message(fmt::format("a progress message of {} bytes", message.size()));
        return ServerProgress{number_in(message.subspan(1))};
    default:
        refuse_message(fmt::format("a message of the unknown type {:#04x}", std::to_integer<unsigned>(message[0])));
    }
}

} // namespace walgd::pg

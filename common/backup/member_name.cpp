#include "common/backup/member_name.hpp"

#include "common/archive/json_text.hpp"
#include "common/base/error.hpp"

#include <fmt/format.h>

namespace walgd::backup {

namespace {

constexpr std::string_view tampered = "the backup was tampered with or is not a backup";

/// Of what is no UTF-8 Go's JSON replaces each byte, ours each beginning of a character: any number of them counts as one.
std::string with_single_replacements(std::string text) {
    constexpr std::string_view replacement = "\xEF\xBF\xBD", two = "\xEF\xBF\xBD\xEF\xBF\xBD";
    for (auto at = text.find(two); at != std::string::npos; at = text.find(two, at)) text.erase(at, replacement.size());
    return text;
}

} // namespace

std::string relative_member(std::string_view member) {
    std::string path;
    const auto whole = member;
    if (member.find('\0') != std::string_view::npos) throw Error(ErrorKind::corrupt, "a member's name has a zero byte in it");
    while (!member.empty()) {
        const auto slash = member.find('/');
        const auto part = member.substr(0, slash);
        if (part == "..")
            throw Error(ErrorKind::corrupt, fmt::format("member {} leads out of the data directory", whole),
                        std::string(tampered));
        if (!part.empty() && part != ".") path += (path.empty() ? "" : "/") + std::string(part);
        member.remove_prefix(slash == std::string_view::npos ? member.size() : slash + 1);
    }
    if (path == control_pending || path == restore_state_name)
        throw Error(ErrorKind::corrupt, fmt::format("member {} has a name that only a restore makes", whole),
                    std::string(tampered));
    return path;
}

std::uint64_t hash_of_bytes(std::string_view name) {
    // FNV-1a, its bits mixed once more.
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93;
    return hash ^ hash >> 32;
}

std::uint64_t hash_of_name(std::string_view relative) {
    return hash_of_bytes(with_single_replacements(archive::through_json(relative)));
}

bool is_of_one_backup(std::string_view relative) {
    return relative == control_member || relative == "backup_label" || relative == "tablespace_map";
}

} // namespace walgd::backup

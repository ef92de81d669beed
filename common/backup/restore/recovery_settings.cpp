#include "common/backup/restore/recovery_settings.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"

#include <fmt/format.h>
#include <regex>
#include <unistd.h>

namespace walgd::backup {

namespace {

constexpr std::string_view begin_mark = "# Recovery settings by walg restore: begin\n";
constexpr std::string_view end_mark = "# Recovery settings by walg restore: end\n";

/// As PostgreSQL's configuration files quote.
std::string quoted(std::string_view text) {
    std::string result = "'";
    for (const auto c : text) {
        if (c == '\'' || c == '\\') result += c;
        if (c == '\n')
            result += "\\n";
        else
            result += c;
    }
    return result + "'";
}

std::string line(std::string_view name, std::string_view value) { return fmt::format("{} = {}\n", name, quoted(value)); }

std::string target_line(const MomentTarget& target) {
    switch (target.kind) {
    case MomentTarget::Kind::end:
        return {};
    case MomentTarget::Kind::time:
        return line("recovery_target_time", target_time_text(target.time));
    case MomentTarget::Kind::lsn:
        return line("recovery_target_lsn", target.lsn.text());
    case MomentTarget::Kind::xid:
        return line("recovery_target_xid", std::to_string(target.xid));
    case MomentTarget::Kind::name:
        return line("recovery_target_name", target.name);
    case MomentTarget::Kind::immediate:
        return line("recovery_target", "immediate");
    }
    return {};
}

} // namespace

std::string recovery_block(const RecoverySettings& settings) {
    std::string block(begin_mark);
    block += line("restore_command", settings.restore_command);
    const auto target = target_line(settings.target);
    for (const auto* name :
         {"recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time", "recovery_target_xid"}) {
        if (!target.starts_with(fmt::format("{} =", name))) block += line(name, "");
    }
    block += target;
    block += line("recovery_target_inclusive", settings.target.inclusive ? "on" : "off");
    // A number must have a history file, unless it is 1.
    block += line("recovery_target_timeline", settings.timeline ? std::to_string(settings.timeline->number()) : "current");
    block += line("recovery_target_action", settings.action);
    // A standby's: it would hold each commit back until it is so old.
    block += line("recovery_min_apply_delay", "0");
    block += end_mark;
    return block;
}

std::string with_recovery_block(std::string_view file, std::string_view block) {
    std::string result(file);
    for (;;) {
        const auto begin = result.find(begin_mark);
        const auto end = result.find(end_mark, begin == std::string::npos ? 0 : begin);
        if (begin == std::string::npos || end == std::string::npos) break;
        result.erase(begin, end + end_mark.size() - begin);
    }
    if (!result.empty() && result.back() != '\n') result += '\n';
    return result + std::string(block);
}

bool names_recovery_target(const std::string& pgdata) {
    const auto path = pgdata + "/postgresql.auto.conf";
    if (::access(path.c_str(), R_OK) != 0) return false;
    const auto file = read_text_file(path);
    // ALTER SYSTEM writes it anew without comments, and so without the marks.
    static const std::regex target(R"((^|\n)[ \t]*recovery_target(_lsn|_name|_time|_xid)?[ \t]*[ \t=][ \t]*'?[^'\s=])",
                                   std::regex::icase);
    return file.find(begin_mark) != std::string::npos || std::regex_search(file, target);
}

bool write_recovery_settings(const std::string& pgdata, const RecoverySettings& settings) {
    const auto path = pgdata + "/postgresql.auto.conf";
    for (const auto name : recovery_files) remove_unfinished_writes(fmt::format("{}/{}", pgdata, name));
    const bool there = ::access(path.c_str(), F_OK) == 0;
    const auto text = with_recovery_block(there ? read_text_file(path) : std::string(), recovery_block(settings));
    write_file_atomically(path, bytes_of(text), 0600);
    write_file_atomically(pgdata + "/recovery.signal", {}, 0600);
    const auto standby = pgdata + "/standby.signal";
    if (::unlink(standby.c_str()) != 0) {
        if (errno != ENOENT) throw_errno(fmt::format("cannot remove {}", standby));
        return false;
    }
    sync_folder(pgdata);
    return true;
}

} // namespace walgd::backup

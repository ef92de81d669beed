#pragma once
#include "common/base/sha1.hpp"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace walgd::pgbackrest {

/// `text` (without a checksum) as pgBackRest would close it: computed from lines, as its documentation has the form.
inline std::string with_checksum(const std::string& text) {
    std::string canonical, section, last;
    std::size_t begin = 0;
    while (begin < text.size()) {
        const auto end = std::min(text.find('\n', begin), text.size());
        const auto line = text.substr(begin, end - begin);
        begin = end + 1;
        if (line.empty()) continue;
        if (line.front() == '[' && line.back() == ']') {
            section = line.substr(1, line.size() - 2);
            continue;
        }
        auto equals = line.find('=');
        while (equals != std::string::npos && !nlohmann::json::accept(line.substr(equals + 1)))
            equals = line.find('=', equals + 1);
        if (equals == std::string::npos) continue;
        auto text_of = [](const std::string& plain) {
            return nlohmann::json(plain).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
        };
        if (canonical.empty() || section != last)
            canonical += (canonical.empty() ? "{" : "},") + text_of(section) + ":{";
        else
            canonical += ",";
        last = section;
        canonical += text_of(line.substr(0, equals)) + ":" + line.substr(equals + 1);
    }
    Sha1 hash;
    hash.update(bytes_of(canonical + "}}"));
    return text + "\n[backrest]\nbackrest-checksum=\"" + to_hex(hash.digest()) + "\"\n";
}

/// A manifest with the files and options given, as lines.
inline std::string manifest_text(const std::string& files, const std::string& options = "option-compress-type=\"zst\"\n") {
    return "[backrest]\nbackrest-format=5\nbackrest-version=\"2.45\"\n\n"
           "[backup]\nbackup-archive-start=\"000000010000000000000002\"\nbackup-label=\"20261126-033339F_20261126-033344I\"\n"
           "backup-lsn-start=\"0/2000028\"\nbackup-lsn-stop=\"0/2000100\"\nbackup-timestamp-start=1795664019\n"
           "backup-timestamp-stop=1795664021\nbackup-type=\"incr\"\n\n"
           "[backup:db]\ndb-system-id=7712318227408340229\ndb-version=\"15\"\n\n"
           "[backup:option]\n" +
           options +
           "\n[backup:target]\npg_data={\"path\":\"/data\",\"type\":\"path\"}\n"
           "pg_data/pg_wal={\"path\":\"/wal\",\"type\":\"link\"}\n"
           "pg_tblspc/16384={\"path\":\"/ts\",\"tablespace-id\":\"16384\",\"tablespace-name\":\"ts\",\"type\":\"link\"}\n\n"
           "[target:file]\n" +
           files +
           "\n[target:file:default]\nmode=\"0600\"\n\n[target:path]\npg_data={}\npg_data/open={\"mode\":\"0750\"}\n\n"
           "[target:path:default]\nmode=\"0700\"\n";
}

} // namespace walgd::pgbackrest

#pragma once
#include <map>
#include <spdlog/formatter.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace walgd {

/// The fields of a line as log calls write it: event=wal_pushed segment=0000... error="text with \"quotes\"". A line without
/// event= is one field, "text".
std::vector<std::pair<std::string, std::string>> fields_of_line(std::string_view line);

/// How the daemon's lines look. `journal`: as systemd's journal wants them.
struct LineLook {
    bool json = false;
    bool journal = false;
};

std::unique_ptr<spdlog::formatter> line_formatter(LineLook look);

} // namespace walgd

#include "client/walg/listing.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <unistd.h>

namespace walgd::cli {

namespace {

constexpr std::size_t indent_spaces = 4;

std::vector<std::size_t> widths_of(const Row& header, const std::vector<Row>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& cell : header) widths.push_back(cell.size());
    for (const auto& row : rows) {
        for (std::size_t column = 0; column < row.size(); ++column) widths[column] = std::max(widths[column], row[column].size());
    }
    return widths;
}

std::string padded(const std::string& text, std::size_t width) { return text + std::string(width - text.size(), ' '); }

/// Every cell but a line's last one padded to one more than its column's width.
std::string padded_lines(const Row& header, const std::vector<Row>& rows, const std::vector<std::size_t>& widths) {
    std::string text;
    auto add = [&](const Row& row) {
        for (std::size_t column = 0; column + 1 < row.size(); ++column) text += padded(row[column], widths[column] + 1);
        text += row.back() + "\n";
    };
    add(header);
    for (const auto& row : rows) add(row);
    return text;
}

} // namespace

std::string plain_table(const Row& header, const std::vector<Row>& rows) {
    if (rows.empty()) return {};
    return padded_lines(header, rows, widths_of(header, rows));
}

std::string boxed_table(const Row& titles, const std::vector<Row>& rows) {
    if (rows.empty()) return {};
    Row header{"#"};
    header.insert(header.end(), titles.begin(), titles.end());
    std::vector<Row> numbered;
    for (const auto& row : rows) {
        numbered.push_back({std::to_string(numbered.size())});
        numbered.back().insert(numbered.back().end(), row.begin(), row.end());
    }
    const auto widths = widths_of(header, numbered);
    std::string rule = "+";
    for (const auto width : widths) rule += std::string(width + 2, '-') + "+";
    std::string text = rule + "\n";
    auto add = [&](const Row& row) {
        text += "|";
        for (std::size_t column = 0; column < row.size(); ++column) text += " " + padded(row[column], widths[column]) + " |";
        text += "\n";
    };
    add(header);
    text += rule + "\n";
    for (const auto& row : numbered) add(row);
    return text + rule + "\n";
}

std::string open_table(const Row& titles, const std::vector<Row>& rows, std::string_view alignment) {
    const auto widths = widths_of(titles, rows);
    std::string rule = "+";
    for (const auto width : widths) rule += std::string(width + 2, '-') + "+";
    rule += "\n";
    auto line = [&](const Row& row) {
        std::string text = "|";
        for (std::size_t column = 0; column < row.size(); ++column) {
            const std::string space(widths[column] - row[column].size(), ' ');
            text += alignment[column] == 'r' ? " " + space + row[column] + " |" : " " + row[column] + space + " |";
        }
        return text + "\n";
    };
    auto text = rule + line(titles) + rule;
    for (const auto& row : rows) text += line(row);
    return text + rule;
}

std::string tabbed_table(const Row& header, const std::vector<Row>& rows) {
    // The header's last cell is no column's: nothing follows it.
    auto widths = widths_of(Row(header.begin(), header.end() - 1), {});
    if (!rows.empty()) widths.resize(rows.front().size(), 0);
    for (const auto& row : rows) {
        for (std::size_t column = 0; column < row.size(); ++column) widths[column] = std::max(widths[column], row[column].size());
    }
    return padded_lines(header, rows, widths);
}

std::string coloured(std::string text) {
    if (::isatty(STDOUT_FILENO) == 0 || std::getenv("NO_COLOR") != nullptr) return text;
    for (const std::string_view word : {"FAILURE", "LOST_SEGMENTS", "MISSING_LOST"}) {
        const auto red = fmt::format("\x1b[31m{}\x1b[0m", word);
        for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + red.size()))
            text.replace(at, word.size(), red);
    }
    return text;
}

std::string indented_json(std::string_view compact) {
    std::string text;
    std::size_t depth = 0;
    bool in_string = false;
    auto new_line = [&] { text += "\n" + std::string(depth * indent_spaces, ' '); };
    for (std::size_t index = 0; index < compact.size(); ++index) {
        const char c = compact[index];
        if (in_string) {
            text += c;
            if (c == '\\' && index + 1 < compact.size()) text += compact[++index];
            in_string = c != '"';
        } else if (c == '{' || c == '[') {
            text += c;
            const bool empty = index + 1 < compact.size() && (compact[index + 1] == '}' || compact[index + 1] == ']');
            if (empty)
                text += compact[++index];
            else {
                ++depth;
                new_line();
            }
        } else if (c == '}' || c == ']') {
            --depth;
            new_line();
            text += c;
        } else {
            text += c;
            if (c == ',') new_line();
            if (c == ':') text += ' ';
            in_string = c == '"';
        }
    }
    return text;
}

} // namespace walgd::cli

#pragma once
#include <string>
#include <string_view>
#include <vector>

/// WAL-G's three ways to print a table (walg-format.md, 11.1).
namespace walgd::cli {

using Row = std::vector<std::string>;

/// Columns padded with spaces, the last one not. Nothing without rows.
std::string plain_table(const Row& header, const std::vector<Row>& rows);
/// A box of + - and |, with a first column "#". Nothing without rows.
std::string boxed_table(const Row& titles, const std::vector<Row>& rows);
/// A box that is drawn without rows too. `alignment` has a letter for each column, l or r.
std::string open_table(const Row& titles, const std::vector<Row>& rows, std::string_view alignment);
/// Columns as Go's tabwriter pads them: each cell but the last is one wider than the widest below and above it.
std::string tabbed_table(const Row& header, const std::vector<Row>& rows);
/// Words that tell of trouble in red, where stdout is a terminal that shows colours.
std::string coloured(std::string text);
/// Compact JSON with line breaks and four spaces a level, as Go's encoder indents it.
std::string indented_json(std::string_view compact);

} // namespace walgd::cli

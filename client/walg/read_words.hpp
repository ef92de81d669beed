#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

/// How the command line's words and values are read: as WAL-G's are, which Go reads, where CLI11 would read something else.
namespace walgd::cli {

/// The words behind the program's name, as Go's flags are read: `--name=` gives the empty text, `-n=x` gives "x", and `-p=false`
/// is `--permanent=false`. CLI11 takes the next word for the value of the first, `--confirm=` for a yes, and "=x" for the others.
/// Throws a CLI::ParseError where a flag that is yes or no is given nothing.
std::vector<std::string> words_as_go_reads(const CLI::App& app, int count, char** words);
/// For check(): what a shell makes of a variable that is not set must not mean something else, or everything.
std::string says_something(const std::string& text);
/// For check(), where a number is no wish when it is 0.
std::string is_from_1(const std::string& text);
/// Of all options of `app` and its commands: where one is given twice the last counts, and numbers below 0 or too large, which
/// CLI11 lets pass, are errors; where `refuse_empty`, the empty text is one, too.
void read_values_as_go(CLI::App& app, bool refuse_empty);

} // namespace walgd::cli

#pragma once
#include <CLI/CLI.hpp>
#include <set>
#include <string>
#include <string_view>

/// The command line's own words: what is told of it, and of what it does not know.
namespace walgd::cli {

/// "WALG_S3_PREFIX" as WAL-G spells it on the command line: "walg-s3-prefix".
std::string flag_of(std::string_view walg_name);
/// Every name of a setting so, also of WAL-G's that change nothing here or are refused: the loader says that.
std::set<std::string> setting_flags();
/// Every setting as a flag, as `wal-g flags` lists them.
std::string flags_page();
/// A completion script for the shell ("bash", "zsh") of all words and flags of `app`; empty for another shell.
std::string completion_script(const CLI::App& app, std::string_view shell, const std::string& program);

/// The first word that is no command of `app`, if the command line has none that is; empty otherwise.
std::string unknown_word(const CLI::App& app, int count, char** words);
/// What is said of it: in WAL-G's words, or in ours, with the nearest right ones.
std::string unknown_word_text(const CLI::App& app, const std::string& word, bool as_walg);

} // namespace walgd::cli

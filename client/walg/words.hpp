#pragma once
#include <CLI/CLI.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

/// The command line's own words: what is told of it, and of what it does not know.
namespace walgd::cli {

/// The commands of one, and its options, of its groups too, but for the hidden ones.
std::vector<const CLI::App*> commands_of(const CLI::App& app);
std::vector<const CLI::Option*> options_of(const CLI::App& app);
/// Lets the help of what stands below `command` name its flags, and those `above` it, which go there too.
void show_flags_below(CLI::App& command, const std::string& above = {});
/// "WALG_S3_PREFIX" as WAL-G spells it on the command line: "walg-s3-prefix".
std::string flag_of(std::string_view walg_name);
/// Every name of a setting so, also of WAL-G's that change nothing here or are refused: the loader says that.
std::set<std::string> setting_flags();
/// Every setting as a flag, as `wal-g flags` lists them.
std::string flags_page();
/// A completion script for the shell ("bash", "zsh") of all words and flags of `app`; empty for another shell.
std::string completion_script(const CLI::App& app, std::string_view shell, const std::string& program);

/// How far a command line is understood, by its commands.
struct CommandWords {
    const CLI::App* command; ///< the last one that it names; `app` itself where it names none
    std::string path;        ///< its words: "wal-g st"
    std::string unknown;     ///< the word behind them, where a command is wanted and this is none
    bool is_group = false;   ///< it wants a command behind it, and nothing is there
};
CommandWords command_words(const CLI::App& app, int count, char** words);
/// What is said of it: in WAL-G's words, or in ours, with the nearest right ones.
std::string unknown_word_text(const CommandWords& found, bool as_walg);
/// Its page of help.
std::string help_text(const CommandWords& found);

} // namespace walgd::cli

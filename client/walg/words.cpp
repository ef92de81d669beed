#include "client/walg/words.hpp"

#include "config/foreign.hpp"
#include "config/settings.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace walgd::cli {

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App* command) { return !command->get_name().empty(); });
}

std::vector<const CLI::Option*> options_of(const CLI::App& app) {
    auto options = app.get_options();
    for (const auto* group : app.get_subcommands([](const CLI::App* command) { return command->get_name().empty(); })) {
        const auto more = group->get_options();
        options.insert(options.end(), more.begin(), more.end());
    }
    std::erase_if(options, [](const CLI::Option* option) { return option->get_group().empty(); });
    return options;
}

void show_flags_below(CLI::App& command, const std::string& above) {
    auto options = options_of(command);
    std::erase_if(options,
                  [&](const CLI::Option* option) { return option == command.get_help_ptr() || option->get_positional(); });
    auto flags = options.empty() ? std::string() : CLI::Formatter().make_group("Of " + command.get_name(), false, options) + "\n";
    flags = flags.substr(std::min(flags.find_first_not_of('\n'), flags.size())) + above;
    for (auto* below : command.get_subcommands([](const CLI::App* one) { return !one->get_name().empty(); })) {
        show_flags_below(*below, flags);
        below->footer(flags + below->get_footer());
    }
}

namespace {

/// What may follow a command: its own words and flags.
std::vector<std::string> words_of(const CLI::App& app) {
    std::vector<std::string> words;
    for (const auto* command : commands_of(app)) words.push_back(command->get_name());
    for (const auto* option : options_of(app)) { // without the settings: `flags` lists them
        for (const auto& name : option->get_lnames()) words.push_back("--" + name);
        for (const auto& name : option->get_snames()) words.push_back("-" + name);
    }
    return words;
}

/// One line of a shell's `case` for each command: its path, and what may follow.
void add_cases(const CLI::App& app, const std::string& path, std::string& words, std::string& paths) {
    words += fmt::format("        \"{}\") words=\"{}\" ;;\n", path, fmt::join(words_of(app), " "));
    for (const auto* command : commands_of(app)) {
        const auto below = path.empty() ? command->get_name() : path + " " + command->get_name();
        paths += fmt::format("            \"{}\") path=\"{}\" ;;\n", below, below);
        add_cases(*command, below, words, paths);
    }
}

std::string_view type_word(config::Type type) {
    switch (type) {
    case config::Type::flag:
        return "bool";
    case config::Type::number:
        return "int";
    case config::Type::bytes:
        return "bytes";
    case config::Type::duration:
        return "duration";
    case config::Type::path:
        return "path";
    case config::Type::json:
    case config::Type::storages:
        return "json";
    case config::Type::text:
        break;
    }
    return "string";
}

} // namespace

std::string flag_of(std::string_view walg_name) {
    std::string flag(walg_name);
    for (auto& c : flag) c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return flag;
}

std::set<std::string> setting_flags() {
    std::set<std::string> flags;
    for (const auto& setting : config::settings_table()) {
        flags.insert(flag_of(setting.walg_name));
        for (const auto alias : setting.aliases) flags.insert(flag_of(alias));
    }
    for (const auto names : {config::unused_settings(), config::refused_settings(), config::key_ring_settings()}) {
        for (const auto name : names) {
            flags.insert(flag_of(name));
            if (name.starts_with("S3_")) flags.insert("walg-" + flag_of(name));
        }
    }
    return flags;
}

std::string flags_page() {
    std::vector<std::pair<std::string, std::string_view>> lines{{"--config string", "Settings file"}};
    for (const auto& setting : config::settings_table())
        lines.emplace_back(fmt::format("--{} {}", flag_of(setting.walg_name), type_word(setting.type)), setting.help);
    std::ranges::sort(lines);
    std::size_t width = 0;
    for (const auto& [flag, help] : lines) width = std::max(width, flag.size());
    std::string page = "Global Flags:\n";
    for (const auto& [flag, help] : lines) page += fmt::format("      {:<{}}   {}\n", flag, width, help);
    return page;
}

std::string completion_script(const CLI::App& app, std::string_view shell, const std::string& program) {
    if (shell != "bash" && shell != "zsh") return {};
    std::string words, paths;
    add_cases(app, "", words, paths);
    auto function = "_" + program;
    std::ranges::replace(function, '-', '_');
    std::string script =
        shell == "zsh" ? "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n" : "";
    script += fmt::format(R"(# {0} completion {1}
{2}() {{
    local path="" word words=""
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "${{path:+$path }}$word" in
{3}        esac
    done
    case "$path" in
{4}    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
    [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -F {2} {0}
)",
                          program, shell, function, paths, words);
    return script;
}

CommandWords command_words(const CLI::App& app, int count, char** words) {
    CommandWords found{.command = &app, .path = app.get_name(), .unknown = {}};
    for (int index = 1; index < count; ++index) {
        const std::string word = words[index];
        if (word.starts_with("-")) {
            // "--config FILE": flags take a value, written with = or behind.
            const auto* option = found.command->get_option_no_throw(word);
            if (option == nullptr) option = app.get_option_no_throw(word);
            if (option != nullptr && option->get_items_expected_min() > 0) ++index;
            continue;
        }
        const auto commands = commands_of(*found.command);
        if (commands.empty()) return found; // a word of its own
        const auto next = std::ranges::find(commands, word, &CLI::App::get_name);
        if (next == commands.end()) {
            found.unknown = word;
            return found;
        }
        found.command = *next;
        found.path += " " + word;
    }
    found.is_group = !commands_of(*found.command).empty();
    return found;
}

std::string unknown_word_text(const CommandWords& found, bool as_walg) {
    const auto& word = found.unknown;
    std::vector<std::string> names;
    for (const auto* command : commands_of(*found.command)) names.push_back(command->get_name());
    if (!as_walg) {
        const auto best = config::nearest(word, names);
        return best.empty() ? fmt::format("there is no command '{}': {} --help lists them", word, found.path)
                            : fmt::format("there is no command '{}': did you mean {}?", word, best);
    }
    auto text = fmt::format("unknown command \"{}\" for \"{}\"", word, found.path);
    // Cobra's rule: two changes away, or beginning alike.
    std::erase_if(names,
                  [&](const std::string& name) { return config::edit_distance(word, name) > 2 && !name.starts_with(word); });
    std::ranges::sort(names);
    if (!names.empty()) text += fmt::format("\n\nDid you mean this?\n\t{}\n", fmt::join(names, "\n\t"));
    return text;
}

std::string help_text(const CommandWords& found) {
    // Not help(): an App hands that on to the command that was parsed.
    return found.command->get_formatter()->make_help(found.command, found.path, CLI::AppFormatMode::Normal);
}

} // namespace walgd::cli

#include "client/walg/read_words.hpp"

#include "client/walg/words.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fmt/format.h>

namespace walgd::cli {

std::string says_something(const std::string& text) { return text.empty() ? "is empty: is a variable not set?" : std::string(); }

std::string is_from_1(const std::string& text) {
    return std::strtoull(text.c_str(), nullptr, 0) == 0 ? "should be a number from 1 on" : std::string();
}

namespace {

/// Of the command, or of one that it belongs to.
const CLI::Option* option_of(const CLI::App* command, const std::string& name) {
    for (; command != nullptr; command = command->get_parent()) {
        if (const auto* option = command->get_option_no_throw(name)) return option;
    }
    return nullptr;
}

/// Appends a word that begins with a dash; true when its value is the next one.
bool add_flag_word(const CLI::App& command, std::string word, std::vector<std::string>& words) {
    const auto equals = word.find('=');
    const bool is_short = word[1] != '-';
    if (is_short && equals != std::string::npos && equals > 2) { // "-fp=false"
        const auto* first = option_of(&command, word.substr(0, 2));
        if (first != nullptr && first->get_items_expected_max() == 0) {
            words.push_back(word.substr(0, 2));
            return add_flag_word(command, "-" + word.substr(2), words);
        }
    }
    const bool cut = is_short ? equals == 2 : equals == word.size() - 1;
    const auto* option = option_of(&command, cut ? word.substr(0, equals) : word);
    const bool takes_value = option != nullptr && option->get_items_expected_max() > 0;
    if (cut && is_short && option != nullptr && !takes_value && equals + 1 < word.size() && !option->get_lnames().empty()) {
        words.push_back(fmt::format("--{}{}", option->get_lnames().front(), word.substr(equals)));
        return false;
    }
    if (!cut || option == nullptr || (!takes_value && equals + 1 < word.size())) {
        words.push_back(std::move(word));
        return takes_value;
    }
    if (!takes_value) throw CLI::ValidationError(word, says_something(""));
    words.push_back(word.substr(0, equals));
    words.push_back(word.substr(equals + 1));
    return false;
}

/// As CLI11 reads a number without a sign, but for what it takes for another one.
std::string is_count(const std::string& text) {
    errno = 0;
    const auto too_large = std::strtoull(text.c_str(), nullptr, 0) == ULLONG_MAX && errno == ERANGE;
    return too_large || text.find('-') != std::string::npos ? fmt::format("{} is no number from 0 on, or too large", text)
                                                            : std::string();
}

} // namespace

std::vector<std::string> words_as_go_reads(const CLI::App& app, int count, char** words) {
    std::vector<std::string> read;
    const auto* command = &app;
    for (int index = 1; index < count; ++index) {
        const std::string word = words[index];
        if (word == "--") {
            read.insert(read.end(), words + index, words + count);
            break;
        }
        if (word.size() > 1 && word.starts_with('-')) {
            const bool value_behind = add_flag_word(*command, word, read);
            if (value_behind && index + 1 < count) read.emplace_back(words[++index]);
            continue;
        }
        const auto commands = commands_of(*command);
        const auto next = std::ranges::find(commands, word, &CLI::App::get_name);
        if (next != commands.end()) command = *next;
        read.push_back(word);
    }
    return read;
}

void read_values_as_go(CLI::App& app, bool refuse_empty) {
    for (auto* option : app.get_options()) {
        if (option->get_items_expected_max() == 0) continue;
        if (!option->get_positional() && option->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw) option->take_last();
        if (refuse_empty) option->check(says_something);
        if (option->get_type_name().starts_with("UINT")) option->check(is_count);
    }
    for (auto* below : app.get_subcommands([](const CLI::App*) { return true; })) read_values_as_go(*below, refuse_empty);
}

} // namespace walgd::cli

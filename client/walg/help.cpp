#include "client/walg/verb.hpp"
#include "client/walg/words.hpp"

#include <fmt/format.h>
#include <iostream>

namespace walgd::cli {

namespace {

/// Verbs that tell of the command line itself: they know the whole of it, and need no settings.
class Flags : public Verb {
public:
    std::string name() const override { return "flags"; }
    std::string help() const override { return "The settings as flags, which every command takes"; }
    void options(CLI::App&) override {}
    bool needs_settings() const override { return false; }
    int run(Context&) override { return 0; }
    int tell() override {
        std::cout << flags_page();
        return 0;
    }
};

class Help : public Verb {
public:
    std::string name() const override { return "help"; }
    std::string help() const override { return "Help about a command"; }
    void options(CLI::App& command) override {
        app_ = command.get_parent();
        command.add_option("command", words_, "Its words; all commands where there are none");
    }
    bool needs_settings() const override { return false; }
    int run(Context&) override { return 0; }
    int tell() override {
        std::vector<char*> words{nullptr}; // where a program's name stands
        for (auto& word : words_) words.push_back(word.data());
        const auto found = command_words(*app_, static_cast<int>(words.size()), words.data());
        if (!found.unknown.empty()) {
            std::cerr << unknown_word_text(found, false) << "\n";
            return 1;
        }
        std::cout << help_text(found);
        return 0;
    }

private:
    const CLI::App* app_ = nullptr;
    std::vector<std::string> words_;
};

class Completion : public Verb {
public:
    std::string name() const override { return "completion"; }
    std::string help() const override { return "Print a completion script: walg completion bash > /etc/bash_completion.d/walg"; }
    void options(CLI::App& command) override {
        app_ = command.get_parent();
        command.add_option("shell", shell_, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
    }
    bool needs_settings() const override { return false; }
    int run(Context&) override { return 0; }
    int tell() override {
        std::cout << completion_script(*app_, shell_, app_->get_name());
        return 0;
    }

private:
    const CLI::App* app_ = nullptr;
    std::string shell_;
};

} // namespace

std::unique_ptr<Verb> make_flags() { return std::make_unique<Flags>(); }
std::unique_ptr<Verb> make_help() { return std::make_unique<Help>(); }
std::unique_ptr<Verb> make_completion() { return std::make_unique<Completion>(); }

} // namespace walgd::cli

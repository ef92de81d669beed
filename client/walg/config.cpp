#include "client/walg/verb.hpp"
#include "config/reference.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iostream>
#include <nlohmann/json.hpp>

namespace walgd::cli {

namespace {

std::string shown(const config::Settings& settings, const config::Setting& setting) {
    const auto text = settings.text(setting.name);
    return setting.secret && !text.empty() ? "***" : text;
}

class Config : public Verb {
public:
    std::string name() const override { return "config"; }
    std::string help() const override { return "The settings in force and where each came from"; }

    void options(CLI::App& command) override {
        command.add_flag("--json", json_, "As JSON");
        command.add_flag("--all", all_, "Those without a value too");
        command.add_flag("--reference", reference_, "The reference page of all settings (Markdown) instead");
    }

    /// The page is what an error in the settings leads to.
    bool needs_settings() const override { return !reference_; }
    int tell() override {
        std::cout << config::reference_page();
        return 0;
    }

    int run(Context& context) override {
        if (json_)
            print_json(context.settings);
        else
            print_table(context.settings);
        return 0;
    }

private:
    static void print_json(const config::Settings& settings) {
        nlohmann::ordered_json all = nlohmann::ordered_json::array();
        for (const auto& setting : config::settings_table())
            all.push_back({{"name", setting.name},
                           {"environment", setting.walg_name},
                           {"value", shown(settings, setting)},
                           {"source", settings.source(setting.name)}});
        std::cout << all.dump(2) << "\n";
    }

    void print_table(const config::Settings& settings) const {
        std::size_t width = 0;
        for (const auto& setting : config::settings_table()) width = std::max(width, setting.name.size());
        for (const auto& setting : config::settings_table()) {
            const auto value = shown(settings, setting);
            if (value.empty() && !settings.given(setting.name) && !all_) continue;
            std::cout << fmt::format("{:<{}}  {}  ({})\n", setting.name, width, value, settings.source(setting.name));
        }
    }

    bool json_ = false, all_ = false, reference_ = false;
};

} // namespace

std::unique_ptr<Verb> make_config() { return std::make_unique<Config>(); }

} // namespace walgd::cli

#include "config/reference.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace walgd::config {

namespace {

std::string_view name_of(Type type) {
    switch (type) {
    case Type::text:
        return "text";
    case Type::flag:
        return "true or false";
    case Type::number:
        return "number";
    case Type::bytes:
        return "bytes (8388608, 8MiB)";
    case Type::duration:
        return "duration (90s, 5m)";
    case Type::path:
        return "path";
    case Type::json:
        return "JSON";
    case Type::storages:
        return "names, each with settings";
    }
    return "";
}

} // namespace

std::string reference_page() {
    std::string page = "# Settings\n\nMade by `walg config --reference` from the table that the programs load. In the file a "
                       "setting stands under its name or its environment name.\n\n"
                       "| setting | environment | type | default | what it does |\n|---|---|---|---|---|\n";
    for (const auto& setting : settings_table()) {
        auto environment = fmt::format("`{}`", setting.walg_name);
        for (const auto alias : setting.aliases) environment += fmt::format(", `{}`", alias);
        const auto type =
            setting.choices.empty() ? std::string(name_of(setting.type)) : fmt::format("{}", fmt::join(setting.choices, ", "));
        page += fmt::format("| `{}` | {} | {} | {} | {}{} |\n", setting.name, environment, type,
                            setting.default_value.empty() ? "" : fmt::format("`{}`", setting.default_value), setting.help,
                            setting.secret ? " (secret)" : "");
    }
    return page;
}

} // namespace walgd::config

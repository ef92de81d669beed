#include "client/walg/other_archive.hpp"

#include "config/process.hpp"

#include <filesystem>
#include <fmt/format.h>

namespace walgd::cli {

namespace {

config::Settings settings_of(const std::string& config_file, bool as_walg) {
    auto sources = config::process_sources(config_file, {}, as_walg);
    sources.environment.clear();
    return config::Settings::load(sources);
}

} // namespace

OtherArchive::OtherArchive(Context& context, const std::string& config_file)
    : context_(context), settings_(settings_of(config_file, context.as_walg)), setup_(settings_, context.io, context.log) {
    for (const auto& warning : settings_.warnings()) context.log.warn("{}", warning);
}

NamedArchive::NamedArchive(Context& context, const std::string& name) : context_(context) {
    if (name == "default" || name == "all") return;
    if (!std::filesystem::exists(name))
        throw Error(ErrorKind::misconfigured, fmt::format("there is no storage '{}'", name),
                    "'default' is the one of the settings; another one is named by its settings file");
    other_ = std::make_unique<OtherArchive>(context, name);
}

} // namespace walgd::cli

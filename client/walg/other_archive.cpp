#include "client/walg/other_archive.hpp"

#include "common/base/bytes.hpp"
#include "config/process.hpp"

#include <algorithm>
#include <filesystem>

namespace walgd::cli {

namespace {

config::Settings settings_of(const std::string& config_file, bool as_walg) {
    auto sources = config::process_sources(config_file, {}, as_walg);
    sources.environment.clear();
    sources.credentials.clear();
    return config::Settings::load(sources);
}

} // namespace

OtherArchive::OtherArchive(Context& context, const std::string& config_file)
    : context_(context), settings_(settings_of(config_file, context.as_walg)), setup_(settings_, context.io, context.log) {
    for (const auto& warning : settings_.warnings()) context.log.warn("{}", warning);
}

NamedArchive::NamedArchive(Context& context, const std::string& name) : context_(context) {
    if (name == config::all_storages) return;
    const auto storages = config::storage_settings(context.settings);
    if (storages.size() == 1 && name == config::default_storage) return;
    // A storage's name counts before a file that happens to be called so.
    const bool named = std::ranges::find(storages, lower_case(name), &config::StorageSettings::name) != storages.end();
    if (!named && (name.find('/') != std::string::npos || std::filesystem::is_regular_file(name))) {
        other_ = std::make_unique<OtherArchive>(context, name);
        return;
    }
    one_ = config::storage_settings(context.settings, name).front();
    setup_ = std::make_unique<config::ArchiveSetup>(context.settings, context.io, context.log, name);
}

NamedArchive::~NamedArchive() {
    if (setup_) context_.add_requests(*setup_->archive().meter);
}

archive::Archive& NamedArchive::archive() { return other_ ? other_->archive() : setup_ ? setup_->archive() : context_.archive(); }

const config::Settings& NamedArchive::settings() const {
    return other_ ? other_->settings() : one_ ? one_->settings : context_.settings;
}

} // namespace walgd::cli

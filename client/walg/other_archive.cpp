#include "client/walg/other_archive.hpp"

#include "common/base/bytes.hpp"
#include "config/process.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

namespace walgd::cli {

namespace {

/// What Amazon's SDK, and so WAL-G, finds in the environment where a settings file has no credentials.
constexpr std::array sdk_variables{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY",       "AWS_SECRET_KEY",
                                   "AWS_SESSION_TOKEN", "AWS_PROFILE",    "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"};
/// These belong together: it assumes no role without a token.
constexpr std::array web_identity{"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"};

bool says_whose_credentials(const config::Settings& settings) {
    constexpr std::array names{"aws_access_key_id", "aws_secret_access_key",       "aws_session_token",
                               "aws_profile",       "aws_shared_credentials_file", "aws_config_file",
                               "aws_role_arn",      "aws_web_identity_token_file"};
    return std::ranges::any_of(names, [&](const char* name) { return settings.given(name); });
}

config::Settings settings_of(const std::string& config_file, bool as_walg) {
    auto sources = config::process_sources(config_file, {}, as_walg);
    const auto environment = std::exchange(sources.environment, {});
    sources.credentials.clear();
    const auto own = config::Settings::load(sources);
    const auto take = [&](const char* name) {
        if (const auto found = environment.find(name); found != environment.end()) sources.environment.insert(*found);
    };
    if (!own.given("s3_ca_cert_file")) take("AWS_CA_BUNDLE");
    if (!says_whose_credentials(own)) {
        std::ranges::for_each(sdk_variables, take);
        if (environment.contains(web_identity.front())) std::ranges::for_each(web_identity, take);
    }
    return config::Settings::load(sources);
}

} // namespace

OtherArchive::OtherArchive(Context& context, const std::string& config_file)
    : context_(context), settings_(settings_of(config_file, context.as_walg)), setup_(settings_, context.io, context.log) {
    for (const auto& warning : settings_.warnings()) context.log.warn("{}", warning);
}

NamedArchive::NamedArchive(Context& context, const std::string& name) : context_(context) {
    // To the storages' settings no name means all of them.
    if (name.empty())
        throw Error(ErrorKind::misconfigured, "the storage's name is empty", "name default, or one of WALG_FAILOVER_STORAGES");
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

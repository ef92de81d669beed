#include "daemon/daemon_settings.hpp"

#include "common/pg/control_file.hpp"
#include "config/process.hpp"
#include "config/s3_settings.hpp"
#include "daemon/schedule/schedule_settings.hpp"
#include "daemon/wal/prefetch_folder.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <string_view>
#include <utility>

namespace walgd::daemon {

namespace {

/// As a setting or the cluster's control file has it: a host with a public key alone cannot read a stored header. 0: not known.
std::uint64_t known_segment_bytes(const config::Settings& settings) {
    if (const auto given = config::segment_bytes(settings); given != 0) return given;
    try {
        return pg::read_control_file(settings.text("pgdata")).wal_segment_bytes;
    } catch (const Error&) {
        return 0; // not there yet, or another user's
    }
}

} // namespace

backup::PushOptions job_options(const config::Settings& settings, const proto::BackupRequest& request) {
    auto options = config::push_options(settings);
    if (!request.pgdata.empty()) options.pgdata = request.pgdata;
    options.delta.permanent = request.permanent;
    options.copy_parts = options.copy_parts || request.copy_parts;
    options.delta.full = request.full;
    options.verify = options.verify || request.verify;
    options.name_all_corrupt = options.name_all_corrupt || request.name_all_corrupt;
    options.by_database = options.by_database || request.by_database;
    options.by_rating = options.by_rating || request.by_rating;
    if (request.without_files_metadata) options.files_metadata = false;
    options.count_journals = request.count_journals;
    if (request.by_summaries) options.delta.source = backup::DeltaWish::Source::summaries;
    if (!request.from_name.empty() || !request.from_user_data.empty()) {
        options.delta.from_name = request.from_name;
        options.delta.from_user_data = request.from_user_data;
    }
    if (!request.user_data.empty()) options.user_data = request.user_data;
    return options;
}

namespace {

/// The first of the client's lines ("delta_max_steps=0") that says other than the settings do, in words; empty: there is none.
std::string other_setting(const config::Settings& settings, std::string_view lines) {
    while (!lines.empty()) {
        const auto line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(std::min(line.size() + 1, lines.size()));
        const auto equals = std::min(line.find('='), line.size());
        const auto* setting = config::setting_of_key(std::string(line.substr(0, equals)));
        if (setting == nullptr || setting->secret) continue;
        const auto own = settings.text(setting->name);
        if (equals < line.size() && line.substr(equals + 1) != own)
            return fmt::format("its {} is {}", setting->name, own.empty() ? "not set" : own);
    }
    return {};
}

} // namespace

std::string backup_elsewhere(const config::Settings& settings, const OwnArchive& own, const proto::BackupRequest& request) {
    if (!request.place.empty() && request.place != own.place) return "it keeps another archive: " + own.place;
    for (const auto& [asked, name] : {std::pair(&request.pghost, "pghost"), std::pair(&request.pgport, "pgport")}) {
        if (asked->empty() || *asked == settings.text(name)) continue;
        return fmt::format("its server is another one: its {} is {}", name,
                           settings.text(name).empty() ? "not set" : settings.text(name));
    }
    // Whoever names a key must not find plain objects.
    if (!request.encryption.empty() && request.encryption != own.encryption)
        return fmt::format("its encryption is another one: {}", own.encryption);
    return other_setting(settings, request.settings);
}

PrefetchOptions prefetch_options(const config::Settings& settings) {
    PrefetchOptions options;
    const auto concurrency = static_cast<unsigned>(settings.number("download_concurrency"));
    if (concurrency > 1) options.depth_max = concurrency;
    options.folder = settings.text("prefetch_dir");
    if (!options.folder.empty()) prepare_prefetch_folder(options.folder);
    return options;
}

HttpOptions http_options(const config::Settings& settings) {
    return {settings.text("http_listen"), settings.text("http_token"), settings.text("http_tls_cert"),
            settings.text("http_tls_key"), settings.flag("http_open")};
}

Hooks::Options hook_options(const config::Settings& settings) {
    return {settings.text("hook_command"), settings.text("hook_url"), settings.text("s3_ca_cert_file"), config::proxy_rules()};
}

void check_settings(const config::Settings& settings, asio::any_io_executor io, Log& log) {
    config::segment_bytes(settings);
    config::push_options(settings);
    schedule_of(settings, std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
    const Hooks hooks(io, log, hook_options(settings));
    if (!settings.text("http_listen").empty()) HttpServer::check(io, log, http_options(settings));
}

WalLimits wal_limits(const config::Settings& settings) {
    WalLimits limits;
    limits.concurrency = static_cast<unsigned>(settings.number("upload_concurrency"));
    limits.ahead_files = static_cast<std::size_t>(std::max<std::int64_t>(0, settings.number("total_bg_uploaded_limit")));
    if (settings.text("compression_level") == "auto") limits.level.emplace();
    limits.push_timeout = settings.duration("daemon_wal_upload_timeout");
    limits.fetch_timeout = settings.duration("fetch_timeout");
    return limits;
}

ArchiveWatch::Options watch_options(const config::Settings& settings) {
    const bool shown = !settings.text("http_listen").empty();
    constexpr std::chrono::milliseconds often_enough{1000};
    return {.first = shown ? std::chrono::seconds(0) : std::chrono::seconds(60),
            .every = std::max(often_enough, settings.duration("catalogue_refresh")),
            .segment_bytes = known_segment_bytes(settings),
            .pgdata = settings.text("pgdata")};
}

} // namespace walgd::daemon

#include "config/process.hpp"

#include "common/base/files.hpp"
#include "common/pg/wal_name.hpp"
#include "config/s3_settings.hpp"
#include "config/settings_file.hpp"
#include "config/setup.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <limits>
#include <pwd.h>
#include <unistd.h>

namespace walgd::config {

namespace {

/// LoadCredential= and SetCredential= of systemd: a file each, named as the setting is (aws_secret_access_key). Anything else is
/// left alone: where Kubernetes mounts a Secret there are folders of its own (..data) beside the files.
std::map<std::string, std::string> systemd_credentials(const std::map<std::string, std::string>& environment) {
    constexpr std::size_t bytes_max = 1 << 20; // systemd's own limit
    std::map<std::string, std::string> credentials;
    const auto folder = environment.find("CREDENTIALS_DIRECTORY");
    if (folder == environment.end() || folder->second.empty()) return credentials;
    std::error_code error;
    for (std::filesystem::directory_iterator file(folder->second, error), end; !error && file != end; file.increment(error)) {
        auto name = file->path().filename().string();
        if (setting_of_key(name) == nullptr) continue;
        auto text = read_text_file(file->path().string(), bytes_max);
        while (text.ends_with('\n')) text.pop_back();
        credentials[std::move(name)] = std::move(text);
    }
    if (error)
        throw Error(ErrorKind::misconfigured, fmt::format("cannot list {}: {}", folder->second, error.message()),
                    "CREDENTIALS_DIRECTORY names it: systemd's LoadCredential= does, or whoever mounts a folder of secrets");
    return credentials;
}

/// WAL-G looks in the user's own home only, whatever HOME says: sudo, runuser and images may leave that of another one.
std::string home_of_settings(const Sources& sources) {
    const auto found = sources.environment.find("HOME");
    const auto home = found == sources.environment.end() ? std::string() : found->second;
    if (!home.empty() && !sources.config_file.empty()) return home; // then nobody looks
    const auto* user = ::getpwuid(::getuid());
    if (user == nullptr) return home;
    return home.empty() || !walg_file_in(user->pw_dir).empty() ? user->pw_dir : home;
}

} // namespace

Sources process_sources(const std::string& config_file, std::map<std::string, std::string> command_line, bool walg_compatible) {
    Sources sources;
    sources.command_line = std::move(command_line);
    sources.config_file = config_file;
    sources.walg_compatible = walg_compatible;
    for (char** line = environ; *line != nullptr; ++line) {
        const std::string text = *line;
        const auto equals = text.find('=');
        if (equals != std::string::npos) sources.environment[text.substr(0, equals)] = text.substr(equals + 1);
    }
    sources.credentials = systemd_credentials(sources.environment);
    sources.home = home_of_settings(sources);
    return sources;
}

std::uint64_t segment_bytes(const Settings& settings) {
    if (!settings.given("pg_wal_size")) return 0;
    const auto bytes = static_cast<std::uint64_t>(settings.number("pg_wal_size")) << 20;
    if (!pg::valid_segment_bytes(bytes))
        throw Error(ErrorKind::misconfigured,
                    fmt::format("pg_wal_size is {} ({}), and no cluster has such segments", settings.text("pg_wal_size"),
                                settings.source("pg_wal_size")),
                    "it is a power of two from 1 to 1024, in MiB; without it walgd finds out");
    return bytes;
}

spdlog::level::level_enum log_level(const Settings& settings) {
    const auto level = settings.text("log_level");
    return level == "DEVEL" ? spdlog::level::debug : level == "ERROR" ? spdlog::level::err : spdlog::level::info;
}

namespace {

backup::DeltaWish delta_wish(const Settings& settings) {
    backup::DeltaWish wish;
    const auto steps = settings.number("delta_max_steps");
    if (steps < 0 || steps > std::numeric_limits<int>::max())
        throw Error(ErrorKind::misconfigured, fmt::format("delta_max_steps ({}) is {}, and should not be below 0",
                                                          settings.source("delta_max_steps"), steps));
    wish.steps_max = static_cast<int>(steps);
    wish.on_latest_full = settings.text("delta_origin") == "LATEST_FULL";
    using Source = backup::DeltaWish::Source;
    const auto source = settings.text("delta_source");
    wish.source = source == "summaries" ? Source::summaries
                  : source == "map"     ? Source::map
                  : source == "wal"     ? Source::wal
                  : source == "scan"    ? Source::scan
                                        : Source::best;
    wish.use_maps = settings.flag("use_wal_delta");
    wish.from_name = settings.text("delta_from_name");
    wish.from_user_data = settings.text("delta_from_user_data");
    if (!wish.from_name.empty() && !wish.from_user_data.empty())
        throw Error(ErrorKind::misconfigured,
                    fmt::format("both delta_from_name ({}) and delta_from_user_data ({}) are given",
                                settings.source("delta_from_name"), settings.source("delta_from_user_data")),
                    "keep one of them");
    return wish;
}

} // namespace

archive::RetentionPolicy retention_policy(const Settings& settings) {
    const auto number = [&settings](std::string_view name) { return static_cast<std::size_t>(settings.number(name)); };
    return {number("keep_full"), number("keep_days"), number("keep_weekly"), number("keep_monthly"), number("keep_wal")};
}

backup::PushOptions push_options(const Settings& settings) {
    backup::PushOptions options;
    options.pgdata = settings.text("pgdata");
    options.connection = connection_options(settings);
    options.verify = settings.flag("verify_page_checksums");
    options.name_all_corrupt = settings.flag("store_all_corrupt_blocks");
    options.delta = delta_wish(settings);
    options.files_metadata = !settings.flag("without_files_metadata");
    options.by_database = settings.flag("use_database_composer");
    options.by_rating = settings.flag("use_rating_composer");
    options.copy_parts = settings.flag("use_copy_composer");
    options.table_names = !settings.flag("disable_partial_restore");
    options.user_data = settings.text("sentinel_user_data");
    options.part_bytes_max = settings.bytes("tar_size_threshold");
    options.part_bytes_given = settings.given("tar_size_threshold");
    options.readers = static_cast<unsigned>(settings.number("upload_disk_concurrency"));
    options.disk_bytes_per_second = settings.bytes("disk_rate_limit");
    options.uploads = static_cast<unsigned>(settings.number("upload_concurrency"));
    options.piece_bytes = piece_bytes(settings);
    options.wal_wait = std::chrono::duration_cast<std::chrono::seconds>(settings.duration("stop_wal_timeout"));
    return options;
}

} // namespace walgd::config

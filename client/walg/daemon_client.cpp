#include "client/walg/daemon_client.hpp"

#include "client/walg/progress_printer.hpp"
#include "config/process.hpp"
#include "proto/backup_request.hpp"
#include "proto/client.hpp"

#include <array>
#include <charconv>
#include <filesystem>
#include <fmt/format.h>
#include <utility>
#include <vector>

namespace walgd::cli {

namespace {

using Connected = proto::Client::Connected;
/// The daemon reports twice a second.
constexpr int silence_seconds_max = 60;

std::uint64_t number(std::string_view text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

[[noreturn]] void refuse_connection(const proto::Client& client) {
    throw Error(ErrorKind::failed, client.error(),
                client.timed_out()
                    ? "it was reached, and hangs: journalctl -u walgd, and is this host out of memory or of CPU time?"
                    : "is WALGD_SOCKET the daemon's, and may this user write to it?");
}

/// The Error that the daemon sent.
Error received_error(const proto::Frame& frame) {
    auto kind = ErrorKind::failed;
    for (const auto candidate : {ErrorKind::transient, ErrorKind::denied, ErrorKind::misconfigured, ErrorKind::corrupt,
                                 ErrorKind::protocol, ErrorKind::refused, ErrorKind::failed, ErrorKind::cancelled}) {
        if (name_of(candidate) == frame.field(0)) kind = candidate;
    }
    return Error(kind, proto::Client::message_of(frame), std::string(frame.field(2)));
}

void cancel_job(const std::string& socket) {
    proto::Client client;
    proto::Frame answer;
    if (client.connect(socket) == Connected::yes && client.send({proto::Type::cancel_job, 1, {}}))
        client.receive(answer, silence_seconds_max);
}

/// What this command's settings encrypt with, as a cipher is called; empty: they name no key.
std::string encryption_of(const config::Settings& settings) {
    if (settings.given("libsodium_key") || settings.given("libsodium_key_path")) return "libsodium";
    if (settings.given("pgp_key") || settings.given("pgp_key_path")) return "openpgp";
    return {};
}

/// Where this command's settings want the backup, of which server, and encrypted how; nothing where they name no storage: then
/// the daemon's do.
void take_settings(proto::BackupRequest& request, const config::Settings& settings) {
    try {
        request.place = config::archive_place(settings);
    } catch (const Error&) {
        return;
    }
    request.pghost = settings.text("pghost");
    request.pgport = settings.text("pgport");
    request.encryption = encryption_of(settings);
}

/// What a person says of this one backup, on the command line or before it: a line for each setting.
std::string said_of_backup(const config::Settings& settings) {
    constexpr std::array names{
        "delta_max_steps",    "delta_origin",    "delta_source",       "compression_method",      "zstd_level",
        "tar_size_threshold", "disk_rate_limit", "network_rate_limit", "upload_disk_concurrency", "disable_partial_restore"};
    std::string lines;
    for (const auto* name : names) {
        const auto source = settings.source(name);
        if (source == "command line" || source.starts_with("environment "))
            lines += fmt::format("{}={}\n", name, settings.text(name));
    }
    return lines;
}

/// What the command line adds to the daemon's own settings, and wants of them.
proto::BackupRequest request_for(const config::Settings& settings, const backup::PushOptions& options, bool verify) {
    proto::BackupRequest request;
    // The daemon runs in another folder.
    if (!options.pgdata.empty()) request.pgdata = std::filesystem::absolute(options.pgdata).string();
    request.user_data = options.user_data;
    request.from_name = options.delta.from_name;
    request.from_user_data = options.delta.from_user_data;
    request.permanent = options.delta.permanent;
    request.full = options.delta.full;
    request.verify = verify;
    request.name_all_corrupt = options.name_all_corrupt;
    request.by_database = options.by_database;
    request.by_rating = options.by_rating;
    request.copy_parts = options.copy_parts;
    request.without_files_metadata = !options.files_metadata;
    request.count_journals = options.count_journals;
    request.by_summaries = options.delta.source == backup::DeltaWish::Source::summaries;
    request.settings = said_of_backup(settings);
    take_settings(request, settings);
    return request;
}

} // namespace

std::optional<backup::PushResult> backup_push_by_daemon(Context& context, const backup::PushOptions& options, bool verify) {
    const auto socket = context.settings.text("socket");
    proto::Client client;
    const auto connected = client.connect(socket);
    if (connected == Connected::nobody) return std::nullopt;
    if (connected == Connected::failed) refuse_connection(client);
    const auto request = proto::to_frame(request_for(context.settings, options, verify), 1);
    if (proto::encoded(request).empty()) {
        context.log.info("The user data is too long for the daemon at {}: the backup is taken here", socket);
        return std::nullopt;
    }
    if (!client.send(request)) refuse_connection(client);
    bool told = false;
    const std::stop_callback on_stop(context.stop, [&] { cancel_job(socket); });
    ProgressPrinter printer("backup", context.log);
    proto::Frame frame;
    while (client.receive(frame, silence_seconds_max)) {
        if (frame.type == proto::Type::absent) {
            context.log.info("The daemon at {} does not take the backup, {}: it is taken here", socket, frame.field(0));
            return std::nullopt;
        }
        if (frame.type != proto::Type::error && !std::exchange(told, true))
            context.log.info("The daemon at {} takes the backup", socket);
        if (frame.type == proto::Type::progress) {
            printer.update({static_cast<backup::Phase>(number(frame.field(3))), number(frame.field(0)), number(frame.field(1)),
                            number(frame.field(2))});
        } else if (frame.type == proto::Type::ok) {
            return backup::PushResult{std::string(frame.field(0)), number(frame.field(1)), number(frame.field(2)),
                                      number(frame.field(3)),      number(frame.field(4)), std::string(frame.field(5)),
                                      std::string(frame.field(6))};
        } else if (frame.type == proto::Type::error) {
            throw received_error(frame);
        }
    }
    throw Error(ErrorKind::failed, fmt::format("the daemon's answer was lost: {}", client.error()),
                "the backup may be going on: walg status shows it");
}

namespace {

/// Who waits for it can list the storage instead.
constexpr int catalogue_seconds_max = 10, notice_seconds_max = 2;

std::string age_text(std::uint64_t milliseconds) {
    const auto seconds = milliseconds / 1000;
    return seconds < 120 ? fmt::format("{} s", seconds) : fmt::format("{} min", seconds / 60);
}

/// The text and its age, or nothing and why.
struct Told {
    std::string text, refusal;
    std::uint64_t age_milliseconds = 0;
};

Told ask_catalogue(proto::Client& client, const std::string& place, Backups backups) {
    Told told;
    proto::Frame frame;
    if (!client.send({proto::Type::catalogue,
                      1,
                      {place, backups == Backups::none     ? ""
                              : backups == Backups::places ? "b"
                                                           : "d"}}))
        return {.text = {}, .refusal = client.error()};
    while (client.receive(frame, catalogue_seconds_max)) {
        if (frame.type == proto::Type::part)
            told.text += frame.field(0);
        else if (frame.type == proto::Type::ok) {
            told.age_milliseconds = number(frame.field(0));
            return told;
        } else
            return {.text = {}, .refusal = std::string(frame.field(frame.type == proto::Type::absent ? 0 : 1))};
    }
    return {.text = {}, .refusal = client.error()};
}

} // namespace

std::optional<archive::ArchiveSummary> summary_by_daemon(Context& context, Backups backups) {
    proto::Client client;
    if (client.connect(context.settings.text("socket")) != Connected::yes) return std::nullopt;
    auto told = ask_catalogue(client, config::archive_place(context.settings), backups);
    std::optional<archive::ArchiveSummary> summary;
    if (told.refusal.empty()) {
        try {
            summary = archive::parse_summary(told.text);
        } catch (const Error& error) {
            told.refusal = error.what();
        }
    }
    const auto segment_bytes = config::segment_bytes(context.settings);
    if (summary && segment_bytes != 0 && segment_bytes != summary->wal.segment_bytes) {
        told.refusal = "it takes segments to have another size";
        summary.reset();
    }
    if (summary)
        context.log.info("As the daemon listed it {} ago, with what it stored since; --no-daemon lists the storage now",
                         age_text(told.age_milliseconds));
    else
        context.log.debug("The storage is listed, the daemon's catalogue is not used: {}", told.refusal);
    return summary;
}

void tell_daemon_of_changes(const Context& context) {
    const auto& stored = context.stored_wal;
    const auto requests = context.requests();
    const bool wrote = requests.contains("put") || requests.contains("complete upload") || requests.contains("remove");
    if (!wrote || (stored && stored->bytes == 0)) return;
    proto::Client client;
    proto::Frame notice{proto::Type::archive_changed, 1, {}}, answer;
    if (stored) notice.fields = {config::archive_place(context.settings), stored->wal_file, std::to_string(stored->bytes)};
    if (client.connect(context.settings.text("socket")) == Connected::yes && client.send(notice))
        client.receive(answer, notice_seconds_max);
}

namespace {

/// The text of the answer to a question that the daemon answers at once.
std::string ask_daemon(Context& context, proto::Frame question) {
    const auto socket = context.settings.text("socket");
    proto::Client client;
    proto::Frame frame;
    const auto connected = client.connect(socket);
    if (connected == Connected::nobody)
        throw Error(ErrorKind::failed, fmt::format("no daemon listens at {}", socket),
                    "is walgd running? WALGD_SOCKET must be the same for both");
    if (connected == Connected::failed || !client.send(question) || !client.receive(frame, silence_seconds_max))
        refuse_connection(client);
    if (frame.type == proto::Type::error) throw received_error(frame);
    return std::string(frame.field(0));
}

} // namespace

std::string daemon_status(Context& context, bool json) {
    return ask_daemon(context, {proto::Type::status, 1, {json ? "json" : "text"}});
}

bool daemon_listens(const Context& context) {
    proto::Client client;
    return client.connect(context.settings.text("socket")) == Connected::yes;
}

std::string daemon_reload(Context& context) { return ask_daemon(context, {proto::Type::reload, 1, {}}); }

} // namespace walgd::cli

#include "daemon/socket/server.hpp"

#include "common/base/request_id.hpp"
#include "common/pg/wal_name.hpp"
#include "daemon/socket/printable.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

namespace walgd::daemon {

namespace {

constexpr std::chrono::milliseconds progress_every{500};

/// `id`: of the request, where it came to be one.
proto::Frame error_frame(std::uint32_t request, const std::exception_ptr& failure, std::string id = {}) {
    const auto error = as_error(failure);
    return {proto::Type::error, request, {std::string(name_of(error.kind())), error.what(), error.hint(), std::move(id)}};
}

/// The file of a push or fetch.
UniqueFd descriptor_of(Request& request) {
    if (request.descriptor) return std::move(request.descriptor);
    if (request.descriptor_lost) throw_errno("walgd could not take the file's descriptor", EMFILE);
    throw Error(ErrorKind::protocol, "the request came without a descriptor", "install shims, walg and daemon of one release");
}

/// Others of the socket's group may archive, fetch and look; what starts or changes something is for root and walgd's own user.
void check_operates(const Channel& channel) {
    if (channel.peer_operates()) return;
    throw Error(ErrorKind::denied,
                fmt::format("this is for root and the user that walgd runs as, and not for {}", channel.peer()),
                "run it as one of them: sudo -u postgres walg ...");
}

/// What a fetch fills: anything but an empty file would keep bytes of its own.
void check_empty_file(int fd) {
    struct stat about{};
    if (::fstat(fd, &about) != 0) throw_errno("cannot look at the destination");
    if (!S_ISREG(about.st_mode) || about.st_size != 0)
        throw Error(ErrorKind::refused, "the destination is not an empty regular file",
                    "restore_command = 'walg-fetch \"%f\" \"%p\"' makes one");
}

} // namespace

Server::Server(Services services, int fd, std::size_t connections_max)
    : services_(std::move(services)), sessions_(
                                          services_.archive.io, services_.archive.log, fd, connections_max,
                                          [this](Socket socket) { return serve(std::move(socket)); },
                                          [this](Socket socket) { return turn_away(std::move(socket)); }) {}

awaitable<void> Server::turn_away(Socket socket) {
    Channel channel(std::move(socket));
    const auto text = fmt::format("walgd serves {} requests at once, and no more", counters().connections_max);
    const Error error(ErrorKind::refused, text, "try again; the limit of open files (LimitNOFILE=) bounds it");
    const auto frame = error_frame(0, std::make_exception_ptr(error));
    co_await channel.send(frame);
}

/// Nothing: the connection ended, by the client, or to make room. Nonsense is told to both sides.
awaitable<std::optional<Request>> Server::next_request(Channel& channel) {
    std::exception_ptr failure;
    try {
        const Sessions::Waiting waiting(sessions_, [&channel] { channel.close(); });
        auto request = co_await channel.receive();
        co_return request;
    } catch (...) {
        failure = std::current_exception();
    }
    const auto error = as_error(failure);
    if (error.kind() == ErrorKind::cancelled) co_return std::nullopt;
    sessions_.note_error(fmt::format("a bad request of {}: {}", channel.peer(), error.what()));
    const auto frame = error_frame(0, failure);
    co_await channel.send(frame);
    co_return std::nullopt;
}

std::string Server::wal_name_in(const proto::Frame& frame, const Channel& channel) {
    const std::string name(frame.field(0));
    if (pg::wal_file_kind(name)) return name;
    const Error error(ErrorKind::refused, fmt::format("'{}' is not the name of a WAL file of PostgreSQL", printable(name)),
                      "archive_command passes %p, restore_command %f: a segment, .partial, .history or .backup file");
    sessions_.note_error(fmt::format("a bad request of {}: {}", channel.peer(), error.what()));
    throw error;
}

awaitable<void> Server::serve(Socket socket) {
    Channel channel(std::move(socket));
    for (;;) {
        auto request = co_await next_request(channel);
        if (!request) co_return;
        co_await answer(channel, std::move(*request));
    }
}

awaitable<void> Server::answer(Channel& channel, Request request) {
    proto::Frame reply;
    std::exception_ptr failure;
    const auto id = sessions_.next_request_id();
    try {
        auto handling = handle(channel, request);
        reply = co_await as_request(id, std::move(handling));
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) reply = error_frame(request.frame.request, failure, id);
    co_await channel.send(reply);
}

awaitable<proto::Frame> Server::handle(Channel& channel, Request& request) {
    const auto id = request.frame.request;
    switch (request.frame.type) {
    case proto::Type::ping:
        co_return proto::Frame{proto::Type::ok, id, {}};
    case proto::Type::wal_push: {
        auto file = descriptor_of(request);
        const auto name = wal_name_in(request.frame, channel);
        const auto pushed = co_await services_.wal.push(name, std::move(file));
        co_return proto::Frame{proto::Type::ok, id, {pushed.already_there ? "already there" : "stored"}};
    }
    case proto::Type::wal_fetch: {
        auto file = descriptor_of(request);
        const auto name = wal_name_in(request.frame, channel);
        check_empty_file(file.get());
        const auto fetched = co_await services_.wal.fetch(name, std::move(file));
        const auto type = fetched == archive::Fetched::stored ? proto::Type::ok : proto::Type::absent;
        co_return proto::Frame{type, id, {}};
    }
    case proto::Type::status:
        co_return proto::Frame{proto::Type::ok, id, {services_.status(request.frame.field(0) == "json")}};
    case proto::Type::backup_push: {
        check_operates(channel);
        const auto wanted = proto::backup_request_of(request.frame);
        auto why = services_.backup_elsewhere(wanted);
        if (!why.empty()) co_return proto::Frame{proto::Type::absent, id, {std::move(why)}};
        auto options = services_.push_options(wanted);
        auto reply = co_await run_backup(channel, id, std::move(options));
        co_return reply;
    }
    case proto::Type::reload:
        check_operates(channel);
        co_return proto::Frame{proto::Type::ok, id, {services_.reload()}};
    case proto::Type::catalogue: {
        auto reply = co_await tell_catalogue(channel, request.frame);
        co_return reply;
    }
    case proto::Type::archive_changed:
        services_.archive_changed(request.frame, channel.peer_operates());
        co_return proto::Frame{proto::Type::ok, id, {}};
    case proto::Type::cancel_job:
        check_operates(channel);
        services_.jobs.cancel();
        co_return proto::Frame{proto::Type::ok, id, {}};
    default:
        throw Error(ErrorKind::protocol, fmt::format("request type {} is unknown", static_cast<int>(request.frame.type)),
                    "install shims, walg and daemon of one release");
    }
}

awaitable<proto::Frame> Server::tell_catalogue(Channel& channel, const proto::Frame& request) {
    constexpr std::size_t part_bytes = proto::frame_bytes_max / 2;
    const auto told = services_.catalogue(request);
    if (!told.refusal.empty()) co_return proto::Frame{proto::Type::absent, request.request, {told.refusal}};
    for (std::size_t at = 0; at < told.text.size(); at += part_bytes) {
        const proto::Frame part{proto::Type::part, request.request, {told.text.substr(at, part_bytes)}};
        co_await channel.send(part);
    }
    co_return proto::Frame{proto::Type::ok, request.request, {std::to_string(told.age.count())}};
}

/// The job goes on when the client leaves: only cancel_job ends it.
awaitable<proto::Frame> Server::run_backup(Channel& channel, std::uint32_t id, backup::PushOptions options) {
    const auto job = services_.jobs.start(std::move(options));
    while (!job->ended) {
        job->woken.expires_after(progress_every);
        co_await job->woken.async_wait(asio::as_tuple(asio::use_awaitable)); // the job's end, or time for a word
        if (job->ended) break;
        const auto& progress = job->progress;
        const proto::Frame report{proto::Type::progress,
                                  id,
                                  {std::to_string(progress.bytes_done), std::to_string(progress.bytes_total),
                                   std::to_string(progress.stored_bytes),
                                   std::to_string(static_cast<int>(progress.phase.load()))}};
        co_await channel.send(report);
    }
    if (job->failure) std::rethrow_exception(job->failure);
    const auto& result = *job->result;
    co_return proto::Frame{proto::Type::ok,
                           id,
                           {result.name, std::to_string(result.plain_bytes), std::to_string(result.stored_bytes),
                            std::to_string(result.corrupt_blocks), std::to_string(result.read_bytes), result.parent,
                            result.source}};
}

} // namespace walgd::daemon

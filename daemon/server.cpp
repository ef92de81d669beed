#include "daemon/server.hpp"

#include <fmt/format.h>

namespace walgd::daemon {

namespace {

constexpr std::size_t sessions_max = 1024;
constexpr std::chrono::milliseconds progress_every{500};

proto::Frame error_frame(std::uint32_t request, const std::exception_ptr& failure) {
    const auto error = as_error(failure);
    return {proto::Type::error, request, {std::string(name_of(error.kind())), error.what(), error.hint()}};
}

} // namespace

Server::Server(Services services, int fd)
    : services_(std::move(services)), acceptor_(services_.archive.io, asio::local::stream_protocol(), fd),
      sessions_(services_.archive.io, [this](std::exception_ptr failure) {
          services_.archive.log.debug("event=session_ended error=\"{}\"", describe(failure));
      }) {}

awaitable<void> Server::run() {
    std::exception_ptr failure;
    try {
        co_await accept();
    } catch (...) {
        failure = std::current_exception();
    }
    acceptor_.close();
    sessions_.cancel();
    co_await sessions_.join();
}

awaitable<void> Server::accept() {
    for (;;) {
        auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (error == asio::error::operation_aborted) co_return;
        if (error) {
            // Out of descriptors, say: others get on, and this clears up by itself.
            services_.archive.log.error("event=accept_failed error=\"{}\"", error.message());
            co_await sleep_for(std::chrono::milliseconds(100));
            continue;
        }
        // Beyond the limit the connection is closed at once; PostgreSQL tries again.
        if (sessions_.size() < sessions_max)
            sessions_.spawn(serve(std::move(socket)));
        else
            services_.archive.log.error("event=too_many_connections limit={}", sessions_max);
    }
}

awaitable<void> Server::serve(Socket socket) {
    Channel channel(std::move(socket));
    for (;;) {
        auto request = co_await channel.receive();
        if (!request) co_return;
        co_await answer(channel, std::move(*request));
    }
}

awaitable<void> Server::answer(Channel& channel, Request request) {
    proto::Frame reply;
    std::exception_ptr failure;
    try {
        reply = co_await handle(channel, request);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) reply = error_frame(request.frame.request, failure);
    co_await channel.send(reply);
}

awaitable<proto::Frame> Server::handle(Channel& channel, Request& request) {
    const auto id = request.frame.request;
    switch (request.frame.type) {
    case proto::Type::ping:
        co_return proto::Frame{proto::Type::ok, id, {}};
    case proto::Type::wal_push: {
        if (!request.descriptor) throw Error(ErrorKind::protocol, "a push came without a descriptor");
        const std::string name(request.frame.field(0));
        const auto pushed = co_await services_.wal.push(name, std::move(request.descriptor));
        co_return proto::Frame{proto::Type::ok, id, {pushed.already_there ? "already there" : "stored"}};
    }
    case proto::Type::wal_fetch: {
        if (!request.descriptor) throw Error(ErrorKind::protocol, "a fetch came without a descriptor");
        const std::string name(request.frame.field(0));
        const auto fetched = co_await services_.wal.fetch(name, std::move(request.descriptor));
        const auto type = fetched == archive::Fetched::stored ? proto::Type::ok : proto::Type::absent;
        co_return proto::Frame{type, id, {}};
    }
    case proto::Type::status:
        co_return proto::Frame{proto::Type::ok, id, {services_.status(request.frame.field(0) == "json")}};
    case proto::Type::backup_push: {
        auto reply = co_await run_backup(channel, request.frame);
        co_return reply;
    }
    case proto::Type::cancel_job:
        services_.jobs.cancel();
        co_return proto::Frame{proto::Type::ok, id, {}};
    default:
        throw Error(ErrorKind::protocol, fmt::format("request type {} is unknown", static_cast<int>(request.frame.type)),
                    "install shims, walg and daemon of one release");
    }
}

/// The job goes on when the client leaves: only cancel_job ends it.
awaitable<proto::Frame> Server::run_backup(Channel& channel, const proto::Frame& request) {
    const auto job = services_.jobs.start(services_.push_options(request));
    while (!job->ended) {
        job->woken.expires_after(progress_every);
        co_await job->woken.async_wait(asio::as_tuple(asio::use_awaitable)); // the job's end, or time for a word
        if (job->ended) break;
        const auto& progress = job->progress;
        const proto::Frame report{proto::Type::progress,
                                  request.request,
                                  {std::to_string(progress.bytes_done), std::to_string(progress.bytes_total),
                                   std::to_string(progress.stored_bytes),
                                   std::to_string(static_cast<int>(progress.phase.load()))}};
        co_await channel.send(report);
    }
    if (job->failure) std::rethrow_exception(job->failure);
    const auto& result = *job->result;
    co_return proto::Frame{proto::Type::ok,
                           request.request,
                           {result.name, std::to_string(result.plain_bytes), std::to_string(result.stored_bytes),
                            std::to_string(result.corrupt_blocks)}};
}

} // namespace walgd::daemon

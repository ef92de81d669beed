#include "daemon/socket/walg_server.hpp"

#include "common/base/in_quotes.hpp"
#include "common/base/request_id.hpp"
#include "common/pg/wal_name.hpp"
#include "daemon/socket/printable.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

namespace walgd::daemon {

namespace {

using proto::WalgReply;
using proto::WalgType;

constexpr std::chrono::seconds half_request_limit{30};
constexpr std::chrono::minutes idle_max{5};

void check_name(const std::string& name) {
    if (!pg::wal_file_kind(name))
        throw Error(ErrorKind::refused, fmt::format("'{}' is not the name of a WAL file of PostgreSQL", printable(name)),
                    "restore_command passes %f: a segment, .partial, .history or .backup file");
}

} // namespace

awaitable<void> WalgChannel::read_more() {
    char bytes[4096];
    auto [error, count] = co_await socket_.async_read_some(asio::buffer(bytes), asio::as_tuple(asio::use_awaitable));
    if (error == asio::error::operation_aborted) throw Error(ErrorKind::cancelled, "cancelled");
    if (error && error != asio::error::eof)
        throw Error(ErrorKind::transient, fmt::format("the client's connection broke: {}", error.message()));
    if (error) closed_ = true;
    reader_.feed({bytes, count});
}

awaitable<std::optional<proto::WalgRequest>> WalgChannel::receive() {
    auto deadline = std::chrono::steady_clock::now() + idle_max;
    bool begun = false;
    for (;;) {
        auto request = reader_.next();
        if (request) co_return request;
        if (reader_.failed()) throw Error(ErrorKind::protocol, reader_.failure());
        if (closed_ && reader_.holds_part()) throw Error(ErrorKind::protocol, "the client closed in the middle of a request");
        if (closed_) co_return std::nullopt;
        if (reader_.holds_part() && !begun) {
            begun = true;
            deadline = std::chrono::steady_clock::now() + half_request_limit;
        }
        const std::string late = begun ? "half a request came, and not the rest" : "the client asks nothing and does not close";
        co_await within(deadline - std::chrono::steady_clock::now(), read_more(), late);
    }
}

awaitable<void> WalgChannel::send(WalgReply reply) {
    // One byte, which always finds room.
    const auto byte = static_cast<char>(reply);
    co_await asio::async_write(socket_, asio::buffer(&byte, 1), asio::use_awaitable);
}

void WalgChannel::close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
}

WalgServer::WalgServer(archive::Archive& archive, WalService& wal, const std::string& pgdata, int fd, std::size_t connections_max)
    : archive_(archive), wal_(wal), data_(pgdata),
      sessions_(
          archive.io, archive.log, fd, connections_max, [this](Socket socket) { return serve(std::move(socket)); },
          [this](Socket socket) { return turn_away(std::move(socket)); }) {}

awaitable<void> WalgServer::turn_away(Socket socket) {
    WalgChannel channel(std::move(socket));
    co_await channel.send(WalgReply::error);
}

awaitable<std::optional<proto::WalgRequest>> WalgServer::next_request(WalgChannel& channel) {
    const Sessions::Waiting waiting(sessions_, [&channel] { channel.close(); });
    auto request = co_await channel.receive();
    co_return request;
}

awaitable<void> WalgServer::serve(Socket socket) {
    WalgChannel channel(std::move(socket));
    for (bool more = true; more;) {
        auto reply = WalgReply::error; // also what WAL-G answers to a peer that only closes
        std::exception_ptr failure;
        more = false;
        try {
            const auto request = co_await next_request(channel);
            if (request) {
                const auto id = sessions_.next_request_id();
                auto answering = answer_or_log(channel, *request);
                reply = co_await as_request(id, std::move(answering));
                more = request->type == WalgType::check && reply == WalgReply::done;
            }
        } catch (...) {
            failure = std::current_exception();
        }
        if (failure) log_failure(channel, as_error(failure));
        co_await channel.send(reply);
    }
}

/// A cancellation goes on.
void WalgServer::log_failure(const WalgChannel& channel, const Error& error) {
    if (error.kind() == ErrorKind::cancelled) throw error;
    archive_.log.warn("event=walg_request_failed peer={} error={} hint={}", in_quotes(channel.peer()), in_quotes(error.what()),
                      in_quotes(error.hint()));
}

awaitable<WalgReply> WalgServer::answer_or_log(WalgChannel& channel, const proto::WalgRequest& request) {
    std::exception_ptr failure;
    try {
        archive_.log.debug("event=walg_request type={} peer={}", static_cast<char>(request.type), in_quotes(channel.peer()));
        const auto reply = co_await answer(request);
        co_return reply;
    } catch (...) {
        failure = std::current_exception();
    }
    log_failure(channel, as_error(failure));
    co_return WalgReply::error;
}

awaitable<WalgReply> WalgServer::answer(const proto::WalgRequest& request) {
    if (request.type == WalgType::check) co_return WalgReply::done;
    if (request.type == WalgType::push) {
        const auto reply = co_await push(std::string(proto::name_in_push(request.body)));
        co_return reply;
    }
    const auto arguments = proto::parse_arguments(request.body);
    if (!arguments || arguments->size() != 2) throw Error(ErrorKind::protocol, "a fetch did not come with two arguments");
    const auto reply = co_await fetch((*arguments)[0], (*arguments)[1]);
    co_return reply;
}

awaitable<WalgReply> WalgServer::push(std::string path) {
    auto open = [this, &path] { return data_.open_wal(path); };
    auto files = co_await run_on(archive_.cpu, std::move(open));
    for (auto& file : files) co_await wal_.push(file.name, std::move(file.fd));
    co_return WalgReply::done;
}

awaitable<WalgReply> WalgServer::fetch(std::string name, std::string destination) {
    check_name(name);
    std::optional<NewFile> file;
    auto create = [this, &file, &destination] { file.emplace(data_.create(destination)); };
    co_await run_on(archive_.cpu, std::move(create));
    const auto fetched = co_await wal_.fetch(name, file->take_descriptor());
    if (fetched == archive::Fetched::absent) co_return WalgReply::absent;
    auto finish = [&file] { file->finish(); };
    co_await run_on(archive_.cpu, std::move(finish));
    co_return WalgReply::done;
}

} // namespace walgd::daemon

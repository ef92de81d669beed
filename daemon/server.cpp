#include "daemon/server.hpp"

#include "common/pg/wal_name.hpp"

#include <fmt/format.h>
#include <new>
#include <sys/stat.h>

namespace walgd::daemon {

namespace {

constexpr std::chrono::milliseconds progress_every{500}, accept_again{100};
constexpr std::chrono::seconds tell_again{30};

proto::Frame error_frame(std::uint32_t request, const std::exception_ptr& failure) {
    const auto error = as_error(failure);
    return {proto::Type::error, request, {std::string(name_of(error.kind())), error.what(), error.hint()}};
}

/// The file of a push or fetch.
UniqueFd descriptor_of(Request& request) {
    if (request.descriptor) return std::move(request.descriptor);
    if (request.descriptor_lost) throw_errno("walgd could not take the file's descriptor", EMFILE);
    throw Error(ErrorKind::protocol, "the request came without a descriptor", "install shims, walg and daemon of one release");
}

/// What a fetch fills: anything but an empty file would keep bytes of its own.
void check_empty_file(int fd) {
    struct stat about{};
    if (::fstat(fd, &about) != 0) throw_errno("cannot look at the destination");
    if (!S_ISREG(about.st_mode) || about.st_size != 0)
        throw Error(ErrorKind::refused, "the destination is not an empty regular file",
                    "restore_command = 'walg-fetch \"%f\" \"%p\"' makes one");
}

/// A client's words as they may stand in a log.
std::string printable(std::string_view text) {
    constexpr std::size_t shown = 80;
    std::string out(text.substr(0, shown));
    for (auto& letter : out) {
        if (letter < ' ' || letter > '~') letter = '?';
    }
    return text.size() > shown ? out + "..." : out;
}

/// Keeps a channel in a list while it lives.
class Listed {
public:
    Listed(std::list<Channel*>& list, Channel& channel) : list_(list), place_(list.insert(list.end(), &channel)) {}
    ~Listed() { list_.erase(place_); }
    Listed(const Listed&) = delete;

private:
    std::list<Channel*>& list_;
    std::list<Channel*>::iterator place_;
};

} // namespace

Server::Server(Services services, int fd, std::size_t connections_max)
    : services_(std::move(services)), acceptor_(services_.archive.io, asio::local::stream_protocol(), fd),
      sessions_(services_.archive.io, [this](std::exception_ptr failure) {
          services_.archive.log.debug("event=session_ended error=\"{}\"", describe(failure));
      }) {
    counters_.connections_max = connections_max;
}

void Server::listen(int fd) { acceptor_ = asio::local::stream_protocol::acceptor(services_.archive.io, {}, fd); }

ClientCounters Server::counters() const {
    auto counters = counters_;
    counters.connections = sessions_.size();
    return counters;
}

void Server::note_error(std::string text) {
    services_.archive.log.error("event=socket_error error=\"{}\"", text);
    counters_.last_error = std::move(text);
    counters_.last_error_at = std::chrono::system_clock::now();
}

/// Ends the connection that has asked nothing for the longest time. False: all are being served.
bool Server::make_room() {
    if (waiting_.empty()) return false;
    ++counters_.turned_away;
    // It leaves the list by itself, when its coroutine wakes up; to the end meanwhile, so that the next call takes another.
    auto* const channel = waiting_.front();
    waiting_.splice(waiting_.end(), waiting_, waiting_.begin());
    channel->close();
    return true;
}

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

/// What goes wrong here (no descriptors, no memory) must not end the accepting: it clears up by itself.
awaitable<void> Server::accept() {
    co_await asio::this_coro::throw_if_cancelled(false);
    Timer pause(services_.archive.io);
    for (;;) {
        std::exception_ptr failure;
        try {
            auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
            // Aborted by listen(), which put another socket in place, or by the end.
            if (error && error != asio::error::operation_aborted) throw boost::system::system_error(error);
            if (!error) sessions_.spawn(welcome(std::move(socket)));
        } catch (...) {
            failure = std::current_exception();
        }
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) co_return;
        if (!failure) continue;
        note_accept_failure(failure);
        make_room();
        pause.expires_after(accept_again);
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    }
}

/// Told once in a while: it may fail ten times a second.
void Server::note_accept_failure(const std::exception_ptr& failure) noexcept {
    const auto now = std::chrono::steady_clock::now();
    if (accept_failure_told_ && now - *accept_failure_told_ < tell_again) return;
    accept_failure_told_ = now;
    try {
        note_error(fmt::format("cannot take a connection: {}", as_error(failure).what()));
    } catch (const std::bad_alloc&) {
        accept_failure_told_.reset(); // no memory to tell it either: next time
    }
}

/// A connection beyond the limit has its answer too, where no other makes room; PostgreSQL tries again.
awaitable<void> Server::welcome(Socket socket) {
    if (sessions_.size() <= counters_.connections_max || make_room()) {
        co_await serve(std::move(socket));
        co_return;
    }
    ++counters_.turned_away;
    Channel channel(std::move(socket));
    const auto text = fmt::format("walgd serves {} requests at once, and no more", counters_.connections_max);
    const Error error(ErrorKind::refused, text, "try again; the limit of open files (LimitNOFILE=) bounds it");
    const auto frame = error_frame(0, std::make_exception_ptr(error));
    co_await channel.send(frame);
}

/// Nothing: the connection ended, by the client, or to make room. Nonsense is told to both sides.
awaitable<std::optional<Request>> Server::next_request(Channel& channel) {
    std::exception_ptr failure;
    try {
        const Listed listed(waiting_, channel);
        auto request = co_await channel.receive();
        co_return request;
    } catch (...) {
        failure = std::current_exception();
    }
    const auto error = as_error(failure);
    if (error.kind() == ErrorKind::cancelled) co_return std::nullopt;
    note_error(fmt::format("a bad request of {}: {}", channel.peer(), error.what()));
    const auto frame = error_frame(0, failure);
    co_await channel.send(frame);
    co_return std::nullopt;
}

std::string Server::wal_name_in(const proto::Frame& frame, const Channel& channel) {
    const std::string name(frame.field(0));
    if (pg::wal_file_kind(name)) return name;
    const Error error(ErrorKind::refused, fmt::format("'{}' is not the name of a WAL file of PostgreSQL", printable(name)),
                      "archive_command passes %p, restore_command %f: a segment, .partial, .history or .backup file");
    note_error(fmt::format("a bad request of {}: {}", channel.peer(), error.what()));
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

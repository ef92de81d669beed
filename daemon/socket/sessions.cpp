#include "daemon/socket/sessions.hpp"
#include "common/base/in_quotes.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <new>
#include <random>

namespace walgd::daemon {

namespace {

constexpr std::chrono::milliseconds accept_again{100};
constexpr std::chrono::seconds tell_again{30};

} // namespace

ClientCounters together(ClientCounters one, const ClientCounters& other) {
    one.connections += other.connections;
    one.connections_max += other.connections_max;
    one.turned_away += other.turned_away;
    if (other.last_error_at > one.last_error_at) one.last_error = other.last_error;
    one.last_error_at = std::max(one.last_error_at, other.last_error_at);
    return one;
}

Sessions::Sessions(asio::any_io_executor io, Log& log, int fd, std::size_t connections_max, Serve serve, Serve turn_away)
    : io_(io), log_(log), serve_(std::move(serve)), turn_away_(std::move(turn_away)),
      acceptor_(io, asio::local::stream_protocol(), fd),
      sessions_(io,
                [this](std::exception_ptr failure) { log_.debug("event=session_ended error={}", in_quotes(describe(failure))); }),
      start_(std::random_device()() & 0xFFFF) {
    counters_.connections_max = connections_max;
}

void Sessions::stop_accepting() {
    accepting_ = false;
    acceptor_.close();
}

void Sessions::listen(int fd) { acceptor_ = asio::local::stream_protocol::acceptor(io_, {}, fd); }

std::string Sessions::next_request_id() { return fmt::format("{:04x}-{}", start_, ++requests_); }

ClientCounters Sessions::counters() const {
    auto counters = counters_;
    counters.connections = sessions_.size();
    return counters;
}

void Sessions::note_error(std::string text) {
    log_.error("event=socket_error error={}", in_quotes(text));
    counters_.last_error = std::move(text);
    counters_.last_error_at = std::chrono::system_clock::now();
}

/// Ends the connection that has asked nothing for the longest time. False: all are being served.
bool Sessions::make_room() {
    if (waiting_.empty()) return false;
    ++counters_.turned_away;
    // It leaves the list by itself, when its coroutine wakes up; to the end meanwhile, so that the next call takes another.
    waiting_.splice(waiting_.end(), waiting_, waiting_.begin());
    waiting_.back()();
    return true;
}

awaitable<void> Sessions::run() {
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
awaitable<void> Sessions::accept() {
    co_await asio::this_coro::throw_if_cancelled(false);
    Timer pause(io_);
    while (accepting_) {
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
        if (!failure || !accepting_) continue;
        note_accept_failure(failure);
        make_room();
        pause.expires_after(accept_again);
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    pause.expires_at(Timer::time_point::max()); // the sessions go on until we are cancelled
    co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
}

/// Told once in a while: it may fail ten times a second.
void Sessions::note_accept_failure(const std::exception_ptr& failure) noexcept {
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
awaitable<void> Sessions::welcome(Socket socket) {
    if (sessions_.size() <= counters_.connections_max || make_room()) {
        co_await serve_(std::move(socket));
        co_return;
    }
    ++counters_.turned_away;
    co_await turn_away_(std::move(socket));
}

} // namespace walgd::daemon

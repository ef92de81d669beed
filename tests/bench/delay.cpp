// A TCP proxy that delivers everything later, in both directions: the network's delay where the kernel has no netem.
// usage: bench_delay LISTEN_PORT TARGET_PORT ROUND_TRIP_US    on 127.0.0.1; ends with SIGTERM
// A new connection's first bytes to the server come a round trip later still, as its handshake would cost. Bandwidth is not
// limited, and TCP's slow start over the long way is not imitated.
#include <algorithm>
#include <arpa/inet.h>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t chunk_bytes = 256 << 10;
/// Of one direction; a sender that is further ahead waits.
constexpr std::size_t queued_bytes_max = 64 << 20;

sockaddr_in local(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

class Socket {
public:
    explicit Socket(int fd) : fd_(fd) {
        const int on = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    Socket(const Socket&) = delete;
    ~Socket() { ::close(fd_); }
    int get() const { return fd_; }

private:
    int fd_;
};

struct Chunk {
    Clock::time_point due;
    std::unique_ptr<char[]> bytes;
    std::size_t count; ///< 0: the sender is done
};

/// One direction of a connection.
class Flow {
public:
    Flow(std::shared_ptr<Socket> from, std::shared_ptr<Socket> to, Clock::duration delay, Clock::time_point not_before)
        : from_(std::move(from)), to_(std::move(to)), delay_(delay), not_before_(not_before) {}

    void take() {
        for (std::size_t count = 1; count > 0;) {
            auto bytes = std::make_unique_for_overwrite<char[]>(chunk_bytes);
            const auto got = ::recv(from_->get(), bytes.get(), chunk_bytes, 0);
            count = got > 0 ? static_cast<std::size_t>(got) : 0;
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [this] { return queued_bytes_ < queued_bytes_max; });
            queue_.push_back({std::max(Clock::now() + delay_, not_before_), std::move(bytes), count});
            queued_bytes_ += count;
            changed_.notify_all();
        }
    }

    void give() {
        for (bool open = true;;) {
            auto chunk = next();
            std::this_thread::sleep_until(chunk.due);
            if (chunk.count == 0) break;
            for (std::size_t sent = 0; open && sent < chunk.count;) {
                const auto count = ::send(to_->get(), chunk.bytes.get() + sent, chunk.count - sent, MSG_NOSIGNAL);
                open = count > 0;
                sent += open ? static_cast<std::size_t>(count) : 0;
            }
            // Who listens no more is told to the sender; what it still sends is thrown away.
            if (!open) ::shutdown(from_->get(), SHUT_RD);
        }
        ::shutdown(to_->get(), SHUT_WR);
    }

private:
    Chunk next() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !queue_.empty(); });
        auto chunk = std::move(queue_.front());
        queue_.pop_front();
        queued_bytes_ -= chunk.count;
        changed_.notify_all();
        return chunk;
    }

    std::shared_ptr<Socket> from_, to_;
    const Clock::duration delay_;
    const Clock::time_point not_before_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Chunk> queue_;
    std::size_t queued_bytes_ = 0;
};

void carry(std::shared_ptr<Socket> from, std::shared_ptr<Socket> to, Clock::duration delay, Clock::time_point not_before) {
    auto flow = std::make_shared<Flow>(std::move(from), std::move(to), delay, not_before);
    std::thread([flow] { flow->take(); }).detach();
    std::thread([flow] { flow->give(); }).detach();
}

} // namespace

int main(int count, char** words) {
    if (count != 4) {
        std::fputs("usage: bench_delay LISTEN_PORT TARGET_PORT ROUND_TRIP_US\n", stderr);
        return 1;
    }
    const auto address = local(std::atoi(words[1])), target = local(std::atoi(words[2]));
    const std::chrono::microseconds round_trip(std::atol(words[3]));
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("bind");
    if (::listen(listener, 128) != 0) fail("listen");
    for (;;) {
        const int accepted = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (accepted < 0) fail("accept");
        const auto client = std::make_shared<Socket>(accepted);
        const auto server = std::make_shared<Socket>(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (::connect(server->get(), reinterpret_cast<const sockaddr*>(&target), sizeof target) != 0) continue; // closes both
        const auto now = Clock::now();
        carry(client, server, round_trip / 2, now + round_trip * 3 / 2);
        carry(server, client, round_trip / 2, now);
    }
}

#include "client/walg/daemon_client_verb.hpp"

#include "client/walg/verb.hpp"
#include "common/base/handles.hpp"
#include "config/values.hpp"
#include "proto/walg_frame.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <iostream>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace walgd::cli {

namespace {

using namespace std::string_view_literals;
using Clock = std::chrono::steady_clock;

constexpr int code_absent = 74, code_failed = 1;

constexpr auto usage = "usage: walg-daemon-client SOCKET wal-push NAME [options]\n"
                       "       walg-daemon-client SOCKET wal-fetch NAME DESTINATION [options]\n"
                       "Asks a daemon that speaks WAL-G's protocol. NAME is %f, DESTINATION %p.\n"
                       "  -timeout DURATION             how long the answer may take (60s)\n"
                       "  -connection-timeout DURATION  how long connecting may take (5s)\n"
                       "  -version                      the version of this program\n"
                       "Exit code 0: done; 74: the archive has no such file; 1: anything else.\n"sv;

struct Order {
    std::string socket;
    proto::WalgRequest request;
    std::chrono::milliseconds timeout{60000}, connection_timeout{5000};
    bool help = false, version = false;
};

Error wrong_usage(const std::string& what) {
    return Error(ErrorKind::misconfigured, what, "walg-daemon-client -help tells how it is called");
}

/// One option as Go writes them: "-name value", "-name=value", with one dash or two.
void take_option(Order& order, const std::vector<std::string>& words, std::size_t& index) {
    auto name = words[index].substr(words[index].starts_with("--") ? 2 : 1);
    std::optional<std::string> value;
    if (const auto equals = name.find('='); equals != std::string::npos) {
        value = name.substr(equals + 1);
        name.resize(equals);
    }
    order.help = order.help || name == "help" || name == "h";
    order.version = order.version || name == "version";
    if (order.help || order.version) return;
    if (name != "timeout" && name != "connection-timeout") throw wrong_usage(fmt::format("there is no option -{}", name));
    if (!value && index + 1 < words.size()) value = words[++index];
    const auto duration = value ? config::parse_duration(*value) : std::nullopt;
    if (!duration) throw wrong_usage(fmt::format("-{} wants a duration: 60s, 500ms, 1m", name));
    (name == "timeout" ? order.timeout : order.connection_timeout) = *duration;
}

Order parse_order(const std::vector<std::string>& words) {
    Order order;
    std::vector<std::string> plain;
    for (std::size_t index = 0; index < words.size(); ++index) {
        if (words[index].size() > 1 && words[index][0] == '-')
            take_option(order, words, index);
        else
            plain.push_back(words[index]);
    }
    if (order.help || order.version) return order;
    if (plain.size() == 3 && plain[1] == "wal-push")
        order.request = {proto::WalgType::push, plain[2]};
    else if (plain.size() == 4 && plain[1] == "wal-fetch")
        order.request = {proto::WalgType::fetch, proto::encoded_arguments({plain[2], plain[3]})};
    else
        throw wrong_usage("a socket, then wal-push with a name, or wal-fetch with a name and a destination are wanted");
    order.socket = plain[0];
    return order;
}

/// Until the descriptor is ready for `events`.
void wait_for(int fd, short events, Clock::time_point deadline, const std::string& late) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) throw Error(ErrorKind::transient, late);
        pollfd waiting{fd, events, 0};
        const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, 1 << 30)));
        if (ready > 0) return;
        if (ready < 0 && errno != EINTR) throw_errno("cannot wait for the daemon");
    }
}

UniqueFd connected(const Order& order) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (order.socket.size() >= sizeof address.sun_path) throw wrong_usage(fmt::format("the path {} is too long", order.socket));
    std::memcpy(address.sun_path, order.socket.c_str(), order.socket.size() + 1);
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) throw_errno("cannot make a socket");
    // A connect to a Unix socket waits only while the listener's queue is full, and then for as long as sending may take.
    timeval limit{};
    limit.tv_sec = order.connection_timeout.count() / 1000;
    limit.tv_usec = order.connection_timeout.count() % 1000 * 1000;
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
        throw_errno("cannot set the connection timeout");
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw_errno(fmt::format("cannot connect to {}", order.socket), errno, "is the daemon running, with this socket?");
    return fd;
}

void send_request(int fd, const Order& order) {
    const auto bytes = proto::encoded(order.request);
    if (bytes.empty()) throw wrong_usage("the names are too long");
    for (std::size_t sent = 0; sent < bytes.size();) {
        const auto count = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno(fmt::format("cannot send to {}", order.socket));
        sent += static_cast<std::size_t>(count);
    }
}

char receive_reply(int fd, const Order& order, Clock::time_point deadline) {
    wait_for(fd, POLLIN, deadline, fmt::format("no answer from {} within {} ms", order.socket, order.timeout.count()));
    char reply = 0;
    const auto count = ::recv(fd, &reply, 1, 0);
    if (count < 0) throw_errno(fmt::format("cannot receive from {}", order.socket));
    if (count == 0) throw Error(ErrorKind::transient, fmt::format("{} closed the connection without an answer", order.socket));
    return reply;
}

int ask(const Order& order) {
    const auto deadline = Clock::now() + order.timeout;
    const auto fd = connected(order);
    send_request(fd.get(), order);
    switch (static_cast<proto::WalgReply>(receive_reply(fd.get(), order, deadline))) {
    case proto::WalgReply::done:
        return 0;
    case proto::WalgReply::absent:
        std::cerr << "walg-daemon-client: the archive has no such file\n";
        return code_absent;
    case proto::WalgReply::error:
        break;
    }
    throw Error(ErrorKind::failed, "the daemon answered with an error", "its log tells which");
}

class DaemonClient : public Verb {
public:
    std::string name() const override { return "daemon-client"; }
    std::string help() const override {
        return "Ask a daemon in WAL-G's protocol, as walg-daemon-client: SOCKET wal-push NAME | wal-fetch NAME DESTINATION";
    }
    void options(CLI::App& command) override {
        // Its options have one dash and stand behind its words: not the command line's to read.
        command.fallthrough(false);
        command.prefix_command();
        command_ = &command;
    }
    int run(Context&) override { return run_daemon_client(command_->remaining()); }

private:
    CLI::App* command_ = nullptr;
};

} // namespace

int run_daemon_client(const std::vector<std::string>& words) {
    try {
        const auto order = parse_order(words);
        if (order.help) std::cout << usage;
        if (order.version) std::cout << "walg-daemon-client\t" WALGD_VERSION "\t\t\n";
        return order.help || order.version ? 0 : ask(order);
    } catch (const Error& error) {
        std::cerr << "walg-daemon-client: " << error.what() << "\n";
        if (!error.hint().empty()) std::cerr << "HINT: " << error.hint() << "\n";
        return code_failed;
    }
}

std::unique_ptr<Verb> make_daemon_client() { return std::make_unique<DaemonClient>(); }

} // namespace walgd::cli

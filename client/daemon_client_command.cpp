#include "client/daemon_client_command.hpp"

#include "config/values.hpp"
#include "proto/walg_client.hpp"

#include <cstdio>
#include <unistd.h>

namespace walgd::cli {

namespace {

constexpr int code_absent = 74, code_failed = 1;

constexpr const char* usage = "usage: walg-daemon-client SOCKET wal-push NAME [options]\n"
                              "       walg-daemon-client SOCKET wal-fetch NAME DESTINATION [options]\n"
                              "Asks a daemon that speaks WAL-G's protocol. NAME is %f, DESTINATION %p.\n"
                              "  -timeout DURATION             how long the answer may take (60s)\n"
                              "  -connection-timeout DURATION  how long connecting may take (5s)\n"
                              "  -version                      the version of this program\n"
                              "Exit code 0: done; 74: the archive has no such file; 1: anything else.\n";

struct Order {
    std::string socket;
    proto::WalgRequest request;
    std::chrono::milliseconds timeout{60000}, connection_timeout{5000};
    bool help = false, version = false;
    std::string wrong; ///< what the words are that cannot be understood; else empty
};

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
    if (name != "timeout" && name != "connection-timeout") {
        order.wrong = "there is no option -" + name;
        return;
    }
    if (!value && index + 1 < words.size()) value = words[++index];
    const auto duration = value ? config::parse_duration(*value) : std::nullopt;
    if (duration)
        (name == "timeout" ? order.timeout : order.connection_timeout) = *duration;
    else
        order.wrong = "-" + name + " wants a duration: 60s, 500ms, 1m";
}

void take_plain_words(Order& order, const std::vector<std::string>& plain) {
    if (plain.size() == 3 && plain[1] == "wal-push")
        order.request = {proto::WalgType::push, plain[2]};
    else if (plain.size() == 4 && plain[1] == "wal-fetch")
        order.request = {proto::WalgType::fetch, proto::encoded_arguments({plain[2], plain[3]})};
    else
        order.wrong = "a socket, then wal-push with a name, or wal-fetch with a name and a destination are wanted";
    if (!order.wrong.empty()) return;
    order.socket = plain[0];
    if (order.request.body.empty() || proto::encoded(order.request).empty()) order.wrong = "the names are empty or too long";
}

Order parse_order(const std::vector<std::string>& words) {
    Order order;
    std::vector<std::string> plain;
    for (std::size_t index = 0; index < words.size() && order.wrong.empty(); ++index) {
        if (words[index].size() > 1 && words[index][0] == '-')
            take_option(order, words, index);
        else
            plain.push_back(words[index]);
    }
    if (order.wrong.empty() && !order.help && !order.version) take_plain_words(order, plain);
    return order;
}

int fail(const std::string& message, const std::string& hint) {
    const auto text = "walg-daemon-client: " + message + "\n" + (hint.empty() ? "" : "HINT: " + hint + "\n");
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size()); // nobody to tell if it fails
    return code_failed;
}

int ask(const Order& order) {
    const auto began = std::chrono::steady_clock::now();
    proto::WalgClient client;
    if (!client.connect(order.socket, order.connection_timeout) || !client.send(order.request))
        return fail(client.error(), client.hint());
    const auto reply = client.receive(began, order.timeout);
    if (!reply) return fail(client.error(), client.hint());
    if (*reply == proto::WalgReply::done) return 0;
    if (*reply != proto::WalgReply::absent) return fail("the daemon answered with an error", "its log tells which");
    fail("the archive has no such file", "");
    return code_absent;
}

} // namespace

int run_daemon_client(const std::vector<std::string>& words) {
    const auto order = parse_order(words);
    if (!order.wrong.empty()) return fail(order.wrong, "walg-daemon-client -help tells how it is called");
    if (order.help && std::fputs(usage, stdout) < 0) return code_failed;
    if (order.version && std::fputs("walg-daemon-client\t" WALGD_VERSION "\t\t\n", stdout) < 0) return code_failed;
    return order.help || order.version ? 0 : ask(order);
}

} // namespace walgd::cli

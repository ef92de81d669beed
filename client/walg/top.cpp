#include "client/walg/daemon_client.hpp"
#include "client/walg/verb.hpp"

#include <chrono>
#include <condition_variable>
#include <fmt/format.h>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace walgd::cli {

namespace {

using Json = nlohmann::ordered_json;

std::string size_text(double bytes) {
    const char* units[] = {"B", "kB", "MB", "GB", "TB"};
    std::size_t unit = 0;
    for (; bytes >= 1000 && unit < 4; ++unit) bytes /= 1000;
    return fmt::format("{:.{}f} {}", bytes, unit == 0 || bytes >= 10 ? 0 : 1, units[unit]);
}

/// One screen of a daemon's state. `rate`: bytes of WAL a second since the screen before.
std::string screen_of(const Json& status, double rate) {
    const auto& wal = status.at("wal");
    const auto& storage = status.at("storage_state");
    std::string text = fmt::format("walgd {}  {}\n", status.value("version", ""), status.value("storage", ""));
    text += fmt::format("storage    {} since {}\n", storage.value("state", ""), storage.value("since", "-"));
    text += fmt::format("WAL        last {} at {}, {}/s\n", wal.value("last_pushed", ""), wal.value("last_pushed_at", "-"),
                        size_text(rate));
    text += fmt::format("           {} stored, {} ahead, {} failed; {} under way, {} wait\n", wal.value("pushed", 0),
                        wal.value("stored_ahead", 0), wal.value("push_failed", 0), wal.value("in_flight", 0),
                        wal.value("backlog", 0));
    text += fmt::format("restore    {} fetched, {} absent, {} failed\n", wal.value("fetched", 0), wal.value("fetch_absent", 0),
                        wal.value("fetch_failed", 0));
    text += fmt::format("memory     {} of {}\n", size_text(status.value("memory_used", 0.0)),
                        size_text(status.value("memory_budget", 0.0)));
    if (status.contains("backup")) {
        const auto& job = status.at("backup");
        const auto done = job.value("bytes_done", 0.0), total = job.value("bytes_total", 0.0);
        text += job.value("running", false)
                    ? fmt::format("backup     {:.0f} % of {}, {} stored\n", total > 0 ? 100 * done / total : 0, size_text(total),
                                  size_text(job.value("stored_bytes", 0.0)))
                    : fmt::format("backup     {}\n",
                                  job.contains("error") ? "FAILED: " + job.value("error", "") : "done: " + job.value("name", ""));
    }
    for (const auto& task : status.value("schedule", Json::array()))
        text += fmt::format("{:<10} next {}{}\n", task.value("what", ""), task.value("next", "-"),
                            task.value("why", "").empty() ? "" : "; waits: " + task.value("why", ""));
    if (!wal.value("last_error", "").empty())
        text += fmt::format("last error {} {}\n", wal.value("last_error_at", ""), wal.value("last_error", ""));
    return text;
}

class Top : public Verb {
public:
    std::string name() const override { return "top"; }
    std::string help() const override { return "The daemon's state, live, until interrupted"; }
    bool in_walg() const override { return false; }
    void options(CLI::App& command) override {
        command.add_option("--interval", interval_, "Seconds between two looks")
            ->capture_default_str()
            ->check(CLI::Range(1, 3600));
        command.add_option("--count", count_, "So many looks, then end; 0: no end")->capture_default_str();
    }
    int run(Context& context) override {
        std::mutex mutex;
        std::condition_variable_any stopped;
        double before = -1;
        for (unsigned look = 1; !context.stop.stop_requested(); ++look) {
            const auto status = Json::parse(daemon_status(context, true));
            const auto bytes = status.at("wal").value("plain_bytes", 0.0);
            const auto rate = before < 0 || bytes < before /* a new daemon */ ? 0 : (bytes - before) / interval_;
            before = bytes;
            // Clears what the look before left, line by line, so that nothing flickers; a file or a pipe gets plain text.
            if (::isatty(STDOUT_FILENO) == 1) std::cout << "\033[H\033[J";
            std::cout << screen_of(status, rate) << std::flush;
            if (look == count_ || !std::cout) break; // who looked has left
            std::unique_lock lock(mutex);
            stopped.wait_for(lock, context.stop, std::chrono::seconds(interval_), [] { return false; });
        }
        return 0;
    }

private:
    int interval_ = 1;
    unsigned count_ = 0;
};

} // namespace

std::unique_ptr<Verb> make_top() { return std::make_unique<Top>(); }

} // namespace walgd::cli

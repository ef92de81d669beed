#include "client/walg/daemon_client.hpp"
#include "client/walg/verb.hpp"

#include <fmt/format.h>
#include <iostream>
#include <nlohmann/json.hpp>

namespace walgd::cli {

namespace {

using Json = nlohmann::ordered_json;

/// What ran, what comes, and why something does not: a task in a line.
void print_table(const Json& tasks) {
    if (tasks.empty()) {
        std::cout << "no schedule is configured: schedule_full and schedule_delta set one, see walg config --reference\n";
        return;
    }
    std::cout << fmt::format("{:<10} {:<21} {:<21} {}\n", "TASK", "NEXT", "LAST", "OUTCOME");
    for (const auto& task : tasks) {
        const auto why = task.value("why", "");
        const auto outcome = task.contains("last")
                                 ? fmt::format("{}{} ({})", task.value("ok", false) ? "" : "FAILED: ", task.value("text", ""),
                                               task.value("host", ""))
                                 : std::string("never ran");
        const auto next = task.value("next", "");
        std::cout << fmt::format("{:<10} {:<21} {:<21} {}{}\n", task.value("what", ""), next.empty() ? "-" : next,
                                 task.value("last", "-"), outcome, why.empty() ? "" : "; waits: " + why);
    }
}

class ShowSchedule : public Verb {
public:
    std::string name() const override { return "schedule"; }
    std::string help() const override {
        return "What the daemon does by the calendar: what ran, what comes, and why something does not";
    }
    void options(CLI::App& command) override { command.add_flag("--json", json_, "As JSON"); }
    int run(Context& context) override {
        const auto status = Json::parse(daemon_status(context, true));
        const auto tasks = status.value("schedule", Json::array());
        if (json_)
            std::cout << tasks.dump(4) << "\n";
        else
            print_table(tasks);
        return 0;
    }

private:
    bool json_ = false;
};

} // namespace

std::unique_ptr<Verb> make_show_schedule() { return std::make_unique<ShowSchedule>(); }

} // namespace walgd::cli

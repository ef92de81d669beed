#include "daemon/storage_state.hpp"

#include "common/base/in_quotes.hpp"
#include "common/base/time_text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::daemon {

using storage::StorageHealth;
using Report = StorageHealth::Report;
using State = StorageHealth::State;

namespace {

constexpr std::chrono::minutes slow_again{1};

std::int64_t seconds_between(StorageHealth::Time from, StorageHealth::Time to) {
    return std::chrono::duration_cast<std::chrono::seconds>(to - from).count();
}

/// What was logged last, so that each beginning has its end and a slow line does not fill the log.
class Logger {
public:
    explicit Logger(Log& log) : log_(log) {}

    void operator()(const Report& before, const Report& now) {
        switch (now.state) {
        case State::failing:
            log_.warn("event=storage_failing error={} hint={}", in_quotes(now.trouble), in_quotes(now.hint));
            told_ = true;
            break;
        case State::slow:
            if (now.since - slow_at_ < slow_again) break;
            log_.warn("event=storage_slow waiting={}", in_quotes(now.trouble));
            slow_at_ = now.since;
            told_ = true;
            break;
        default:
            if (told_)
                log_.info("event=storage_answers after_s={} failures={}", seconds_between(before.since, now.since), before.row);
            told_ = false;
        }
    }

private:
    Log& log_;
    bool told_ = false;
    StorageHealth::Time slow_at_{};
};

} // namespace

nlohmann::ordered_json storage_state_json(const StorageHealth* health) {
    if (health == nullptr) return nlohmann::ordered_json::object();
    const auto& report = health->report();
    return {{"state", name_of(report.state)},
            {"since", time_or_dash(report.since)},
            {"failures", report.row},
            {"trouble", report.trouble},
            {"hint", report.hint},
            {"trouble_at", time_or_dash(report.trouble_at)}};
}

nlohmann::ordered_json storages_json(const storage::Aliveness* members) {
    auto all = nlohmann::ordered_json::object();
    if (members == nullptr) return all;
    for (std::size_t index = 0; index < members->states().size(); ++index) {
        const auto& state = members->states()[index];
        auto text = fmt::format("{}{}",
                                state.writes  ? "alive"
                                : state.reads ? "read only"
                                              : "dead",
                                index == members->home() ? ", new objects go there" : "");
        if (!state.writes) text += fmt::format(" since {}: {}", time_or_dash(state.since), state.trouble);
        all[state.name] = std::move(text);
    }
    return all;
}

std::function<void(const Report&, const Report&)> storage_state_logger(Log& log) { return Logger(log); }

} // namespace walgd::daemon

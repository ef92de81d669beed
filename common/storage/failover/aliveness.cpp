#include "common/storage/failover/aliveness.hpp"

#include "common/base/in_quotes.hpp"

#include <algorithm>

namespace walgd::storage {

bool is_outage(const Error& error) {
    switch (error.kind()) {
    case ErrorKind::transient:
    case ErrorKind::denied:
    case ErrorKind::misconfigured:
    case ErrorKind::failed:
    case ErrorKind::protocol:
        return true;
    case ErrorKind::corrupt:
    case ErrorKind::refused:
    case ErrorKind::cancelled:
        break;
    }
    return false;
}

Aliveness::Aliveness(const std::vector<std::string>& names, Log& log) : log_(log) {
    for (const auto& name : names) {
        states_.emplace_back();
        states_.back().name = name;
    }
}

void Aliveness::note_turn(State& state, Use use, bool reads, bool writes) {
    state.asked = Clock::now();
    if (use == Use::write || state.writes != writes) state.written = state.asked;
    if (state.reads == reads && state.writes == writes) return;
    const auto worse = (state.reads && !reads) || (state.writes && !writes);
    state.reads = reads;
    state.writes = writes;
    state.since = std::chrono::system_clock::now();
    if (worse)
        log_.warn("event=storage_dead storage={} reads={} writes={} error={} hint={}", state.name, reads, writes,
                  in_quotes(state.trouble), in_quotes(state.hint));
    else
        log_.info("event=storage_alive storage={} reads={} writes={}", state.name, reads, writes);
    const auto first = std::ranges::find(states_, true, &State::writes);
    const auto home = first == states_.end() ? 0 : static_cast<std::size_t>(first - states_.begin());
    if (home == home_) return;
    log_.warn("event=storage_switched from={} to={}", states_[home_].name, states_[home].name);
    home_ = home;
    ++switches_;
}

void Aliveness::answered(std::size_t index, Use use) {
    auto& state = states_[index];
    state.failure.reset();
    note_turn(state, use, true, state.writes || use == Use::write);
}

void Aliveness::failed(std::size_t index, Use use, const Error& error) {
    auto& state = states_[index];
    state.trouble = error.what();
    state.hint = error.hint();
    if (use == Use::read) state.failure = error;
    note_turn(state, use, state.reads && use != Use::read, false);
}

} // namespace walgd::storage

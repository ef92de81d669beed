#pragma once
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace walgd::storage {

/// What a storage is wanted for.
enum class Use { read, write };

/// True for what says that a storage cannot be worked with: no answer, no access, no such bucket, no room. False for an object's
/// own trouble (damaged, may not be replaced), and where somebody gave up.
bool is_outage(const Error& error);

/// Which of several storages can be worked with, as far as their last answers tell; the first is the primary. Decides and logs
/// the turns, asks nobody. On the I/O thread.
class Aliveness {
public:
    struct State {
        std::string name;
        bool reads = true, writes = true;              ///< until an answer says otherwise
        std::chrono::system_clock::time_point since{}; ///< of the last turn; none yet: the epoch
        std::string trouble, hint;                     ///< the last outage; stays when it is over
        std::optional<Error> failure;                  ///< while it cannot be read
        Clock::time_point asked = Clock::now();        ///< when its last answer, or failure, came
        Clock::time_point written = Clock::now();      ///< the same of what was written; also when it turned out not to be alive
    };

    Aliveness(const std::vector<std::string>& names, Log& log);

    void answered(std::size_t index, Use use);
    /// What cannot be read is not written to either: nobody could look what is there.
    void failed(std::size_t index, Use use, const Error& error);

    bool alive(std::size_t index, Use use) const { return use == Use::read ? states_[index].reads : states_[index].writes; }
    /// What is known of it for `use` is older than `lifetime`.
    bool stale(std::size_t index, Use use, Clock::duration lifetime) const {
        const auto& state = states_[index];
        return Clock::now() - (use == Use::read ? state.asked : state.written) >= lifetime;
    }
    /// None can be written to.
    bool all_dead() const { return !states_[home_].writes; }
    /// Where new objects go: the first that can be written to; the primary, where none can.
    std::size_t home() const { return home_; }

    const std::vector<State>& states() const { return states_; }
    std::uint64_t switches() const { return switches_; }

private:
    void note_turn(State& state, Use use, bool reads, bool writes);

    std::vector<State> states_;
    std::size_t home_ = 0;
    std::uint64_t switches_ = 0;
    Log& log_;
};

} // namespace walgd::storage

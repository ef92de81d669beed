#pragma once
#include "common/base/error.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace walgd::storage {

/// What the last requests say of a storage. Decides only: told by a decorator, asked by status and log. On the I/O thread.
class StorageHealth {
public:
    using Time = std::chrono::system_clock::time_point;
    enum class State {
        unknown,   ///< nothing was asked yet
        answering, ///< the last answer was one that we can work with
        slow,      ///< a request waits for longer than it should
        failing,   ///< no answer, or one that lets nothing be done: 503, access denied, no such bucket
    };
    struct Report {
        State state = State::unknown;
        Time since{};          ///< since when it is so; slow that becomes failing counts from its beginning
        std::string trouble;   ///< what waits, or the last error; stays when it is over. Empty: there was none
        std::string hint;      ///< the last error's
        Time trouble_at{};     ///< when `trouble` was met
        std::uint64_t row = 0; ///< failures since the last answer
    };

    /// A request begins: its number.
    std::uint64_t asked() { return ++asked_; }
    /// One that was on its way already when another failed does not end the failing.
    void answered(std::uint64_t request, Time now);
    void failed(std::uint64_t request, const Error& error, Time now);
    /// `what` waits: "put wal_005/...: no answer for 3 s".
    void overdue(const std::string& what, Time now);

    const Report& report() const { return report_; }
    /// `listener` is told of every turn, with what was before and what is now.
    void on_turn(std::function<void(const Report& before, const Report& now)> listener) { listener_ = std::move(listener); }

private:
    void turn(State state, Time since);

    Report report_;
    std::uint64_t asked_ = 0;
    std::uint64_t failed_up_to_ = 0; ///< the newest request when the last one failed
    std::function<void(const Report&, const Report&)> listener_;
};

std::string_view name_of(StorageHealth::State state);

} // namespace walgd::storage

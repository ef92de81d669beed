#include "common/storage/health/storage_health.hpp"

namespace walgd::storage {

std::string_view name_of(StorageHealth::State state) {
    switch (state) {
    case StorageHealth::State::unknown:
        return "not asked yet";
    case StorageHealth::State::answering:
        return "answering";
    case StorageHealth::State::slow:
        return "slow";
    case StorageHealth::State::failing:
        return "failing";
    }
    return "";
}

void StorageHealth::turn(State state, Time since) {
    const auto before = report_;
    report_.state = state;
    report_.since = since;
    if (listener_) listener_(before, report_);
    if (state == State::answering) report_.row = 0;
}

void StorageHealth::answered(std::uint64_t request, Time now) {
    const bool too_old = report_.state == State::failing && request <= failed_up_to_;
    if (report_.state != State::answering && !too_old) turn(State::answering, now);
}

void StorageHealth::failed(std::uint64_t request, const Error& error, Time now) {
    if (error.kind() == ErrorKind::cancelled) return;
    report_.trouble = error.what();
    report_.hint = error.hint();
    report_.trouble_at = now;
    // A damaged object, or one that may not be replaced, is that object's trouble: the storage did answer.
    if (error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::refused) return answered(request, now);
    failed_up_to_ = asked_;
    ++report_.row;
    if (report_.state != State::failing) turn(State::failing, report_.state == State::slow ? report_.since : now);
}

void StorageHealth::overdue(const std::string& what, Time now) {
    if (report_.state == State::failing || report_.state == State::slow) return;
    report_.trouble = what;
    report_.hint.clear();
    report_.trouble_at = now;
    turn(State::slow, now);
}

} // namespace walgd::storage

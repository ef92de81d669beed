#include "common/storage/failover/members.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::storage {

namespace {

const ObjectKey check_key{std::string(check_name)};
/// A member that failed is asked again after so long, where the answer depends on it.
constexpr std::chrono::seconds asked_again_after{5};
constexpr std::chrono::milliseconds watch_pause_least{200};

std::vector<std::string> names_of(const std::vector<FailoverMember>& members) {
    std::vector<std::string> names;
    for (const auto& member : members) names.push_back(member.name);
    return names;
}

} // namespace

Members::Members(std::vector<FailoverMember> members, MembersOptions options, Log& log)
    : members_(std::move(members)), options_(options), aliveness_(names_of(members_), log), log_(log),
      keeps_names_(members_.size()) {}

std::vector<std::size_t> Members::to_ask(Reach reach) const {
    std::vector<std::size_t> likely, others;
    for (std::size_t index = 0; index < size(); ++index) {
        const bool ask = aliveness_.alive(index, Use::read) || aliveness_.stale(index, Use::read, options_.lifetime);
        (ask ? likely : others).push_back(index);
    }
    if (reach == Reach::all || likely.empty()) likely.insert(likely.end(), others.begin(), others.end());
    return likely;
}

void Members::check_not_just_failed(std::size_t index) const {
    const auto& state = aliveness_.states()[index];
    if (state.failure && !aliveness_.stale(index, Use::read, asked_again_after)) throw *state.failure;
}

void Members::note_failure(std::size_t index, Use use, const Error& error) {
    if (passes_on(error)) aliveness_.failed(index, use, error);
}

void Members::refuse_absent(const ObjectKey& key, std::size_t index, const Error& error) const {
    throw Error(error.kind(),
                fmt::format("whether {} is there is not known: the storage {} does not answer: {}", key.path(), name(index),
                            error.what()),
                fmt::format("the other storages do not have it. To go on without {}, take it out of the settings", name(index)));
}

awaitable<bool> Members::usable(std::size_t index) {
    if (!options_.check) co_return index == 0;
    if (aliveness_.alive(index, Use::write)) co_return true;
    // While none is alive nothing is stored at all: that is not left to its time.
    const bool due = aliveness_.all_dead() ? aliveness_.stale(index, Use::write, asked_again_after)
                                           : !watched_ && aliveness_.stale(index, Use::write, options_.lifetime);
    if (!due) co_return false;
    co_await check_quietly(index);
    co_return aliveness_.alive(index, Use::write);
}

awaitable<void> Members::write_and_remove(std::size_t index) {
    const std::vector<std::byte> zeros(options_.check_bytes);
    auto put = quick(index).put(check_key, zeros, {});
    co_await noted<PutOutcome>(index, Use::write, std::move(put));
    const PutOptions if_absent{.if_absent = true, .metadata = {}};
    auto second = quick(index).put(check_key, zeros, if_absent);
    const auto outcome = co_await noted<PutOutcome>(index, Use::write, std::move(second));
    note_outcome(index, outcome);
    std::vector<ObjectKey> used{check_key};
    std::optional<Error> left; // where nothing may be removed it can be written to all the same
    try {
        const auto failures = co_await quick(index).remove(std::move(used));
        if (!failures.empty()) left = failures.front().error;
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::denied && error.kind() != ErrorKind::misconfigured) throw;
        left = error;
    }
    if (left) log_.debug("event=check_not_removed storage={} key={} error={}", name(index), check_key.path(), left->what());
}

awaitable<void> Members::check(std::size_t index) {
    std::optional<Error> failure;
    try {
        auto late =
            fmt::format("{} did not take a small object within {} ms", quick(index).describe(), options_.check_timeout.count());
        co_await within(options_.check_timeout, write_and_remove(index), std::move(late));
        co_return;
    } catch (const Error& error) {
        failure = error;
    }
    note_failure(index, Use::write, *failure); // also when it was given up
    throw *failure;
}

awaitable<void> Members::check_quietly(std::size_t index) {
    try {
        co_await check(index);
    } catch (const Error& error) {
        if (!is_outage(error)) throw;
    }
}

awaitable<void> Members::check_all() {
    for (std::size_t index = 0; index < size(); ++index) {
        co_await check_quietly(index);
    }
}

awaitable<void> Members::watch() {
    if (!options_.check) co_return;
    watched_ = true;
    co_await check_all();
    for (;;) {
        auto next = Clock::now() + options_.lifetime;
        for (std::size_t index = 0; index < size(); ++index) {
            if (aliveness_.stale(index, Use::write, options_.lifetime)) {
                co_await check_quietly(index);
            }
            next = std::min(next, aliveness_.states()[index].written + options_.lifetime);
        }
        const auto pause = std::max<Clock::duration>(next - Clock::now(), watch_pause_least);
        co_await sleep_for(pause);
    }
}

} // namespace walgd::storage

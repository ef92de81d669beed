#pragma once
#include "common/storage/failover/aliveness.hpp"
#include "common/storage/storage.hpp"

#include <memory>
#include <string_view>
#include <utility>

namespace walgd::storage {

/// The object that a storage is tried with: WAL-G's name for it, at the top of the storage.
inline constexpr std::string_view check_name = "wal-g_storage_check";

/// One of several storages.
struct FailoverMember {
    std::string name;
    Storage& quick;   ///< gives up soon: another one may do it
    Storage& patient; ///< tries for as long as if there were no other
};

struct MembersOptions {
    bool check = true; ///< WALG_FAILOVER_STORAGES_CHECK; false: all count as alive, and new objects go to the primary alone
    std::chrono::milliseconds check_timeout{30000};
    std::chrono::milliseconds lifetime{900000}; ///< a state that is older is found out anew
    std::uint64_t check_bytes = 1 << 20;
};

/// Which members have to answer.
enum class Reach {
    all,       ///< each: what is in none is absent, and an outage of one that could have it is an Error
    answering, ///< one at least
};

/// Several storages and what is known of them. Each call notes what its end says of the member. On the I/O thread.
class Members {
public:
    Members(std::vector<FailoverMember> members, MembersOptions options, Log& log);

    std::size_t size() const { return members_.size(); }
    Storage& quick(std::size_t index) const { return options_.check ? members_[index].quick : members_[index].patient; }
    Storage& patient(std::size_t index) const { return members_[index].patient; }
    const std::string& name(std::size_t index) const { return members_[index].name; }
    const MembersOptions& options() const { return options_; }
    Aliveness& aliveness() { return aliveness_; }
    const Aliveness& aliveness() const { return aliveness_; }

    /// True when another member may do what ended so.
    bool passes_on(const Error& error) const { return options_.check && is_outage(error); }
    /// The ones to ask for `reach`, nearest first: those that are alive, or whose state is old; with Reach::all, or where none is
    /// alive, then the others.
    std::vector<std::size_t> to_ask(Reach reach) const;
    /// Throws where the member cannot be read, and that is known since a moment: it is not asked again so soon.
    void check_not_just_failed(std::size_t index) const;

    /// `call` is of the member; its end is noted.
    template <class T> awaitable<T> noted(std::size_t index, Use use, awaitable<T> call);
    /// Asks one after the other until one has it, with its index. Found is false where there is none. One that has it and does
    /// not hand it out, of an archive class, is passed over as long as another one does.
    template <class Found, class Ask> awaitable<std::pair<Found, std::size_t>> find(Reach reach, ObjectKey key, Ask ask);

    /// Whether new objects can go there: it is alive, or turns out to be, where that is to be found out now.
    awaitable<bool> usable(std::size_t index);
    /// Writes a small object, tries to write it once more if absent, and removes it; throws what that meets.
    awaitable<void> check(std::size_t index);
    /// The same with each; what is met says so in the members' states alone.
    awaitable<void> check_all();
    /// Checks all, then every member whose state is old, again and again, until it is cancelled.
    awaitable<void> watch();
    /// It was seen to refuse a second object of one name.
    bool keeps_names(std::size_t index) const { return keeps_names_[index]; }
    void note_outcome(std::size_t index, PutOutcome outcome) {
        if (outcome == PutOutcome::exists) keeps_names_[index] = true;
    }

private:
    void note_failure(std::size_t index, Use use, const Error& error);
    [[noreturn]] void refuse_absent(const ObjectKey& key, std::size_t index, const Error& error) const;
    awaitable<void> write_and_remove(std::size_t index);
    /// What is met says so in the member's state alone.
    awaitable<void> check_quietly(std::size_t index);

    std::vector<FailoverMember> members_;
    MembersOptions options_;
    Aliveness aliveness_;
    Log& log_;
    std::vector<bool> keeps_names_;
    bool watched_ = false;
};

template <class T> awaitable<T> Members::noted(std::size_t index, Use use, awaitable<T> call) {
    std::optional<Error> failure;
    try {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(call);
            aliveness_.answered(index, use);
            co_return;
        } else {
            auto result = co_await std::move(call);
            aliveness_.answered(index, use);
            co_return result;
        }
    } catch (const Error& error) {
        failure = error;
    }
    note_failure(index, use, *failure);
    throw *failure;
}

template <class Found, class Ask> awaitable<std::pair<Found, std::size_t>> Members::find(Reach reach, ObjectKey key, Ask ask) {
    std::optional<std::pair<std::size_t, Error>> first_failure;
    std::optional<Error> kept_back;
    bool answered = false;
    for (const auto index : to_ask(reach)) {
        std::optional<Error> failure;
        try {
            check_not_just_failed(index);
            auto call = ask(quick(index));
            auto found = co_await noted<Found>(index, Use::read, std::move(call));
            if (found) co_return std::pair<Found, std::size_t>(std::move(found), index);
        } catch (const Error& error) {
            if (!is_outage(error) && error.kind() != ErrorKind::refused) throw;
            failure = error;
        }
        if (!failure)
            answered = true;
        else if (failure->kind() == ErrorKind::refused)
            kept_back = failure;
        else if (!first_failure)
            first_failure.emplace(index, *failure);
    }
    if (kept_back) throw *kept_back;
    if (first_failure && (reach == Reach::all || !answered)) refuse_absent(key, first_failure->first, first_failure->second);
    co_return std::pair<Found, std::size_t>(Found(), size());
}

} // namespace walgd::storage

#include "common/storage/failover/failover_storage.hpp"

#include "common/storage/failover/merged_listing.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::storage {

namespace {

/// More are under way at once only when somebody began them and did not go on.
constexpr std::size_t listings_max = 256;

/// An upload of what turned out to be there already: nothing is sent.
class NeedlessUpload : public Upload {
public:
    awaitable<void> put_piece(int, std::uint64_t, ByteView) override { co_return; }
    awaitable<PutOutcome> complete() override { co_return PutOutcome::exists; }
    awaitable<void> abort() override { co_return; }
};

template <class Result> Result there_already() {
    if constexpr (std::is_same_v<Result, PutOutcome>)
        return PutOutcome::exists;
    else
        return std::make_unique<NeedlessUpload>();
}

} // namespace

/// What both views have in common.
class Failover::Shared {
public:
    Shared(std::vector<FailoverMember> list, FailoverOptions options, asio::any_io_executor io, Log& log)
        : members(std::move(list), options.members, log), groups(members, std::move(options.anchor_of), std::move(io)) {
        for (std::size_t index = 0; index < members.size(); ++index)
            names.emplace_back(members.quick(index), options.neighbours, options.members.lifetime);
    }

    /// Puts a key, or begins to: `call` does it with a storage.
    template <class Result, class Call> awaitable<Result> store(ObjectKey key, bool if_absent, Call call);
    template <class Result, class Call> awaitable<Result> store_in_group(ObjectKey anchor, ObjectKey key, Call call);

    void stored(std::size_t index, const ObjectKey& key, PutOutcome outcome);
    void removed(const std::vector<ObjectKey>& keys);
    /// The listing that a token continues.
    std::shared_ptr<MergedListing> take_listing(const std::string& token);
    std::string keep_listing(std::shared_ptr<MergedListing> listing);

    Members members;
    Groups groups;
    std::vector<RememberedNames> names; ///< of each member

private:
    template <class Result, class Call>
    awaitable<Result> store_at(std::size_t index, Storage& storage, ObjectKey key, bool if_absent, Call call);
    awaitable<bool> is_elsewhere(std::size_t index, ObjectKey key);

    std::map<std::uint64_t, std::shared_ptr<MergedListing>> listings_;
    std::uint64_t next_listing_ = 0;
};

/// An upload to one member, whose end is noted.
class FailoverUpload : public Upload {
public:
    struct Hooks {
        std::function<void(PutOutcome)> stored;
        std::function<void()> failed;
    };
    FailoverUpload(Members& members, std::size_t member, std::unique_ptr<Upload> inner, Hooks hooks)
        : members_(members), member_(member), inner_(std::move(inner)), hooks_(std::move(hooks)) {}

    awaitable<void> put_piece(int number, std::uint64_t offset, ByteView bytes) override {
        try {
            auto call = inner_->put_piece(number, offset, bytes);
            co_await members_.noted<void>(member_, Use::write, std::move(call));
            co_return;
        } catch (const Error&) {
            hooks_.failed();
            throw;
        }
    }
    awaitable<PutOutcome> complete() override {
        try {
            auto call = inner_->complete();
            const auto outcome = co_await members_.noted<PutOutcome>(member_, Use::write, std::move(call));
            hooks_.stored(outcome);
            co_return outcome;
        } catch (const Error&) {
            hooks_.failed();
            throw;
        }
    }
    awaitable<void> abort() override { return inner_->abort(); }

private:
    Members& members_;
    std::size_t member_;
    std::unique_ptr<Upload> inner_;
    Hooks hooks_;
};

void Failover::Shared::stored(std::size_t index, const ObjectKey& key, PutOutcome outcome) {
    names[index].stored(key);
    members.note_outcome(index, outcome);
}

void Failover::Shared::removed(const std::vector<ObjectKey>& keys) {
    for (const auto& key : keys) {
        for (auto& of_member : names) of_member.removed(key);
        if (const auto anchor = groups.anchor_of(key)) groups.forget(*anchor);
    }
}

std::shared_ptr<MergedListing> Failover::Shared::take_listing(const std::string& token) {
    const auto found = listings_.find(std::stoull(token));
    if (found == listings_.end())
        throw Error(ErrorKind::transient, "a listing of several storages was begun and left for too many others",
                    "list again from the beginning");
    auto listing = std::move(found->second);
    listings_.erase(found);
    return listing;
}

std::string Failover::Shared::keep_listing(std::shared_ptr<MergedListing> listing) {
    if (listings_.size() >= listings_max) listings_.erase(listings_.begin());
    listings_[next_listing_] = std::move(listing);
    return std::to_string(next_listing_++);
}

/// Whether a storage that answers has that name: another than `index`, or that one where it is not known to keep what it has.
awaitable<bool> Failover::Shared::is_elsewhere(std::size_t index, ObjectKey key) {
    for (std::size_t other = 0; other < members.size(); ++other) {
        if (other == index || !members.aliveness().alive(other, Use::read)) continue;
        bool there = false;
        try {
            auto call = names[other].has(key);
            there = co_await members.noted<bool>(other, Use::read, std::move(call));
        } catch (const Error& error) {
            if (!members.passes_on(error)) throw;
        }
        if (there) co_return true;
    }
    if (members.keeps_names(index)) co_return false;
    auto call = members.quick(index).head(key);
    const auto info = co_await members.noted<std::optional<ObjectInfo>>(index, Use::read, std::move(call));
    co_return info.has_value();
}

template <class Result, class Call>
awaitable<Result> Failover::Shared::store_at(std::size_t index, Storage& storage, ObjectKey key, bool if_absent, Call call) {
    if (if_absent) {
        const bool there = co_await is_elsewhere(index, key);
        if (there) co_return there_already<Result>();
    }
    auto task = call(storage);
    auto result = co_await members.noted<Result>(index, Use::write, std::move(task));
    if constexpr (std::is_same_v<Result, PutOutcome>) {
        stored(index, key, result);
        co_return result;
    } else {
        FailoverUpload::Hooks hooks;
        hooks.stored = [this, index, key](PutOutcome outcome) { stored(index, key, outcome); };
        hooks.failed = [] {};
        Result upload = std::make_unique<FailoverUpload>(members, index, std::move(result), std::move(hooks));
        co_return upload;
    }
}

template <class Result, class Call>
awaitable<Result> Failover::Shared::store_in_group(ObjectKey anchor, ObjectKey key, Call call) {
    const auto index = co_await groups.place(anchor);
    std::exception_ptr failure;
    try {
        auto task = call(members.patient(index));
        auto result = co_await members.noted<Result>(index, Use::write, std::move(task));
        if constexpr (std::is_same_v<Result, PutOutcome>) {
            groups.stored(anchor, key, index);
            co_return result;
        } else {
            FailoverUpload::Hooks hooks;
            hooks.stored = [this, anchor, key, index](PutOutcome) { groups.stored(anchor, key, index); };
            hooks.failed = [this, anchor] { groups.failed(anchor); };
            Result upload = std::make_unique<FailoverUpload>(members, index, std::move(result), std::move(hooks));
            co_return upload;
        }
    } catch (...) {
        failure = std::current_exception();
    }
    groups.failed(anchor);
    std::rethrow_exception(failure);
}

template <class Result, class Call> awaitable<Result> Failover::Shared::store(ObjectKey key, bool if_absent, Call call) {
    if (const auto anchor = groups.anchor_of(key)) {
        auto result = co_await store_in_group<Result>(*anchor, key, call);
        co_return result;
    }
    for (std::size_t index = 0; index < members.size(); ++index) {
        const bool usable = co_await members.usable(index);
        if (!usable) continue;
        try {
            auto result = co_await store_at<Result>(index, members.quick(index), key, if_absent, call);
            co_return result;
        } catch (const Error& error) {
            if (!members.passes_on(error)) throw;
        }
    }
    // None can: it is tried as long as if there were the primary alone.
    auto result = co_await store_at<Result>(0, members.patient(0), key, if_absent, call);
    co_return result;
}

/// The storages as one, as far as they have to answer.
class Failover::View : public Storage {
public:
    View(Shared& shared, Reach reach, Storage* answering) : shared_(shared), members_(shared.members), reach_(reach) {
        answering_ = answering == nullptr ? this : answering;
    }

    std::string describe() const override {
        auto text = members_.quick(0).describe();
        for (std::size_t index = 1; index < members_.size(); ++index)
            text +=
                fmt::format("{}{} ({})", index == 1 ? ", else " : ", ", members_.name(index), members_.quick(index).describe());
        return text;
    }

    awaitable<PutOutcome> put(ObjectKey key, ByteView body, PutOptions options) override {
        auto call = [key, body, options](Storage& storage) { return storage.put(key, body, options); };
        const auto outcome = co_await shared_.store<PutOutcome>(key, options.if_absent, call);
        co_return outcome;
    }
    awaitable<std::unique_ptr<Upload>> start_upload(ObjectKey key, PutOptions options) override {
        auto call = [key, options](Storage& storage) { return storage.start_upload(key, options); };
        auto upload = co_await shared_.store<std::unique_ptr<Upload>>(key, options.if_absent, call);
        co_return upload;
    }
    /// Within the storage that the copy's group is put to.
    awaitable<CopyOutcome> copy(ObjectKey from, ObjectKey to) override {
        const auto anchor = shared_.groups.anchor_of(to);
        if (!anchor) co_return CopyOutcome::unable;
        const auto index = co_await shared_.groups.place(*anchor);
        auto call = members_.patient(index).copy(std::move(from), std::move(to));
        const auto outcome = co_await members_.noted<CopyOutcome>(index, Use::write, std::move(call));
        co_return outcome;
    }
    awaitable<std::optional<ObjectInfo>> head(ObjectKey key) override {
        auto ask = [key](Storage& storage) { return storage.head(key); };
        auto info = co_await look_up<std::optional<ObjectInfo>>(key, ask);
        co_return info;
    }
    awaitable<std::unique_ptr<ObjectReader>> get(ObjectKey key, ByteRange range) override {
        auto ask = [key, range](Storage& storage) { return storage.get(key, range); };
        auto reader = co_await look_up<std::unique_ptr<ObjectReader>>(key, ask);
        co_return reader;
    }

    awaitable<ListPage> list(std::string folder, ListOptions options) override {
        std::shared_ptr<MergedListing> listing;
        if (options.token) {
            listing = shared_.take_listing(*options.token);
        } else {
            auto asked = co_await members_to_list(folder);
            listing = std::make_shared<MergedListing>(members_, std::move(asked), folder, options, reach_);
        }
        auto page = co_await listing->next();
        if (!listing->ended()) page.next = shared_.keep_listing(std::move(listing));
        co_return page;
    }

    awaitable<std::vector<RemoveFailure>> remove(std::vector<ObjectKey> keys) override {
        std::map<ObjectKey, Error> failed;
        for (const auto index : members_to_change()) {
            const auto failures = co_await remove_at(index, keys);
            for (const auto& failure : failures) failed.emplace(failure.key, failure.error);
        }
        std::erase_if(keys, [&failed](const ObjectKey& key) { return failed.contains(key); });
        shared_.removed(keys);
        std::vector<RemoveFailure> result;
        for (const auto& [key, error] : failed) result.push_back({key, error});
        co_return result;
    }
    awaitable<std::size_t> remove_stale_uploads(std::string folder, std::chrono::seconds age) override {
        std::size_t count = 0;
        for (const auto index : members_to_change()) {
            auto call = members_.quick(index).remove_stale_uploads(folder, age);
            count += co_await members_.noted<std::size_t>(index, Use::read, std::move(call));
        }
        co_return count;
    }
    std::vector<Expiry> expiries() const override {
        std::vector<Expiry> all;
        for (std::size_t index = 0; index < members_.size(); ++index) {
            const auto some = members_.quick(index).expiries();
            all.insert(all.end(), some.begin(), some.end());
        }
        return all;
    }
    awaitable<RemovedObjects> removed_objects() override {
        RemovedObjects all;
        for (const auto index : members_to_change()) {
            auto call = members_.quick(index).removed_objects();
            const auto one = co_await members_.noted<RemovedObjects>(index, Use::read, std::move(call));
            all.versions_stay = all.versions_stay || one.versions_stay;
            if (all.lock.empty()) all.lock = one.lock;
        }
        co_return all;
    }

    Storage& answering() override { return *answering_; }
    awaitable<Storage*> home() override {
        for (std::size_t index = 0; index < members_.size(); ++index) {
            const bool usable = co_await members_.usable(index);
            if (usable) co_return &members_.patient(index);
        }
        co_return &members_.patient(0);
    }
    std::vector<Storage*> each() override {
        std::vector<Storage*> each;
        for (const auto index : members_to_change()) each.push_back(&members_.patient(index));
        return each;
    }

private:
    template <class Found, class Ask> awaitable<Found> look_up(ObjectKey key, Ask ask) {
        const auto anchor = shared_.groups.anchor_of(key);
        if (anchor && *anchor != key) {
            auto found = co_await look_up_in_group<Found>(*anchor, key, ask);
            co_return found;
        }
        auto found = co_await members_.find<Found>(reach_, key, ask);
        co_return std::move(found.first);
    }

    /// In the storage that has the anchor: another one may have leftovers of the same name. A second look where what was
    /// remembered may be out of date.
    template <class Found, class Ask> awaitable<Found> look_up_in_group(ObjectKey anchor, ObjectKey key, Ask ask) {
        for (int look = 0; look < 2; ++look) {
            const auto holder = co_await shared_.groups.holder(anchor, reach_);
            if (!holder) break;
            auto call = ask(members_.patient(*holder));
            auto found = co_await members_.noted<Found>(*holder, Use::read, std::move(call));
            if (found || look == 1) co_return found;
            shared_.groups.forget(anchor);
        }
        auto found = co_await members_.find<Found>(reach_, key, ask);
        co_return std::move(found.first);
    }

    awaitable<std::vector<std::size_t>> members_to_list(std::string folder) {
        if (const auto anchor = shared_.groups.anchor_of(ObjectKey(folder))) {
            const auto holder = co_await shared_.groups.holder(*anchor, Reach::answering);
            if (holder) co_return std::vector<std::size_t>{*holder};
        }
        co_return members_.to_ask(reach_);
    }

    /// Those that were last seen to answer, or all: none is passed over that may have what is to go.
    std::vector<std::size_t> members_to_change() const {
        std::vector<std::size_t> indexes;
        for (std::size_t index = 0; index < members_.size(); ++index) {
            if (reach_ == Reach::all || members_.aliveness().alive(index, Use::read)) indexes.push_back(index);
        }
        return indexes;
    }

    awaitable<std::vector<RemoveFailure>> remove_at(std::size_t index, std::vector<ObjectKey> keys) {
        std::optional<Error> failure;
        try {
            members_.check_not_just_failed(index);
            auto call = members_.quick(index).remove(keys);
            auto failures = co_await members_.noted<std::vector<RemoveFailure>>(index, Use::read, std::move(call));
            co_return failures;
        } catch (const Error& error) {
            if (!is_outage(error)) throw;
            failure = error.within(members_.name(index));
        }
        std::vector<RemoveFailure> all;
        for (auto& key : keys) all.push_back({std::move(key), *failure});
        co_return all;
    }

    Shared& shared_;
    Members& members_;
    Reach reach_;
    Storage* answering_;
};

Failover::Failover(std::vector<FailoverMember> members, FailoverOptions options, asio::any_io_executor io, Log& log)
    : shared_(std::make_unique<Shared>(std::move(members), std::move(options), std::move(io), log)),
      answering_(std::make_unique<View>(*shared_, Reach::answering, nullptr)),
      all_(std::make_unique<View>(*shared_, Reach::all, answering_.get())) {}

Failover::~Failover() = default;

Storage& Failover::storage() { return *all_; }
const Aliveness& Failover::aliveness() const { return shared_->members.aliveness(); }
awaitable<void> Failover::check_all() { return shared_->members.check_all(); }
awaitable<void> Failover::watch() { return shared_->members.watch(); }

} // namespace walgd::storage

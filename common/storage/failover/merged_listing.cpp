#include "common/storage/failover/merged_listing.hpp"

#include <algorithm>

namespace walgd::storage {

MergedListing::MergedListing(Members& all, std::vector<std::size_t> members, std::string folder, ListOptions options, Reach reach)
    : all_(all), folder_(std::move(folder)), options_(std::move(options)), reach_(reach) {
    std::ranges::sort(members);
    for (const auto member : members) sources_.push_back({.member = member, .page = {}});
}

awaitable<void> MergedListing::fill(Source& source, ListPage& into) {
    while (source.used_up() && source.more()) {
        all_.check_not_just_failed(source.member);
        auto options = options_;
        options.token = source.page.next;
        auto call = all_.quick(source.member).list(folder_, std::move(options));
        source.page = co_await all_.noted<ListPage>(source.member, Use::read, std::move(call));
        source.next = 0;
        source.begun = true;
        for (auto& folder : source.page.folders) {
            if (folders_.insert(folder).second) into.folders.push_back(std::move(folder));
        }
    }
}

awaitable<void> MergedListing::fill_all(ListPage& into) {
    std::optional<Error> failure;
    std::vector<Source> kept;
    for (auto& source : sources_) {
        const bool may_be_left_out = !source.begun && reach_ == Reach::answering;
        try {
            co_await fill(source, into);
            kept.push_back(std::move(source));
        } catch (const Error& error) {
            failure = is_outage(error) ? error.within("storage " + all_.name(source.member)) : error;
            if (!may_be_left_out || !is_outage(error)) throw *failure;
        }
    }
    if (kept.empty() && failure) throw *failure;
    sources_ = std::move(kept);
}

/// The first name of all, from the nearest source that has it.
void MergedListing::take_first(ListPage& into) {
    auto* nearest = &sources_.front();
    for (auto& source : sources_) {
        if (source.first_name() < nearest->first_name()) nearest = &source;
    }
    into.objects.push_back(std::move(nearest->page.objects[nearest->next++]));
    const auto& name = into.objects.back().key.path();
    for (auto& source : sources_) {
        if (!source.used_up() && source.first_name() == name) ++source.next;
    }
}

awaitable<ListPage> MergedListing::next() {
    ListPage page;
    co_await fill_all(page);
    while (!sources_.empty()) {
        // What another page of a source would bring may come before what the others have.
        const auto waiting = std::ranges::find_if(sources_, [](const Source& source) { return source.used_up(); });
        if (waiting == sources_.end())
            take_first(page);
        else if (waiting->more())
            break;
        else
            sources_.erase(waiting);
    }
    std::ranges::sort(page.folders);
    co_return page;
}

} // namespace walgd::storage

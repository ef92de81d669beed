#pragma once
#include "common/storage/failover/members.hpp"

#include <set>

namespace walgd::storage {

/// The listings of several storages as one: sorted, each name once, as the nearest storage that has it tells it. On the I/O
/// thread.
class MergedListing {
public:
    /// `members` are asked, nearest first; one that does not answer its first page is left out with Reach::answering, as long as
    /// another one answers.
    MergedListing(Members& all, std::vector<std::size_t> members, std::string folder, ListOptions options, Reach reach);

    /// The next page, without its token; Error where a member does not answer: then the listing is over.
    awaitable<ListPage> next();
    bool ended() const { return sources_.empty(); }

private:
    struct Source {
        std::size_t member;
        ListPage page;
        std::size_t next = 0; ///< object of the page
        bool begun = false;

        bool used_up() const { return next == page.objects.size(); }
        bool more() const { return !begun || page.next.has_value(); }
        const std::string& first_name() const { return page.objects[next].key.path(); }
    };
    awaitable<void> fill(Source& source, ListPage& into);
    awaitable<void> fill_all(ListPage& into);
    void take_first(ListPage& into);

    Members& all_;
    std::vector<Source> sources_;   ///< those that have more
    std::set<std::string> folders_; ///< told already
    std::string folder_;
    ListOptions options_;
    Reach reach_;
};

} // namespace walgd::storage

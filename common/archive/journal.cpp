#include "common/archive/journal.hpp"

#include "common/archive/layout.hpp"
#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::archive {

namespace {

constexpr std::uint64_t journal_bytes_max = 64 << 10;

struct Listing {
    std::vector<std::string> journals; ///< of these backups
    std::set<std::string> backups;     ///< that exist
};

awaitable<Listing> look(storage::Storage& storage) {
    const auto page = co_await storage::list_all(storage, std::string(backup_folder), false);
    Listing found;
    for (const auto& object : page.objects) {
        const auto name = std::string_view(object.key.path()).substr(backup_folder.size());
        const auto of_journal = backup_of_journal(name), of_sentinel = backup_of_sentinel(name);
        if (!of_journal.empty()) found.journals.emplace_back(of_journal);
        if (!of_sentinel.empty()) found.backups.emplace(of_sentinel);
    }
    co_return found;
}

/// By their ends, which the names do not tell. One that goes meanwhile is left out, and so is one of an older WAL-G, which tells
/// the end by the name of a file.
awaitable<std::vector<Journal>> read_journals(storage::Storage& storage, std::vector<std::string> backups) {
    std::vector<Journal> journals;
    for (const auto& backup : backups) {
        const auto key = journal_key(backup);
        const auto text = co_await storage::get_whole(storage, key, journal_bytes_max);
        if (!text) continue;
        auto journal = parse_journal(text_of(text->view()), backup, key.path());
        if (journal.end != Time()) journals.push_back(std::move(journal));
    }
    std::ranges::sort(journals, {}, &Journal::end);
    co_return journals;
}

awaitable<void> write_journal(storage::Storage& storage, Journal journal) {
    const auto text = to_json(journal);
    co_await storage.put(journal_key(journal.backup), bytes_of(text), {});
}

/// Bytes as they are stored, compressed and encrypted.
awaitable<std::uint64_t> wal_stored_between(storage::Storage& storage, Time from, Time to) {
    const auto page = co_await storage::list_all(storage, std::string(wal_folder), false);
    std::uint64_t bytes = 0;
    for (const auto& object : page.objects) {
        if (object.modified > from && object.modified <= to) bytes += object.bytes;
    }
    co_return bytes;
}

} // namespace

std::vector<Journal> journals_of(const std::vector<Journal>& journals, const std::set<std::string>& backups) {
    std::vector<Journal> kept;
    for (const auto& journal : journals) {
        if (!backups.contains(journal.backup)) {
            if (!kept.empty()) kept.back().bytes_to_next += journal.bytes_to_next;
            continue;
        }
        const auto prior = kept.empty() ? std::nullopt : std::optional(kept.back().end);
        kept.push_back(journal);
        kept.back().prior_end = prior;
    }
    if (!kept.empty()) kept.back().bytes_to_next = 0;
    return kept;
}

awaitable<void> add_journal(storage::Storage& storage, std::string backup, Time end) {
    auto listing = co_await look(storage);
    auto journals = co_await read_journals(storage, std::move(listing.journals));
    std::erase_if(journals, [&](const Journal& journal) { return journal.end >= end || journal.backup == backup; });
    Journal journal{std::move(backup), std::nullopt, end, 0};
    if (!journals.empty()) {
        auto prior = journals.back();
        prior.bytes_to_next = co_await wal_stored_between(storage, prior.end, end);
        journal.prior_end = prior.end;
        co_await write_journal(storage, std::move(prior));
    }
    co_await write_journal(storage, std::move(journal));
}

awaitable<void> tidy_journals(storage::Storage& storage) {
    const auto listing = co_await look(storage);
    std::vector<storage::ObjectKey> gone;
    for (const auto& backup : listing.journals) {
        if (!listing.backups.contains(backup)) gone.push_back(journal_key(backup));
    }
    if (gone.empty()) co_return;
    const auto journals = co_await read_journals(storage, listing.journals);
    for (const auto& journal : journals_of(journals, listing.backups)) {
        if (std::ranges::find(journals, journal) != journals.end()) continue;
        co_await write_journal(storage, journal);
    }
    const auto failures = co_await storage.remove(std::move(gone));
    if (failures.empty()) co_return;
    throw Error(ErrorKind::failed,
                fmt::format("cannot remove {}: {}", failures.front().key.path(), failures.front().error.what()),
                "nothing needs it: walg st rm takes it away");
}

} // namespace walgd::archive

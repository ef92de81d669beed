#include "common/archive/retention/retention_apply.hpp"

#include "common/archive/catalogue.hpp"
#include "common/archive/journal.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/retention/kept_alone.hpp"
#include "common/base/run_all.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace walgd::archive {

namespace {

constexpr std::size_t batch_keys = 1000; // as many as one request of S3's may name

std::set<std::string> names_of(const Inventory& inventory) {
    std::set<std::string> names;
    for (const auto& backup : inventory.backups) names.insert(backup.name);
    return names;
}

awaitable<void> check_unchanged(storage::Storage& storage, const Inventory& inventory) {
    const auto known = names_of(inventory);
    const auto now = co_await sentinels_now(storage);
    if (now == known) co_return;
    std::vector<std::string> changed;
    std::ranges::set_symmetric_difference(now, known, std::back_inserter(changed));
    throw Error(ErrorKind::refused, fmt::format("backups came or went while this was decided: {}", fmt::join(changed, ", ")),
                "nothing was deleted; run it again");
}

awaitable<void> check_mark(storage::Storage& storage, std::string backup) {
    for (auto* one : storage.each()) {
        const auto metadata = co_await read_metadata(*one, backup);
        if (metadata && metadata->is_permanent)
            throw Error(ErrorKind::refused, fmt::format("{} was made permanent while this was decided, and stays", backup),
                        "no other backup goes now either: run it again");
    }
}

/// A backup may have been marked since the plan was made: whoever marks it looks afterwards whether its sentinel is still there.
awaitable<void> check_marks(storage::Storage& storage, const std::vector<storage::ObjectKey>& sentinels) {
    constexpr std::size_t readers = 16;
    std::size_t next = 0;
    auto read = [&]() -> awaitable<void> {
        while (next < sentinels.size()) {
            const std::string_view path = sentinels[next++].path();
            std::string backup(backup_of_sentinel(path.substr(path.rfind('/') + 1)));
            co_await check_mark(storage, std::move(backup));
        }
    };
    std::vector<awaitable<void>> tasks;
    for (std::size_t reader = 0; reader < std::min(readers, sentinels.size()); ++reader) tasks.push_back(read());
    co_await run_all(std::move(tasks));
}

bool is_ours(std::string_view path) {
    constexpr std::array folders{backup_folder, wal_folder, own_folder, catchup_folder};
    return std::ranges::any_of(folders, [path](std::string_view folder) { return path.starts_with(folder); });
}

} // namespace

awaitable<void> remove_in_batches(storage::Storage& storage, std::vector<storage::ObjectKey> keys, Removal& removal) {
    for (std::size_t begin = 0; begin < keys.size() && removal.failures.empty(); begin += batch_keys) {
        const auto end = std::min(keys.size(), begin + batch_keys);
        std::vector<storage::ObjectKey> batch(keys.begin() + static_cast<std::ptrdiff_t>(begin),
                                              keys.begin() + static_cast<std::ptrdiff_t>(end));
        removal.failures = co_await storage.remove(std::move(batch));
        removal.removed += end - begin - removal.failures.size();
    }
}

awaitable<Removal> remove_planned(storage::Storage& storage, const Inventory& inventory, RetentionPlan plan) {
    Removal removal;
    removal.planned = plan.objects();
    co_await check_unchanged(storage, inventory);
    const bool any_backup = !plan.sentinels.empty();
    for (auto& step : plan.sentinels) {
        co_await check_marks(storage, step);
        co_await remove_in_batches(storage, std::move(step), removal);
        if (!removal.failures.empty()) break;
    }
    if (removal.failures.empty()) {
        co_await remove_in_batches(storage, std::move(plan.data), removal);
    }
    if (removal.failures.empty() && !plan.wal.empty()) {
        // Before there is a gap behind them.
        co_await note_kept_alone(storage, std::move(plan.alone), names_of(inventory));
        co_await remove_in_batches(storage, std::move(plan.wal), removal);
    }
    if (removal.failures.empty() && any_backup) {
        co_await tidy_journals(storage);
    }
    co_return removal;
}

awaitable<std::vector<std::vector<storage::ObjectKey>>> list_everything(storage::Storage& storage,
                                                                        std::vector<storage::ObjectKey>& foreign) {
    const auto page = co_await storage::list_all(storage, "", true);
    std::vector<std::vector<storage::ObjectKey>> steps(3);
    for (const auto& object : page.objects) {
        const std::string_view path = object.key.path();
        const auto backup = backup_of_sentinel(path.substr(path.rfind('/') + 1));
        if (!is_ours(path))
            foreign.push_back(object.key);
        else if (backup.empty())
            steps[2].push_back(object.key);
        else
            steps[backup.find(delta_mark) == std::string_view::npos ? 1 : 0].push_back(object.key);
    }
    // Of deltas the youngest first: by name, what is based on another is behind it.
    std::ranges::sort(steps[0], std::ranges::greater{});
    co_return steps;
}

} // namespace walgd::archive

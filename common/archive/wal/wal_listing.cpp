#include "common/archive/wal/wal_listing.hpp"

#include "common/archive/layout.hpp"
#include "common/base/run_all.hpp"
#include "common/pg/wal_name.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace walgd::archive {

namespace {

/// Low parts of the names while segments have 16 MiB. Other sizes make the ranges uneven, not wrong.
constexpr std::uint64_t per_log = 256;
/// A range is as long as so many pages, if no segment is missing: requests that find nothing stay few.
constexpr std::uint64_t range_pages = 4;
constexpr unsigned ranges_at_first = 4;
/// A place is found quickly when that takes no longer than so many pages. Amazon's S3 and Ceph find any place at once; MinIO
/// reads the folder from its beginning for each that is not the next page.
constexpr double place_pages = 3;
/// So much quicker than page after page several at once have to be.
constexpr double worth_it = 1.3;

/// Where in the row of segments a name stands; nothing for names that begin otherwise.
struct Place {
    std::uint32_t timeline;
    std::uint64_t number;

    static std::optional<Place> of(std::string_view name) {
        auto digits = std::string(name.substr(0, std::min(name.find_first_not_of("0123456789ABCDEF"), pg::segment_digits)));
        if (digits.size() < 8) return std::nullopt;
        digits.resize(pg::segment_digits, '0');
        auto part = [&](std::size_t from) {
            std::uint32_t number = 0;
            std::from_chars(digits.data() + from, digits.data() + from + 8, number, 16);
            return number;
        };
        return Place{part(0), part(8) * per_log + std::min<std::uint64_t>(part(16), per_log - 1)};
    }
    std::string name_after(std::uint64_t steps) const {
        const auto to = number + steps;
        return fmt::format("{:08X}{:08X}{:08X}", timeline, to / per_log, to % per_log);
    }
};

/// Names that follow `after`, up to and with `until`.
struct Range {
    std::string after{}, until{};       ///< `until` empty: to the end; `after` moves on with what is found
    std::optional<std::string> token{}; ///< where a listing by pages goes on
    std::uint64_t pages_max = UINT64_MAX;
    std::string beyond{};    ///< found: the first name behind it
    bool ended = false;      ///< found: nothing is behind it
    std::uint64_t found = 0; ///< objects
    double best_pace = 0;    ///< objects a second, of the quickest page but the first
};

/// Lists a folder from several places at once. Where the last page ended says where the next ones may be: WAL has few gaps.
class Lister {
public:
    Lister(storage::Storage& storage, unsigned at_once, WalVisitor visitor)
        : storage_(storage), at_once_(std::max(1U, at_once)), visitor_(std::move(visitor)) {}

    awaitable<void> run() {
        // The beginning page by page: most archives have no more, and it tells how quick that is.
        Range start{.pages_max = range_pages + 1};
        co_await list_one(start);
        if (start.ended) co_return;
        const auto stride = start.found / (range_pages + 1) * range_pages;
        auto after = start.after, from = start.after;
        bool quick = false;
        if (at_once_ > 1) {
            quick = co_await finds_places(from, stride, start.best_pace);
        }
        if (!quick) {
            Range rest{.token = start.token};
            co_await list_one(rest);
            co_return;
        }
        for (auto count = std::min(ranges_at_first, at_once_);; count = std::min(2 * count, at_once_)) {
            auto wave = ranges(after, from, stride, count);
            const auto wave_pace = co_await timed(wave);
            if (std::ranges::any_of(wave, &Range::ended)) co_return;
            after = wave.back().until;
            from = wave.back().beyond;
            if (wave_pace < start.best_pace * worth_it) break;
        }
        Range rest{.after = after};
        co_await list_one(rest);
    }

private:
    static std::string name_of(const storage::ObjectInfo& object) { return object.key.path().substr(wal_folder.size()); }

    /// `from`, at or behind `after`, is a name that is there.
    std::vector<Range> ranges(std::string after, const std::string& from, std::uint64_t stride, unsigned count) const {
        const auto place = Place::of(from);
        std::vector<Range> wave;
        // A foreign name may lie where no later segment does, or behind all that there can be.
        if (!place || place->name_after(stride) <= after || place->number + count * stride >= per_log << 32) {
            wave.push_back({.after = after});
            return wave;
        }
        for (std::uint64_t index = 1; index <= count; ++index) {
            auto until = place->name_after(index * stride);
            wave.push_back({.after = after, .until = until});
            after = std::move(until);
        }
        return wave;
    }

    /// The page's part that is in the range.
    void take(const storage::ListPage& page, Range& range) {
        auto inside = [&](const std::string& name) { return range.until.empty() || name <= range.until; };
        for (const auto& object : page.objects) {
            const auto name = name_of(object);
            if (inside(name)) {
                visitor_.object(object);
                range.after = name;
                ++range.found;
            } else if (range.beyond.empty())
                range.beyond = name;
        }
        for (const auto& folder : page.folders) {
            if (const auto name = folder.substr(wal_folder.size()); inside(name)) visitor_.folder(name);
        }
        range.ended = !page.next && range.beyond.empty();
    }

    awaitable<void> list_one(Range& range) {
        storage::ListOptions options;
        options.after = range.after;
        options.token = range.token;
        for (std::uint64_t pages = 0; pages < range.pages_max; ++pages) {
            const auto began = Clock::now();
            const auto page = co_await storage_.list(std::string(wal_folder), options);
            // The first one may have to wait for what makes the next ones quick.
            if (pages > 0) range.best_pace = std::max(range.best_pace, pace(page.objects.size(), began));
            take(page, range);
            options.token = page.next;
            if (!page.next || !range.beyond.empty()) break;
        }
        range.token = options.token;
    }

    /// Asks for a page at a place farther on, of which nothing is taken, and compares with the pace of the next pages.
    awaitable<bool> finds_places(std::string from, std::uint64_t steps, double page_pace) {
        const auto place = Place::of(from);
        if (!place) co_return false;
        storage::ListOptions options;
        options.after = place->name_after(steps);
        const auto began = Clock::now();
        const auto page = co_await storage_.list(std::string(wal_folder), options);
        // Nothing there: then few are left, and the next pages bring them.
        co_return !page.objects.empty() && pace(page.objects.size(), began) * place_pages >= page_pace;
    }

    /// Objects a second.
    awaitable<double> timed(std::vector<Range>& wave) {
        const auto began = Clock::now();
        co_await list_all(wave);
        std::uint64_t found = 0;
        for (const auto& range : wave) found += range.found;
        co_return pace(found, began);
    }
    static double pace(std::uint64_t found, Clock::time_point began) {
        const std::chrono::duration<double> passed = Clock::now() - began;
        return static_cast<double>(found) / std::max(passed.count(), 1e-6);
    }

    awaitable<void> list_all(std::vector<Range>& wave) {
        std::vector<awaitable<void>> lists;
        for (auto& range : wave) lists.push_back(list_one(range));
        co_await run_all(std::move(lists));
    }

    storage::Storage& storage_;
    const unsigned at_once_;
    const WalVisitor visitor_;
};

} // namespace

awaitable<void> visit_wal(storage::Storage& storage, unsigned at_once, WalVisitor visitor) {
    Lister lister(storage, at_once, std::move(visitor));
    co_await lister.run();
}

} // namespace walgd::archive

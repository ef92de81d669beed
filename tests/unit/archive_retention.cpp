#include "common/archive/layout.hpp"
#include "common/archive/retention/backup_mark.hpp"
#include "common/archive/retention/retention_apply.hpp"
#include "common/archive/retention/retention_policy.hpp"
#include "common/archive/retention/retention_select.hpp"
#include "tests/unit/file_backend.hpp"

#include <fmt/format.h>

using namespace walgd;
using namespace walgd::archive;
using namespace walgd::test;

namespace {

constexpr std::uint64_t segment_bytes = 16 << 20;
const Time monday = *parse_time("2026-11-02T12:00:00Z");

/// An archive of one cluster: a segment a day, backups on some days. All of it is there.
class Days {
public:
    Days& full(int day) { return add(day, {}); }
    Days& delta(int day, int of) { return add(day, name(of)); }
    /// A server that was promoted on that day stored one segment and no more.
    Days& timeline_from(int day) {
        const pg::Lsn end(segment_bytes * static_cast<std::uint64_t>(day) + 4096);
        inventory_.histories.push_back({pg::TimelineId(2), {{pg::TimelineId(1), end}}});
        promoted_ = {wal_key(fmt::format("{:08X}{:08X}{:08X}", 2, 0, day), "zst"), 1, monday};
        return *this;
    }
    HeldBackup& of(int day) { return *std::ranges::find(inventory_.backups, name(day), &HeldBackup::name); }

    /// As it is at noon of a day.
    const Inventory& at(int day) {
        inventory_.taken = monday + std::chrono::days(day);
        inventory_.wal_objects.clear();
        for (int number = 0; number <= day; ++number)
            inventory_.wal_objects.push_back({wal_key(segment(number), "zst"), 1, monday});
        if (promoted_) inventory_.wal_objects.push_back(*promoted_);
        return inventory_;
    }
    /// The days whose backups stay, and the days whose segments do.
    std::pair<std::set<int>, std::set<int>> after(int day, const Selection& selection) {
        const auto plan = plan_removal(at(day), selection);
        departures = plan.departures;
        std::set<int> backups, segments;
        for (const auto& verdict : plan.backups) {
            if (verdict.stays) backups.insert(static_cast<int>(verdict.backup->first.number));
        }
        for (int number = 0; number <= day; ++number) {
            if (std::ranges::find(plan.wal, wal_key(segment(number), "zst")) == plan.wal.end()) segments.insert(number);
        }
        return {backups, segments};
    }
    std::vector<std::string> departures;
    static std::string name(int day) { return "base_" + segment(day); }

private:
    static std::string segment(int number) { return fmt::format("{:08X}{:08X}{:08X}", 1, 0, number); }
    Days& add(int day, const std::string& base) {
        HeldBackup backup;
        backup.name = name(day);
        backup.base = base;
        backup.started = backup.finished = backup.modified = monday + std::chrono::days(day);
        backup.first.number = backup.last = static_cast<std::uint64_t>(day);
        backup.start = backup.finish = pg::Lsn(segment_bytes * static_cast<std::uint64_t>(day) + 40);
        inventory_.backups.push_back(backup);
        return *this;
    }
    Inventory inventory_;
    std::optional<HeldObject> promoted_;
};

std::set<int> days_from(int first, int last) {
    std::set<int> days;
    for (; first <= last; ++first) days.insert(first);
    return days;
}

} // namespace

TEST_CASE("full: so many full backups stay, what is younger than the oldest of them, and the WAL behind it", "[retention]") {
    Days days;
    days.full(1).delta(2, 1).full(4).delta(5, 4).full(7).delta(8, 7);
    const auto [backups, segments] = days.after(10, select_by_policy(days.at(10), {.full = 2}));
    CHECK(backups == std::set{4, 5, 7, 8});
    CHECK(segments == days_from(4, 10));
    CHECK(days.departures.empty());
    const auto more_than_there_are = days.after(10, select_by_policy(days.at(10), {.full = 9}));
    CHECK(more_than_there_are.first.size() == 6);
}

TEST_CASE("days: the backup from which the oldest of these moments is recovered stays, with its base", "[retention]") {
    Days days;
    days.full(1).full(3).delta(4, 3).full(8);
    const auto [backups, segments] = days.after(10, select_by_policy(days.at(10), {.days = 5}));
    CHECK(backups == std::set{3, 4, 8});
    // The base alone needs no more than its own WAL.
    std::set<int> wanted = days_from(4, 10);
    wanted.insert(3);
    CHECK(segments == wanted);
    CHECK(days.departures.empty());
}

TEST_CASE("days: a backup that had not ended by then does not lead to the oldest of these moments", "[retention]") {
    Days days;
    days.full(1).full(3).full(5).full(8);
    days.of(5).finished += std::chrono::hours(10);
    const auto [backups, segments] = days.after(10, select_by_policy(days.at(10), {.days = 5}));
    CHECK(backups == std::set{3, 5, 8});
    CHECK(segments == days_from(3, 10));
    const auto wal = days.after(10, select_by_policy(days.at(10), {.full = 4, .wal = 5}));
    CHECK(wal.second.contains(4));
}

TEST_CASE("days: any number of them, also to keep all for ever", "[retention]") {
    Days days;
    days.full(1).full(4).full(8);
    for (const std::size_t many : {30U, 36'500U, 365'000U, 1'000'000U, 4'000'000'000U}) {
        CHECK(days.after(10, select_by_policy(days.at(10), {.days = many})).first == std::set{1, 4, 8});
        CHECK(days.after(10, select_by_policy(days.at(10), {.full = 3, .wal = many})).second == days_from(1, 10));
    }
}

TEST_CASE("the last backup of the present cluster stays, whatever an earlier cluster left", "[retention]") {
    Days days;
    days.full(1).full(4).full(8);
    days.of(1).system = pg::SystemIdentifier(5);
    days.of(8).missing_wal = "000000010000000000000008";
    const auto before = select_before(days.at(10), FullModifier::none, Days::name(8), true);
    CHECK(days.after(10, before.selection).first == std::set{1, 4, 8});
    CHECK(days.departures.size() == 1);
}

TEST_CASE("a backup that stays with its own WAL alone does not lead to the newest timeline", "[retention]") {
    Days days; // a server was promoted on day 5, and the old one went on
    days.full(3).full(8).timeline_from(5);
    SECTION("a permanent one") {
        days.of(3).permanent = true;
        const auto newest = select_retain(days.at(10), {.count = 1});
        CHECK(days.after(10, newest.selection).second == days_from(3, 10));
        CHECK(days.departures.size() == 1);
    }
    SECTION("one of a week") {
        CHECK(days.after(10, select_by_policy(days.at(10), {.full = 1, .weekly = 2})).second == days_from(3, 10));
        CHECK(days.departures.size() == 1);
    }
}

TEST_CASE("weekly and monthly: the newest full backup of each stays as a snapshot, with the WAL of its own", "[retention]") {
    Days days; // day 0 is Monday the 2nd of November
    days.full(1).full(5).full(8).full(12).full(15).full(30).full(31);
    const auto weekly = days.after(32, select_by_policy(days.at(32), {.full = 1, .weekly = 3}));
    CHECK(weekly.first == std::set{12, 15, 31});
    CHECK(weekly.second == std::set{12, 15, 31, 32});
    const auto monthly = days.after(32, select_by_policy(days.at(32), {.full = 1, .monthly = 2}));
    CHECK(monthly.first == std::set{15, 31}); // the 17th of November, the 3rd of December
}

TEST_CASE("snapshots alone: from the newest backup on any moment can be recovered to", "[retention]") {
    Days days;
    days.full(1).full(8).full(15).full(22);
    const auto [backups, segments] = days.after(25, select_by_policy(days.at(25), {.weekly = 2}));
    CHECK(backups == std::set{15, 22});
    CHECK(segments == std::set{15, 22, 23, 24, 25});
    CHECK(days.departures.empty());
}

TEST_CASE("wal: so many days of it to recover by; older backups keep that of their own", "[retention]") {
    Days days;
    days.full(1).full(4).full(8);
    const auto [backups, segments] = days.after(10, select_by_policy(days.at(10), {.full = 3, .wal = 3}));
    CHECK(backups == std::set{1, 4, 8});
    CHECK(segments == std::set{1, 4, 5, 6, 7, 8, 9, 10});
}

TEST_CASE("a policy that keeps nothing is an error, one that finds nothing sound keeps what there is", "[retention]") {
    Days days;
    days.full(1);
    CHECK(kind_of([&] { select_by_policy(days.at(3), {}); }) == ErrorKind::misconfigured);
    days.of(1).missing_data = "its parts";
    CHECK(plan_removal(days.at(3), select_by_policy(days.at(3), {.full = 1})).objects() == 0);
}

TEST_CASE("a backup that cannot be restored does not count, one of another cluster is left alone", "[retention]") {
    Days days;
    days.full(1).full(4).full(8);
    days.of(8).missing_wal = "000000010000000000000008";
    const auto broken = select_retain(days.at(10), {.count = 1});
    CHECK(broken.target == &days.of(4));
    days.of(1).system = pg::SystemIdentifier(5);
    const auto foreign = select_retain(days.at(10), {.count = 1});
    CHECK(foreign.selection.backups.empty());
}

TEST_CASE("WAL-G's delete words choose by start time", "[retention]") {
    Days days;
    days.full(1).delta(2, 1).full(4).delta(5, 4);
    const auto& inventory = days.at(10);
    CHECK(select_retain(inventory, {.modifier = FullModifier::full, .count = 2}).target == &days.of(1));
    CHECK(select_retain(inventory, {.modifier = FullModifier::find_full, .count = 1}).target == &days.of(4));
    CHECK(select_retain(inventory, {.count = 9}).target == nullptr);
    CHECK(text_of_error([&] { select_retain(inventory, {.count = 1}); }).find("Consider FIND_FULL") != std::string::npos);
    CHECK(select_retain(inventory, {.count = 2, .after = Days::name(1)}).target == &days.of(1));
    CHECK(select_retain(inventory, {.count = 2, .after = "2026-11-06T00:00:00Z"}).target == &days.of(4));
    // A word that is neither a time nor a name must not be passed over: more would go than was asked for.
    for (const auto* word : {"base_9", "2026-11-06", "2026-11-06T00:00:00", "2027-01-01T00:00:00Z"})
        CHECK(kind_of([&] { select_retain(inventory, {.count = 2, .after = word}); }) == ErrorKind::refused);
    CHECK(select_before(inventory, FullModifier::none, "2026-11-05T00:00:00Z", true).target == &days.of(4));
    CHECK(select_before(inventory, FullModifier::none, "2026-11-11T00:00:00Z", true).target == nullptr);
    CHECK(kind_of([&] { select_before(inventory, FullModifier::none, "2027-01-01T00:00:00Z", true); }) == ErrorKind::refused);
    CHECK(kind_of([&] { select_before(inventory, FullModifier::none, "base_9", true); }) == ErrorKind::refused);
    CHECK(select_target(inventory, FullModifier::find_full, Days::name(5)).selection.backups ==
          std::set{Days::name(4), Days::name(5)});
    CHECK(select_target(inventory, FullModifier::none, Days::name(1)).selection.backups ==
          std::set{Days::name(1), Days::name(2)});
}

TEST_CASE("a folder without a sentinel goes when nobody can be writing it", "[retention]") {
    Days days;
    const auto& whole = Days::name(9);
    auto inventory = days.full(9).at(9);
    const auto leftover = Days::name(3);
    auto put = [&](const std::string& path, int hour) {
        inventory.backup_objects.push_back(
            {storage::ObjectKey("basebackups_005/" + path), 1, monday + std::chrono::days(8) + std::chrono::hours(hour)});
    };
    auto goes = [&] {
        auto garbage = select_garbage(inventory, GarbageKind::backups, false);
        return !plan_removal(inventory, garbage.selection).data.empty();
    };
    put(leftover + "/tar_partitions/part_001.tar.lz4", 10);
    put(whole + "/tar_partitions/part_001.tar.lz4", 12);
    put(whole + "/metadata.json", 13);
    CHECK_FALSE(goes());

    SECTION("all but its sentinel was put, before a whole backup began") {
        put(leftover + "/metadata.json", 11);
        CHECK(goes());
    }
    SECTION("all but its sentinel was put, and no whole backup began since") {
        put(leftover + "/metadata.json", 12);
        CHECK_FALSE(goes());
    }
    SECTION("parts come behind its metadata: it is being copied") {
        put(leftover + "/metadata.json", 9);
        CHECK_FALSE(goes());
    }
    SECTION("nothing was put for a day") {
        inventory.taken = monday + std::chrono::days(9) + std::chrono::hours(10);
        CHECK(goes());
    }
}

TEST_CASE("where no backup is to compare with, WAL that one being taken needs stays", "[retention]") {
    Days days;
    auto inventory = days.at(9);
    inventory.backup_objects.push_back(
        {storage::ObjectKey("basebackups_005/" + Days::name(6) + "/tar_partitions/part_001.tar.lz4"), 1, inventory.taken});
    const auto garbage = select_garbage(inventory, GarbageKind::archives, true);
    const auto plan = plan_removal(inventory, garbage.selection);
    REQUIRE(plan.wal_ranges.size() == 1);
    CHECK(plan.wal_ranges.front().last == Days::name(4).substr(5));
    inventory.taken += std::chrono::days(2);
    CHECK(plan_removal(inventory, garbage.selection).wal.size() == 10);
}

TEST_CASE("a backup says that it is being taken before its first part is there", "[retention]") {
    CHECK(backup_of_intent(intent_key("base_00000001000000000000000A_D_000000010000000000000008").path()) ==
          "base_00000001000000000000000A_D_000000010000000000000008");
    CHECK(first_segment_in(intent_key("base_00000001000000000000000A_D_000000010000000000000008").path()).empty());
    CHECK(backup_of_intent(intent_key("base_00000001000000000000000A", catchup_folder).path()).empty());
    CHECK(backup_of_intent("walgd_005/jobs/base_0000.json").empty());
    Days days;
    SECTION("the first one of all: the WAL from its start on stays") {
        auto inventory = days.at(9);
        inventory.intents.push_back({Days::name(6), inventory.taken});
        const auto garbage = select_garbage(inventory, GarbageKind::all, true);
        const auto plan = plan_removal(inventory, garbage.selection);
        REQUIRE(plan.wal_ranges.size() == 1);
        CHECK(plan.wal_ranges.front().last == Days::name(4).substr(5));
        CHECK(plan.notes.back().find("the next backup-push on its host removes it") != std::string::npos);
        inventory.taken += std::chrono::days(2);
        CHECK(plan_removal(inventory, garbage.selection).wal.size() == 10);
    }
    SECTION("a delta: what it is based on stays") {
        auto inventory = days.full(2).full(8).at(9);
        inventory.intents.push_back({Days::name(9) + "_D_" + Days::name(2).substr(5), inventory.taken});
        const auto plan = plan_removal(inventory, select_retain(inventory, {.count = 1}).selection);
        CHECK(plan.sentinels.empty());
        CHECK(plan.departures.size() == 1);
    }
    SECTION("what is left of one that is whole keeps nothing") {
        auto inventory = days.full(2).full(8).at(9);
        inventory.intents.push_back({Days::name(2), inventory.taken});
        CHECK(plan_removal(inventory, select_retain(inventory, {.count = 1}).selection).sentinels.size() == 1);
    }
}

TEST_CASE("WAL that a backup being taken needs stays, also where a younger one is whole before it", "[retention]") {
    Days days;
    auto inventory = days.full(2).full(8).at(9);
    // Of another server: a standby, say, which is slow.
    inventory.backup_objects.push_back(
        {storage::ObjectKey("basebackups_005/" + Days::name(5) + "/tar_partitions/part_001.tar.lz4"), 1, inventory.taken});
    const auto newest = select_retain(inventory, {.count = 1});
    const auto plan = plan_removal(inventory, newest.selection);
    REQUIRE(plan.wal_ranges.size() == 1);
    CHECK(plan.wal_ranges.front().last == Days::name(3).substr(5));
    REQUIRE_FALSE(plan.notes.empty());
    CHECK(plan.notes.back().find(Days::name(5) + "/ may be a backup that is being taken") != std::string::npos);
    inventory.taken += std::chrono::days(2);
    CHECK(plan_removal(inventory, newest.selection).wal_ranges.front().last == Days::name(7).substr(5));
}

TEST_CASE("what a delta is based on that is being taken stays, unless a person names it", "[retention]") {
    Days days;
    auto inventory = days.full(2).delta(4, 2).full(8).at(9);
    const auto being_taken = Days::name(7) + "_D_" + Days::name(4).substr(5);
    inventory.backup_objects.push_back(
        {storage::ObjectKey("basebackups_005/" + being_taken + "/tar_partitions/part_001.tar.lz4"), 1, inventory.taken});
    const auto newest = select_retain(inventory, {.count = 1});
    auto plan = plan_removal(inventory, newest.selection);
    CHECK(plan.sentinels.empty());
    REQUIRE(plan.departures.size() == 2);
    CHECK(plan.departures.front() ==
          fmt::format("{} stays: basebackups_005/{}/ may be a delta on it that is being taken", Days::name(4), being_taken));
    const auto named = select_target(inventory, FullModifier::none, Days::name(4));
    plan = plan_removal(inventory, named.selection);
    CHECK(plan.sentinels.size() == 1);
    inventory.taken += std::chrono::days(2);
    CHECK(plan_removal(inventory, newest.selection).sentinels.size() == 2);
}

TEST_CASE("the mark goes to the base first, and is not taken from under a permanent backup", "[retention]") {
    Days days;
    days.full(1).delta(2, 1).delta(3, 2);
    CHECK(backups_to_mark(days.at(4), Days::name(3), true) == std::vector{Days::name(1), Days::name(2), Days::name(3)});
    days.of(1).permanent = days.of(2).permanent = true;
    CHECK(backups_to_mark(days.at(4), Days::name(3), true) == std::vector{Days::name(3)});
    CHECK(backups_to_mark(days.at(4), Days::name(2), false) == std::vector{Days::name(2)});
    CHECK(kind_of([&] { backups_to_mark(days.at(4), Days::name(1), false); }) == ErrorKind::refused);
    CHECK(kind_of([&] { backups_to_mark(days.at(4), "base", true); }) == ErrorKind::refused);
}

TEST_CASE("a backup is protected whatever is wrong with others, but not without what it is based on", "[retention]") {
    Days days;
    days.full(1).delta(2, 1).full(3);
    auto inventory = days.at(4);
    inventory.unreadable = {sentinel_key(Days::name(1)).path() + ": it is no JSON"};
    inventory.backup_objects.push_back({sentinel_key(Days::name(1)), 1, inventory.taken});
    std::erase_if(inventory.backups, [](const HeldBackup& backup) { return backup.name == Days::name(1); });
    CHECK(backups_to_mark(inventory, Days::name(3), true) == std::vector{Days::name(3)});
    CHECK(kind_of([&] { backups_to_mark(inventory, Days::name(2), true); }) == ErrorKind::corrupt);
    CHECK(kind_of([&] { backups_to_mark(inventory, Days::name(1), true); }) == ErrorKind::corrupt);
    CHECK(kind_of([&] { backups_to_mark(inventory, Days::name(4), true); }) == ErrorKind::refused);
}

TEST_CASE("a mark changes nothing else of the document", "[retention]") {
    FileBackend backend;
    const std::string text =
        R"({"start_time":"2026-01-01T00:00:00Z","new_key":{"b":1,"a":12345678901234567890},"Is_Permanent":false,"pg_version":150018})";
    backend.loop.run(backend.storage().put(metadata_key("base_1"), bytes_of(text), {}));
    backend.loop.run(backend.storage().put(sentinel_key("base_1"), bytes_of("{}"), {}));
    backend.loop.run(write_mark(backend.storage(), "base_1", true));
    const auto now = backend.loop.run(storage::get_whole(backend.storage(), metadata_key("base_1"), 1 << 20));
    auto wanted = text;
    wanted.replace(wanted.find("false"), 5, "true");
    CHECK(text_of(now->view()) == wanted);
    CHECK(kind_of([&] { backend.loop.run(write_mark(backend.storage(), "base_2", true)); }) == ErrorKind::corrupt);
}

TEST_CASE("the segment size shows in names and start LSNs, or several do and none is taken", "[retention]") {
    using Starts = std::vector<std::pair<std::string, pg::Lsn>>;
    CHECK(segment_bytes_of(Starts{{"base_000000010000000000000013", pg::Lsn(0x1300028)}}) == 1 << 20);
    CHECK(segment_bytes_of(Starts{{"base_000000010000000000000002", pg::Lsn(0x2000028)}}) == 16 << 20);
    // On a boundary the name may be of the segment before.
    CHECK(segment_bytes_of(Starts{{"base_00000001000000000000001F", pg::Lsn(0x2000000)}}) == 1 << 20);
    CHECK_FALSE(segment_bytes_of(Starts{{"base_000000010000000100000000", pg::Lsn(0x100000028)}}));
    CHECK_FALSE(segment_bytes_of(Starts{}));
}

TEST_CASE("a backup that is made permanent while a plan is made stops it", "[retention]") {
    FileBackend backend;
    Days days;
    days.full(1).full(4);
    const auto put_metadata = [&](int day, bool permanent) {
        BackupMetadata metadata;
        metadata.is_permanent = permanent;
        const auto text = to_json(metadata);
        backend.loop.run(backend.storage().put(metadata_key(Days::name(day)), bytes_of(text), {}));
    };
    for (const int day : {1, 4}) {
        backend.loop.run(backend.storage().put(sentinel_key(Days::name(day)), bytes_of("{}"), {}));
        put_metadata(day, false);
    }
    const auto inventory = days.at(10);
    const auto plan = plan_removal(inventory, select_retain(inventory, {.count = 1}).selection);
    backend.loop.run(write_mark(backend.storage(), Days::name(1), true));
    const auto text = text_of_error([&] { backend.loop.run(remove_planned(backend.storage(), inventory, plan)); });
    CHECK(text.find(Days::name(1) + " was made permanent") != std::string::npos);
    CHECK(backend.loop.run(sentinels_now(backend.storage())).size() == 2);
    put_metadata(1, false);
    CHECK(backend.loop.run(remove_planned(backend.storage(), inventory, plan)).failures.empty());
    // And the other way round: it was deleted before the mark was written.
    put_metadata(1, false);
    CHECK(kind_of([&] { backend.loop.run(write_mark(backend.storage(), Days::name(1), true)); }) == ErrorKind::refused);
}

TEST_CASE("backups that come while a plan is made stop it", "[retention]") {
    FileBackend backend;
    Days days;
    days.full(1).full(4);
    for (const int day : {1, 4, 6}) backend.loop.run(backend.storage().put(sentinel_key(Days::name(day)), bytes_of("{}"), {}));
    const auto inventory = days.at(10);
    const auto plan = plan_removal(inventory, select_retain(inventory, {.count = 1}).selection);
    CHECK(plan.objects() > 0);
    CHECK(text_of_error([&] { backend.loop.run(remove_planned(backend.storage(), inventory, plan)); }).find(Days::name(6)) !=
          std::string::npos);
    const auto names = backend.loop.run(sentinels_now(backend.storage()));
    CHECK(names.size() == 3);
}

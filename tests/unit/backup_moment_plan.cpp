#include "common/archive/wal/run_note.hpp"
#include "common/backup/restore/moment_plan.hpp"
#include "common/backup/restore/recovery_settings.hpp"
#include "common/base/files.hpp"
#include "tests/unit/async_support.hpp"
#include "tests/unit/record_support.hpp"

#include <fmt/format.h>

namespace walgd::backup {

namespace {

using test::WrittenWal;
using Kind = MomentTarget::Kind;

constexpr std::uint64_t segment_bytes = 1 << 20, first_number = 3;
constexpr std::uint32_t first_xid = 1000, commits = 100;

/// When transaction `index` of a timeline commits.
Time time_of(std::uint32_t index) { return Time(std::chrono::seconds(1'700'000'000 + 10 * index)); }

/// WAL in memory, a string a timeline; every segment that is asked for is counted.
class Wal : public MomentWal {
public:
    std::map<pg::TimelineId, std::string> timelines;
    bool with_index = true;
    std::uint64_t shown = 0;
    std::set<pg::Segment> noted;
    std::optional<pg::Segment> damaged;

    void require_sound(pg::Segment one) const {
        if (damaged == one) throw Error(ErrorKind::corrupt, "it does not unpack");
    }
    std::string segment(pg::Segment segment) const {
        auto bytes = timelines.at(segment.timeline).substr((segment.number - first_number) * segment_bytes, segment_bytes);
        bytes.resize(segment_bytes);
        return bytes;
    }
    archive::WalNote note(pg::Segment one, std::optional<pg::Segment> next) override {
        noted.insert(one);
        require_sound(one);
        auto run = run_of(one);
        if (next) run.join(run_of(*next).head_only());
        auto note = run.closed();
        if (with_index) return note;
        note.complete = false;
        return note;
    }
    void show(pg::Segment one, std::optional<pg::Segment> next, StopFinder& finder) override {
        ++shown;
        require_sound(one);
        const pg::Lsn at(one.number * segment_bytes);
        auto bytes = segment(one);
        if (next) bytes += segment(*next);
        pg::RecordScan scan({at, 0xD110, WrittenWal::page_bytes, finder.wanted()}, finder);
        for (std::size_t offset = 0; offset < bytes.size(); offset += WrittenWal::page_bytes) {
            if (offset >= segment_bytes && !scan.within_record()) break;
            scan.page(bytes_of(bytes).subspan(offset, WrittenWal::page_bytes));
        }
    }

private:
    archive::RunNote run_of(pg::Segment one) const {
        const auto bytes = segment(one);
        return archive::RunNote::of(bytes_of(bytes), pg::Lsn(one.number * segment_bytes), WrittenWal::page_bytes);
    }
};

/// One timeline of a hundred commits, one backup of its beginning and one of its midst; the second timeline leaves it later.
struct World {
    World() {
        WrittenWal first(pg::Lsn(first_number * segment_bytes));
        for (std::uint32_t index = 0; index < commits; ++index) begins.push_back(step(first, index));
        end = first.place();
        wal.timelines[pg::TimelineId(1)] = first.pages();
        view.segment_bytes = segment_bytes;
        view.histories[pg::TimelineId(1)] = {pg::TimelineId(1), {}};
        last_number = pg::segment_number(end, segment_bytes);
        for (auto number = first_number; number <= last_number; ++number) view.segments.insert({pg::TimelineId(1), number});
        add_backup("base_000000010000000000000003", 2);
        add_backup("base_000000010000000000000005", 50);
    }
    /// A transaction, with its own point in time.
    static pg::Lsn step(WrittenWal& wal, std::uint32_t index) {
        wal.record(100000 + index % 7 * 1000, 10, 0);
        if (index % 10 == 0) wal.restore_point(fmt::format("point {}", index), time_of(index));
        return wal.transaction_end({.kind = index % 9 == 8 ? pg::xact_kind::abort : pg::xact_kind::commit,
                                    .xid = first_xid + index,
                                    .time = time_of(index),
                                    .subtransactions = {index + 5000}});
    }
    /// It ends just behind that commit.
    void add_backup(const std::string& name, std::uint32_t after) {
        view.backups.push_back({name, pg::TimelineId(1), begins[after - 1], pg::Lsn(begins[after].bytes() + 64),
                                time_of(after) - std::chrono::seconds(5), time_of(after) + std::chrono::seconds(5)});
    }
    /// The second timeline: the first one's WAL up to the 80th commit, then other ones.
    void leave() {
        fork = pg::Lsn(begins[79].bytes() + 64);
        WrittenWal second(pg::Lsn(first_number * segment_bytes));
        for (std::uint32_t index = 0; index < 80; ++index) step(second, index);
        for (std::uint32_t index = 500; index < 540; ++index) second_begins.push_back(step(second, index));
        const pg::TimelineId two(2);
        wal.timelines[two] = second.pages();
        view.histories[two] = {two, {{pg::TimelineId(1), fork}}};
        const auto last = pg::segment_number(second.place(), segment_bytes);
        for (auto number = pg::segment_number(fork, segment_bytes); number <= last; ++number) view.segments.insert({two, number});
    }
    MomentPlan plan(MomentTarget target, std::string backup = {}) { return plan_moment(view, wal, {target, {}, backup}); }
    std::string refusal(MomentTarget target, std::string backup = {}) {
        return test::text_of_error([&] { plan(target, backup); });
    }
    std::uint32_t last_xid(MomentTarget target) { return plan(target).last_commit->xid - first_xid; }

    Wal wal;
    ArchiveView view;
    std::vector<pg::Lsn> begins, second_begins;
    pg::Lsn end{0}, fork{0};
    std::uint64_t last_number = 0;
};

MomentTarget at_time(Time time, bool inclusive = true) { return {.kind = Kind::time, .time = time, .inclusive = inclusive}; }
MomentTarget at_xid(std::uint32_t xid, bool inclusive = true) { return {.kind = Kind::xid, .xid = xid, .inclusive = inclusive}; }
MomentTarget at_lsn(pg::Lsn lsn, bool inclusive = true) { return {.kind = Kind::lsn, .lsn = lsn, .inclusive = inclusive}; }
MomentTarget at_name(std::string name) { return {.kind = Kind::name, .name = std::move(name)}; }

} // namespace

TEST_CASE("a time leads to the last commit up to it, from the newest backup that ended before", "[backup]") {
    for (const bool with_index : {true, false}) {
        World world;
        world.wal.with_index = with_index;
        CHECK(world.last_xid(at_time(time_of(70))) == 70);
        CHECK(world.last_xid(at_time(time_of(70), false)) == 69);
        CHECK(world.last_xid(at_time(time_of(70) + std::chrono::seconds(9))) == 70);
        // An abort ends recovery as a commit does, and is none.
        CHECK(world.last_xid(at_time(time_of(71))) == 70);
        CHECK(world.plan(at_time(time_of(70))).backup.name == "base_000000010000000000000005");
        CHECK(world.plan(at_time(time_of(20))).backup.name == "base_000000010000000000000003");
    }
}

TEST_CASE("with an index only the segment of the target is read", "[backup]") {
    World world;
    world.plan(at_time(time_of(90)));
    CHECK(world.wal.shown == 1);
    World without;
    without.wal.with_index = false;
    without.plan(at_time(time_of(90)));
    CHECK(without.wal.shown > 1);
}

TEST_CASE("a transaction, a name and an LSN are found, also those before the newest backup", "[backup]") {
    World world;
    for (const std::uint32_t index : {5U, 40U, 60U, 95U}) {
        const auto is_commit = index % 9 != 8;
        CHECK(world.last_xid(at_xid(first_xid + index)) == (is_commit ? index : index - 1));
        CHECK(world.last_xid(at_xid(first_xid + index, false)) == index - 1);
    }
    CHECK(world.last_xid(at_name("point 20")) == 19);
    CHECK(world.plan(at_name("point 20")).backup.name == "base_000000010000000000000003");
    CHECK(world.last_xid(at_name("point 90")) == 88); // 89 was an abort
    CHECK(world.last_xid(at_lsn(world.begins[60])) == 60);
    CHECK(world.last_xid(at_lsn(world.begins[60], false)) == 59);
    CHECK(world.plan({.kind = Kind::immediate}).last_commit->xid == first_xid + 50);
    CHECK(world.last_xid({}) == 99);
}

TEST_CASE("the plan names all segments that recovery reads, and not one more", "[backup]") {
    World world;
    const auto plan = world.plan(at_lsn(world.begins[60]));
    CHECK(plan.first_segment ==
          pg::segment_name({pg::TimelineId(1), pg::segment_number(world.begins[49], segment_bytes)}, segment_bytes));
    CHECK(plan.last_segment ==
          pg::segment_name({pg::TimelineId(1), pg::segment_number(plan.stop->end, segment_bytes)}, segment_bytes));
}

TEST_CASE("behind the archive's end the refusal names the last commit", "[backup]") {
    World world;
    const auto nearest = "nearest reachable: " + target_time_text(time_of(99));
    for (const auto& target :
         {at_time(time_of(99)), at_time(time_of(200)), at_xid(5), at_lsn(pg::Lsn(world.end.bytes() + 100)), at_name("none")}) {
        const auto text = world.refusal(target);
        CHECK(text.find(nearest) != std::string::npos);
        CHECK(text.find(fmt::format("(xid {}", first_xid + 99)) != std::string::npos);
    }
}

TEST_CASE("a gap is named, with what is reachable before it; what needs no more than that is reached", "[backup]") {
    World world;
    const auto number = pg::segment_number(world.begins[70], segment_bytes);
    world.view.segments.erase({pg::TimelineId(1), number});
    const auto name = pg::segment_name({pg::TimelineId(1), number}, segment_bytes);
    for (const auto& target : {at_time(time_of(90)), at_xid(first_xid + 95), at_lsn(world.begins[95]), MomentTarget()}) {
        const auto text = world.refusal(target);
        CHECK(text.find("no segment " + name) != std::string::npos);
        CHECK(text.find("nearest reachable: ") != std::string::npos);
    }
    CHECK(world.last_xid(at_time(time_of(53))) == 52);
    const auto beside = pg::segment_number(world.begins[50], segment_bytes);
    CHECK(world.view.has({pg::TimelineId(1), beside}));
    const auto windows = restorable_windows(world.view, world.wal);
    REQUIRE(windows.size() == 1);
    REQUIRE(windows[0].gaps.size() == 1);
    CHECK(windows[0].gaps[0].first == name);
    for (const auto& window : windows[0].windows) {
        CHECK(window.missing == name);
        CHECK(window.usable);
        CHECK(window.last_commit->end.bytes() <= number * segment_bytes);
    }
}

TEST_CASE("a damaged segment is as good as a missing one, and ends nothing but the way over it", "[backup]") {
    for (const bool newest : {false, true}) {
        World world;
        const auto number = newest ? world.last_number : pg::segment_number(world.begins[70], segment_bytes);
        world.wal.damaged = pg::Segment{pg::TimelineId(1), number};
        const auto name = pg::segment_name(*world.wal.damaged, segment_bytes);
        for (const auto& target : {at_time(time_of(99)), at_xid(first_xid + 99), at_lsn(world.end), MomentTarget()}) {
            const auto text = world.refusal(target);
            CHECK(text.find("segment " + name + " cannot be used (it does not unpack); nearest reachable: ") !=
                  std::string::npos);
        }
        CHECK(world.last_xid(at_time(time_of(53))) == 52);
        CHECK(world.last_xid({.kind = Kind::immediate}) == 50);
        const auto windows = restorable_windows(world.view, world.wal);
        for (const auto& window : windows.at(0).windows) {
            CHECK(window.usable);
            if (!window.damaged) continue; // an index tells of the WAL behind it
            CHECK(window.missing == name);
            CHECK(window.last_commit->end.bytes() <= number * segment_bytes);
        }
        CHECK(windows[0].windows[0].damaged == newest);
        const auto bracket = bracket_of(world.view, world.wal, pg::TimelineId(1), at_time(time_of(40)));
        CHECK(bracket.after->time <= time_of(40));
    }
}

TEST_CASE("a backup whose own WAL is not whole is passed over", "[backup]") {
    World world;
    world.view.segments.erase({pg::TimelineId(1), pg::segment_number(world.view.backups[1].start, segment_bytes)});
    CHECK(world.plan(at_time(time_of(30))).backup.name == "base_000000010000000000000003");
    CHECK(world.refusal(at_time(time_of(60))).find("nearest reachable: ") != std::string::npos);
    CHECK(world.refusal(at_time(time_of(60)), "base_000000010000000000000005").find("cannot be made consistent") !=
          std::string::npos);
}

TEST_CASE("before the end of every backup nothing is reached, and within one the earlier is taken", "[backup]") {
    World world;
    CHECK(world.refusal(at_time(time_of(1))).find("is before the end of backup base_000000010000000000000003") !=
          std::string::npos);
    CHECK(world.refusal(at_xid(first_xid + 2)).find("is before the end of backup") != std::string::npos);
    CHECK(world.refusal(at_lsn(world.begins[0])).find("is before the end of backup") != std::string::npos);
    CHECK(world.plan(at_xid(first_xid + 50)).backup.name == "base_000000010000000000000003");
    CHECK(world.refusal(at_xid(first_xid + 50), "base_000000010000000000000005").find("leave --backup out") != std::string::npos);
}

TEST_CASE("what the WAL asks for is told from the backup's start to the stop, and of minimal WAL none leads on", "[backup]") {
    World world;
    WrittenWal wal(pg::Lsn(first_number * segment_bytes));
    wal.tablespace(1, "/before the backup");
    world.begins.clear();
    std::vector<pg::Lsn> asked;
    for (std::uint32_t index = 0; index < commits; ++index) {
        world.begins.push_back(World::step(wal, index));
        if (index == 60) asked.push_back(wal.settings(200, 1));
        if (index == 70) asked.push_back(wal.tablespace(2, "/later"));
        if (index == 90) asked.push_back(wal.settings(100, 0));
    }
    world.wal.timelines[pg::TimelineId(1)] = wal.pages();
    world.view.backups.clear();
    world.add_backup("base_000000010000000000000005", 50);
    const auto begins = [](const MomentPlan& plan) {
        std::vector<pg::Lsn> all;
        for (const auto& one : plan.requirements) all.push_back(one.begin);
        return all;
    };
    CHECK(begins(world.plan(at_xid(first_xid + 60))).empty());
    CHECK(begins(world.plan(at_xid(first_xid + 61))) == std::vector{asked[0]});
    CHECK(begins(world.plan(at_lsn(asked[1], false))) == std::vector{asked[0]});
    CHECK(begins(world.plan(at_lsn(asked[1]))) == std::vector{asked[0], asked[1]});
    CHECK(begins(world.plan(at_lsn(asked[2], false))).size() == 2);
    for (const auto& target : {MomentTarget{}, at_xid(first_xid + 95)}) {
        const auto text = world.refusal(target);
        CHECK(text.find("from LSN " + asked[2].text() + " on the server wrote it with wal_level = minimal") != text.npos);
        CHECK(text.find("nearest reachable: ") != text.npos);
    }
}

TEST_CASE("a backup that was named is told apart from one that is not there", "[backup]") {
    World world;
    CHECK(world.refusal(at_time(time_of(60)), "base_other").find("there is no backup base_other") != std::string::npos);
    world.view.backups[1].timeline = pg::TimelineId(2);
    CHECK(world.refusal(at_time(time_of(60)), world.view.backups[1].name).find("is not on the way") != std::string::npos);
}

TEST_CASE("where nothing ended between backup and target, the clock says which was first", "[backup]") {
    World world;
    // The second backup ends behind the last commit before a long pause.
    auto& backup = world.view.backups[1];
    backup.finish_time = time_of(50) + std::chrono::seconds(7);
    CHECK(world.plan(at_time(time_of(50) + std::chrono::seconds(8))).backup.name == backup.name);
    CHECK(world.plan(at_time(time_of(50) + std::chrono::seconds(6))).backup.name != backup.name);
}

TEST_CASE("a subtransaction's own end is told to be its parent's", "[backup]") {
    World world;
    world.wal.with_index = false;
    const auto text = world.refusal(at_xid(5060));
    CHECK(text.find("transaction 5060 is a subtransaction of 1060") != std::string::npos);
}

TEST_CASE("a timeline that was left leads on to the next, and no further than where it was left", "[backup]") {
    World world;
    world.leave();
    CHECK(world.plan({}).timeline == pg::TimelineId(2));
    CHECK(world.last_xid({}) == 538); // 539 was an abort
    CHECK(world.last_xid(at_xid(first_xid + 520)) == 520);
    CHECK(world.refusal(at_xid(first_xid + 90)).find("is not in the archived WAL") != std::string::npos);
    const auto hint = [&](MomentTarget target) {
        try {
            world.plan(std::move(target));
        } catch (const Error& error) {
            return error.hint();
        }
        return std::string("it is reached");
    };
    for (const auto& left : {at_xid(first_xid + 90), at_name("point 90")})
        CHECK(hint(left).find("it is on timeline 1, and not on the latest, 2: --target-timeline 1") != std::string::npos);
    CHECK(hint(at_name("nowhere")).find("timeline") == std::string::npos);
    const auto old = plan_moment(world.view, world.wal, {at_xid(first_xid + 90), pg::TimelineId(1), {}});
    CHECK(old.last_commit->xid == first_xid + 90);
    CHECK(test::text_of_error([&] {
              plan_moment(world.view, world.wal, {{}, pg::TimelineId(3), {}});
          }).find("00000003.history") != std::string::npos);
    // A backup of what was left behind the fork is on no way to the second.
    world.add_backup("base_000000010000000000000006", 90);
    CHECK(world.plan({}).backup.name == "base_000000010000000000000005");
}

TEST_CASE("a target that is nowhere costs no look at the WAL that an older timeline has in common with the latest", "[backup]") {
    World world;
    world.leave();
    const auto& begins = world.second_begins;
    world.view.backups.push_back({"base_00000002000000000000000C", pg::TimelineId(2), begins[10],
                                  pg::Lsn(begins[11].bytes() + 64), time_of(510), time_of(511)});
    CHECK(world.refusal(at_time(time_of(900))).find("is not in the archived WAL") != std::string::npos);
    for (const auto& segment : world.wal.noted)
        CHECK((segment.timeline == pg::TimelineId(2) || segment.number >= pg::segment_number(world.fork, segment_bytes)));
}

TEST_CASE("a timeline without a history file is reached from its own backups", "[backup]") {
    World world;
    const pg::TimelineId two(2);
    world.wal.timelines[two] = world.wal.timelines[pg::TimelineId(1)];
    world.view.segments.clear();
    for (auto number = first_number; number <= world.last_number; ++number) world.view.segments.insert({two, number});
    world.view.add_missing_histories();
    CHECK(world.refusal({}).find("00000002.history is not in the archive") != std::string::npos);
    world.view.backups.back().timeline = two;
    const auto plan = world.plan(at_time(time_of(70)));
    CHECK(plan.timeline == two);
    CHECK_FALSE(plan.has_history);
    CHECK(plan.backup.timeline == two);
    CHECK(restorable_windows(world.view, world.wal).back().windows.size() == 1);
    CHECK(recovery_block({"x", {}, {}, "pause"}).find("recovery_target_timeline = 'current'") != std::string::npos);
}

TEST_CASE("a time lies between two commits, and so does an LSN", "[backup]") {
    World world;
    const auto by_time = bracket_of(world.view, world.wal, pg::TimelineId(1), at_time(time_of(40) + std::chrono::seconds(1)));
    CHECK(by_time.after->time <= time_of(40));
    CHECK(by_time.before->time > time_of(40));
    const auto by_lsn = bracket_of(world.view, world.wal, pg::TimelineId(1), at_lsn(world.begins[40]));
    CHECK(by_lsn.after->end <= world.begins[40]);
    CHECK(by_lsn.before->end > world.begins[40]);
}

TEST_CASE("a target time has its zone", "[backup]") {
    const auto time = Time(std::chrono::milliseconds(1'764'072'184'512));
    for (const auto* text : {"2025-11-25 12:03:04.512+00", "2025-11-25T12:03:04.512Z", "2025-11-25 14:03:04.512+02",
                             "2025-11-25 07:33:04.512-04:30"})
        CHECK(parse_target_time(text) == time);
    CHECK(target_time_text(time) == "2025-11-25 12:03:04.512+00");
    for (const auto* text : {"2025-11-25 12:03:04", "12:03:04", "yesterday", ""})
        CHECK(test::kind_of([&] { parse_target_time(text); }) == ErrorKind::misconfigured);
}

TEST_CASE("the recovery settings replace an earlier block of theirs and no other line", "[backup]") {
    const auto block = recovery_block({"walg-fetch '%f' \"%p\"", at_name("it's"), pg::TimelineId(3), "promote"});
    CHECK(block.find("restore_command = 'walg-fetch ''%f'' \"%p\"'\n") != std::string::npos);
    CHECK(block.find("recovery_target_name = 'it''s'\n") != std::string::npos);
    CHECK(block.find("recovery_target_time = ''\n") < block.find("recovery_target_name"));
    CHECK(block.find("recovery_target_timeline = '3'\n") != std::string::npos);
    CHECK(block.find("recovery_min_apply_delay = '0'\n") != std::string::npos);
    const std::string others = "# mine\nport = 5433";
    const auto once = with_recovery_block(others, block);
    CHECK(once == others + "\n" + block);
    const auto other_block = recovery_block({"x", {}, pg::TimelineId(1), "pause"});
    CHECK(with_recovery_block(once + "work_mem = '1MB'\n", other_block) == others + "\nwork_mem = '1MB'\n" + other_block);
    CHECK(with_recovery_block("", block) == block);
}

TEST_CASE("a target that an earlier recovery left is seen, with the marks around it and without", "[backup]") {
    const test::TemporaryFolder data;
    const auto names_one = [&](const std::string& file) {
        write_file_atomically(data / "postgresql.auto.conf", bytes_of(file), 0600);
        return names_recovery_target(data / "");
    };
    CHECK_FALSE(names_recovery_target(data / ""));
    CHECK_FALSE(names_one(
        "work_mem = '1MB'\nrecovery_target_timeline = 'latest'\nrecovery_target_time = ''\n#recovery_target_xid = '7'\n"));
    CHECK(names_one(recovery_block({"x", {}, pg::TimelineId(1), "pause"})));
    for (const std::string line : {"recovery_target_xid = '726'", " recovery_target 'immediate'", "Recovery_Target_Name=x"})
        CHECK(names_one("work_mem = '1MB'\n" + line + "\n"));
}

} // namespace walgd::backup

#include "common/base/time_text.hpp"
#include "daemon/schedule/schedule.hpp"

#include <catch2/catch.hpp>

using namespace walgd;
using namespace walgd::daemon;
using namespace std::chrono_literals;

namespace {

Calendar::Time time_of(const char* text) { return std::chrono::floor<std::chrono::seconds>(parse_time(text).value()); }

/// One host with a clock that is set by hand.
struct Host {
    Schedule::Options options;
    std::map<Task, TaskRecord> records;
    Role role = Role::primary;
    bool backup_running = false;
    std::map<Task, std::string> elsewhere;
    Calendar::Time started = time_of("2026-03-01T00:00:00Z");

    Host() {
        options.calendars.emplace(Task::full, Calendar("0 3 * * sun", "UTC"));
        options.calendars.emplace(Task::delta, Calendar("0 3 * * *", "UTC"));
        options.calendars.emplace(Task::retention, Calendar("0 5 * * *", "UTC"));
        options.host = "db1";
    }
    Schedule schedule() const { return {options, started}; }
    std::string chosen(const char* now) const {
        const auto run = schedule().choose({role, backup_running, records, elsewhere}, time_of(now));
        return run ? std::string(name_of(run->task)) : "nothing";
    }
    void ran(Task task, const char* due, unsigned failures = 0, const char* ended = nullptr) {
        const TaskRecord record{time_of(due), time_of(ended ? ended : due), failures, "", "db1"};
        for (const auto& [which, what] : schedule().records_after({task, time_of(due)}, record, records)) records[which] = what;
    }
    std::string why(const char* now, Task task) const {
        for (const auto& line : schedule().lines({role, backup_running, records, elsewhere}, time_of(now)))
            if (line.task == task) return line.why;
        return "no line";
    }
};

} // namespace

TEST_CASE("what was due before walgd was set up is not missed, and what comes due runs", "[daemon]") {
    Host host; // 2026-03-01 is a Sunday
    CHECK(host.chosen("2026-03-01T02:59:59Z") == "nothing");
    CHECK(host.chosen("2026-03-01T03:00:00Z") == "full");
}

TEST_CASE("a full backup serves the delta that is due with it", "[daemon]") {
    Host host;
    host.ran(Task::full, "2026-03-01T03:00:00Z", 0, "2026-03-01T03:20:00Z");
    CHECK(host.chosen("2026-03-01T03:30:00Z") == "nothing");
    CHECK(host.chosen("2026-03-02T03:00:00Z") == "delta");
}

TEST_CASE("what was missed while walgd was down runs once when it is back", "[daemon]") {
    Host host;
    host.ran(Task::full, "2026-03-01T03:00:00Z", 0, "2026-03-01T03:20:00Z");
    host.started = time_of("2026-03-07T12:00:00Z");
    CHECK(host.chosen("2026-03-07T12:00:01Z") == "delta");
    host.ran(Task::delta, "2026-03-07T03:00:00Z", 0, "2026-03-07T12:10:00Z");
    CHECK(host.chosen("2026-03-07T12:11:00Z") == "nothing");
}

TEST_CASE("what a clock that was years ahead wrote down keeps nothing from running", "[daemon]") {
    Host host;
    host.ran(Task::full, "2030-01-06T03:00:00Z");
    CHECK(host.chosen("2026-03-03T04:00:00Z") == "full");
    host.ran(Task::full, "2026-03-01T03:00:00Z", 0, "2026-03-03T04:10:00Z");
    host.ran(Task::delta, "2026-03-03T03:00:00Z", 0, "2026-03-03T04:20:00Z");
    host.ran(Task::retention, "2026-03-03T05:00:00Z");
    CHECK(host.chosen("2026-03-03T04:30:00Z") == "nothing");
    // A failure of then delays nothing either; clocks that differ by minutes are usual.
    host.ran(Task::delta, "2026-03-04T03:00:00Z", 3, "2030-03-04T03:00:00Z");
    CHECK(host.chosen("2026-03-04T03:00:10Z") == "delta");
    host.ran(Task::delta, "2026-03-04T03:00:00Z");
    CHECK(host.chosen("2026-03-04T02:59:30Z") == "nothing");
}

TEST_CASE("one at a time, and nothing is deleted while a backup is overdue", "[daemon]") {
    Host host;
    host.backup_running = true;
    CHECK(host.chosen("2026-03-01T05:00:00Z") == "nothing");
    host.backup_running = false;
    CHECK(host.chosen("2026-03-01T05:00:00Z") == "full");
    host.ran(Task::full, "2026-03-01T03:00:00Z", 1, "2026-03-01T05:00:00Z");
    CHECK(host.chosen("2026-03-01T05:01:00Z") == "delta");
    CHECK(host.why("2026-03-01T05:01:00Z", Task::retention).find("overdue") != std::string::npos);
}

TEST_CASE("a failed run is tried again, later each time", "[daemon]") {
    Host host;
    host.options.calendars.erase(Task::delta);
    host.options.calendars.erase(Task::retention);
    host.ran(Task::full, "2026-03-01T03:00:00Z", 1, "2026-03-01T03:05:00Z");
    CHECK(host.chosen("2026-03-01T03:14:59Z") == "nothing");
    CHECK(host.chosen("2026-03-01T03:15:00Z") == "full");
    host.ran(Task::full, "2026-03-01T03:00:00Z", 3, "2026-03-01T04:00:00Z");
    CHECK(host.chosen("2026-03-01T04:39:00Z") == "nothing");
    CHECK(host.chosen("2026-03-01T04:40:00Z") == "full");
    CHECK(host.why("2026-03-01T04:20:00Z", Task::full).find("failed 3 times") != std::string::npos);
}

TEST_CASE("backups run where schedule_on says, and follow a failover", "[daemon]") {
    Host host;
    host.role = Role::standby;
    CHECK(host.chosen("2026-03-01T03:00:00Z") == "nothing");
    CHECK(host.why("2026-03-01T03:00:00Z", Task::full).find("standby") != std::string::npos);
    host.role = Role::primary; // it was promoted
    CHECK(host.chosen("2026-03-01T03:00:00Z") == "full");

    host.options.runs_on = RunsOn::standby;
    CHECK(host.chosen("2026-03-01T03:29:00Z") == "nothing");
    CHECK(host.chosen("2026-03-01T03:30:00Z") == "full");
    host.role = Role::standby;
    CHECK(host.chosen("2026-03-01T03:00:00Z") == "full");
    host.role = Role::not_known;
    CHECK(host.chosen("2026-03-01T03:40:00Z") == "nothing");
}

TEST_CASE("a primary that a failover may have left lets the newer timeline's server go first", "[daemon]") {
    Host host;
    host.role = Role::left;
    CHECK(host.chosen("2026-03-01T03:29:00Z") == "nothing");
    CHECK(host.why("2026-03-01T03:10:00Z", Task::full).find("newer timeline") != std::string::npos);
    CHECK(host.chosen("2026-03-01T03:30:00Z") == "full"); // it did not: that timeline may be of a test long ago
    host.options.runs_on = RunsOn::any;
    CHECK(host.chosen("2026-03-01T03:29:00Z") == "nothing");
}

TEST_CASE("what each host can do, one of them does", "[daemon]") {
    Host primary;
    primary.options.calendars.clear();
    primary.options.calendars.emplace(Task::verify, Calendar("0 12 * * *", "UTC"));
    auto standby = primary;
    standby.role = Role::standby;
    CHECK(primary.chosen("2026-03-01T12:00:00Z") == "verify");
    CHECK(standby.chosen("2026-03-01T12:00:00Z") == "nothing");
    CHECK(standby.chosen("2026-03-01T12:30:00Z") == "verify"); // the primary did not
    primary.ran(Task::verify, "2026-03-01T12:00:00Z", 0, "2026-03-01T12:20:00Z");
    standby.records = primary.records;
    CHECK(standby.chosen("2026-03-01T12:30:00Z") == "nothing");

    primary.records.clear();
    primary.options.runs_on = standby.options.runs_on = RunsOn::standby;
    standby.records.clear();
    CHECK(primary.chosen("2026-03-01T12:00:00Z") == "nothing");
    CHECK(standby.chosen("2026-03-01T12:00:00Z") == "verify");
    standby.role = Role::not_known; // without a server nobody is waited for
    CHECK(standby.chosen("2026-03-01T12:00:00Z") == "verify");
}

TEST_CASE("what a host is at no other begins, however long it takes", "[daemon]") {
    Host primary;
    primary.options.runs_on = RunsOn::standby;
    primary.elsewhere = {{Task::full, "db2"}};
    CHECK(primary.chosen("2026-03-01T04:30:00Z") == "nothing");
    CHECK(primary.why("2026-03-01T04:30:00Z", Task::full) == "db2 is at it");
    CHECK(primary.why("2026-03-01T04:30:00Z", Task::delta) == "db2 is at it"); // which it may serve too
    primary.elsewhere = {{Task::verify, "db2"}};
    CHECK(primary.chosen("2026-03-01T04:30:00Z") == "full");
}

TEST_CASE("a note of what a host is at is read as it was written; what is no note is none", "[daemon]") {
    const auto note = parse_note(note_text({"db2", time_of("2026-03-01T03:00:00Z")})).value();
    CHECK((note.host == "db2" && note.at == time_of("2026-03-01T03:00:00Z")));
    for (const auto* text : {"", "[]", "{}", R"({"host":"db2"})", R"({"host":5,"time_of":"2026-03-01T03:00:00Z"})",
                             R"({"host":"db2","time_of":"now"})"})
        CHECK_FALSE(parse_note(text));
}

TEST_CASE("jitter delays by what one host and due time always give, and no more than it may", "[daemon]") {
    Host host;
    host.options.jitter = 600s;
    const auto next = host.schedule().lines({host.role, false, host.records}, time_of("2026-03-01T01:00:00Z")).front().next;
    REQUIRE(next);
    CHECK(*next >= time_of("2026-03-01T03:00:00Z"));
    CHECK(*next <= time_of("2026-03-01T03:10:00Z"));
    CHECK(host.schedule().choose({host.role, false, host.records}, *next - 1s).has_value() == false);
    CHECK(host.schedule().choose({host.role, false, host.records}, *next).has_value());
}

TEST_CASE("jitter of more than the time between two runs leaves none out", "[daemon]") {
    Host host;
    host.options.calendars.clear();
    host.options.calendars.emplace(Task::verify, Calendar("*/10 * * * *", "UTC"));
    host.options.jitter = 6h;
    int runs = 0;
    for (auto now = host.started; now < host.started + 10h; now += 20s) {
        const auto run = host.schedule().choose({host.role, false, host.records}, now);
        if (!run) continue;
        ++runs;
        host.records[run->task] = {run->due, now, 0, "", "db1"};
    }
    CHECK(runs >= 58);
}

TEST_CASE("a first run that its host did not live to end is made up", "[daemon]") {
    Host host;
    host.records = host.schedule().first_records(host.records);
    CHECK(host.records.size() == 3);
    CHECK_FALSE(host.records.at(Task::full).ran());
    host.started = time_of("2026-03-01T04:00:00Z"); // it came up again
    CHECK(host.schedule().first_records(host.records).empty());
    CHECK(host.chosen("2026-03-01T04:00:01Z") == "full");
    host.records = {};
    CHECK(host.chosen("2026-03-01T04:00:01Z") == "nothing"); // set up behind that time
}

TEST_CASE("a task's record is read as it was written; what is no record is none", "[daemon]") {
    const TaskRecord record{time_of("2026-03-01T03:00:00Z"), time_of("2026-03-01T03:05:00Z"), 2, "cannot read h\xFC", "db1"};
    const auto read = parse_record(record_text(record)).value();
    CHECK((read.due == record.due && read.ended == record.ended && read.failures == 2 && read.host == "db1"));
    CHECK(read.text == "cannot read h\xEF\xBF\xBD"); // U+FFFD for what is no UTF-8
    CHECK_FALSE(parse_record(record_text({time_of("2026-03-01T03:00:00Z"), {}, 0, "", "db1"})).value().ran());
    for (const auto* text : {"", "[]", "{}", R"({"due":5,"ended":"2026-03-01T03:05:00Z","failures":0})",
                             R"({"due":"2026-03-01T03:00:00Z","ended":null,"failures":0})",
                             R"({"due":"2026-03-01T03:00:00Z","ended":"2026-03-01T03:05:00Z","failures":"no"})",
                             R"({"due":"2026-03-01T03:00:00Z","ended":"2026-03-01T03:05:00Z","failures":4294967296})"})
        CHECK_FALSE(parse_record(text));
    CHECK(parse_record(R"({"due":"2026-03-01T03:00:00Z","ended":"2026-03-01T03:05:00Z","failures":0,"text":7})")->text.empty());
}

TEST_CASE("of a long text a record keeps the beginning, so that it can be read again", "[daemon]") {
    CHECK(kept_text("all sound") == "all sound");
    const auto kept = kept_text("base_1 stays" + std::string(1 << 20, 'x'));
    CHECK(kept.size() <= 2000);
    CHECK(kept.starts_with("base_1 stays"));
    CHECK(kept.ends_with("x ..."));
}

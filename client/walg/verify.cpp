#include "common/backup/verify.hpp"
#include "client/walg/listing.hpp"
#include "client/walg/read_words.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/json_text.hpp"
#include "config/values.hpp"

#include <fmt/format.h>
#include <iostream>

namespace walgd::cli {

namespace {

std::string json(const backup::VerifyReport& report) {
    std::string damaged, backups;
    for (const auto& one : report.damaged)
        damaged += fmt::format(R"({}{{"object":{},"cause":{}}})", damaged.empty() ? "" : ",", archive::json_string(one.object),
                               archive::json_string(one.cause));
    for (const auto& [name, defect, reaches] : report.backups)
        backups +=
            fmt::format(R"({}{{"backup_name":{},"restorable":{},"defect":{},"reaches":{}}})", backups.empty() ? "" : ",",
                        archive::json_string(name), defect.empty(), archive::json_string(defect), archive::json_string(reaches));
    return fmt::format(
        R"({{"sound":{},"objects":{},"bytes":{},"wal_records":{},"left_out":{},"foreign":{},"damaged":[{}],"backups":[{}]}})",
        report.sound(), report.objects, report.bytes, report.wal_records, report.left_out, report.foreign, damaged, backups);
}

std::string text(const backup::VerifyReport& report) {
    std::string lines;
    for (const auto& damage : report.damaged) lines += fmt::format("DAMAGED {}\n        {}\n", damage.object, damage.cause);
    std::vector<Row> rows;
    for (const auto& [name, defect, reaches] : report.backups)
        rows.push_back({name, defect.empty() ? "yes" : "NO", reaches.empty() ? "-" : reaches, defect});
    lines += plain_table({"backup_name", "restorable", "wal_up_to", "reason"}, rows);
    lines += fmt::format("{} objects read, {} MiB, {} WAL records; {} damaged\n", report.objects, report.bytes >> 20,
                         report.wal_records, report.damaged.size());
    if (report.left_out > 0) lines += fmt::format("{} objects were left out: the budget is used up\n", report.left_out);
    if (report.foreign > 0)
        lines += fmt::format("{} objects are none of a backup's or of WAL's, and were not read\n", report.foreign);
    return lines;
}

class Verify : public Verb {
public:
    std::string name() const override { return "verify"; }
    std::string help() const override { return "Read the archive back as a restore would, and say what can be restored"; }

    void options(CLI::App& command) override {
        command.add_option("--sample", options_.sample, "So many objects by chance, instead of all")->check(is_from_1);
        command.add_flag("--since-last", options_.since_last,
                         "Only what was stored since the last time; goes on where a budget ended it");
        command.add_option("--bytes", bytes_, "Stop after so much was read: 10GiB");
        command.add_option("--time", time_, "Stop after so long: 30m");
        command.add_flag("--json", json_, "As JSON");
    }

    int run(Context& context) override {
        if (!bytes_.empty()) options_.bytes_max = checked(config::parse_bytes(bytes_), "--bytes", bytes_, "10GiB");
        if (!time_.empty()) options_.time_max = checked(config::parse_duration(time_), "--time", time_, "30m");
        options_.at_once = static_cast<unsigned>(context.settings.number("download_concurrency"));
        const auto report = backup::verify(context.archive(), options_, context.stop);
        std::cout << (json_ ? json(report) + "\n" : text(report));
        return report.sound() ? 0 : 1;
    }

private:
    template <class T>
    static T checked(const std::optional<T>& value, const char* option, const std::string& given, const char* example) {
        if (!value || *value == T{}) // 0 stands for no bound
            throw Error(ErrorKind::misconfigured, fmt::format("{} is '{}'", option, given), fmt::format("write {}", example));
        return *value;
    }

    backup::VerifyOptions options_;
    std::string bytes_, time_;
    bool json_ = false;
};

} // namespace

std::unique_ptr<Verb> make_verify() { return std::make_unique<Verify>(); }

} // namespace walgd::cli

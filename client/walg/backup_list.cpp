#include "client/walg/listing.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/catalogue.hpp"
#include "common/archive/json_text.hpp"

#include <algorithm>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <iostream>

namespace walgd::cli {

namespace {

struct Listed {
    archive::BackupEntry entry;
    archive::BackupMetadata metadata; ///< only with --detail
};

std::tm utc(Time time) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
    std::tm parts{};
    const std::time_t when = seconds;
    ::gmtime_r(&when, &parts);
    return parts;
}

std::string short_time(Time time) { return time == Time() ? "-" : fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc(time)); }
std::string long_time(Time time) { return time == Time() ? "-" : fmt::format("{:%A, %d-%b-%y %H:%M:%S} UTC", utc(time)); }
std::string lsn_text(const std::optional<pg::Lsn>& lsn) { return lsn ? lsn->text() : "-"; }

class BackupList : public Verb {
public:
    std::string name() const override { return "backup-list"; }
    std::string help() const override { return "The backups in the archive, oldest first"; }

    void options(CLI::App& command) override {
        command.add_flag("--pretty", pretty_, "A table with lines; with --json, indented");
        command.add_flag("--json", json_, "As JSON");
        command.add_flag("--detail", detail_, "With times, host, LSNs and whether it is permanent");
    }

    int run(Context& context) override {
        auto& archive = context.archive();
        if (context.as_walg) context.log.info("List backups from storages: [default]");
        std::vector<Listed> backups;
        for (auto& entry : run_blocking(context.io, archive::list_backups(archive.storage), context.stop))
            backups.push_back({std::move(entry), {}});
        if (detail_) add_details(context, backups);
        if (json_)
            std::cout << json(backups) << "\n";
        else if (pretty_)
            std::cout << boxed_table(titles(), rows(backups, &long_time));
        else
            std::cout << plain_table(header(), rows(backups, &short_time));
        if (backups.empty()) context.log.info("No backups found");
        return 0;
    }

private:
    static void add_details(Context& context, std::vector<Listed>& backups) {
        for (auto& backup : backups) {
            auto metadata =
                run_blocking(context.io, archive::read_metadata(context.archive().storage, backup.entry.name), context.stop);
            if (!metadata)
                throw Error(ErrorKind::corrupt, fmt::format("backup {} has no metadata.json", backup.entry.name),
                            "backup-list without --detail shows it; it can be restored all the same");
            backup.metadata = std::move(*metadata);
        }
        const bool all_started =
            std::ranges::all_of(backups, [](const Listed& backup) { return backup.metadata.start_time != Time(); });
        if (all_started)
            std::ranges::sort(backups, {},
                              [](const Listed& backup) { return std::pair(backup.metadata.start_time, backup.entry.name); });
    }

    Row header() const {
        Row cells{"backup_name", "modified", "wal_file_name", "storage_name"};
        if (detail_)
            cells.insert(cells.end(), {"start_time", "finish_time", "hostname", "data_dir", "pg_version", "start_lsn",
                                       "finish_lsn", "is_permanent"});
        return cells;
    }
    Row titles() const {
        Row cells{"BACKUP NAME", "MODIFIED", "WAL FILE NAME", "STORAGE NAME"};
        if (detail_)
            cells.insert(cells.end(), {"START TIME", "FINISH TIME", "HOSTNAME", "DATADIR", "PG VERSION", "START LSN",
                                       "FINISH LSN", "PERMANENT"});
        return cells;
    }

    std::vector<Row> rows(const std::vector<Listed>& backups, std::string (*time_text)(Time)) const {
        std::vector<Row> rows;
        for (const auto& [entry, metadata] : backups) {
            Row row{entry.name, time_text(entry.modified), entry.wal_file, "default"};
            if (detail_)
                row.insert(row.end(), {time_text(metadata.start_time), time_text(metadata.finish_time), metadata.hostname,
                                       metadata.data_dir, std::to_string(metadata.pg_version), lsn_text(metadata.start_lsn),
                                       lsn_text(metadata.finish_lsn), metadata.is_permanent ? "true" : "false"});
            rows.push_back(std::move(row));
        }
        return rows;
    }

    std::string json(const std::vector<Listed>& backups) const {
        std::string text = "[";
        for (const auto& [entry, metadata] : backups) {
            text += text.size() > 1 ? ",{" : "{";
            text += fmt::format(R"("backup_name":{},"time":"{}","wal_file_name":{},"storage_name":"default")",
                                archive::json_string(entry.name), archive::format_time(entry.modified),
                                archive::json_string(entry.wal_file));
            text += detail_ ? "," + to_json(metadata).substr(1) : "}";
        }
        text += "]";
        return pretty_ ? indented_json(text) : text;
    }

    bool pretty_ = false, json_ = false, detail_ = false;
};

} // namespace

std::unique_ptr<Verb> make_backup_list() { return std::make_unique<BackupList>(); }

} // namespace walgd::cli

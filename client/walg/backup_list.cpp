#include "client/walg/backup_json.hpp"
#include "client/walg/backup_texts.hpp"
#include "client/walg/listing.hpp"
#include "client/walg/other_archive.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/catalogue.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iostream>

namespace walgd::cli {

namespace {

using Listed = archive::BackupDetails; ///< with details only for --detail

/// Of base backups, or of those that catchup-push made.
class BackupList : public Verb {
public:
    explicit BackupList(std::string_view folder) : folder_(folder) {}
    std::string name() const override { return is_catchup() ? "catchup-list" : "backup-list"; }
    std::string help() const override {
        return is_catchup() ? "The backups that catchup-push made, oldest first" : "The backups in the archive, oldest first";
    }

    void options(CLI::App& command) override {
        command.add_flag("--pretty", pretty_, "A table with lines; with --json, indented");
        command.add_flag("--json", json_, "As JSON");
        command.add_flag("--detail", detail_, "With times, host, LSNs and whether it is permanent");
        if (is_catchup()) return;
        command.add_option("--target-storage", target_storage_,
                           "Work with this storage alone: default, or a name of WALG_FAILOVER_STORAGES");
    }

    int run(Context& context) override {
        context.target_storage = target_storage_;
        const auto backups = listed(context);
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
    bool is_catchup() const { return folder_ == archive::catchup_folder; }
    static std::vector<Listed> bare(const std::vector<archive::BackupEntry>& entries) {
        std::vector<Listed> backups;
        for (const auto& entry : entries) backups.push_back({entry, {}, {}});
        return backups;
    }

    std::vector<Listed> listed(Context& context) const {
        const auto names = context.storage_names();
        if (context.as_walg && !is_catchup()) context.log.info("List backups from storages: [{}]", fmt::join(names, " "));
        std::vector<Listed> backups;
        std::optional<Error> failure;
        std::size_t failed = 0;
        for (const auto& name : names) {
            try {
                std::ranges::move(listed_in(context, name, names.size() > 1), std::back_inserter(backups));
            } catch (const Error& error) {
                if (names.size() == 1 || !storage::is_outage(error)) throw;
                context.log.warn("the backups of storage {} are not listed: {}", name, error.what());
                failure = error;
                ++failed;
            }
        }
        if (failure && failed == names.size()) throw *failure;
        return sorted(std::move(backups));
    }

    /// A backup that is in two storages is listed twice.
    std::vector<Listed> listed_in(Context& context, const std::string& name, bool one_of_several) const {
        std::optional<NamedArchive> named;
        if (one_of_several) named.emplace(context, name);
        auto& storage = named ? named->archive().storage : context.archive().storage;
        auto entries = run_blocking(context.io, archive::list_backups(storage, folder_), context.stop);
        for (auto& entry : entries) entry.storage = name;
        tell_odd_times(context.log, entries);
        if (!detail_) return bare(entries);
        auto read = archive::read_details(storage, std::move(entries), context.at_once(), folder_);
        auto backups = run_blocking(context.io, std::move(read), context.stop);
        tell_troubles(context.log, backups);
        return backups;
    }

    std::vector<Listed> sorted(std::vector<Listed> backups) const {
        std::ranges::sort(backups, {}, [](const Listed& backup) {
            return std::tuple(backup.entry.modified, backup.entry.name, backup.entry.storage);
        });
        if (!detail_) return backups;
        const bool all_started =
            std::ranges::all_of(backups, [](const Listed& backup) { return backup.metadata.start_time != Time(); });
        if (all_started)
            std::ranges::sort(backups, {}, [](const Listed& backup) {
                return std::tuple(backup.metadata.start_time, backup.entry.name, backup.entry.storage);
            });
        return backups;
    }
    /// LATEST is the newest by these times.
    static void tell_odd_times(Log& log, const std::vector<archive::BackupEntry>& entries) {
        const auto latest = std::chrono::system_clock::now() + std::chrono::minutes(15);
        for (const auto& entry : entries) {
            if (entry.modified > latest)
                log.warn("the sentinel of {} was modified in the future, at {}: the storage's clock or this one's is wrong",
                         entry.name, format_time(entry.modified));
        }
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
        for (const auto& [entry, metadata, trouble] : backups) {
            Row row{entry.name, time_text(entry.modified), entry.wal_file, entry.storage};
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
        for (const auto& backup : backups)
            text += (text.size() > 1 ? "," : "") + backup_json(backup.entry, detail_ ? &backup.metadata : nullptr);
        text += "]";
        return pretty_ ? indented_json(text) : text;
    }

    std::string_view folder_;
    bool pretty_ = false, json_ = false, detail_ = false;
    std::string target_storage_;
};

} // namespace

std::unique_ptr<Verb> make_backup_list() { return std::make_unique<BackupList>(archive::backup_folder); }
std::unique_ptr<Verb> make_catchup_list() { return std::make_unique<BackupList>(archive::catchup_folder); }

} // namespace walgd::cli

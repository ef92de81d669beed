#include "client/walg/backup_texts.hpp"
#include "client/walg/listing.hpp"
#include "client/walg/pgbackrest.hpp"
#include "common/archive/json_text.hpp"
#include "common/pgbackrest/layout.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iostream>

namespace walgd::cli {

namespace {

using archive::json_string;
using pgbackrest::BackupInfo;
using pgbackrest::Manifest;

/// WAL-G's keys and their order; the modes are numbers in it.
std::string detail_json(const Manifest& backup) {
    std::vector<std::string> folders;
    for (const auto& folder : backup.folders) folders.push_back(json_string(folder.name));
    return fmt::format(
        R"({{"BackupName":{},"ModifiedTime":"{}","WalFileName":{},"Type":{},"StartTime":"{}","FinishTime":"{}","PgVersion":{},"StartLsn":{},"FinishLsn":{},"SystemIdentifier":{},"DirectoryPaths":[{}],"DefaultFileMode":{},"DefaultDirectoryMode":{}}})",
        json_string(backup.label), format_time(backup.stop_time), json_string(backup.archive_start), json_string(backup.type),
        format_time(backup.start_time), format_time(backup.stop_time), json_string(backup.pg_version),
        backup.start_lsn.value_or(pg::Lsn(0)).bytes(), backup.stop_lsn.value_or(pg::Lsn(0)).bytes(), backup.system.number(),
        fmt::join(folders, ","), backup.file_mode, backup.folder_mode);
}

/// The storage has no name in WAL-G's list.
std::string brief_json(const BackupInfo& backup) {
    return fmt::format(R"({{"backup_name":{},"time":"{}","wal_file_name":{},"storage_name":""}})", json_string(backup.label),
                       format_time(backup.stop_time), json_string(backup.archive_start));
}

template <class Backup> std::string json(const std::vector<Backup>& backups, std::string (*one)(const Backup&)) {
    std::vector<std::string> texts;
    for (const auto& backup : backups) texts.push_back(one(backup));
    return fmt::format("[{}]", fmt::join(texts, ","));
}

class PgbackrestBackupList : public PgbackrestWord {
public:
    std::string name() const override { return "backup-list"; }
    std::string help() const override { return "The backups of the stanza, oldest first"; }

    void options(CLI::App& command) override {
        command.add_flag("--pretty", pretty_, "A table with lines; with --json, indented");
        command.add_flag("--json", json_, "As JSON");
        command.add_flag("--detail", detail_, "With type, times, version and LSNs, as the manifests have them");
    }

    int run(Context& context, pgbackrest::Repository& repository) override {
        const auto backups = run_blocking(context.io, repository.backups(), context.stop);
        for (const auto& backup : backups) {
            if (backup.damaged)
                context.log.warn(
                    "backup {} has pages whose checksums were wrong when it was made: backup-fetch names their files",
                    backup.label);
        }
        if (backups.empty()) context.log.info("No backups found");
        // WAL-G prints nothing then, not even [].
        if (backups.empty() && (context.as_walg || !json_)) return 0;
        if (detail_)
            print_details(read_manifests(context, repository, backups));
        else
            print(backups);
        return 0;
    }

private:
    static std::vector<Manifest> read_manifests(Context& context, pgbackrest::Repository& repository,
                                                const std::vector<BackupInfo>& backups) {
        std::vector<Manifest> manifests;
        for (const auto& backup : backups) {
            auto read = repository.manifest(backup.label, pgbackrest::ManifestReader::Files::left_out);
            manifests.push_back(run_blocking(context.io, std::move(read), context.stop));
        }
        return manifests;
    }

    void print_json(const std::string& text) const { std::cout << (pretty_ ? indented_json(text) : text) << "\n"; }

    void print(const std::vector<BackupInfo>& backups) const {
        if (json_) return print_json(json(backups, &brief_json));
        std::vector<Row> rows;
        for (const auto& backup : backups)
            rows.push_back(
                {backup.label, pretty_ ? long_time(backup.stop_time) : short_time(backup.stop_time), backup.archive_start, ""});
        if (pretty_)
            std::cout << boxed_table({"BACKUP NAME", "MODIFIED", "WAL FILE NAME", "STORAGE NAME"}, rows);
        else
            std::cout << plain_table({"backup_name", "modified", "wal_file_name", "storage_name"}, rows);
    }

    void print_details(const std::vector<Manifest>& backups) const {
        if (json_) return print_json(json(backups, &detail_json));
        std::vector<Row> rows;
        for (const auto& backup : backups)
            rows.push_back({backup.label, short_time(backup.stop_time), backup.archive_start, backup.type,
                            short_time(backup.start_time), short_time(backup.stop_time), backup.pg_version,
                            backup.start_lsn.value_or(pg::Lsn(0)).text(), backup.stop_lsn.value_or(pg::Lsn(0)).text()});
        const Row titles{"name",      "modified",  "wal_segment_backup_start", "type", "start_time", "finish_time", "pg_version",
                         "start_lsn", "finish_lsn"};
        std::cout << (pretty_ ? boxed_table(titles, rows) : tabbed_table(titles, rows));
    }

    bool pretty_ = false, json_ = false, detail_ = false;
};

} // namespace

std::unique_ptr<PgbackrestWord> make_pgbackrest_backup_list() { return std::make_unique<PgbackrestBackupList>(); }

} // namespace walgd::cli

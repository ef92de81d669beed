#include "client/walg/backup_json.hpp"
#include "client/walg/backup_texts.hpp"
#include "client/walg/verb.hpp"

#include <fmt/format.h>
#include <iostream>

namespace walgd::cli {

namespace {

/// Ours: WAL-G has no such word.
class BackupShow : public Verb {
public:
    std::string name() const override { return "backup-show"; }
    std::string help() const override { return "What one backup's documents say of it"; }
    bool in_walg() const override { return false; }

    void options(CLI::App& command) override {
        command.add_option("backup_name", backup_, "A name of backup-list, or LATEST")->required();
        command.add_flag("--json", json_, "As JSON");
    }

    int run(Context& context) override {
        auto& storage = context.archive().storage;
        const auto entry = run_blocking(context.io, archive::find_backup(storage, backup_), context.stop);
        const auto all = run_blocking(context.io, archive::read_details(storage, {entry}, 1), context.stop);
        tell_troubles(context.log, all);
        const auto& backup = all.front();
        if (json_)
            std::cout << backup_json(backup.entry, &backup.metadata) << "\n";
        else
            std::cout << text(backup.entry, backup.metadata);
        return backup.trouble.empty() ? 0 : 1;
    }

private:
    static std::string text(const archive::BackupEntry& entry, const archive::BackupMetadata& metadata) {
        const auto delta = entry.name.find("_D_");
        std::string text;
        auto line = [&](std::string_view name, const std::string& value) { text += fmt::format("{:<18} {}\n", name, value); };
        line("backup", entry.name);
        line("stored", time_or_dash(std::chrono::time_point_cast<std::chrono::system_clock::duration>(entry.modified)));
        line("kind", delta == std::string::npos ? "full" : "delta, on the backup that begins at " + entry.name.substr(delta + 3));
        line("permanent", metadata.is_permanent ? "yes" : "no");
        line("started", time_or_dash(std::chrono::time_point_cast<std::chrono::system_clock::duration>(metadata.start_time)));
        line("finished", time_or_dash(std::chrono::time_point_cast<std::chrono::system_clock::duration>(metadata.finish_time)));
        line("from", fmt::format("{}:{}", metadata.hostname, metadata.data_dir));
        line("PostgreSQL", std::to_string(metadata.pg_version / 10000) + "." + std::to_string(metadata.pg_version % 10000));
        line("system identifier", metadata.system ? std::to_string(metadata.system->number()) : "-");
        line("WAL", fmt::format("from {} to {}", lsn_text(metadata.start_lsn), lsn_text(metadata.finish_lsn)));
        line("bytes", fmt::format("{}, {} of them stored", metadata.uncompressed_bytes, metadata.compressed_bytes));
        if (!metadata.user_data.empty()) line("user data", metadata.user_data);
        return text;
    }

    std::string backup_;
    bool json_ = false;
};

} // namespace

std::unique_ptr<Verb> make_backup_show() { return std::make_unique<BackupShow>(); }

} // namespace walgd::cli

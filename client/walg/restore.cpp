#include "client/walg/daemon_client.hpp"
#include "client/walg/progress_printer.hpp"
#include "client/walg/read_words.hpp"
#include "client/walg/recovery_start.hpp"
#include "client/walg/restore_command.hpp"
#include "client/walg/target_options.hpp"
#include "client/walg/verb.hpp"
#include "common/backup/restore/archive_wal.hpp"
#include "common/backup/restore/backup_fetch.hpp"
#include "common/backup/restore/load_view.hpp"
#include "common/backup/restore/preflight.hpp"
#include "common/backup/restore/recovery_settings.hpp"
#include "common/backup/restore/restore_plan.hpp"
#include "common/backup/restore/wal_requirements.hpp"
#include "common/base/files.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::cli {

namespace {

namespace fs = std::filesystem;
using Kind = backup::MomentTarget::Kind;

std::string plan_text(const backup::MomentPlan& plan) {
    return fmt::format("{} segments of WAL, {} to {}, without a gap", plan.segments, plan.first_segment, plan.last_segment);
}

std::string last_commit_text(const backup::MomentPlan& plan) {
    return plan.last_commit ? backup::commit_text(*plan.last_commit) : "none since the backup began";
}

std::string plan_json(const backup::MomentPlan& plan, const backup::MomentTarget& target, const std::string& state) {
    nlohmann::ordered_json commit = nullptr;
    if (plan.last_commit)
        commit = {
            {"time", format_time(plan.last_commit->time)}, {"xid", plan.last_commit->xid}, {"lsn", plan.last_commit->end.text()}};
    nlohmann::ordered_json document{{"target", target.text()},
                                    {"backup", plan.backup.name},
                                    {"timeline", plan.timeline.number()},
                                    {"last_commit", commit},
                                    {"first_segment", plan.first_segment},
                                    {"last_segment", plan.last_segment},
                                    {"segments", plan.segments},
                                    {"state", state}};
    return document.dump();
}

class Restore : public Verb {
public:
    std::string name() const override { return "restore"; }
    std::string help() const override {
        return "Restore to a moment: proves first that it can be reached, then fetches and sets up recovery";
    }

    void options(CLI::App& command) override {
        command.add_option("directory", fetch_.destination, "Where to: an empty folder, or one that does not exist yet")
            ->required();
        target_.add(command);
        command.add_option("--target-timeline", timeline_, "The timeline to follow: its number, or latest (the default)");
        command.add_option("--target-action", action_, "What PostgreSQL does at the target: pause, promote or shutdown")
            ->check(CLI::IsMember({"pause", "promote", "shutdown"}));
        command.add_option("--backup", backup_, "The backup to begin with; the newest that leads to the target if not given")
            ->check(says_something);
        command
            .add_option("--restore-spec", restore_spec_file_,
                        "File with the tablespaces' new places (JSON, as in the backup's sentinel)")
            ->check(says_something);
        command.add_option("--restore-command", restore_command_, "PostgreSQL's restore_command; walg-fetch if not given")
            ->check(says_something);
        command.add_flag("--check", check_, "Only prove that it can be done; nothing is written");
        command.add_flag("--without-index", without_index_, "Do not believe the commit-time index: read the WAL");
        command.add_flag("--start", start_, "Start PostgreSQL, and wait until it has recovered");
        command.add_option("--pg-bin", programs_, "Folder of PostgreSQL's programs; looked for if not given");
        command.add_option("--log", log_file_, "File for what the started PostgreSQL says; beside the directory if not given");
        command.add_flag("--json", json_, "Say at the end what was done as JSON");
    }

    int run(Context& context) override {
        const auto target = target_.target();
        if (start_ && ::geteuid() == 0)
            throw Error(
                ErrorKind::refused, "PostgreSQL does not run as root, so --start cannot start it",
                "run this as the user that PostgreSQL runs as: runuser -u postgres -- walg restore ...; nothing was written");
        auto loaded = backup::load_view(context.archive(), context.stop);
        if (backup_ == "LATEST" && !loaded.view.backups.empty()) backup_ = loaded.view.backups.back().name;
        const auto plan = sound_plan(context, loaded, target);
        preflight(context, loaded, plan);
        context.log.info("ok: {} can be reached; the last commit will be {}", target.text(), last_commit_text(plan));
        if (check_) return finish(plan, target, "checked");
        bool was_standby = false;
        fetch_.last_step = [&] {
            backup::make_tablespace_folders(later_folders_, fetch_.destination);
            was_standby = write_settings(context, plan, target);
        };
        fetch(context, plan);
        if (was_standby)
            context.log.warn("the backup's standby.signal was removed: with it PostgreSQL would not end its recovery");
        if (restore_command_.empty() && !daemon_listens(context))
            context.log.info("No walgd runs here: each segment is fetched when PostgreSQL asks for it; walgd would fetch ahead");
        if (!start_) {
            context.log.info("Start PostgreSQL on {}: it will recover to {}, last commit {}", fetch_.destination, target.text(),
                             last_commit_text(plan));
            return finish(plan, target, "fetched");
        }
        return finish(plan, target, recover(context, plan, target));
    }

private:
    /// One whose backup can be read, with all that it builds on. Unless it was named, an older backup takes a damaged one's
    /// place.
    backup::MomentPlan sound_plan(Context& context, backup::LoadedView& loaded, const backup::MomentTarget& target) {
        std::optional<Error> damage;
        for (;;) {
            const auto plan = planned(context, loaded, target, damage);
            try {
                const auto checked = backup::check_chain(context.archive(), plan.backup.name, context.stop);
                context.log.info("ok: backup {}", checked.text);
                if (checked.control) warn_of_settings(context, plan, checked.control->settings);
                return plan;
            } catch (const Error& error) {
                if (error.kind() != ErrorKind::corrupt || !backup_.empty()) throw;
                context.log.warn("backup {} is left out: {}", plan.backup.name, error.what());
                if (!damage) damage = error;
            }
            std::erase_if(loaded.view.backups, [&](const auto& one) { return one.name == plan.backup.name; });
        }
    }

    static void warn_of_settings(Context& context, const backup::MomentPlan& plan, const pg::StandbySettings& before) {
        const auto raised = backup::raised_settings(plan.requirements, before);
        if (!raised.empty())
            context.log.warn(
                "the server's settings were raised after the backup: {}. With lower ones and hot_standby on, recovery "
                "ends or pauses there: set them in the restored configuration before the start",
                fmt::join(raised, ", "));
    }

    /// Where no other backup leads there either, `damage` is the cause.
    backup::MomentPlan planned(Context& context, const backup::LoadedView& loaded, const backup::MomentTarget& target,
                               const std::optional<Error>& damage) {
        try {
            return planned(context, loaded, target);
        } catch (const Error& error) {
            if (!damage || error.kind() != ErrorKind::refused) throw;
            context.log.warn("no other backup leads there: {}", error.what());
            throw *damage;
        }
    }

    backup::MomentPlan planned(Context& context, const backup::LoadedView& loaded, const backup::MomentTarget& target) {
        backup::MomentRequest request{target, {}, backup_};
        if (timeline_ != "latest") {
            const CLI::Range numbers(1, INT32_MAX);
            auto text = timeline_;
            if (!numbers(text).empty())
                throw Error(ErrorKind::misconfigured,
                            fmt::format("--target-timeline '{}' is neither a number nor latest", timeline_));
            request.timeline = pg::TimelineId(static_cast<std::uint32_t>(std::stoul(timeline_)));
        }
        backup::ArchiveWal wal(context.archive(), loaded, !without_index_, context.stop);
        auto plan = backup::plan_moment(loaded.view, wal, request);
        context.log.info("ok: {}; {} were read to find the target", plan_text(plan), wal.segments_read());
        return plan;
    }

    void preflight(Context& context, const backup::LoadedView& loaded, const backup::MomentPlan& plan) {
        const auto& sentinel = loaded.sentinels.at(plan.backup.name);
        if (!restore_spec_file_.empty()) fetch_.restore_spec = read_text_file(restore_spec_file_);
        context.log.info("ok: {}", backup::check_place(fetch_.destination, sentinel, fetch_.restore_spec));
        constexpr int per_major = 10000;
        const auto major = sentinel.pg_version / per_major;
        later_folders_ = backup::check_later_tablespaces(
            plan.requirements, {.restored = backup::places_of_tablespaces(sentinel, fetch_.restore_spec),
                                .pgdata = fetch_.destination,
                                .major = major,
                                .consistent = plan.backup.finish});
        if (!later_folders_.empty())
            context.log.info("ok: recovery makes tablespaces in {}, as the WAL says", fmt::join(later_folders_, ", "));
        const auto found = backup::find_postgres(major, programs_);
        std::string others;
        for (const auto& other : found.others) others += (others.empty() ? ": there is " : ", ") + other;
        if (!found.folder.empty())
            context.log.info("ok: PostgreSQL {} in {}", major, found.folder);
        else if (start_ || !programs_.empty())
            throw Error(ErrorKind::refused,
                        fmt::format("the backup is of PostgreSQL {}, whose programs were not found{}", major, others),
                        "install them, or name their folder with --pg-bin; nothing was written");
        else
            context.log.warn("the backup is of PostgreSQL {}, whose programs were not found here{}", major, others);
        programs_ = found.folder;
    }

    void fetch(Context& context, const backup::MomentPlan& plan) {
        fetch_.backup = plan.backup.name;
        fetch_.downloads = static_cast<unsigned>(context.settings.number("download_concurrency"));
        fetch_.fsync = !context.settings.flag("tar_disable_fsync");
        backup::Progress progress;
        const ProgressWatch watch("restore", context.log, progress);
        const auto result = backup::backup_fetch(context.archive(), fetch_, progress, context.stop);
        struct stat about{};
        const bool of_root = ::geteuid() == 0 && ::stat(fetch_.destination.c_str(), &about) == 0 && about.st_uid == 0;
        if (of_root && !later_folders_.empty())
            context.log.warn("what was made for the tablespaces of the WAL belongs to root too: chown {}",
                             fmt::join(later_folders_, " "));
        context.log.info("{} restored into {}: {} files, {} MiB", result.name, fetch_.destination, result.files,
                         result.bytes >> 20);
    }

    bool write_settings(const Context& context, const backup::MomentPlan& plan, const backup::MomentTarget& target) const {
        backup::RecoverySettings settings{restore_command_, target, {}, action_};
        if (plan.has_history) settings.timeline = plan.timeline;
        if (settings.restore_command.empty()) settings.restore_command = restore_command_for(context);
        return backup::write_recovery_settings(fetch_.destination, settings);
    }

    std::string recover(Context& context, const backup::MomentPlan& plan, const backup::MomentTarget& target) {
        if (!fs::exists(fs::path(fetch_.destination) / "postgresql.conf"))
            throw Error(ErrorKind::failed,
                        fmt::format("{} is restored and its recovery is set up, but --start cannot start it: the server of the "
                                    "backup had its postgresql.conf outside of its data directory",
                                    fetch_.destination),
                        "start it as that server is started, by its service (pg_ctlcluster), or with pg_ctl -o "
                        "\"-c config_file=...\"");
        RecoveryStart start{programs_, fs::absolute(fetch_.destination).lexically_normal().string(), log_file_, action_,
                            config::connection_options(context.settings)};
        if (target.kind == Kind::end) start.action = "promote";
        if (start.pgdata.ends_with('/')) start.pgdata.pop_back();
        if (start.log_file.empty()) start.log_file = start.pgdata + ".recovery.log";
        const auto recovered = start_and_recover(start, context.stop);
        // Behind the last commit aborts may have come, so the server's time may be a later one.
        const bool short_of =
            plan.last_commit &&
            ((recovered.replayed && *recovered.replayed < plan.last_commit->begin) ||
             (recovered.last_end && *recovered.last_end < plan.last_commit->time && *recovered.replayed < plan.last_commit->end));
        if (short_of)
            throw Error(ErrorKind::failed,
                        fmt::format("PostgreSQL recovered up to LSN {}, the last commit should have been {}",
                                    recovered.replayed->text(), last_commit_text(plan)),
                        "was WAL removed meanwhile? " + start.log_file + " has what the server said");
        // Of a record that is not replayed the one before it ends here or, at a page's end, some bytes earlier.
        if (plan.stop && !plan.stop->before && recovered.replayed && *recovered.replayed < plan.stop->begin)
            throw Error(
                ErrorKind::failed,
                fmt::format("PostgreSQL stopped at LSN {}, before {} at {}", recovered.replayed->text(), target.text(),
                            plan.stop->begin.text()),
                "a setting that was raised on the primary since the backup, as max_connections, pauses recovery: set it in " +
                    start.pgdata + "/postgresql.auto.conf as it was there. " + start.log_file + " has what the server said");
        const auto* state = recovered.state == Recovered::State::paused     ? "paused"
                            : recovered.state == Recovered::State::promoted ? "promoted"
                                                                            : "shut down";
        context.log.info("Recovered to {}: last commit {}; PostgreSQL is {}", target.text(), last_commit_text(plan), state);
        if (recovered.state == Recovered::State::paused)
            context.log.info("Look at it; then select pg_wal_replay_resume() ends recovery, and the server takes writes");
        return state;
    }

    int finish(const backup::MomentPlan& plan, const backup::MomentTarget& target, const std::string& state) const {
        if (json_)
            std::cout << plan_json(plan, target, state) << "\n";
        else
            std::cout << fmt::format("last commit: {}\n", last_commit_text(plan));
        return 0;
    }

    backup::FetchOptions fetch_;
    TargetOptions target_;
    std::string timeline_ = "latest", action_ = "pause", backup_, restore_spec_file_, restore_command_, programs_, log_file_;
    std::vector<std::string> later_folders_; ///< of tablespaces that recovery makes
    bool check_ = false, without_index_ = false, start_ = false, json_ = false;
};

} // namespace

std::unique_ptr<Verb> make_restore() { return std::make_unique<Restore>(); }

} // namespace walgd::cli

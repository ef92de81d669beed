#include "common/backup/restore/backup_fetch.hpp"

#include "common/backup/member_name.hpp"
#include "common/backup/restore/catchup_target.hpp"
#include "common/backup/restore/recovery_settings.hpp"
#include "common/backup/restore/restore_in_place.hpp"
#include "common/backup/restore/restore_resume.hpp"
#include "common/base/helper_threads.hpp"
#include "common/base/in_parallel.hpp"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <span>
#include <thread>

namespace walgd::backup {

namespace {

/// More do not help: writing a file is one thread's work.
constexpr unsigned cores_max = 16;

/// Takes the tars off a list, several threads at once; the first failure ends all.
class Extraction {
public:
    /// `by_frames`: much of the tars may be needless.
    Extraction(archive::Archive& archive, RestoreJob& job, RestoreState& state, bool by_frames, std::stop_token stop)
        : archive_(archive), job_(job), state_(state), fetch_(by_frames ? fetch_from_tar : fetch_tar),
          helpers_(std::min(std::thread::hardware_concurrency(), cores_max), archive.budget), stop_(std::move(stop)) {}

    /// `noted`: what is done need not be done again by a later try.
    void run(std::size_t link, std::span<const TarObject> tars, unsigned threads, bool noted) {
        // The largest first: small ones fill what is left of the time.
        std::vector<const TarObject*> order;
        for (const auto& tar : tars) order.push_back(&tar);
        std::ranges::sort(order, std::greater(), &TarObject::bytes);
        in_parallel(order.size(), threads,
                    [&](std::size_t index, const std::atomic<bool>& failed) { extract(link, *order[index], noted, failed); });
    }

private:
    void extract(std::size_t link, const TarObject& tar, bool noted, const std::atomic<bool>& failed) {
        MemberWriter writer(job_, link, tar.listed);
        fetch_(
            archive_, tar, writer, stop_,
            [&](std::size_t count) {
                if (stop_.stop_requested() || failed) throw Error(ErrorKind::cancelled, "cancelled");
                job_.progress.stored_bytes += count;
            },
            &helpers_);
        writer.mark().key = tar.key.path();
        if (noted && !writer.passed_over()) state_.add(writer.mark());
    }

    archive::Archive& archive_;
    RestoreJob& job_;
    RestoreState& state_;
    decltype(&fetch_tar) fetch_;
    HelperThreads helpers_;
    std::stop_token stop_;
};

/// One restore, from the look at the folder to its end.
class Restore {
public:
    Restore(archive::Archive& archive, const FetchOptions& options, Progress& progress, std::stop_token stop)
        : archive_(archive), options_(options), progress_(progress), stop_(std::move(stop)), target_(options.destination),
          unfinished_(RestoreState::exists(target_.path())), state_(target_.path()) {}

    FetchResult run();

private:
    void look_at_folder();
    void look_at_standby();
    void add_tablespaces();
    void plan_the_files();
    void extract(RestoreJob& job);
    void finish();
    void finish_settings();
    bool is_complete() const;
    std::string control_path() const { return fmt::format("{}/{}", target_.path(), control_member); }
    bool is_partial() const { return !options_.mask.empty(); }

    archive::Archive& archive_;
    const FetchOptions& options_;
    Progress& progress_;
    std::stop_token stop_;
    RestoreTarget target_;
    bool unfinished_;    ///< the folder holds what an earlier try noted
    bool whole_ = false; ///< which says nothing of a cluster that is whole
    RestoreState state_;
    bool goes_on_ = false; ///< and it is proved
    std::string identity_;
    std::unique_ptr<RestorePlan> plan_;
};

void Restore::look_at_folder() {
    using Holds = RestoreTarget::Holds;
    identity_ = plan_->identity(options_);
    const bool has_control = std::filesystem::exists(control_path());
    // A cluster whose pg_control has its name is whole: an earlier try had not begun to write, or it was done, and PostgreSQL may
    // have run since.
    whole_ = options_.onto_cluster() && has_control;
    const bool same = !unfinished_ || state_.load(identity_) || whole_;
    const bool foreign = state_.is_blank() && !options_.onto_cluster() && !target_.holds_only(restore_state_name);
    if (!same || foreign) {
        // LATEST may be a newer one by now.
        const auto go_on = state_.other_tar().empty()
                               ? std::string()
                               : fmt::format("it has {} in it: to go on with that backup, name it; else ", state_.other_tar());
        throw Error(ErrorKind::refused,
                    fmt::format("{} holds an unfinished restore of something else than {} with these options", target_.path(),
                                plan_->name()),
                    fmt::format("nothing was written; {}name another folder, or remove that one", go_on));
    }
    if (options_.onto_cluster()) require_stopped_cluster(target_.path(), plan_->system, unfinished_ && !has_control);
    if (options_.catchup && has_control) look_at_standby();
    target_.set(options_.onto_cluster() ? Holds::cluster : unfinished_ ? Holds::unfinished : Holds::nothing, options_.fsync);
}

/// An earlier try looked already, before it took pg_control away; or it came to the end, and put the backup's there.
void Restore::look_at_standby() {
    const auto control = pg::read_control_file(target_.path());
    if (unfinished_ && plan_->control && control.checkpoint == plan_->control->checkpoint &&
        control.state == plan_->control->state)
        return;
    require_lagging_standby(target_.path(), control, catchup_facts(archive_, *plan_, target_.path(), control, stop_));
    if (!std::filesystem::exists(target_.path() + "/standby.signal"))
        archive_.log.warn("{} has no standby.signal: touch it before PostgreSQL starts, for it shall be a standby",
                          target_.path());
}

/// A cluster that is there has its tablespaces where its own links lead.
void Restore::add_tablespaces() {
    const auto entries = plan_->spec ? plan_->spec->tablespaces : std::vector<archive::TablespaceSpec::Entry>();
    for (auto entry : entries) {
        std::error_code error;
        const auto link = std::filesystem::read_symlink(fmt::format("{}/pg_tblspc/{}", target_.path(), entry.name), error);
        if (options_.onto_cluster() && !plan_->spec_given && !error) {
            entry.location = link.string();
            plan_->leave_out_tablespace_map = true;
        }
        target_.add_tablespace(entry);
    }
    if (options_.in_place) target_.require_no_other_tablespaces();
}

void Restore::plan_the_files() {
    std::optional<DoneCheck> check;
    if (state_.holds() && !whole_) check.emplace(state_, target_, plan_->block_bytes);
    if (check && options_.last_step) check->leave_out(recovery_files);
    const auto look = [&](std::string_view relative) {
        if (check) check->look(relative);
    };
    plan_files(archive_, *plan_, look, stop_);
    goes_on_ = check && check->holds();
    if (goes_on_)
        archive_.log.info("{} parts of {} are in {} already: going on from there", state_.done().size(), plan_->name(),
                          target_.path());
    else if (unfinished_ && !whole_)
        archive_.log.info("What an earlier try left in {} cannot be proved to be whole: beginning anew", target_.path());
}

void Restore::extract(RestoreJob& job) {
    // More tars at once than cores help only while the storage is waited for.
    const auto threads = std::clamp(options_.downloads, 1U, 2 * std::max(1U, std::thread::hardware_concurrency()));
    Extraction extraction(archive_, job, state_, plan_->is_selective() || options_.in_place, stop_);
    for (std::size_t link = 0; link < plan_->chain.size(); ++link) {
        const std::span parts(plan_->chain[link].parts);
        const auto others = std::ranges::find(parts, false, &TarObject::listed);
        extraction.run(link, {parts.begin(), others}, threads, true);
        extraction.run(link, {others, parts.end()}, threads, true);
    }
    extraction.run(0, plan_->finals, 1, false);
}

void Restore::finish() {
    require_complete(archive_, *plan_);
    if (options_.in_place)
        target_.remove_others([&](std::string_view relative) {
            const bool map = relative == "tablespace_map";
            return plan_->files.knows(relative) && !(map && plan_->leave_out_tablespace_map);
        });
    if (options_.last_step) options_.last_step();
    progress_.phase = Phase::syncing;
    target_.finish({options_.fsync, !is_partial()});
    for (const auto& name : target_.lost_links())
        archive_.log.warn("{} was a link; the backup tells neither where it led nor what was there", name);
    if (target_.belongs_to_root())
        archive_.log.warn("all in {} belongs to root, as whom PostgreSQL does not run: chown -R it to PostgreSQL's user",
                          target_.path());
    state_.remove();
    progress_.phase = Phase::done;
}

/// This try may ask for another target than the one that was killed. Once PostgreSQL has recovered it is too late for that.
void Restore::finish_settings() {
    if (!options_.last_step || !std::filesystem::exists(target_.path() + "/recovery.signal")) return;
    require_stopped_cluster(target_.path(), plan_->system, unfinished_);
    options_.last_step();
}

/// Killed between the last two steps: everything was done.
bool Restore::is_complete() const { return unfinished_ && !options_.onto_cluster() && std::filesystem::exists(control_path()); }

FetchResult Restore::run() {
    if (options_.in_place && (is_partial() || !options_.restore_only.empty()))
        throw Error(ErrorKind::misconfigured, "--in-place brings a whole cluster up to a backup, not a part of one",
                    "leave --mask and --restore-only out");
    if (!unfinished_ && !options_.onto_cluster()) target_.require_empty();
    plan_ = plan_objects(archive_, options_, stop_);
    look_at_folder();
    if (is_complete()) {
        finish_settings();
        state_.remove();
        return {plan_->name(), 0, 0};
    }
    add_tablespaces();
    if (const auto doubt = target_.check_space(plan_->space_bytes()); !doubt.empty()) archive_.log.warn("{}", doubt);
    plan_the_files();
    RestoreJob job{*plan_, target_, progress_, {}, {}, {}};
    if (goes_on_) take_over(state_, job);
    archive_.log.info("Selecting the backup with name {}: {} backups in its chain, {} MiB to fetch", plan_->name(),
                      plan_->chain.size(), plan_->stored_bytes() >> 20);
    progress_.bytes_total = plan_->bytes();
    target_.prepare();
    state_.start(identity_, !goes_on_);
    try {
        if (unfinished_ && !goes_on_ && !options_.onto_cluster()) target_.clear();
        target_.begin();
        progress_.phase = Phase::copying;
        extract(job);
        finish();
        if (options_.in_place)
            archive_.log.info("{} of {} MiB were fetched: the rest was in {} already", progress_.stored_bytes >> 20,
                              plan_->stored_bytes() >> 20, target_.path());
        return {plan_->name(), job.files, job.bytes};
    } catch (const Error& error) {
        const auto rest =
            fmt::format("{} holds an unfinished restore, which PostgreSQL will not start: the same command goes on from "
                        "there; else remove it before the next try",
                        target_.path());
        throw Error(error.kind(), error.what(), error.hint().empty() ? rest : error.hint() + "; " + rest);
    }
}

} // namespace

FetchResult backup_fetch(archive::Archive& archive, const FetchOptions& options, Progress& progress, std::stop_token stop) {
    return Restore(archive, options, progress, std::move(stop)).run();
}

} // namespace walgd::backup

#include "client/walg/listing.hpp"
#include "client/walg/retention_text.hpp"
#include "client/walg/verb.hpp"
#include "common/archive/catalogue.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/retention/retention_policy.hpp"
#include "common/archive/retention/retention_select.hpp"
#include "common/backup/verify_state.hpp"
#include "common/base/bytes.hpp"
#include "config/failover_settings.hpp"
#include "config/process.hpp"

#include <charconv>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <functional>
#include <iostream>
#include <set>

namespace walgd::cli {

namespace {

using archive::FullModifier;
using archive::GarbageKind;

constexpr std::chrono::hours stale_uploads_age{24};

Error usage(const std::string& what, const std::string& form) { return Error(ErrorKind::misconfigured, what, form); }

/// The modifier in front of the last word, if there is one. In any case: people write Full, and mean it.
FullModifier take_modifier(std::vector<std::string>& words) {
    const auto word = words.empty() ? std::string() : upper_case(words.front());
    if (word != "FULL" && word != "FIND_FULL") return FullModifier::none;
    const auto modifier = word == "FULL" ? FullModifier::full : FullModifier::find_full;
    words.erase(words.begin());
    return modifier;
}

/// "{name default}:true ..." as Go prints a map.
std::string go_map(const std::set<std::string>& names) {
    std::string text;
    for (const auto& name : names) text += fmt::format("{}{{{} default}}:true", text.empty() ? "" : " ", name);
    return text;
}

/// WAL-G's delete words, and plan and apply, which carry out the policy of the settings.
class Delete : public Verb {
public:
    std::string name() const override { return "delete"; }
    std::string help() const override {
        return "Delete backups and WAL that is not needed any more; without --confirm only say what would go";
    }

    void options(CLI::App& command) override {
        command.add_flag("--confirm", confirm_, "Do it");
        command.add_flag(
            "--use-sentinel-time", use_sentinel_time_,
            "Accepted as WAL-G's: backups are ordered by start time in any case; with it times are compared with that too");
        command.add_flag("--json", json_, "The plan as JSON");
        command.require_subcommand(1);
        auto* retain =
            add(command, "retain", "[FULL|FIND_FULL] N: the N newest backups stay", [this] { return retain_choice(); });
        retain->add_option("-a,--after", after_, "And all backups since a time (RFC 3339) or a name");
        add(command, "before", "[FIND_FULL] NAME|TIME: what is older goes", [this] { return before_choice(); });
        add(command, "target", "[FIND_FULL] NAME: that backup and those based on it go", [this] {
            return target_choice();
        })->add_option("--target-user-data", user_data_, "The backup with these user data (JSON)");
        add(command, "garbage", "[ARCHIVES|BACKUPS]: WAL before the oldest backup, and leftovers of interrupted ones, go",
            [this] { return garbage_choice(); })
            ->add_flag("--without-backup-check", without_backup_check_, "Also where there is no backup to compare with");
        add(command, "everything", "[FORCE]: all of it goes; FORCE: permanent backups too", {});
        add(command, "plan", "What goes by the settings keep_full, keep_days, keep_weekly, keep_monthly and keep_wal",
            [this] { return policy_choice(); });
        add(command, "apply", "Carries that plan out, with --confirm", [this] { return policy_choice(); });
    }

    int run(Context& context) override {
        context_ = &context;
        if (context.as_walg)
            context.log.info("Backup to delete will be searched in storages: [{}]", fmt::join(context.storage_names(), " "));
        if (word_ == "everything") return everything();
        take_inventory();
        const auto choice = choose_();
        const bool by_policy = word_ == "plan" || word_ == "apply";
        if (choice.target == nullptr && !by_policy && !choice.selection.all_wal) {
            context.log.info("No backup found for deletion");
            if (json_) std::cout << plan_json(inventory_, {}) << "\n";
            return 0;
        }
        if (context.as_walg && word_ != "target") context.log.info("Start delete");
        const auto plan = archive::plan_removal(inventory_, choice.selection);
        show(plan);
        int code = 0;
        if (confirm_ && word_ != "plan" && plan.objects() > 0) code = carry_out(plan);
        if (confirm_ && word_ == "garbage") remove_stale_uploads(context.archive().storage);
        return plan.departures.empty() ? code : 1;
    }

private:
    CLI::App* add(CLI::App& command, const std::string& word, const std::string& help, std::function<archive::Choice()> choose) {
        auto* one = command.add_subcommand(word, help);
        one->fallthrough();
        one->add_option("words", words_, "As above");
        one->callback([this, word, choose] {
            word_ = word;
            choose_ = choose;
        });
        return one;
    }

    bool by_start_time() const { return !context_->as_walg || use_sentinel_time_; }

    /// What is deleted from. What is chosen by what else there is needs every storage's answer; wal-g's `delete everything`
    /// passes over those that do not answer, as WAL-G does.
    storage::Storage& storage() {
        auto& all = context_->archive().storage;
        return word_ == "everything" && context_->as_walg ? all.answering() : all;
    }

    archive::Choice retain_choice() {
        archive::RetainRequest request;
        request.modifier = take_modifier(words_);
        const auto text = words_.size() == 1 ? words_.front() : std::string();
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), request.count);
        if (text.empty() || error != std::errc() || end != text.data() + text.size() || request.count == 0)
            throw usage("delete retain wants a number from 1 on", "walg delete retain [FULL|FIND_FULL] 7 --confirm");
        request.after = after_;
        request.by_start_time = by_start_time();
        return archive::select_retain(inventory_, request);
    }

    archive::Choice before_choice() {
        const auto modifier = take_modifier(words_);
        // Every name begins with nothing: all but the newest would go.
        if (words_.size() != 1 || words_.front().empty() || modifier == FullModifier::full)
            throw usage("delete before wants a backup's name or a time", "walg delete before [FIND_FULL] NAME|TIME --confirm");
        return archive::select_before(inventory_, modifier, words_.front(), by_start_time());
    }

    archive::Choice target_choice() {
        const auto modifier = take_modifier(words_);
        if (words_.size() + (user_data_.empty() ? 0 : 1) != 1 || modifier == FullModifier::full)
            throw usage("delete target wants a backup's name, or --target-user-data",
                        "walg delete target [FIND_FULL] NAME --confirm");
        const auto name = user_data_.empty() ? words_.front() : archive::name_by_user_data(inventory_, user_data_);
        if (context_->as_walg) context_->log.info("Selecting the backup with name {}...", name);
        auto choice = archive::select_target(inventory_, modifier, name);
        choice.selection.last_may_go = context_->as_walg;
        return choice;
    }

    archive::Choice garbage_choice() {
        const auto word = words_.empty() ? std::string() : words_.front();
        if (words_.size() > 1 || (!word.empty() && word != "ARCHIVES" && word != "BACKUPS"))
            throw usage("delete garbage wants ARCHIVES, BACKUPS or nothing", "walg delete garbage [ARCHIVES|BACKUPS] --confirm");
        const auto kind = word == "ARCHIVES"  ? GarbageKind::archives
                          : word == "BACKUPS" ? GarbageKind::backups
                                              : GarbageKind::all;
        if (context_->as_walg) tell_garbage(kind);
        auto choice = archive::select_garbage(inventory_, kind, without_backup_check_);
        if (!context_->as_walg) choice.selection.younger_leftovers = true;
        return choice;
    }

    archive::Choice policy_choice() {
        if (!words_.empty())
            throw usage(fmt::format("delete {} knows no '{}': it goes by the settings", word_, words_.front()),
                        "what is to stay is said there: keep: {full: 7, days: 14}; or walg delete retain 7");
        archive::Choice choice;
        choice.selection = archive::select_by_policy(inventory_, config::retention_policy(context_->settings));
        return choice;
    }

    void take_inventory(archive::Unreadable unreadable = archive::Unreadable::stops) {
        if (context_->as_walg) context_->log.info("retrieving permanent objects");
        auto archive = archive::with_storage(context_->archive(), storage());
        inventory_ = run_blocking(context_->io, archive::take_inventory(archive, unreadable), context_->stop);
        inventory_.intents = run_blocking(context_->io, archive::list_intents(archive.storage), context_->stop);
        backup::note_gone(inventory_, run_blocking(context_->io, backup::known_damage(archive, inventory_), context_->stop));
        if (!context_->as_walg) return;
        std::set<std::string> backups, segments;
        for (const auto& backup : inventory_.backups) {
            if (!backup.permanent) continue;
            backups.insert(backup.name);
            for (auto number = backup.first.number; number <= backup.last; ++number)
                segments.insert(pg::segment_name({backup.first.timeline, number}, inventory_.segment_bytes));
        }
        if (!backups.empty())
            context_->log.info("Found permanent objects: backups=map[{}], wals=map[{}]", go_map(backups), go_map(segments));
    }

    void tell_garbage(GarbageKind kind) {
        static constexpr const char* modes[] = {
            "Running in default mode. Will remove outdated WAL files and leftover backup files.",
            "Archive-only mode selected. Will remove only outdated WAL files.",
            "Backups-only mode selected. Will remove only leftover backup files."};
        context_->log.info("{}", modes[static_cast<int>(kind)]);
        for (const auto& backup : inventory_.backups) {
            if (backup.permanent)
                context_->log.info("Backup {} is permanent, it is not eligible to be selected as the oldest backup", backup.name);
        }
    }

    void show(const archive::RetentionPlan& plan) {
        for (const auto& departure : plan.departures) context_->log.warn("{}", departure);
        if (json_)
            std::cout << plan_json(inventory_, plan) << "\n";
        else if (!context_->as_walg)
            std::cout << plan_text(inventory_, plan);
        if (context_->as_walg) {
            for (const auto& note : plan.notes) context_->log.info("{}", note);
            show_as_walg(marked_objects(plan));
        }
        if (!context_->as_walg && !confirm_ && word_ != "plan" && plan.objects() > 0)
            context_->log.info("nothing was deleted: this is what --confirm would do");
    }

    void show_as_walg(std::vector<std::string> paths) {
        context_->log.info("Evaluating objects for deletion...");
        const auto names = context_->storage_names();
        const auto storages = names.size() == 1 ? names.front() : std::string(config::all_storages);
        for (const auto& path : paths) {
            // WAL-G's target looks into that folder alone, and names what it finds as from there.
            const auto shown =
                word_ == "target" ? std::string_view(path).substr(archive::backup_folder.size()) : std::string_view(path);
            context_->log.info("Object marked for deletion: {} storage={}", shown, storages);
        }
        if (paths.empty())
            context_->log.info("No objects matched the deletion criteria.");
        else if (!confirm_)
            context_->log.info("Dry run: objects would be deleted count={}, Run with --confirm to execute", paths.size());
    }

    int carry_out(const archive::RetentionPlan& plan) {
        auto& storage = context_->archive().storage;
        const auto removal = run_blocking(context_->io, archive::remove_planned(storage, inventory_, plan), context_->stop);
        return report_removal(*context_, removal);
    }

    void remove_stale_uploads(storage::Storage& storage) {
        std::size_t all = 0;
        for (const auto folder : {archive::backup_folder, archive::wal_folder})
            all +=
                run_blocking(context_->io, storage.remove_stale_uploads(std::string(folder), stale_uploads_age), context_->stop);
        if (all > 0) context_->log.info("{} unfinished uploads older than a day were aborted", all);
    }

    int everything() {
        const bool force = words_ == std::vector<std::string>{"FORCE"};
        if (!force && !words_.empty())
            throw usage(fmt::format("delete everything knows no '{}'", words_.back()),
                        "walg delete everything [FORCE] --confirm");
        check_permanent(force);
        std::vector<storage::ObjectKey> foreign;
        archive::RetentionPlan plan;
        plan.sentinels = run_blocking(context_->io, archive::list_everything(storage(), foreign), context_->stop);
        for (const auto& key : foreign) context_->log.warn("{} is none of WAL-G's or walgd's objects, and stays", key.path());
        show_everything(marked_objects(plan));
        if (!confirm_ || plan.objects() == 0) return 0;
        archive::Removal removal;
        removal.planned = plan.objects();
        for (auto& step : plan.sentinels) {
            run_blocking(context_->io, archive::remove_in_batches(storage(), std::move(step), removal), context_->stop);
            if (!removal.failures.empty()) break;
        }
        return report_removal(*context_, removal);
    }

    void show_everything(const std::vector<std::string>& paths) {
        if (json_) std::cout << objects_json(storage().describe(), paths) << "\n";
        if (context_->as_walg) return show_as_walg(paths);
        for (const auto& path : paths)
            if (!json_) std::cout << path << "\n";
        if (!confirm_) context_->log.info("nothing was deleted: --confirm would remove these {} objects", paths.size());
    }

    void check_permanent(bool force) {
        try {
            take_inventory(force ? archive::Unreadable::noted : archive::Unreadable::stops);
        } catch (const Error& error) {
            if (!force || error.kind() != ErrorKind::corrupt) throw;
            context_->log.warn("{}", error.what());
            return;
        }
        for (const auto& document : inventory_.unreadable) context_->log.warn("cannot be read, and goes by FORCE: {}", document);
        std::vector<std::string> permanent;
        for (const auto& backup : inventory_.backups) {
            if (backup.permanent || !backup.permanence_known) permanent.push_back(backup.name);
        }
        if (permanent.empty()) return;
        const auto found = fmt::format("Found permanent backups=[{}]", fmt::join(permanent, " "));
        if (!force) throw Error(ErrorKind::refused, found, "delete everything FORCE removes them too");
        context_->log.info("{}", found);
    }

    Context* context_ = nullptr;
    archive::Inventory inventory_;
    std::string word_, after_, user_data_;
    std::vector<std::string> words_;
    std::function<archive::Choice()> choose_;
    bool confirm_ = false, use_sentinel_time_ = false, json_ = false, without_backup_check_ = false;
};

} // namespace

std::unique_ptr<Verb> make_delete() { return std::make_unique<Delete>(); }

} // namespace walgd::cli

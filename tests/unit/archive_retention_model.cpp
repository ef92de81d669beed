// Random archives, random requests, and crashes in the middle: what stays can be restored, and nothing else has gone.
#include "common/archive/layout.hpp"
#include "common/archive/retention/retention_apply.hpp"
#include "common/archive/retention/retention_policy.hpp"
#include "common/archive/retention/retention_select.hpp"
#include "tests/unit/async_support.hpp"
#include "tests/unit/rounds.hpp"

#include <cstdlib>
#include <fmt/format.h>
#include <random>

using namespace walgd;
using namespace walgd::archive;

namespace {

constexpr std::uint64_t model_segment_bytes = 1 << 20;
constexpr std::uint64_t per_log = (std::uint64_t{1} << 32) / model_segment_bytes;

std::size_t histories_wanted() {
    const char* text = std::getenv("WALGD_RETENTION_HISTORIES");
    return text == nullptr ? rounds(2000) : std::stoul(text);
}
unsigned first_seed() {
    const char* text = std::getenv("WALGD_RETENTION_SEED");
    return text == nullptr ? 1 : static_cast<unsigned>(std::stoul(text));
}

/// What a history was made of, without retention's eyes: what its restores would need.
struct ModelBackup {
    std::string name, base;
    std::uint32_t timeline = 1;
    std::uint64_t first = 0, last = 0;
    int day = 0;
    bool permanent = false;
    bool half = false; ///< something of it was lost by other hands
};

/// One cluster's life: segments, failovers, backups; then some damage.
class History {
public:
    explicit History(unsigned seed) : dice_(seed) {
        system_ = pg::SystemIdentifier(7);
        const auto steps = 5 + roll(60);
        for (int step = 0; step < steps; ++step) live();
        damage();
        read();
    }

    int roll(int sides) { return static_cast<int>(dice_() % static_cast<unsigned>(sides)); }

    /// Reads the archive as take_inventory does.
    void read() {
        inventory_ = {};
        inventory_.segment_bytes = model_segment_bytes;
        inventory_.taken = time_of_day(day_ + 2);
        inventory_.histories = histories_;
        for (const auto& path : objects_) {
            HeldObject object{storage::ObjectKey(path), 10, inventory_.taken - std::chrono::hours(48)};
            if (path.starts_with(backup_folder)) inventory_.backup_objects.push_back(object);
            if (path.starts_with(wal_folder)) inventory_.wal_objects.push_back(object);
        }
        for (const auto& [name, backup] : backups_) {
            if (!objects_.contains(sentinel_key(name).path())) continue;
            inventory_.backups.push_back(held(backup));
        }
        std::ranges::sort(inventory_.backups, {}, [](const HeldBackup& one) { return std::pair(one.started, one.name); });
        note_missing(inventory_);
    }

    const Inventory& inventory() const { return inventory_; }
    std::set<std::string>& objects() { return objects_; }
    const std::map<std::string, ModelBackup>& backups() const { return backups_; }

    /// The model's own word: all data of the chain, and the WAL up to the end of the backup.
    bool restores(const std::string& name) const {
        const auto& backup = backups_.at(name);
        for (auto number = backup.first; number <= backup.last; ++number) {
            if (!objects_.contains(wal_path(backup.timeline, number))) return false;
        }
        for (const auto* link = &backup;; link = &backups_.at(link->base)) {
            if (!objects_.contains(sentinel_key(link->name).path())) return false;
            for (const auto& path : data_of(*link)) {
                if (!objects_.contains(path)) return false;
            }
            if (link->base.empty()) return true;
        }
    }
    /// How far recovery comes along the present timeline: the number of the last segment that can be replayed.
    std::uint64_t reach(const std::string& name) const {
        const auto& backup = backups_.at(name);
        auto timeline = backup.timeline;
        auto number = backup.first;
        for (;; ++number) {
            for (auto next = switches_.begin(); next != switches_.end(); ++next) {
                if (next->parent == timeline && next->at <= number && follows_now(next->timeline)) timeline = next->timeline;
            }
            if (!objects_.contains(wal_path(timeline, number))) return number;
        }
    }
    /// Whether the planner can know which timeline comes from which.
    bool histories_known() const { return histories_.size() == complete_histories_.size(); }
    bool on_present_line(const std::string& name) const {
        const auto& backup = backups_.at(name);
        if (!follows_now(backup.timeline)) return false;
        // Not behind the point where its timeline was left.
        return std::ranges::none_of(switches_, [&](const Switch& left) {
            return left.parent == backup.timeline && follows_now(left.timeline) && left.at <= backup.last;
        });
    }

private:
    struct Switch {
        std::uint32_t timeline, parent;
        std::uint64_t at;
    };

    static Time time_of_day(int day) { return Time(std::chrono::days(20000 + day)); }
    static std::string wal_name(std::uint32_t timeline, std::uint64_t number) {
        return fmt::format("{:08X}{:08X}{:08X}", timeline, number / per_log, number % per_log);
    }
    static std::string wal_path(std::uint32_t timeline, std::uint64_t number) {
        return wal_key(wal_name(timeline, number), "zst").path();
    }
    static std::vector<std::string> data_of(const ModelBackup& backup) {
        std::vector<std::string> paths{tar_key(backup.name, "part_001.tar.zst").path(),
                                       tar_key(backup.name, "pg_control.tar.zst").path()};
        if (!backup.base.empty()) paths.push_back(files_metadata_key(backup.name).path());
        return paths;
    }

    bool follows_now(std::uint32_t timeline) const {
        for (auto now = timeline_;;) {
            if (now == timeline) return true;
            const auto from = std::ranges::find(switches_, now, &Switch::timeline);
            if (from == switches_.end()) return false;
            now = from->parent;
        }
    }

    void live() {
        ++day_;
        const auto what = roll(10);
        if (what < 6) write(1 + roll(6));
        if (what == 6 || what == 7) back_up();
        if (what == 8) back_up();
        if (what == 9 && roll(2) == 0) fail_over();
    }
    void write(int segments) {
        for (; segments > 0; --segments) objects_.insert(wal_path(timeline_, now_++));
    }
    void back_up() {
        ModelBackup backup;
        backup.timeline = timeline_;
        backup.first = now_;
        backup.name = "base_" + wal_name(timeline_, now_);
        if (!backups_.empty() && roll(2) == 0) {
            // Of any older one: WAL-G's --delta-from-name.
            auto base = backups_.begin();
            std::advance(base, roll(static_cast<int>(backups_.size())));
            backup.base = base->first;
            backup.name += "_D_" + std::string(first_segment_in(base->first));
        }
        backup.day = day_;
        backup.permanent = roll(6) == 0;
        if (backup.permanent) mark_chain(backup.base);
        write(1 + roll(3));
        backup.last = now_ - 1;
        for (const auto& path : data_of(backup)) objects_.insert(path);
        objects_.insert(metadata_key(backup.name).path());
        objects_.insert(sentinel_key(backup.name).path());
        backups_[backup.name] = backup;
    }
    void mark_chain(std::string name) {
        for (; !name.empty(); name = backups_[name].base) backups_[name].permanent = true;
    }
    void fail_over() {
        // To the present end, or back to a moment of the past; the old primary may archive a little more.
        const auto back = roll(2) == 0 ? std::uint64_t{0} : std::min<std::uint64_t>(static_cast<unsigned>(roll(20)), now_ - 5);
        const auto parent = timeline_;
        timeline_ = ++highest_;
        const auto at = now_ - back;
        if (roll(3) == 0) objects_.insert(wal_path(parent, now_));
        now_ = at;
        switches_.push_back({timeline_, parent, at});
        pg::TimelineHistory history{pg::TimelineId(timeline_), {}};
        const auto of_parent =
            std::ranges::find_if(histories_, [parent](const auto& one) { return one.timeline.number() == parent; });
        if (of_parent != histories_.end()) history.past = of_parent->past;
        history.past.push_back({pg::TimelineId(parent), pg::Lsn(at * model_segment_bytes)});
        complete_histories_.push_back(history);
        histories_ = complete_histories_;
        write(1);
    }

    void damage() {
        for (int loss = roll(4); loss > 1; --loss) {
            auto lost = objects_.begin();
            std::advance(lost, roll(static_cast<int>(objects_.size())));
            objects_.erase(lost);
        }
        if (roll(4) == 0)
            objects_.insert(std::string(backup_folder) + "base_" + wal_name(1, 5) + "/tar_partitions/part_001.tar.zst");
        if (roll(4) == 0 && !histories_.empty()) histories_.erase(histories_.begin() + roll(static_cast<int>(histories_.size())));
    }

    HeldBackup held(const ModelBackup& backup) const {
        Sentinel sentinel;
        sentinel.start_lsn = pg::Lsn(backup.first * model_segment_bytes + 40);
        sentinel.finish_lsn = pg::Lsn(backup.last * model_segment_bytes + 400);
        sentinel.system = system_;
        sentinel.start_time = time_of_day(backup.day);
        if (!backup.base.empty()) sentinel.delta = DeltaOrigin{pg::Lsn(1), backup.base, "base", 1};
        std::optional<BackupMetadata> metadata;
        if (objects_.contains(metadata_key(backup.name).path())) {
            metadata.emplace();
            metadata->is_permanent = backup.permanent;
        }
        return held_backup(backup.name, time_of_day(backup.day), sentinel, metadata, model_segment_bytes);
    }

    std::mt19937 dice_;
    pg::SystemIdentifier system_{0};
    std::uint32_t timeline_ = 1, highest_ = 1;
    std::uint64_t now_ = 20;
    int day_ = 0;
    std::set<std::string> objects_;
    std::map<std::string, ModelBackup> backups_;
    std::vector<Switch> switches_;
    std::vector<pg::TimelineHistory> histories_, complete_histories_;
    Inventory inventory_;
};

struct Request {
    std::string words;
    Selection selection;
};

/// One of all commands. Refusals are answers too.
std::optional<Request> random_request(History& history) {
    const auto& inventory = history.inventory();
    if (inventory.backups.empty()) return std::nullopt;
    const auto& any = inventory.backups[static_cast<std::size_t>(history.roll(static_cast<int>(inventory.backups.size())))].name;
    const auto modifier = static_cast<FullModifier>(history.roll(3));
    try {
        switch (history.roll(5)) {
        case 0: {
            RetainRequest retain;
            retain.count = static_cast<std::size_t>(1 + history.roll(4));
            retain.modifier = modifier;
            if (history.roll(3) == 0) retain.after = any;
            const auto choice = select_retain(inventory, retain);
            if (choice.target == nullptr) return std::nullopt;
            return Request{"retain", choice.selection};
        }
        case 1: {
            const auto choice =
                select_before(inventory, modifier == FullModifier::full ? FullModifier::none : modifier, any, true);
            return Request{"before", choice.selection};
        }
        case 2:
            return Request{"target", select_target(inventory, modifier, any).selection};
        case 3: {
            const auto choice = select_garbage(inventory, static_cast<GarbageKind>(history.roll(3)), history.roll(4) == 0);
            if (choice.target == nullptr && !choice.selection.all_wal) return std::nullopt;
            return Request{"garbage", choice.selection};
        }
        default: {
            auto some = [&] { return static_cast<std::size_t>(history.roll(4)); };
            const RetentionPolicy policy{some(), some() * 5, some(), some(), some() * 4};
            if (!policy.given()) return std::nullopt;
            return Request{"policy", select_by_policy(inventory, policy)};
        }
        }
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::refused);
        return std::nullopt;
    }
}

/// The order in which objects go.
std::vector<std::string> removal_order(const RetentionPlan& plan) {
    std::vector<std::string> order;
    auto add = [&order](const std::vector<storage::ObjectKey>& keys) {
        for (const auto& key : keys) order.push_back(key.path());
    };
    for (const auto& step : plan.sentinels) add(step);
    add(plan.data);
    add(plan.wal);
    return order;
}

struct Before {
    std::map<std::string, bool> restores;
    std::map<std::string, std::uint64_t> reach;
};

Before look(const History& history) {
    Before before;
    for (const auto& backup : history.inventory().backups) {
        before.restores[backup.name] = history.restores(backup.name);
        before.reach[backup.name] = history.reach(backup.name);
    }
    return before;
}

/// What is wrong with what stayed; empty: nothing.
std::string wrong_with_what_stays(const History& history, const Before& before, const RetentionPlan& plan,
                                  const Selection& selection) {
    bool any_before = false, any_now = false, line_before = false, line_now = false;
    for (const auto& [backup, stays, reason] : plan.backups) {
        const auto& name = backup->name;
        any_before = any_before || before.restores.at(name);
        any_now = any_now || (stays && history.restores(name));
        const bool on_line = history.on_present_line(name) && before.restores.at(name);
        line_before = line_before || on_line;
        line_now = line_now || (stays && on_line);
        if (!stays && history.backups().at(name).permanent && backup->permanence_known) return name + " was permanent";
        if (!stays && !selection.backups.contains(name)) return name + " was not asked for";
        if (!stays) continue;
        if (before.restores.at(name) && !history.restores(name)) return name + " cannot be restored any more";
        const bool recovers = !selection.backups.contains(name) && !selection.snapshots.contains(name);
        if (recovers && history.on_present_line(name) && history.reach(name) != before.reach.at(name))
            return name + " does not reach as far as before";
    }
    if (any_before && !any_now && !selection.last_may_go && !selection.named) return "none can be restored any more";
    if (line_before && !line_now && history.histories_known() && !selection.last_may_go && !selection.named)
        return "the present timeline cannot be recovered any more";
    return {};
}

/// Objects that went and had a right to stay.
std::string wrongly_removed(const std::set<std::string>& before, const History& history, const std::set<std::string>& now,
                            const RetentionPlan& plan) {
    std::set<std::string> going;
    for (const auto& verdict : plan.backups) {
        if (!verdict.stays) going.insert(verdict.backup->name);
    }
    for (const auto& path : before) {
        if (now.contains(path) || path.starts_with(wal_folder)) continue;
        const auto sentinel = backup_of_sentinel(std::string_view(path).substr(path.rfind('/') + 1));
        const auto backup = std::string(sentinel.empty() ? backup_of_data_object(path) : sentinel);
        const bool has_sentinel = history.backups().contains(backup) && before.contains(sentinel_key(backup).path());
        if (has_sentinel && !going.contains(backup)) return path;
    }
    return {};
}

/// delete garbage takes what an interrupted delete left, and no more.
void clean_up_after_a_crash(History& history, const std::set<std::string>& objects, const std::vector<std::string>& order) {
    history.objects() = objects;
    for (std::size_t index = 0; index < order.size() / 2; ++index) history.objects().erase(order[index]);
    history.read();
    auto garbage = select_garbage(history.inventory(), GarbageKind::all, false);
    if (garbage.target == nullptr) return;
    garbage.selection.younger_leftovers = true;
    const auto before = look(history);
    const auto plan = plan_removal(history.inventory(), garbage.selection);
    for (const auto& path : removal_order(plan)) history.objects().erase(path);
    REQUIRE(wrong_with_what_stays(history, before, plan, garbage.selection).empty());
    for (const auto& path : history.objects()) {
        const auto folder = backup_of_data_object(path);
        if (!folder.empty()) REQUIRE(history.objects().contains(sentinel_key(folder).path()));
    }
}

} // namespace

TEST_CASE("whatever is deleted, and wherever it is interrupted, what stays can be restored and nothing else has gone",
          "[retention]") {
    const auto count = histories_wanted();
    std::size_t plans = 0, removed = 0;
    for (unsigned seed = first_seed(); seed < first_seed() + count; ++seed) {
        History history(seed);
        const auto request = random_request(history);
        if (!request) continue;
        const auto before = look(history);
        const auto objects = history.objects();
        const auto plan = plan_removal(history.inventory(), request->selection);
        const auto order = removal_order(plan);
        ++plans;
        removed += order.size();
        INFO("WALGD_RETENTION_SEED=" << seed << " WALGD_RETENTION_HISTORIES=1, " << request->words);
        // A crash somewhere, and the end.
        for (const auto stop :
             {order.empty() ? 0 : static_cast<std::size_t>(history.roll(static_cast<int>(order.size()))), order.size()}) {
            history.objects() = objects;
            for (std::size_t index = 0; index < stop; ++index) history.objects().erase(order[index]);
            REQUIRE(wrong_with_what_stays(history, before, plan, request->selection).empty());
            REQUIRE(wrongly_removed(objects, history, history.objects(), plan) == "");
            // No sentinel is there whose own objects or base have begun to go.
            for (const auto& [name, restored] : before.restores) {
                if (restored && history.objects().contains(sentinel_key(name).path())) REQUIRE(history.restores(name));
            }
        }
        clean_up_after_a_crash(history, objects, order);
    }
    CHECK(plans > count / 3);
    CHECK(removed > plans);
    if (std::getenv("WALGD_RETENTION_HISTORIES") != nullptr)
        WARN(fmt::format("{} histories: {} plans, {} objects removed", count, plans, removed));
}

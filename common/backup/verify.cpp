#include "common/backup/verify.hpp"

#include "common/archive/layout.hpp"
#include "common/archive/retention/backup_graph.hpp"
#include "common/archive/retention/wal_needs.hpp"
#include "common/backup/check_ahead.hpp"
#include "common/backup/content_check.hpp"
#include "common/backup/named_files.hpp"
#include "common/backup/restore/backup_fetch.hpp"
#include "common/backup/restore/restore_plan.hpp"
#include "common/backup/verify_state.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <mutex>
#include <random>
#include <set>

namespace walgd::backup {

namespace {

/// Objects that are younger may have others beside them that a listing does not show yet.
constexpr std::chrono::minutes listing_lag{1};
constexpr std::uint64_t verify_state_bytes_max = 16 << 20;
constexpr std::size_t named_files_max = 5;

class Verification {
public:
    Verification(archive::Archive& archive, const VerifyOptions& options, std::stop_token stop)
        : archive_(archive), options_(options), stop_(std::move(stop)),
          inventory_(run_blocking(archive.io, archive::take_inventory(archive, archive::Unreadable::noted), stop_)),
          graph_(inventory_.backups) {}

    VerifyReport run() {
        choose();
        expect_whole_backups();
        const auto done = read();
        for (const auto& path : gone_) note({path, "it is not there, and files_metadata.json names it"});
        note_lost_files();
        plan_restores(done);
        report_.left_out = chosen_.size() - done;
        report_.wal_records = wal_.records();
        remember(done);
        for (const auto& backup : inventory_.backups) judge(backup);
        return std::move(report_);
    }

private:
    /// Reads what was chosen until a budget ends that; says how many. While the first is looked at, others are read.
    std::size_t read() {
        const auto end = Clock::now() + options_.time_max;
        CheckAhead ahead(options_.at_once, archive_.budget, stop_);
        std::size_t begun = 0;
        for (;;) {
            const bool late = options_.time_max.count() > 0 && Clock::now() >= end;
            // Of those under way some may turn out to be nobody's, and then count for nothing.
            const bool full = begun < chosen_.size() && begun > 0 && options_.bytes_max > 0 &&
                              report_.bytes + ahead.bytes() + chosen_[begun]->bytes > options_.bytes_max;
            if (begun < chosen_.size() && !late && !full && begin(ahead, *chosen_[begun])) {
                ++begun;
                continue;
            }
            if (ahead.empty()) return begun;
            auto first = ahead.take_first();
            check(first);
        }
    }

    /// False: it has to wait for those under way.
    bool begin(CheckAhead& ahead, const archive::HeldObject& object) {
        if (!object.key.path().starts_with(archive::wal_folder)) {
            auto look = [this, &object](std::stop_token stop) {
                return CheckAhead::Outcome{.whole = object.bytes > 0 && check_backup_object(object.key, stop)};
            };
            return ahead.begin(object, check_bytes, std::move(look));
        }
        auto unpack = [this, &object](std::stop_token stop) {
            return CheckAhead::Outcome{.segment = unpack_segment(archive_, object.key, inventory_.segment_bytes, stop)};
        };
        return ahead.begin(object, check_bytes + inventory_.segment_bytes, std::move(unpack));
    }

    void choose() {
        for (const auto& object : inventory_.wal_objects) chosen_.push_back(&object);
        for (const auto& object : inventory_.backup_objects) chosen_.push_back(&object);
        if (options_.since_last) {
            const auto last = last_state();
            if (last) {
                for (const auto* object : chosen_) tell_again(*last, *object);
                tell_gone_again(*last);
                std::erase_if(chosen_, [&last](const auto* object) { return last->covers(object->key, object->modified); });
            }
            std::ranges::sort(chosen_, {}, [](const auto* object) { return std::pair(object->modified, object->key); });
        }
        if (options_.sample == 0 || options_.sample >= chosen_.size()) return;
        std::vector<const archive::HeldObject*> some;
        std::ranges::sample(chosen_, std::back_inserter(some), static_cast<std::ptrdiff_t>(options_.sample),
                            std::mt19937(std::random_device{}()));
        chosen_ = std::move(some);
    }

    /// Whether a backup has all files that its metadata names is only known of those of which everything is read.
    void expect_whole_backups() {
        struct Objects {
            std::size_t held = 0, chosen = 0, parts = 0;
        };
        std::map<std::string, Objects, std::less<>> backups;
        for (const auto& object : inventory_.backup_objects) ++backups[folder_of(object)].held;
        for (const auto* object : chosen_) {
            auto& backup = backups[folder_of(*object)];
            ++backup.chosen;
            backup.parts += archive::is_tar_of(folder_of(*object), object->key.path());
        }
        for (const auto& [name, objects] : backups) {
            if (objects.parts > 0 && objects.chosen == objects.held) named_files_.expect(name, objects.parts);
        }
    }

    static std::string folder_of(const archive::HeldObject& object) {
        return std::string(archive::backup_of_data_object(object.key.path()));
    }

    std::optional<VerifyState> last_state() const {
        const auto text =
            run_blocking(archive_.io, storage::get_whole(archive_.storage, verify_state_key(), verify_state_bytes_max), stop_);
        if (!text) return std::nullopt;
        try {
            return parse_verify_state(text_of(text->view()), verify_state_key().path());
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt) throw;
            archive_.log.warn("{}: passed over, all is read", error.what());
            return std::nullopt;
        }
    }

    /// What was damaged the last time, and was not replaced since, is damaged still.
    void tell_again(const VerifyState& last, const archive::HeldObject& object) {
        const auto& path = object.key.path();
        const auto damage = std::ranges::find(last.damaged, path, &Damage::object);
        if (damage == last.damaged.end() || !last.covers(object.key, object.modified)) return;
        const auto* backup = graph_.find(archive::backup_of_data_object(path));
        // Another backup's metadata, which it did not fit, may have been mended: that is looked at again.
        if (damage->planned && backup != nullptr && graph_.defect(*backup).empty())
            to_plan_.insert(backup->name);
        else
            note(*damage);
    }

    /// What was damaged or gone, and is gone, is missing as long as its backup is there.
    void tell_gone_again(const VerifyState& last) {
        for (const auto& damage : last.damaged) {
            const auto folder = archive::backup_of_data_object(damage.object);
            const bool gone = !folder.empty() && graph_.find(folder) != nullptr && !is_held(damage.object);
            if (gone) note(damage);
        }
    }

    bool is_held(std::string_view path) const {
        return std::ranges::find(inventory_.backup_objects, path, [](const auto& object) -> std::string_view {
                   return object.key.path();
               }) != inventory_.backup_objects.end();
    }

    void note(Damage damage) {
        if (damaged_.insert(damage.object).second) report_.damaged.push_back(std::move(damage));
    }

    void remember(std::size_t done) {
        const bool in_order = options_.since_last || (options_.sample == 0 && report_.left_out == 0);
        if (!in_order || done == 0) return;
        VerifyState state{.until = {}, .key = {}, .damaged = report_.damaged};
        for (std::size_t index = 0; index < done; ++index) state.until = std::max(state.until, chosen_[index]->modified);
        // Many objects may have one time, and the budget ended between them.
        if (done < chosen_.size()) state.key = chosen_[done - 1]->key.path();
        const storage::Modified sure(inventory_.taken - listing_lag);
        if (state.until > sure) state = {.until = sure, .key = {}, .damaged = std::move(state.damaged)};
        const auto text = to_json(state);
        try {
            run_blocking(archive_.io, archive_.storage.put(verify_state_key(), bytes_of(text), {}), stop_);
        } catch (const Error& error) {
            if (error.kind() == ErrorKind::cancelled) throw;
            archive_.log.warn("{} was not written, so the next --since-last reads all of this again: {}",
                              verify_state_key().path(), error.what());
        }
    }

    void check(CheckAhead::Begun& begun) {
        const auto& object = begun.object;
        const auto& path = object.key.path();
        bool read = true;
        try {
            if (object.bytes == 0) throw Error(ErrorKind::corrupt, "it has no bytes");
            read = look_at(begun);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt) throw;
            note({path, error.what()});
            named_files_.give_up(folder_of(object));
        }
        read ? ++report_.objects : ++report_.foreign;
        if (read) report_.bytes += object.bytes;
    }

    /// In the objects' order: a segment goes on where the one before ended.
    bool look_at(CheckAhead::Begun& begun) {
        const auto& key = begun.object.key;
        const auto outcome = begun.outcome();
        if (!key.path().starts_with(archive::wal_folder)) return outcome ? outcome->whole : check_backup_object(key, stop_);
        if (!outcome || !outcome->segment) return check_wal_object(archive_, key, wal_, stop_);
        check_segment(key, outcome->segment->view(), wal_);
        return true;
    }

    bool check_backup_object(const storage::ObjectKey& key, std::stop_token stop) {
        const std::string_view path = key.path();
        const auto folder = archive::backup_of_data_object(path);
        const bool sentinel = folder.empty() && !archive::backup_of_sentinel(path.substr(path.rfind('/') + 1)).empty();
        const auto* backup = graph_.find(folder);
        const bool document = path.ends_with("/metadata.json");
        if (backup != nullptr && path.ends_with("/files_metadata.json"))
            look_for_files(backup->name, check_files_metadata(archive_, key, stop));
        else if (sentinel || (backup != nullptr && document))
            check_document(archive_, key, stop);
        else if (backup != nullptr && archive::is_tar_of(folder, path))
            named_files_.held(backup->name,
                              check_backup_tar(archive_, key, span_of(*backup), pages_of(backup->name, stop), stop));
        else
            return false;
        return true;
    }

    void look_for_files(const std::string& backup, ToldFiles told) {
        look_for_tars(backup, told.tars);
        named_files_.named(backup, std::move(told.files));
    }

    void note_lost_files() {
        for (const auto& [backup, files] : named_files_.lost()) {
            const auto folder = archive::tar_folder(backup);
            const bool of_a_gone_part = std::ranges::any_of(gone_, [&](const auto& path) { return path.starts_with(folder); });
            if (of_a_gone_part) continue;
            note({archive::files_metadata_key(backup).path(),
                  fmt::format("it names {} files that none of the backup's parts has{}", files.size(),
                              names_text(backup, files))});
        }
    }

    /// ": base/5/1259, base/5/2619"; empty where the backup is deleted meanwhile.
    std::string names_text(const std::string& backup, const std::vector<std::uint64_t>& files) {
        try {
            const auto names = names_of_files(archive_, archive::files_metadata_key(backup), files, named_files_max, stop_);
            return fmt::format(": {}{}", fmt::join(names, ", "), files.size() > names.size() ? ", ..." : "");
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt) throw;
            return {};
        }
    }

    /// From several threads. By what stands before ".tar": an older WAL-G's objects have other names behind it than it noted.
    void look_for_tars(const std::string& backup, const std::set<std::string>& names) {
        const auto stem = [](std::string_view name) { return name.substr(0, name.find(".tar")); };
        const auto folder = archive::tar_folder(backup);
        std::set<std::string_view> held;
        for (const auto& object : inventory_.backup_objects) {
            const std::string_view path = object.key.path();
            if (path.starts_with(folder)) held.insert(stem(path.substr(folder.size())));
        }
        const std::lock_guard lock(gone_mutex_);
        for (const auto& name : names) {
            if (!held.contains(stem(name))) gone_.insert(folder + name);
        }
    }

    /// What a restore decides before it writes anything: whether the files metadata of a chain fit each other. Of backups of
    /// which something was read.
    void plan_restores(std::size_t done) {
        for (std::size_t index = 0; index < done; ++index) {
            const std::string_view path = chosen_[index]->key.path();
            const auto folder = archive::backup_of_data_object(path);
            const auto name = folder.empty() ? archive::backup_of_sentinel(path.substr(path.rfind('/') + 1)) : folder;
            to_plan_.emplace(name);
        }
        for (const auto& backup : inventory_.backups) {
            const auto chain = graph_.chain(backup);
            const bool any = std::ranges::any_of(chain, [&](const auto* link) { return to_plan_.contains(link->name); });
            if (any && graph_.defect(backup).empty() && damage_of(backup).empty()) plan_restore(backup);
        }
    }

    void plan_restore(const archive::HeldBackup& backup) {
        FetchOptions options;
        options.backup = backup.name;
        try {
            const auto plan = plan_objects(archive_, options, stop_);
            plan_files(archive_, *plan, [](std::string_view) {}, stop_);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::refused) throw;
            const auto metadata = archive::files_metadata_key(backup.name);
            note({.object = is_held(metadata.path()) ? metadata.path() : archive::sentinel_key(backup.name).path(),
                  .cause = error.what(),
                  .planned = true});
        }
    }

    static BackupSpan span_of(const archive::HeldBackup& backup) {
        BackupSpan span{backup.start, {}};
        if (backup.finish > backup.start) span.finish = backup.finish; // else its sentinel does not tell
        return span;
    }

    /// From several threads.
    BackupPages pages_of(const std::string& backup, std::stop_token stop) {
        const std::lock_guard lock(pages_mutex_);
        if (const auto known = pages_.find(backup); known != pages_.end()) return known->second;
        const auto stem = archive::tar_folder(backup) + "pg_control.tar";
        const auto control = std::ranges::find_if(inventory_.backup_objects,
                                                  [&stem](const auto& object) { return object.key.path().starts_with(stem); });
        std::optional<pg::ControlFile> found;
        if (control != inventory_.backup_objects.end()) found = read_backup_control(archive_, control->key, std::move(stop));
        BackupPages pages; // the usual ones, where nobody tells
        if (found) pages = {found->block_bytes, found->data_checksum_version != 0, found->relation_file_bytes};
        return pages_.emplace(backup, pages).first->second;
    }

    std::string damage_of(const archive::HeldBackup& backup) const {
        for (const auto* link : graph_.chain(backup)) {
            const auto sentinel = archive::sentinel_key(link->name);
            if (damaged_.contains(sentinel.path())) return sentinel.path() + " is damaged";
            const auto folder = fmt::format("{}{}/", archive::backup_folder, link->name);
            const auto found = damaged_.lower_bound(folder);
            if (found != damaged_.end() && found->starts_with(folder))
                return *found + (is_held(*found) ? " is damaged" : " is not there");
        }
        for (auto number = backup.first.number; number <= backup.last; ++number) {
            if (!replayable({backup.first.timeline, number}))
                return pg::segment_name({backup.first.timeline, number}, inventory_.segment_bytes) + " is damaged";
        }
        return {};
    }

    /// Whether a segment is there, and was not found to be damaged.
    bool replayable(pg::Segment segment) const {
        const auto name = std::string(archive::wal_folder) + pg::segment_name(segment, inventory_.segment_bytes);
        const auto object =
            std::ranges::lower_bound(inventory_.wal_objects, name, {}, [](const auto& one) { return one.key.path(); });
        for (auto one = object; one != inventory_.wal_objects.end() && one->key.path().starts_with(name); ++one) {
            const bool whole = !archive::stored_segment(one->key.path()).empty();
            if (whole && one->bytes > 0 && !damaged_.contains(one->key.path())) return true;
        }
        return false;
    }

    /// The newest timeline that recovery from `backup` can come to.
    pg::TimelineHistory way_of(const archive::HeldBackup& backup) const {
        pg::TimelineHistory way{backup.first.timeline, {}};
        for (const auto& history : inventory_.histories) {
            if (history.timeline > way.timeline && archive::may_reach(backup, history.timeline, inventory_.histories))
                way = history;
        }
        return way;
    }

    void judge(const archive::HeldBackup& backup) {
        VerifiedBackup verified{backup.name, graph_.defect(backup), {}};
        if (verified.defect.empty()) verified.defect = damage_of(backup);
        const auto way = way_of(backup);
        for (auto number = backup.first.number;; ++number) {
            // Of a segment in which the timeline changes the new one has a copy.
            const auto last_byte = pg::Lsn((number + 1) * inventory_.segment_bytes - 1);
            const pg::Segment segment{way.timeline_at(last_byte), number};
            if (!replayable(segment)) break;
            verified.reaches = pg::segment_name(segment, inventory_.segment_bytes);
        }
        report_.backups.push_back(std::move(verified));
    }

    archive::Archive& archive_;
    const VerifyOptions& options_;
    std::stop_token stop_;
    archive::Inventory inventory_;
    archive::BackupGraph graph_;
    std::vector<const archive::HeldObject*> chosen_;
    std::set<std::string> damaged_, to_plan_; ///< objects; backups
    pg::WalCheck wal_;
    VerifyReport report_;
    NamedFiles named_files_;
    std::mutex gone_mutex_;
    std::set<std::string> gone_; ///< tars that a backup's files_metadata.json names and the storage has not
    std::mutex pages_mutex_;
    std::map<std::string, BackupPages> pages_;
};

} // namespace

bool VerifyReport::sound() const {
    return damaged.empty() && std::ranges::all_of(backups, [](const VerifiedBackup& backup) { return backup.defect.empty(); });
}

VerifyReport verify(archive::Archive& archive, const VerifyOptions& options, std::stop_token stop) {
    if (archive.packing.cipher != nullptr && !archive.packing.cipher->can_decrypt())
        throw Error(ErrorKind::misconfigured, "this host has a public key alone, and cannot read what is stored",
                    "run verify where the private key is");
    return Verification(archive, options, std::move(stop)).run();
}

} // namespace walgd::backup

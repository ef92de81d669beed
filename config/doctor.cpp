#include "config/doctor.hpp"

#include "common/archive/json_text.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/retention/backup_graph.hpp"
#include "common/archive/retention/kept_alone.hpp"
#include "common/archive/wal/lost_segments.hpp"
#include "common/archive/wal/wal_push.hpp"
#include "common/backup/content_check.hpp"
#include "common/backup/restore/load_view.hpp"
#include "common/backup/verify_state.hpp"
#include "config/process.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <set>
#include <string>
#include <sys/statvfs.h>

namespace walgd::config {

namespace {

constexpr std::chrono::minutes clock_tolerance{1};
constexpr std::chrono::days backup_age_max{7}, verify_age_max{30};
constexpr int free_percent_low = 10, free_percent_none = 2;

/// Runs one look; what it throws is a finding of that weight.
template <class Look> bool look(std::vector<Finding>& findings, Weight weight, const std::string& what, Look work) {
    try {
        work();
        return true;
    } catch (const std::exception&) {
        const auto error = as_error(std::current_exception());
        if (error.kind() == ErrorKind::cancelled) throw;
        findings.push_back({weight, what, error.what(), error.hint()});
        return false;
    }
}

class Examination {
public:
    Examination(const Settings& settings, archive::Archive& archive, std::stop_token stop)
        : settings_(settings), archive_(archive), storage_(archive.storage), stop_(std::move(stop)) {}

    std::vector<Finding> run() {
        for (const auto& warning : settings_.warnings())
            find(Weight::note, "settings", warning, "`walg config` shows what is in force");
        key();
        if (rights()) {
            look(findings_, Weight::warning, "storage", [&] { removed_objects(); });
            backups();
            look(findings_, Weight::warning, "verify", [&] { last_verify(); });
        }
        free_space("pgdata", settings_.text("pgdata"));
        free_space("file_prefix", settings_.text("file_prefix"));
        look(findings_, Weight::broken, "PostgreSQL", [&] { examine_server(settings_, archive_, findings_); });
        std::ranges::sort(findings_, {}, [](const Finding& one) { return std::pair(one.weight, one.what); });
        return std::move(findings_);
    }

private:
    template <class T> T wait(awaitable<T> task) { return run_blocking(archive_.io, std::move(task), stop_); }
    void find(Weight weight, const std::string& what, const std::string& text, const std::string& todo) {
        findings_.push_back({weight, what, text, todo});
    }

    void key() {
        const auto* cipher = archive_.packing.cipher;
        if (cipher == nullptr)
            find(Weight::note, "key", "objects are stored unencrypted",
                 "set libsodium_key_path or pgp_key_path, if the storage is not your own");
        else if (!cipher->can_decrypt())
            find(Weight::note, "key", "this host has a public key alone: it can write, not restore and not verify",
                 "keep the private key where restores happen, and try it there: walg verify");
    }

    /// Writes, reads, lists and removes one small object. False: there is no use in looking further.
    bool rights() {
        const auto key = archive::probe_key();
        const std::string probe = "walg doctor";
        bool answers = true;
        const auto list = look(findings_, Weight::broken, "storage: list", [&] {
            try {
                wait(storage_.list(std::string(archive::backup_folder), {}));
            } catch (const Error& error) {
                answers = error.kind() != ErrorKind::transient;
                throw;
            }
        });
        if (!answers) return false; // each further question would be waited for as long
        const auto write =
            look(findings_, Weight::broken, "storage: write", [&] { wait(storage_.put(key, bytes_of(probe), {})); });
        if (!write) return list;
        const auto now = std::chrono::system_clock::now();
        look(findings_, Weight::broken, "storage: read", [&] {
            const auto blob = wait(storage::get_whole(storage_, key, 1 << 20));
            if (!blob || text_of(blob->view()) != probe)
                throw Error(ErrorKind::corrupt, fmt::format("{} does not come back as it was written", key.path()));
        });
        look(findings_, Weight::warning, "clock", [&] { clock(key, now); });
        look(findings_, Weight::warning, "storage: remove", [&] {
            const auto failures = wait(storage_.remove({key}));
            if (!failures.empty())
                throw Error(failures.front().error.kind(), failures.front().error.what(),
                            "without that right nothing is ever deleted: is that meant?");
        });
        look(findings_, Weight::warning, "storage: conditional write", [&] {
            if (wait(archive::probe_conditional_put(archive_)) != archive::ConditionalPut::works)
                find(Weight::note, "storage", "it does not keep If-None-Match: walgd looks before it puts",
                     "let one host alone archive into this prefix");
        });
        return list;
    }

    void clock(const storage::ObjectKey& key, std::chrono::system_clock::time_point now) {
        const auto info = wait(storage_.head(key));
        if (!info || info->modified == storage::Modified()) return;
        const auto skew = std::chrono::duration_cast<std::chrono::seconds>(now - info->modified);
        if (std::chrono::abs(skew) > clock_tolerance)
            find(Weight::warning, "clock",
                 fmt::format("this host's clock is {} s {} the storage's", std::chrono::abs(skew).count(),
                             skew.count() > 0 ? "ahead of" : "behind"),
                 "set it (timedatectl): S3 refuses requests from 15 minutes on, and recovery targets are times");
    }

    void removed_objects() {
        const auto removed = wait(storage_.removed_objects());
        if (removed.versions_stay)
            find(Weight::note, "storage",
                 fmt::format("the bucket keeps versions{}: what is deleted is hidden, and still paid for",
                             removed.lock.empty() ? "" : ", locked in " + removed.lock),
                 "give it a lifecycle rule for old versions");
    }

    void backups() {
        // Before the listing: what was called archived by then must be in it.
        std::optional<std::vector<std::string>> called;
        look(findings_, Weight::warning, "archive",
             [&] { called = archive::segments_called_archived(settings_.text("pgdata")); });
        archive::Inventory inventory;
        if (!look(findings_, Weight::broken, "archive",
                  [&] { inventory = wait(archive::take_inventory(archive_, archive::Unreadable::noted)); }))
            return;
        for (const auto& document : inventory.unreadable)
            find(Weight::broken, "archive", document,
                 "walg verify tells what can be restored; nothing is deleted until that is mended");
        look(findings_, Weight::warning, "verify", [&] { known_damage(inventory); });
        const archive::BackupGraph graph(inventory.backups);
        const archive::HeldBackup* newest = nullptr;
        std::set<std::string> sound;
        for (const auto& backup : inventory.backups) {
            const auto defect = graph.defect(backup);
            if (defect.empty()) {
                newest = &backup;
                sound.insert(backup.name);
            } else
                find(Weight::warning, "archive", fmt::format("{} cannot be restored: {}", backup.name, defect),
                     "take a new full backup: walg backup-push");
        }
        const auto age = newest == nullptr ? Time::duration() : inventory.taken - newest->started;
        if (newest == nullptr)
            find(Weight::broken, "archive", fmt::format("{} has no backup that can be restored", inventory.where),
                 "walg backup-push PGDATA");
        else if (age > backup_age_max)
            find(Weight::warning, "archive",
                 fmt::format("the newest backup, {}, is {} days old", newest->name,
                             std::chrono::floor<std::chrono::days>(age).count()),
                 "take one more often: every day of WAL is an hour of recovery or so");
        newest_segment(inventory);
        if (!sound.empty() && readable())
            look(findings_, Weight::warning, "archive", [&] { way_to_newest_wal(inventory, sound); });
        if (called) look(findings_, Weight::warning, "archive", [&] { lost_segments(inventory, *called); });
    }

    bool readable() const { return archive_.packing.cipher == nullptr || archive_.packing.cipher->can_decrypt(); }

    /// That recovery from the newest backup comes to the newest WAL.
    void way_to_newest_wal(const archive::Inventory& inventory, const std::set<std::string>& sound) {
        const auto loaded = backup::load_view(archive_, stop_, &inventory.wal_objects);
        const backup::TimelinePath path(loaded.view, loaded.view.latest_timeline());
        const auto last = path.last();
        if (!last) return;
        const backup::BackupFacts* from = nullptr;
        for (const auto& backup : loaded.view.backups) {
            const bool leads = sound.contains(backup.name) && path.leads_through(backup);
            if (leads && (from == nullptr || from->start < backup.start)) from = &backup;
        }
        if (from == nullptr) {
            find(Weight::broken, "archive",
                 fmt::format("no backup leads to the WAL of timeline {}, the newest one", path.timeline().number()),
                 "take a backup of its server now: walg backup-push");
            return;
        }
        auto missing = path.number_of(from->start);
        while (missing < *last && path.has(missing)) ++missing;
        if (missing >= *last) return;
        // Several segments are on their way at once.
        const bool may_come = *last - missing <= static_cast<std::uint64_t>(settings_.number("upload_concurrency"));
        find(
            may_come ? Weight::warning : Weight::broken, "archive",
            fmt::format("WAL segment {} is missing{}: what was archived behind it cannot be reached from {}, the newest backup",
                        path.name(missing), may_come ? ", if it is not on its way" : "", from->name),
            "walg restorable names all that is missing; store it, if a server's pg_wal still has it (walg wal-push), else take a "
            "backup now: walg backup-push");
    }

    /// What PostgreSQL may remove, or has removed, and nobody else has.
    void lost_segments(const archive::Inventory& inventory, const std::vector<std::string>& called) {
        archive::WalCollector collector;
        for (const auto& object : inventory.wal_objects)
            collector.add(std::string_view(object.key.path()).substr(archive::wal_folder.size()), object.bytes);
        const auto wal = std::move(collector).finish(inventory.segment_bytes);
        const auto alone = wait(archive::read_kept_alone(archive_.storage));
        std::vector<archive::BackupWal> backups;
        for (const auto& backup : inventory.backups)
            backups.push_back(
                {backup.first.timeline, {backup.first.number, backup.last}, backup.permanent || alone.contains(backup.name)});
        const auto lost = archive::lost_segments(called, wal, backups);
        if (lost.empty()) return;
        find(
            Weight::broken, "archive",
            fmt::format("{} WAL segments lack that PostgreSQL calls archived: {}{}", lost.size(), lost.front(),
                        lost.size() > 1 ? " to " + lost.back() : ""),
            "what still is in pg_wal can be stored: walg wal-push pg_wal/NAME; then see that archive_command says 0 only when it "
            "is stored, and take a backup: walg backup-push");
    }

    /// That the key of this host opens what is stored.
    void newest_segment(const archive::Inventory& inventory) {
        for (auto object = inventory.wal_objects.rbegin(); object != inventory.wal_objects.rend() && readable(); ++object) {
            if (archive::segment_of_wal_object(object->key.path()).empty() || object->bytes == 0) continue;
            pg::WalCheck wal;
            look(findings_, Weight::broken, "archive", [&] { backup::check_wal_object(archive_, object->key, wal, stop_); });
            return;
        }
    }

    void known_damage(archive::Inventory& inventory) {
        const auto damaged = wait(backup::known_damage(archive_, inventory));
        backup::note_gone(inventory, damaged);
        if (damaged.empty()) return;
        find(Weight::broken, "verify",
             fmt::format("the last verify found {} objects damaged or gone; the first: {}: {}", damaged.size(),
                         damaged.front().object, damaged.front().cause),
             "walg verify names them all, and what can be restored; take a new full backup: walg backup-push");
    }

    void last_verify() {
        const auto info = wait(storage_.head(backup::verify_state_key()));
        const auto now = std::chrono::system_clock::now();
        if (!info)
            find(Weight::note, "verify", "the archive was never read back",
                 "walg verify, now and then: walg verify --since-last --time 10m");
        else if (now - info->modified > verify_age_max)
            find(Weight::note, "verify",
                 fmt::format("the archive was last read back at {}",
                             time_or_dash(std::chrono::floor<std::chrono::microseconds>(info->modified))),
                 "walg verify --since-last");
    }

    void free_space(const std::string& what, const std::string& path) {
        struct statvfs about{};
        if (path.empty() || ::statvfs(path.c_str(), &about) != 0 || about.f_blocks == 0) return;
        const auto percent = static_cast<int>(100 * about.f_bavail / about.f_blocks);
        if (percent >= free_percent_low) return;
        find(percent < free_percent_none ? Weight::broken : Weight::warning, "free space",
             fmt::format("{} ({}) has {} % free", what, path, percent), "make room: PostgreSQL stops when its disk is full");
    }

    const Settings& settings_;
    archive::Archive& archive_;
    storage::Storage& storage_;
    std::stop_token stop_;
    std::vector<Finding> findings_;
};

} // namespace

std::string_view name_of(Weight weight) {
    return weight == Weight::broken ? "broken" : weight == Weight::warning ? "warning" : "note";
}

std::vector<Finding> examine(const Settings& settings, archive::Archive& archive, std::stop_token stop) {
    return Examination(settings, archive, std::move(stop)).run();
}

} // namespace walgd::config

#include "common/archive/object_move.hpp"

#include "common/archive/layout.hpp"
#include "common/base/in_parallel.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <fmt/format.h>
#include <map>
#include <mutex>

namespace walgd::archive {

namespace {

/// Who comes after whom: several begin in order, and each waits with its last step until all before it are done.
class Line {
public:
    explicit Line(std::size_t count) : done_(count + 1, false) {}

    void wait(std::size_t index) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return first_ == index; });
    }
    void leave(std::size_t index) {
        const std::lock_guard lock(mutex_);
        done_[index] = true;
        while (done_[first_]) ++first_;
        changed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<bool> done_; ///< with one behind the end, which never is
    std::size_t first_ = 0;  ///< that is not done
};

/// A place in the line, which it leaves whatever happens.
class PlaceInLine {
public:
    PlaceInLine(Line& line, std::size_t index) : line_(line), index_(index) {}
    ~PlaceInLine() { leave(); }
    PlaceInLine(const PlaceInLine&) = delete;
    PlaceInLine& operator=(const PlaceInLine&) = delete;

    void wait() { line_.wait(index_); }
    void leave() {
        if (!left_) line_.leave(index_);
        left_ = true;
    }

private:
    Line& line_;
    std::size_t index_;
    bool left_ = false;
};

/// One group on its way.
class Move {
public:
    using Moved = std::function<void(const std::string&)>;
    using Failed = std::function<void(const std::string&, const Error&)>;
    Move(const CopyRoute& route, const MoveOptions& options, const Moved& moved, const Failed& failed)
        : route_(route), options_(options), moved_(moved), failed_(failed) {}

    /// How many of it could not be moved.
    std::size_t run(const MoveGroup& group, PlaceInLine& place) const {
        std::size_t failures = 0;
        for (const auto& object : group.objects) failures += attempt(object, [&] { copy(object); });
        // A sentinel makes a backup exist: not before all of it is there. Its time tells which backup is the latest.
        if (failures == 0 && group.last) {
            place.wait();
            failures += attempt(*group.last, [&] { copy(*group.last); });
        }
        place.leave();
        if (failures != 0) return group.size();
        if (!options_.preserve && group.last) failures += attempt(*group.last, [&] { remove(*group.last); });
        if (failures != 0) return group.size();
        if (group.last) moved_(group.last->key.path());
        for (const auto& object : group.objects) {
            const auto failed = options_.preserve ? 0 : attempt(object, [&] {
                if (group.last) follow_mark(object);
                remove(object);
            });
            if (failed == 0) moved_(object.key.path());
            failures += failed;
        }
        return failures;
    }

private:
    template <class Work> std::size_t attempt(const storage::ObjectInfo& object, Work work) const {
        try {
            work();
            return 0;
        } catch (const Error& error) {
            if (error.kind() == ErrorKind::cancelled || options_.fail_fast) throw error.within(object.key.path());
            failed_(object.key.path(), error);
            return 1;
        }
    }

    void copy(const storage::ObjectInfo& object) const {
        if (!copy_object(route_, object.key, options_.existing)) throw Error(ErrorKind::failed, "it is not there any more");
        for (unsigned check = 0; check < options_.checks; ++check) {
            if (check > 0) run_blocking(route_.to.io, sleep_for(options_.check_interval), route_.to.stop);
            const auto there = run_blocking(route_.to.io, route_.to.storage.head(object.key), route_.to.stop);
            if (there && (route_.change || there->bytes == object.bytes)) return;
        }
        if (options_.checks > 0)
            throw Error(ErrorKind::failed,
                        fmt::format("it did not appear in {} ({} checks)", route_.to.storage.describe(), options_.checks));
    }

    /// The backup's mark, where it was changed while the rest was on its way: without its sentinel nobody changes it any more.
    void follow_mark(const storage::ObjectInfo& object) const {
        if (!object.key.path().ends_with("/metadata.json")) return;
        const auto now = run_blocking(route_.to.io, route_.from.head(object.key), route_.to.stop);
        if (now && now->bytes != object.bytes) copy(*now);
    }

    void remove(const storage::ObjectInfo& object) const {
        const auto failures = run_blocking(route_.to.io, route_.from.remove({object.key}), route_.to.stop);
        if (!failures.empty()) throw failures.front().error;
    }

    const CopyRoute& route_;
    const MoveOptions& options_;
    const Moved& moved_;
    const Failed& failed_;
};

} // namespace

std::vector<MoveGroup> single_groups(std::vector<storage::ObjectInfo> objects) {
    std::vector<MoveGroup> groups;
    for (auto& object : objects) {
        groups.emplace_back();
        groups.back().objects.push_back(std::move(object));
    }
    return groups;
}

std::string_view backup_of_object(std::string_view path) {
    path.remove_prefix(std::min(path.size(), backup_folder.size()));
    const auto slash = path.find('/');
    return slash == std::string_view::npos ? backup_of_sentinel(path) : path.substr(0, slash);
}

namespace {

bool is_sentinel(const storage::ObjectInfo& object) {
    return object.key.path().find('/', backup_folder.size()) == std::string::npos;
}

} // namespace

std::set<std::string, std::less<>> backups_with_sentinel(const std::vector<storage::ObjectInfo>& objects) {
    std::set<std::string, std::less<>> names;
    for (const auto& object : objects)
        if (is_sentinel(object)) names.emplace(backup_of_object(object.key.path()));
    return names;
}

std::vector<MoveGroup> backup_groups(const std::vector<storage::ObjectInfo>& objects, const std::string& name,
                                     const std::function<void(const std::string&)>& tell) {
    std::map<std::string, MoveGroup, std::less<>> backups;
    for (const auto& object : objects) {
        const auto backup = backup_of_object(object.key.path());
        if (!backup.starts_with("base_") || (!name.empty() && backup != name)) continue;
        auto& group = backups[std::string(backup)];
        if (is_sentinel(object))
            group.last = object;
        else
            group.objects.push_back(object);
    }
    std::vector<MoveGroup> groups;
    for (auto& [backup, group] : backups) {
        if (!group.last)
            tell(fmt::format("Skip incomplete backup without sentinel file: {}", backup));
        else if (group.objects.empty())
            tell(fmt::format("Backup doesn't have any data: {}", backup));
        else
            groups.push_back(std::move(group));
    }
    std::ranges::sort(groups, {}, [](const MoveGroup& group) { return std::pair(group.last->modified, group.last->key); });
    return groups;
}

std::size_t move_groups(const CopyRoute& route, const std::vector<MoveGroup>& groups, const MoveOptions& options,
                        const std::function<void(const std::string&)>& moved,
                        const std::function<void(const std::string&, const Error&)>& failed) {
    std::mutex mutex;
    const Move::Moved tell_moved = [&](const std::string& path) {
        const std::lock_guard lock(mutex);
        moved(path);
    };
    const Move::Failed tell_failed = [&](const std::string& path, const Error& error) {
        const std::lock_guard lock(mutex);
        failed(path, error);
    };
    const Move move(route, options, tell_moved, tell_failed);
    std::atomic<std::size_t> failures = 0;
    Line line(groups.size());
    in_parallel(groups.size(), route.at_once, [&](std::size_t index, const std::atomic<bool>&) {
        PlaceInLine place(line, index);
        failures += move.run(groups[index], place);
    });
    return failures;
}

} // namespace walgd::archive

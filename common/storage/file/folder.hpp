#pragma once
#include "common/base/handles.hpp"
#include "common/storage/file/folder_listing.hpp"
#include "common/storage/storage.hpp"

#include <string>
#include <sys/stat.h>
#include <vector>

/// The blocking half of the file storage: runs on a pool's thread.
namespace walgd::storage {

/// A root folder and the files below it.
class Folder {
public:
    explicit Folder(std::string root) : root_(std::move(root)) {}

    const std::string& root() const { return root_; }
    /// Error(misconfigured) when the root is not there: an unmounted archive is not an empty one.
    void check_root() const;
    /// Error(misconfigured) for keys that could lead out of the root.
    std::string path_of(const ObjectKey& key) const;

    /// A file under walgd_005/tmp/ that becomes visible only by publish().
    struct Temporary {
        UniqueFd fd;
        std::string path;
    };
    Temporary create_temporary() const;
    /// fsyncs the file, gives it the key's name without (if_absent) or with replacing, makes the name durable. The temporary name
    /// is gone afterwards.
    PutOutcome publish(Temporary temporary, const ObjectKey& key, bool if_absent) const;

    std::optional<ObjectInfo> stat(const ObjectKey& key) const;
    /// Makes the name of an object that is there durable: who gave it may have been killed before that. Where nothing of ours is
    /// written, as on a file system that is only read, there is nothing to do.
    void settle(const ObjectKey& key) const;
    /// Of the file open at `fd`, which had that name.
    std::optional<ObjectInfo> stat(const ObjectKey& key, int fd) const;
    ListPage list(const std::string& folder, const ListOptions& options) const;
    /// Removes all of them, then makes that durable, at one fsync a folder, and only then returns. Absent is fine; folders left
    /// empty below the root go too. Cut short by a crash, any of them may be there or not.
    std::vector<RemoveFailure> remove(const std::vector<ObjectKey>& keys) const;
    std::size_t remove_old_temporaries(std::chrono::seconds age) const;

private:
    void make_parents(const std::string& path) const;
    void give_to_owner(const std::string& path) const;

    std::string root_;
    mutable FolderListings listings_;
};

/// Where objects are written before they have their name; not listed.
inline constexpr std::string_view temporary_folder = "walgd_005/tmp/";

ObjectInfo info_of(ObjectKey key, const struct stat& about);

/// Names that WAL-G's file storage gives to files that it has not finished.
bool is_walg_temporary(std::string_view name);

} // namespace walgd::storage

#pragma once
#include "common/archive/documents.hpp"
#include "common/backup/restore/restored_file.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace walgd::backup {

/// So that its owner can write in it, if it is closed to them.
void open_to_owner(const std::string& folder);

/// As PostgreSQL has the places of tablespaces.
std::string without_trailing_slashes(std::string path);

/// In the root of a file system from the start. A tablespace may have such a root for itself.
inline constexpr std::string_view of_file_system = "lost+found";

/// By the number that statfs(2) gives: files may take less there than their sizes.
bool may_compress(std::uint32_t file_system);

/// The folder that a backup is restored into, and its tablespaces' folders. Nothing outside them is ever touched: names that lead
/// out are an Error(corrupt), links are made only after every file was written. Several threads write files at once.
class RestoreTarget {
public:
    /// What the folder may hold.
    enum class Holds {
        nothing,    ///< it is absent or empty
        unfinished, ///< what an earlier try of the same restore made
        cluster,    ///< a cluster that is brought up to the backup, page by page
    };

    /// A link to a folder is followed. Nothing is made, nothing is looked at yet.
    explicit RestoreTarget(std::string folder);

    const std::string& path() const { return root_; }
    /// Error(refused) when the folder holds anything.
    void require_empty() const;
    bool holds_only(std::string_view name) const;
    /// `write_out`: it will be synced, so large files start early.
    void set(Holds holds, bool write_out) {
        holds_ = holds;
        write_out_ = write_out;
    }
    Holds holds() const { return holds_; }
    /// Where pg_tblspc/<name> leads. Error(refused) when that place holds what it may not. Nothing is made yet. Of one in place
    /// (allow_in_place_tablespaces) pg_tblspc/<name> is the place itself, a folder as any other, and nothing is noted.
    void add_tablespace(const archive::TablespaceSpec::Entry& entry);
    /// Error(refused) when the cluster in the folder has files in tablespaces that were not added: where recovery makes one of
    /// them again, it would take what is there for recovered.
    void require_no_other_tablespaces() const;
    /// Error(refused) when the file systems have not `bytes` free in all, beside what the folders hold already (the largest one
    /// counts per file system). Where one may compress it is no error, and what is to be said comes back.
    std::string check_space(std::uint64_t bytes);
    /// The bytes that the file systems had for the restore when check_space() looked: no file can be larger.
    std::uint64_t room() const { return room_; }
    /// Makes the folder.
    void prepare();
    /// Makes the tablespaces' folders and the links to them. From here on PostgreSQL does not start in the folder until finish().
    void begin();
    /// Removes everything in the folders except the state of the restore.
    void clear();

    /// A file of new content. global/pg_control gets a name that PostgreSQL does not know until finish().
    RestoredFile create_file(std::string_view member, unsigned mode);
    /// A file of `bytes`, to be filled in any order; what it holds already stays.
    RestoredFile open_pages(std::string_view member, unsigned mode, std::uint64_t bytes);
    /// What a file has; 0: there is none.
    std::uint64_t file_bytes(std::string_view member) const;
    void create_folder(std::string_view member, unsigned mode);
    /// Made by finish(), when no file can be written through it any more. Error(corrupt) for a link that is not in the top of the
    /// data directory: PostgreSQL has none, but for those to tablespaces. One of WAL-G's that leads to its own name is left out
    /// there.
    void create_link(std::string_view member, std::string link_target);
    /// The links of WAL-G's that lead to their own names.
    const std::vector<std::string>& lost_links() const { return lost_links_; }
    /// Where a file is.
    std::string resolve(std::string_view member) const;

    /// Removes every file and link of a cluster that `known` does not know, by its name relative to the data directory; what
    /// PostgreSQL logged stays.
    void remove_others(const std::function<bool(std::string_view relative)>& known);
    struct Finish {
        bool fsync = true;
        bool control = true; ///< false: a part of the files was asked for; there need not be a pg_control
    };
    /// Folder modes, links, a pg_wal if there is none, root's files to the folder's owner; everything to disk if `fsync`; then
    /// pg_control under its own name.
    void finish(const Finish& how);
    /// Root restored into root's own folder, which PostgreSQL, as another user, cannot use.
    bool belongs_to_root() const;

private:
    void each_of_root(const std::function<void(const std::string& path)>& visit) const;
    void give_to_owner() const;
    void make_parents(const std::string& path);
    void claim(std::string_view member, const std::string& path);
    void make_link(const std::string& path, const std::string& target) const;
    bool leads_to(const std::string& tablespace, const std::string& location) const;
    void remove_others_in(const std::string& folder, const std::string& relative,
                          const std::function<bool(std::string_view)>& known);
    void sync_all() const;
    std::vector<std::string> places() const;

    std::string root_;
    Holds holds_ = Holds::nothing;
    bool write_out_ = true;
    std::uint64_t room_ = ~std::uint64_t{0};
    std::map<std::string, std::string, std::less<>> tablespaces_; ///< "16384" to its folder
    std::mutex mutex_;                                            ///< guards what follows
    std::set<std::string, std::less<>> folders_;                  ///< made or checked already
    std::set<std::string> roots_own_; ///< what was root's before, in a cluster that is brought up, and is not the backup's
    std::map<std::string, unsigned> folder_modes_;
    std::vector<std::pair<std::string, std::string>> links_;
    std::vector<std::string> lost_links_;
};

} // namespace walgd::backup

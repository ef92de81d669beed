#pragma once
#include "common/archive/documents.hpp"
#include "common/base/bytes.hpp"
#include "common/base/handles.hpp"

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace walgd::backup {

/// The folder that a backup is restored into, and its tablespaces' folders. Nothing outside them is ever touched: names that lead
/// out are an Error(corrupt), links are made only after every file was written. Several threads write files at once.
class RestoreTarget {
public:
    /// `folder`: absent or empty; a link to an empty folder is followed. Error(refused) when it holds anything. Nothing is made
    /// yet.
    explicit RestoreTarget(std::string folder);

    const std::string& path() const { return root_; }
    /// Where pg_tblspc/<name> leads. Error(refused) when that place holds anything. Nothing is made yet.
    void add_tablespace(const archive::TablespaceSpec::Entry& entry);
    /// Error(refused) when the file systems have not `bytes` free in all (the largest one counts per file system).
    void check_space(std::uint64_t bytes) const;
    /// Makes the folders and the tablespaces' links.
    void prepare();

    /// One file being written. global/pg_control gets a name that PostgreSQL does not know until finish().
    class File {
    public:
        void write(ByteView bytes);
        /// Sets the mode, starts writing it out, closes.
        void finish();

    private:
        friend class RestoreTarget;
        UniqueFd fd_;
        std::string path_;
        unsigned mode_ = 0600;
    };
    File create_file(std::string_view member, unsigned mode);
    void create_folder(std::string_view member, unsigned mode);
    /// Made by finish(), when no file can be written through it any more.
    void create_link(std::string_view member, std::string link_target);

    /// Folder modes, links, a pg_wal if there is none; everything to disk if `fsync`; then pg_control under its own name.
    void finish(bool fsync);

private:
    std::string resolve(std::string_view member) const;
    void make_parents(const std::string& path);

    std::string root_;
    std::map<std::string, std::string, std::less<>> tablespaces_; ///< "16384" to its folder
    std::mutex mutex_;                                            ///< guards what follows
    std::set<std::string, std::less<>> folders_;                  ///< made or checked already
    std::map<std::string, unsigned> folder_modes_;
    std::vector<std::pair<std::string, std::string>> links_;
};

/// The member's name as a path relative to the data directory: "base/1/1259", "" for the root. Error(corrupt) for names with
/// "..", NUL or nothing in them.
std::string relative_member(std::string_view member);

} // namespace walgd::backup

#pragma once
#include "common/base/handles.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace walgd::daemon {

/// A file of pg_wal, open for reading.
struct WalFile {
    std::string name;
    UniqueFd fd;
};

/// A file that is to appear complete or not at all: made under a temporary name in its folder.
class NewFile {
public:
    /// Error(refused) when `name` is there already.
    NewFile(UniqueFd folder, std::string name);
    NewFile(NewFile&&) = default;
    /// Removes what was not finished.
    ~NewFile();

    /// Open for reading and writing; once.
    UniqueFd take_descriptor() { return std::move(fd_); }
    /// Gives it its name, durably. Error(refused) when somebody else did so meanwhile.
    void finish();

private:
    UniqueFd folder_, fd_;
    std::string name_, temporary_;
};

/// The cluster's data directory as clients of WAL-G's protocol name files in it. Paths are relative to it, or absolute and inside
/// it; pg_wal may be a symbolic link, nothing else on the way may, and ".." is refused. So no client gets at anything outside.
class DataDirectory {
public:
    /// Error(misconfigured) for an empty path. The folder itself is looked at when it is used.
    explicit DataDirectory(const std::string& path);

    /// What PostgreSQL's archiver wants archived when it names this file of pg_wal ("X", "pg_wal/X" or the whole path): that
    /// file. walg_archive cuts every name to 24 bytes, so a segment's name that has no .ready file stands for the .partial and
    /// .backup files of that segment which have one, too: acknowledging the segment alone would lose them.
    std::vector<WalFile> open_wal(std::string_view path) const;

    /// A new file at `path`.
    NewFile create(std::string_view path) const;

private:
    std::vector<std::string> parts_of(std::string_view path) const;
    UniqueFd open_folder(const std::vector<std::string>& parts, const std::string& path) const;

    std::string path_;
};

} // namespace walgd::daemon

#pragma once
#include "common/backup/restore/file_pages.hpp"
#include "common/base/bytes.hpp"
#include "common/base/handles.hpp"

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace walgd::backup {

/// What an unfinished restore knows about itself: a file in the folder that is restored into. First a line that names the restore
/// (its backup, the objects, the options, as one hash) and the boot of the host; then, for every tar that was extracted whole, a
/// block:
///
///     tar <bytes that follow> <their crc32c>          numbers hexadecimal
///     <object key>
///     file <hash of the name> <size> <mtime in ns>    for every file that no other tar touches
///     pages <hash of the name> <mode> <FilePages::text()>    for every file that has increments, as it was then
///     folder <name>                                   in hexadecimal bytes, relative to the data directory
///     link <name> <target>                            in hexadecimal bytes: it is made last
///
/// A block that is cut or wrong ends the reading: what is behind did not happen. After another boot nothing of it holds: what was
/// not yet on disk may be lost.
class RestoreState {
public:
    struct FileMark {
        std::uint64_t name, bytes;
        std::int64_t modified_ns;
    };
    struct PagesMark {
        std::uint64_t name;
        unsigned mode;
        std::string pages;
    };
    /// What one tar did.
    struct TarMark {
        std::string key;
        std::vector<FileMark> files;
        std::vector<PagesMark> pages;
        std::vector<std::string> folders;
        std::vector<std::pair<std::string, std::string>> links;
    };

    /// Whether `folder` holds one.
    static bool exists(const std::string& folder);
    /// Error(refused) when another process restores into the same folder.
    explicit RestoreState(const std::string& folder) : path_(path_of(folder)) {}

    /// Reads it. False: it is of another restore.
    bool load(const std::string& identity);
    /// Of another restore: a tar that it has put there; empty if there is none.
    const std::string& other_tar() const { return other_tar_; }
    /// Not even its first line is whole: nothing was written beside it yet.
    bool is_blank() const { return blank_; }
    /// What was done is still as it was noted: same boot, and nothing was cut off in front.
    bool holds() const { return holds_; }
    /// Begins it anew, its first line on disk when this returns; or goes on behind its last good block.
    void start(const std::string& identity, bool anew);

    const std::vector<TarMark>& done() const { return done_; }
    /// From any thread.
    void add(const TarMark& mark);
    /// The restore is complete.
    void remove();

private:
    static std::string path_of(const std::string& folder);
    void lock();

    std::string path_, other_tar_;
    UniqueFd fd_;
    std::uint64_t good_bytes_ = 0;
    bool holds_ = false, blank_ = false;
    std::vector<TarMark> done_;
    std::mutex mutex_;
};

/// The blocks of a state file, behind its first line; `good_bytes`: how far they are whole.
std::vector<RestoreState::TarMark> parse_tar_marks(std::string_view text, std::size_t& good_bytes);
std::string compose_tar_mark(const RestoreState::TarMark& mark);

} // namespace walgd::backup

#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace walgd::backup {

/// Whether the parts of backups have each file that their files metadata names, as a restore asks in the end. Names are hashes
/// (hash_of_name()): 8 bytes a file, until the last of a backup's objects was read. For several threads.
class NamedFiles {
public:
    /// `backup`, of so many parts, will be read whole. Of others nothing is kept.
    void expect(const std::string& backup, std::size_t parts);
    void named(const std::string& backup, std::vector<std::uint64_t> files);
    void held(const std::string& backup, const std::vector<std::uint64_t>& members);
    /// One of its objects cannot be read: nothing more is kept of it.
    void give_up(const std::string& backup);

    /// Backups, and the files that are in none of their parts.
    const std::map<std::string, std::vector<std::uint64_t>>& lost() const { return lost_; }

private:
    struct Backup {
        std::size_t parts_left = 0;
        bool has_metadata = false;
        std::vector<std::uint64_t> named, held;
    };
    using Backups = std::map<std::string, Backup>;
    void compare_if_read(Backups::iterator backup);

    std::mutex mutex_;
    Backups expected_;
    std::map<std::string, std::vector<std::uint64_t>> lost_;
};

} // namespace walgd::backup

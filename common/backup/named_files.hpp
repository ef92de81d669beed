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
    /// `backup` has one part more. Before anything of it comes.
    void expect_part(const std::string& backup);
    void named(const std::string& backup, std::vector<std::uint64_t> files);
    void held(const std::string& backup, const std::vector<std::uint64_t>& members);

    /// Backups and how many of their files are in none of their parts; only of those that were read to the end.
    const std::map<std::string, std::size_t>& lost() const { return lost_; }

private:
    struct Backup {
        std::size_t parts_left = 0;
        bool has_metadata = false;
        std::vector<std::uint64_t> named, held;
    };
    void compare(const std::string& name, Backup& backup);

    std::mutex mutex_;
    std::map<std::string, Backup> backups_;
    std::map<std::string, std::size_t> lost_;
};

} // namespace walgd::backup

#include "common/backup/named_files.hpp"

#include <algorithm>
#include <iterator>

namespace walgd::backup {

void NamedFiles::expect_part(const std::string& backup) { ++backups_[backup].parts_left; }

void NamedFiles::named(const std::string& backup, std::vector<std::uint64_t> files) {
    const std::lock_guard lock(mutex_);
    auto& all = backups_[backup];
    all.named = std::move(files);
    all.has_metadata = true;
    compare(backup, all);
}

void NamedFiles::held(const std::string& backup, const std::vector<std::uint64_t>& members) {
    const std::lock_guard lock(mutex_);
    auto& all = backups_[backup];
    all.held.insert(all.held.end(), members.begin(), members.end());
    --all.parts_left;
    compare(backup, all);
}

void NamedFiles::compare(const std::string& name, Backup& backup) {
    if (!backup.has_metadata || backup.parts_left > 0) return;
    std::ranges::sort(backup.named);
    std::ranges::sort(backup.held);
    std::vector<std::uint64_t> lost;
    std::ranges::set_difference(backup.named, backup.held, std::back_inserter(lost));
    if (!lost.empty()) lost_[name] = lost.size();
    backup = {};
}

} // namespace walgd::backup

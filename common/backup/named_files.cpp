#include "common/backup/named_files.hpp"

#include <algorithm>
#include <iterator>

namespace walgd::backup {

void NamedFiles::expect(const std::string& backup, std::size_t parts) {
    const std::lock_guard lock(mutex_);
    expected_[backup].parts_left = parts;
}

void NamedFiles::named(const std::string& backup, std::vector<std::uint64_t> files) {
    const std::lock_guard lock(mutex_);
    const auto found = expected_.find(backup);
    if (found == expected_.end()) return;
    found->second.named = std::move(files);
    found->second.has_metadata = true;
    compare_if_read(found);
}

void NamedFiles::held(const std::string& backup, const std::vector<std::uint64_t>& members) {
    const std::lock_guard lock(mutex_);
    const auto found = expected_.find(backup);
    if (found == expected_.end()) return;
    auto& all = found->second;
    all.held.insert(all.held.end(), members.begin(), members.end());
    --all.parts_left;
    compare_if_read(found);
}

void NamedFiles::give_up(const std::string& backup) {
    const std::lock_guard lock(mutex_);
    expected_.erase(backup);
}

void NamedFiles::compare_if_read(Backups::iterator backup) {
    auto& all = backup->second;
    if (!all.has_metadata || all.parts_left > 0) return;
    std::ranges::sort(all.named);
    std::ranges::sort(all.held);
    std::vector<std::uint64_t> lost;
    std::ranges::set_difference(all.named, all.held, std::back_inserter(lost));
    if (!lost.empty()) lost_.emplace(backup->first, std::move(lost));
    expected_.erase(backup);
}

} // namespace walgd::backup

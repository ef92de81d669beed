#include "common/archive/retention/backup_graph.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::archive {

BackupGraph::BackupGraph(const std::vector<HeldBackup>& backups) {
    for (const auto& backup : backups) {
        by_name_.emplace(backup.name, &backup);
        if (!backup.base.empty()) by_base_.emplace(backup.base, &backup);
    }
}

const HeldBackup* BackupGraph::find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
}

std::vector<const HeldBackup*> BackupGraph::chain(const HeldBackup& backup) const {
    std::vector<const HeldBackup*> links{&backup};
    while (!links.back()->base.empty()) {
        const auto* base = find(links.back()->base);
        // Damaged sentinels may name each other in a ring.
        if (base == nullptr || std::ranges::find(links, base) != links.end()) break;
        links.push_back(base);
    }
    return links;
}

const HeldBackup* BackupGraph::full_of(const HeldBackup& backup) const {
    const auto* root = chain(backup).back();
    return root->base.empty() ? root : nullptr;
}

std::vector<const HeldBackup*> BackupGraph::dependants(const HeldBackup& backup) const {
    std::vector<const HeldBackup*> all{&backup};
    for (std::size_t index = 0; index < all.size(); ++index) {
        const auto [begin, end] = by_base_.equal_range(all[index]->name);
        for (auto child = begin; child != end; ++child) {
            if (std::ranges::find(all, child->second) == all.end()) all.push_back(child->second);
        }
    }
    return all;
}

std::string BackupGraph::defect(const HeldBackup& backup) const {
    const auto links = chain(backup);
    for (const auto* link : links) {
        if (!link->missing_data.empty()) return fmt::format("{} lacks {}", link->name, link->missing_data);
    }
    if (!links.back()->base.empty()) return fmt::format("{}, which it is based on, is not there", links.back()->base);
    if (!backup.missing_wal.empty()) return fmt::format("the WAL segment {} is not there", backup.missing_wal);
    return {};
}

} // namespace walgd::archive

#include "common/backup/restore/restore_resume.hpp"

#include "common/backup/member_name.hpp"

#include <algorithm>
#include <array>

namespace walgd::backup {

DoneCheck::DoneCheck(const RestoreState& state, const RestoreTarget& target, std::uint32_t block_bytes) : target_(target) {
    for (const auto& mark : state.done()) {
        for (const auto& file : mark.files) files_.insert_or_assign(file.name, Noted{file.bytes, file.modified_ns});
        for (const auto& file : mark.pages)
            files_.insert_or_assign(file.name, Noted{FilePages::parse(file.pages, block_bytes).file_bytes(), std::nullopt});
        struct stat about{};
        for (const auto& name : mark.folders) good_ = good_ && is_there(name, true, about);
    }
    // Written by each try.
    leave_out(std::array{control_member, std::string_view("backup_label"), std::string_view("tablespace_map")});
}

void DoneCheck::leave_out(std::span<const std::string_view> relative_names) {
    for (const auto name : relative_names) files_.erase(hash_of_name(name));
}

bool DoneCheck::is_there(std::string_view relative, bool as_folder, struct stat& about) const {
    const auto path = target_.resolve(relative);
    return ::lstat(path.c_str(), &about) == 0 && (as_folder ? S_ISDIR(about.st_mode) : S_ISREG(about.st_mode));
}

void DoneCheck::look(std::string_view relative) {
    const auto found = files_.find(hash_of_name(relative));
    if (found == files_.end()) return;
    ++looked_;
    const auto& noted = found->second;
    struct stat about{};
    const bool same = is_there(relative, false, about) && static_cast<std::uint64_t>(about.st_size) == noted.bytes;
    const auto modified = about.st_mtim.tv_sec * 1'000'000'000 + about.st_mtim.tv_nsec;
    good_ = good_ && same && (!noted.modified_ns || *noted.modified_ns == modified);
}

namespace {

void take_over_tar(const RestoreState::TarMark& mark, std::size_t link, RestoreJob& job) {
    for (const auto& file : mark.files) job.plan.files.see(link, file.name);
    for (const auto& file : mark.pages) {
        job.plan.files.see(link, file.name);
        job.pages.add(file.name, {FilePages::parse(file.pages, job.plan.block_bytes), file.mode});
    }
    for (const auto& name : mark.folders) job.plan.files.see(link, name);
    for (const auto& [name, target] : mark.links) {
        job.plan.files.see(link, relative_member(name));
        job.target.create_link(name, target);
    }
}

} // namespace

void take_over(const RestoreState& state, RestoreJob& job) {
    for (const auto& mark : state.done()) {
        for (std::size_t link = 0; link < job.plan.chain.size(); ++link) {
            auto& parts = job.plan.chain[link].parts;
            const auto part = std::ranges::find(parts, mark.key, [](const TarObject& tar) { return tar.key.path(); });
            if (part == parts.end()) continue;
            take_over_tar(mark, link, job);
            parts.erase(part);
        }
    }
}

} // namespace walgd::backup

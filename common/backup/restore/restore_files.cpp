#include "common/backup/restore/restore_files.hpp"

#include "common/archive/json_text.hpp"
#include "common/backup/member_name.hpp"
#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace walgd::backup {

namespace {

constexpr std::string_view damaged_metadata =
    "its metadata is of another backup or damaged: restore another one: walg backup-list";

} // namespace

void RestoreFiles::file(std::size_t link, std::string_view relative, const archive::FileDescription& description,
                        const Wanted& wanted) {
    const auto name = hash_of_name(relative);
    if (description.is_incremented && description.is_skipped)
        throw Error(ErrorKind::corrupt, fmt::format("{} is said to be both unchanged and an increment", relative),
                    std::string(damaged_metadata));
    if (link > 0) return add_older(link, name, description);
    if (is_of_one_backup(relative) || !wanted(relative)) return;
    const bool whole = !description.is_incremented && !description.is_skipped;
    files_.push_back({name, whole ? std::uint16_t{0} : undecided, 0, false});
    if (description.is_incremented) increments_[0].push_back({name, false});
}

void RestoreFiles::add_older(std::size_t link, std::uint64_t name, const archive::FileDescription& description) {
    auto* file = find(name);
    if (file == nullptr || file->base != undecided) return;
    file->known = static_cast<std::uint16_t>(link);
    if (description.is_incremented) increments_[link].push_back({name, false});
    if (!description.is_incremented && !description.is_skipped) file->base = static_cast<std::uint16_t>(link);
}

void RestoreFiles::end_link(std::size_t link, const std::string& backup) {
    if (link == 0) {
        std::ranges::sort(files_, {}, &File::name);
        const auto twice = std::ranges::unique(files_, {}, &File::name);
        files_.erase(twice.begin(), twice.end());
    }
    std::ranges::sort(increments_[link], {}, &Increment::name);
    const bool root = link + 1 == links_;
    const auto lost =
        std::ranges::count_if(files_, [&](const File& file) { return file.base == undecided && (root || file.known != link); });
    if (lost > 0)
        throw Error(ErrorKind::corrupt,
                    fmt::format("the chain has no whole copy of {} files: the files metadata of {} {}", lost, backup,
                                root ? "marks them as unchanged or increments, or does not know them" : "does not know them"),
                    std::string(damaged_metadata));
}

void RestoreFiles::no_metadata(std::size_t link) {
    everything_ = link == 0;
    for (auto& file : files_)
        if (file.base == undecided) file.base = static_cast<std::uint16_t>(link);
}

void RestoreFiles::own_files(std::size_t link) {
    for (auto& file : files_) {
        if (file.base != undecided) continue;
        file.base = static_cast<std::uint16_t>(link);
        file.seen = true;
    }
}

const RestoreFiles::File* RestoreFiles::find(std::uint64_t name) const {
    const auto found = std::ranges::lower_bound(files_, name, {}, &File::name);
    return found != files_.end() && found->name == name ? &*found : nullptr;
}

RestoreFiles::Increment* RestoreFiles::increment(std::size_t link, std::uint64_t name) {
    auto& list = increments_[link];
    const auto found = std::ranges::lower_bound(list, name, {}, &Increment::name);
    return found != list.end() && found->name == name ? &*found : nullptr;
}

bool RestoreFiles::may_need(std::size_t link, std::string_view relative) const {
    const auto* file = find(hash_of_name(relative));
    return file != nullptr && file->base >= link;
}

RestoreFiles::Take RestoreFiles::take(std::size_t link, std::string_view relative) const {
    if (is_of_one_backup(relative)) return link == 0 ? Take::whole : Take::nothing;
    if (everything_) return Take::whole;
    const auto name = hash_of_name(relative);
    const auto* file = find(name);
    if (file == nullptr || file->base < link) return Take::nothing;
    if (file->base > link) {
        if (increment(link, name) != nullptr) return Take::increment;
        throw Error(ErrorKind::corrupt, fmt::format("{} is there, but the files metadata says that it was unchanged", relative),
                    std::string(damaged_metadata));
    }
    for (std::size_t newer = 0; newer < link; ++newer)
        if (increment(newer, name) != nullptr) return Take::below;
    return Take::whole;
}

bool RestoreFiles::see(std::size_t link, std::string_view relative) {
    if (is_of_one_backup(relative)) return true;
    const bool first = see(link, hash_of_name(relative));
    // Names that are no UTF-8 may be the same ones in the metadata, which is JSON. Such files are whole in every backup.
    return first || archive::through_json(relative) != relative;
}

bool RestoreFiles::see(std::size_t link, std::uint64_t name) {
    const std::lock_guard lock(mutex_);
    if (everything_) return others_.insert(name).second;
    auto* file = find(name);
    if (file != nullptr && file->base == link) return !std::exchange(file->seen, true);
    auto* changed = increment(link, name);
    return changed == nullptr || !std::exchange(changed->seen, true);
}

std::size_t RestoreFiles::missing_count() const {
    const std::lock_guard lock(mutex_);
    auto count = std::ranges::count(files_, false, &File::seen);
    for (const auto& list : increments_) count += std::ranges::count(list, false, &Increment::seen);
    return static_cast<std::size_t>(count);
}

bool RestoreFiles::is_missing(std::string_view relative) const {
    const auto name = hash_of_name(relative);
    const auto* file = find(name);
    if (file == nullptr) return false;
    if (!file->seen) return true;
    for (std::size_t link = 0; link < file->base; ++link)
        if (const auto* changed = increment(link, name); changed != nullptr && !changed->seen) return true;
    return false;
}

bool RestoreFiles::knows(std::string_view relative) const {
    const auto name = hash_of_name(relative);
    const std::lock_guard lock(mutex_);
    return is_of_one_backup(relative) || find(name) != nullptr || others_.contains(name);
}

} // namespace walgd::backup

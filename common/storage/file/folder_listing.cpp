#include "common/storage/file/folder_listing.hpp"

#include "common/base/error.hpp"
#include "common/base/handles.hpp"
#include "common/storage/file/folder.hpp"

#include <algorithm>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <utility>

namespace walgd::storage {

namespace {

/// A page's objects are in memory at once.
constexpr std::size_t page_objects = 20'000;
/// Listings that nobody goes on with make room for others.
constexpr std::size_t kept_max = 4;

struct CloseFolder {
    void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};
using OpenFolder = std::unique_ptr<DIR, CloseFolder>;

enum class Kind { file, folder, other };

Kind kind_of(int folder, const dirent& entry) {
    if (entry.d_type == DT_REG) return Kind::file;
    if (entry.d_type == DT_DIR) return Kind::folder;
    if (entry.d_type != DT_LNK && entry.d_type != DT_UNKNOWN) return Kind::other;
    struct stat about{};
    if (::fstatat(folder, entry.d_name, &about, 0) != 0) return Kind::other;
    return S_ISDIR(about.st_mode) ? Kind::folder : S_ISREG(about.st_mode) ? Kind::file : Kind::other;
}

} // namespace

void for_each_entry(const std::string& folder, const std::function<void(std::string_view name, bool is_folder)>& take) {
    const OpenFolder open(::opendir(folder.c_str()));
    if (!open && (errno == ENOENT || errno == ENOTDIR)) return;
    if (!open) throw_errno(fmt::format("cannot list {}", folder));
    for (;;) {
        errno = 0;
        const auto* entry = ::readdir(open.get());
        if (entry == nullptr && errno != 0) throw_errno(fmt::format("cannot list {}", folder));
        if (entry == nullptr) return;
        const std::string_view name(entry->d_name);
        if (name == "." || name == "..") continue;
        const auto kind = kind_of(::dirfd(open.get()), *entry);
        if (kind == Kind::folder)
            take(name, true);
        else if (kind == Kind::file && !is_walg_temporary(name))
            take(name, false);
    }
}

FolderListing::FolderListing(std::string root, std::string folder, const ListOptions& options)
    : root_(std::move(root)), folder_(std::move(folder)), name_prefix_(options.name_prefix), recursive_(options.recursive),
      after_(options.after) {
    if (options.token) after_ = options.token->substr(std::min(folder_.size(), options.token->size()));
    take_files({}, name_prefix_);
    std::ranges::sort(files_);
    std::ranges::sort(folders_);
    // With the page before.
    if (options.token) folders_.clear();
}

/// `below`: the folder in ours, with a slash at the end, or nothing.
void FolderListing::take_files(const std::string& below, std::string_view prefix) {
    std::vector<std::string> inner;
    for_each_entry(fmt::format("{}/{}{}", root_, folder_, below), [&](std::string_view name, bool is_folder) {
        if (!name.starts_with(prefix)) return;
        if (below.empty() && !is_folder) {
            keep(name);
            return;
        }
        auto path = fmt::format("{}{}{}", below, name, is_folder ? "/" : "");
        if (!is_folder)
            keep(path);
        else if (recursive_)
            inner.push_back(std::move(path));
        else if (!left_out(path))
            folders_.push_back(folder_ + path);
    });
    for (const auto& folder : inner) {
        if (folder_ + folder != temporary_folder) take_files(folder, {});
    }
}

void FolderListing::keep(std::string_view name) {
    if (left_out(name)) return;
    auto* place = static_cast<char*>(memory_.allocate(name.size(), 1));
    std::ranges::copy(name, place);
    files_.emplace_back(place, name.size());
}

bool FolderListing::goes_on_as(const std::string& folder, const ListOptions& options) const {
    return at_ > 0 && options.token && folder == folder_ && options.recursive == recursive_ &&
           options.name_prefix == name_prefix_ && *options.token == folder_ + std::string(files_[at_ - 1]);
}

ListPage FolderListing::next_page(std::size_t objects_max) {
    ListPage page;
    page.folders = std::exchange(folders_, {});
    const UniqueFd folder(::open(fmt::format("{}/{}", root_, folder_).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder && errno != ENOENT && errno != ENOTDIR) throw_errno(fmt::format("cannot list {}/{}", root_, folder_));
    std::string name;
    for (; folder && at_ < files_.size() && page.objects.size() < objects_max; ++at_) {
        name = files_[at_];
        struct stat about{};
        if (::fstatat(folder.get(), name.c_str(), &about, 0) == 0) {
            if (S_ISREG(about.st_mode)) page.objects.push_back(info_of(ObjectKey(folder_ + name), about));
        } else if (errno != ENOENT && errno != ENOTDIR)
            throw_errno(fmt::format("cannot look at {}/{}{}", root_, folder_, name));
    }
    if (folder && at_ < files_.size()) page.next = folder_ + std::string(files_[at_ - 1]);
    return page;
}

std::unique_ptr<FolderListing> FolderListings::take(const std::string& folder, const ListOptions& options) {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find_if(kept_, [&](const auto& one) { return one->goes_on_as(folder, options); });
    if (found == kept_.end()) return nullptr;
    auto listing = std::move(*found);
    kept_.erase(found);
    return listing;
}

ListPage FolderListings::list(const std::string& root, const std::string& folder, const ListOptions& options) {
    auto listing = take(folder, options);
    const bool from_its_beginning = listing != nullptr || (!options.token && options.after.empty());
    if (!listing) listing = std::make_unique<FolderListing>(root, folder, options);
    auto page = listing->next_page(page_objects);
    // A look at a place in the middle has seldom a next page.
    if (!page.next || !from_its_beginning) return page;
    const std::lock_guard lock(mutex_);
    kept_.push_back(std::move(listing));
    if (kept_.size() > kept_max) kept_.pop_front();
    return page;
}

} // namespace walgd::storage

#pragma once
#include "common/storage/storage.hpp"

#include <functional>
#include <list>
#include <memory_resource>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

/// Listing folders of a million files: the names are read and sorted once, not once a page.
namespace walgd::storage {

/// Of one folder: the name, and whether it is a folder itself. Nothing where the folder is not there; what is neither a file nor
/// a folder, and files that WAL-G has not finished, are left out.
void for_each_entry(const std::string& folder, const std::function<void(std::string_view name, bool is_folder)>& take);

/// What a folder of the storage in `root` held when it was read, from which pages are made.
class FolderListing {
public:
    /// Reads it. `options.token` and `options.after` tell what is left out.
    FolderListing(std::string root, std::string folder, const ListOptions& options);

    /// Whether the page that follows is the one that `options` asks for.
    bool goes_on_as(const std::string& folder, const ListOptions& options) const;
    /// Files that are gone by now are not in it. The folders come with the first page.
    ListPage next_page(std::size_t objects_max);

private:
    void take_files(const std::string& below, std::string_view prefix);
    void keep(std::string_view name);
    bool left_out(std::string_view name) const { return name <= after_; }

    std::string root_, folder_, name_prefix_;
    bool recursive_;
    std::string after_; ///< counted from the folder, as the names are
    std::pmr::monotonic_buffer_resource memory_;
    std::vector<std::string_view> files_; ///< in memory_; sorted
    std::vector<std::string> folders_;
    std::size_t at_ = 0;
};

/// Keeps what is left of listings for who asks for their next page. For several threads.
class FolderListings {
public:
    /// One page of a folder of the storage in `root`.
    ListPage list(const std::string& root, const std::string& folder, const ListOptions& options);

private:
    std::unique_ptr<FolderListing> take(const std::string& folder, const ListOptions& options);

    std::mutex mutex_;
    std::list<std::unique_ptr<FolderListing>> kept_; ///< the newest last
};

} // namespace walgd::storage

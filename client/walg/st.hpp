#pragma once
#include "client/walg/other_archive.hpp"

/// The words of `st`: one file for each group of them.
namespace walgd::cli {

/// What they read and write at a time.
inline constexpr std::size_t chunk_bytes = 256 << 10;

/// What all of them are told.
struct StorageTools {
    Context& context;
    NamedArchive& target;
    bool glob = false;  ///< paths are patterns
    std::string name{}; ///< of the target
};

/// One word of `st`.
class StorageTool {
public:
    virtual ~StorageTool() = default;
    virtual std::string name() const = 0;
    virtual std::string help() const = 0;
    virtual void options(CLI::App& command) = 0;
    virtual int run(StorageTools& tools) = 0;
    /// What `all` means: every storage by itself, or all of them as one.
    virtual bool in_each_storage() const { return false; }
};

std::unique_ptr<StorageTool> make_st_ls();       // st_list.cpp
std::unique_ptr<StorageTool> make_st_stat();     // st_list.cpp
std::unique_ptr<StorageTool> make_st_cat();      // st_get.cpp
std::unique_ptr<StorageTool> make_st_get();      // st_get.cpp
std::unique_ptr<StorageTool> make_st_put();      // st_put.cpp
std::unique_ptr<StorageTool> make_st_rm();       // st_rm.cpp
std::unique_ptr<StorageTool> make_st_copy();     // st_copy.cpp
std::unique_ptr<StorageTool> make_st_check();    // st_check.cpp
std::unique_ptr<StorageTool> make_st_transfer(); // st_transfer.cpp

/// The objects below `folder` ("" or "a/") that a shell's pattern (* and ? stop at slashes) matches, with their paths.
std::vector<storage::ObjectInfo> objects_matching(StorageTools& tools, const std::string& pattern);
/// The object, or else all below the folder of that name; none if there is neither. With a pattern, of each that it matches.
std::vector<storage::ObjectInfo> objects_at(StorageTools& tools, const std::string& path);
/// Without leading and trailing slashes.
std::string clean_path(std::string path);

} // namespace walgd::cli

#pragma once
#include <map>
#include <string>

/// An object's metadata as extended attributes "user.walgd.<name>" of its file. Not every file system has them, and copies of the
/// file may come without: what is not there is not known, and no error.
namespace walgd::storage {

/// A file system that takes none is passed over.
void keep_metadata(int fd, const std::map<std::string, std::string>& metadata);
/// Names without the head; empty where there are none.
std::map<std::string, std::string> metadata_of(const std::string& path);
/// Of an open file.
std::map<std::string, std::string> metadata_of(int fd);

} // namespace walgd::storage

#pragma once
#include "common/storage/storage.hpp"

namespace walgd::storage {

/// A folder of a mounted file system as storage (walg-format.md, 13.2). Objects are files; metadata is kept where the file system
/// has extended attributes. A put writes under walgd_005/tmp/, fsyncs, then links the final name (if_absent: link(2), which never
/// overwrites; else rename(2)) and fsyncs the folder. `root` must exist: Error(misconfigured) at the first call when it does not.
/// Blocking calls run on `pool`.
std::unique_ptr<Storage> make_file_storage(std::string root, asio::any_io_executor pool);

} // namespace walgd::storage

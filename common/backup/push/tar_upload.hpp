#pragma once
#include "common/archive/chain.hpp"
#include "common/backup/push/object_upload.hpp"
#include "common/codec/tar_writer.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace walgd::backup {

/// One tar of a backup on its way: tar, compress, encrypt, upload.
class TarUpload {
public:
    /// `name`: "part_001.tar.zst", the last of `key`.
    TarUpload(UploadRoom& room, std::string name, const storage::ObjectKey& key);

    codec::TarWriter& writer() { return writer_; }
    const std::string& name() const { return name_; }
    /// Ends it. Returns the bytes that were stored.
    std::uint64_t finish();

    // Kept by whoever fills it.
    std::vector<std::string> members;
    std::uint64_t content_bytes = 0;

private:
    std::string name_;
    ObjectUpload upload_;
    archive::PackChain chain_;
    codec::TarWriter writer_;
};

/// True if `member` may follow `last` in a part that holds one database. Names of a server's own tars have no slash in front.
bool same_database(std::string_view last, std::string_view member);

} // namespace walgd::backup

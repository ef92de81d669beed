#pragma once
#include "common/storage/s3/client.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace walgd::storage {

/// One multipart upload that the server has begun, and called `id`.
class S3Upload : public Upload {
public:
    S3Upload(S3Client& client, ObjectKey key, std::string id, bool if_absent)
        : client_(client), key_(std::move(key)), id_(std::move(id)), if_absent_(if_absent) {}

    awaitable<void> put_piece(int number, std::uint64_t offset, ByteView bytes) override;
    /// The piece is a range of an object of the bucket, whose bytes do not come here.
    awaitable<CopyOutcome> copy_piece(int number, ObjectKey from, ByteRange range);
    awaitable<PutOutcome> complete() override;
    awaitable<void> abort() override;

private:
    awaitable<PutOutcome> judge(HttpHead there);
    bool may_be_ours(const HttpHead& there) const;
    awaitable<bool> is_open();

    S3Client& client_;
    ObjectKey key_;
    std::string id_;
    bool if_absent_;
    std::vector<std::pair<int, std::string>> etags_;
    std::map<int, std::uint64_t> sizes_; ///< of the pieces
};

} // namespace walgd::storage

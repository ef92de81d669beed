#pragma once
#include "common/base/sha256.hpp"
#include "common/storage/s3/http.hpp"
#include "common/storage/storage.hpp"

#include <memory>
#include <optional>
#include <string>

namespace walgd::storage {

/// The SHA-256 of the object as it is stored, in its metadata: a whole read is checked against it.
inline constexpr std::string_view stored_sha256 = "walgd-stored-sha256";

/// The bytes of one answer, to its announced end. Of a `whole` object the SHA-256 is checked as well: Error(corrupt).
class S3Reader : public ObjectReader {
public:
    S3Reader(std::unique_ptr<HttpAnswer> answer, ObjectInfo info, std::string what, bool whole);

    const ObjectInfo& info() const override { return info_; }
    awaitable<std::size_t> read(MutableBytes into) override;
    void take_over(ObjectReader& broken) override;

private:
    void finish();

    std::unique_ptr<HttpAnswer> answer_;
    ObjectInfo info_;
    std::string what_, expected_;
    std::unique_ptr<Sha256> hash_ = std::make_unique<Sha256>();
    std::optional<std::uint64_t> left_;
};

} // namespace walgd::storage

#include "common/storage/s3/s3_reader.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::storage {

S3Reader::S3Reader(std::unique_ptr<HttpAnswer> answer, ObjectInfo info, std::string what, bool whole)
    : answer_(std::move(answer)), info_(std::move(info)), what_(std::move(what)) {
    const auto found = info_.metadata.find(std::string(stored_sha256));
    if (whole && found != info_.metadata.end()) expected_ = found->second;
    left_ = answer_->head().content_length;
}

awaitable<std::size_t> S3Reader::read(MutableBytes into) {
    if (into.empty()) co_return 0;
    if (!answer_) throw Error(ErrorKind::transient, fmt::format("{}: the answer broke off before", what_));
    std::size_t count = 0;
    try {
        count = co_await answer_->read(into);
    } catch (...) {
        answer_.reset(); // its connection is of no use any more, and others may wait for the place
        throw;
    }
    if (left_) *left_ -= std::min<std::uint64_t>(*left_, count);
    if (!expected_.empty()) hash_->update(into.first(count));
    if (count < into.size()) finish();
    co_return count;
}

void S3Reader::take_over(ObjectReader& broken) {
    auto* other = dynamic_cast<S3Reader*>(&broken);
    if (other == nullptr) return;
    expected_ = std::move(other->expected_);
    std::swap(hash_, other->hash_);
}

void S3Reader::finish() {
    if (left_.value_or(0) > 0) throw Error(ErrorKind::transient, fmt::format("{}: the answer lacks {} bytes", what_, *left_));
    if (expected_.empty()) return;
    const auto digest = hash_->digest();
    if (to_hex(digest) != expected_)
        throw Error(ErrorKind::corrupt,
                    fmt::format("{}: its SHA-256 is {}, it was stored with {}", what_, to_hex(digest), expected_),
                    "the object was changed in the storage or on the way");
    expected_.clear();
}

} // namespace walgd::storage

#include "common/storage/s3/confirmed.hpp"

#include "common/base/sha256.hpp"

#include <fmt/format.h>

namespace walgd::storage {

void check_is_s3(const HttpHead& head, const std::string& what) {
    if (head.header("etag").empty())
        throw Error(ErrorKind::transient, fmt::format("{}: the server said yes without an ETag", what),
                    "is it an S3 server that answers there?");
}

void check_confirmed(const HttpHead& head, const S3Request& request) {
    check_is_s3(head, request.what);
    const auto said = head.header("x-amz-checksum-sha256");
    if (said.empty()) return;
    const auto digest = sha256(request.body);
    const auto ours = base64(digest);
    if (said != ours)
        throw Error(ErrorKind::transient,
                    fmt::format("{}: the server confirmed SHA-256 {}, what was sent has {}", request.what, said, ours),
                    "bytes were changed on the way or in the storage");
}

CopyOutcome outcome_of_copy(const S3Answer& answer, const std::string& what) {
    const auto status = answer.head.status;
    if (status == 200) return CopyOutcome::copied;
    const auto failure = parse_failure(status, answer.body, answer.head.header("x-amz-request-id"), "");
    if (is_absent(failure)) return CopyOutcome::absent;
    if (status == 404) throw error_of(failure, what);
    return CopyOutcome::unable;
}

} // namespace walgd::storage

#pragma once
#include "common/base/error.hpp"
#include "common/storage/storage.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What S3 says, out of its XML (docs.aws.amazon.com/AmazonS3/latest/API). Anything that is not such XML is an Error(transient):
/// a proxy answered.
namespace walgd::storage {

/// No answer of this kind is longer.
inline constexpr std::size_t xml_bytes_max = 64 << 20;

struct S3Failure {
    int status = 0;
    std::string code, message, request_id;
    std::string region;      ///< where the bucket is, if the answer tells
    std::string server_time; ///< with RequestTimeTooSkewed
    std::string location{};  ///< where a redirect leads, without its query
};
/// Of an answer's status, XML body (may be empty, as with HEAD) and headers.
S3Failure parse_failure(int status, std::string_view body, const std::string& request_id_header,
                        const std::string& region_header);
/// "HTTP 403 AccessDenied: text (request id)" in `what` ("cannot put s3://bucket/key"), with the kind and the hint that belong to
/// it.
Error error_of(const S3Failure& failure, const std::string& what);
bool is_absent(const S3Failure& failure);
/// "Wed, 12 Oct 2009 17:50:00 GMT"; nothing if it is not that.
std::optional<Modified> parse_http_date(const std::string& text);
/// The answer to HEAD has no body: that a 403 is about the clock shows in its Date alone. Fills `code` and `server_time` then.
void tell_skew(S3Failure& failure, const std::string& date_header, std::chrono::system_clock::time_point now);

/// Keys with the bucket's prefix still on them.
ListPage parse_list(std::string_view xml);
std::string parse_upload_id(std::string_view xml);
/// Keys that could not be deleted.
struct DeleteFailure {
    std::string key, code, message;
};
std::vector<DeleteFailure> parse_delete(std::string_view xml);
Error error_of(const DeleteFailure& failure, const std::string& what);
/// A CompleteMultipartUpload answer may be an error though its status is 200.
void check_complete(std::string_view xml, const std::string& what);
/// The same of CopyObject.
void check_copied(std::string_view xml, const std::string& what);
/// And of UploadPartCopy: the piece's ETag.
std::string parse_copied_piece(std::string_view xml, const std::string& what);
struct PendingUpload {
    std::string key, id;
    Modified started{};
};
struct UploadsPage {
    std::vector<PendingUpload> uploads;
    /// Where the next page begins; empty: this was the last.
    std::string next_key, next_id;
};
UploadsPage parse_uploads(std::string_view xml);
/// True while new versions are made, and also when that was stopped later: then old ones may be there.
bool parse_versioning(std::string_view xml);
/// "GOVERNANCE for 30 days"; empty when new objects are not locked by default.
std::string parse_object_lock(std::string_view xml);
std::string parse_location(std::string_view xml);
std::string delete_body(const std::vector<std::string>& keys);
std::string complete_body(const std::vector<std::pair<int, std::string>>& etags);

struct StsCredentials {
    std::string access_key, secret_key, token, expires;
};
/// Of the answer to `action`: AssumeRole, AssumeRoleWithWebIdentity.
StsCredentials parse_sts(std::string_view xml, const std::string& action);

} // namespace walgd::storage

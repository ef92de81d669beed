#include "common/storage/s3/answers.hpp"

#include "common/base/time_text.hpp"

#include <algorithm>
#include <ctime>
#include <fmt/format.h>
#include <pugixml.hpp>
#include <sstream>

namespace walgd::storage {

namespace {

pugi::xml_document parse(std::string_view xml, std::string_view root) {
    pugi::xml_document document;
    const auto result = document.load_buffer(xml.data(), xml.size());
    if (!result || document.document_element().name() != root)
        throw Error(ErrorKind::transient, fmt::format("the answer is not {}: {}", root, std::string_view(xml).substr(0, 120)),
                    "is it an S3 server that answers there?");
    return document;
}

/// As a form encodes: a plus is a blank.
std::string form_decoded(std::string_view text) {
    std::string out;
    for (std::size_t index = 0; index < text.size(); ++index) {
        if (text[index] == '%' && index + 2 < text.size() && std::isxdigit(static_cast<unsigned char>(text[index + 1])) != 0 &&
            std::isxdigit(static_cast<unsigned char>(text[index + 2])) != 0) {
            out += static_cast<char>(std::stoi(std::string(text.substr(index + 1, 2)), nullptr, 16));
            index += 2;
        } else
            out += text[index] == '+' ? ' ' : text[index];
    }
    return out;
}

Modified time_of(const char* text) {
    const auto time = parse_time(text);
    if (!time) throw Error(ErrorKind::transient, fmt::format("the answer has '{}' where a time should be", text));
    return *time;
}

std::string xml_text(const pugi::xml_document& document) {
    std::ostringstream out;
    document.save(out, "", pugi::format_raw | pugi::format_no_declaration);
    return out.str();
}

} // namespace

S3Failure parse_failure(int status, std::string_view body, const std::string& request_id_header,
                        const std::string& region_header) {
    S3Failure failure;
    failure.status = status;
    failure.request_id = request_id_header;
    failure.region = region_header;
    pugi::xml_document document;
    if (body.empty() || !document.load_buffer(body.data(), body.size())) return failure;
    auto error = document.document_element();
    if (std::string_view(error.name()) == "ErrorResponse") error = error.child("Error"); // STS
    failure.code = error.child_value("Code");
    failure.message = error.child_value("Message");
    failure.server_time = error.child_value("ServerTime");
    if (failure.request_id.empty()) failure.request_id = error.child_value("RequestId");
    if (failure.region.empty()) failure.region = error.child_value("Region");
    return failure;
}

bool is_absent(const S3Failure& failure) {
    return failure.status == 404 && (failure.code == "NoSuchKey" || failure.code == "NotFound");
}

std::optional<Modified> parse_http_date(const std::string& text) {
    std::tm time{};
    if (::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S", &time) == nullptr) return std::nullopt;
    return Modified(std::chrono::seconds(::timegm(&time)));
}

void tell_skew(S3Failure& failure, const std::string& date_header, std::chrono::system_clock::time_point now) {
    constexpr std::chrono::minutes allowed{15}; // as S3 allows
    if (failure.status != 403 || !failure.code.empty()) return;
    const auto date = parse_http_date(date_header);
    if (!date || (*date - now < allowed && now - *date < allowed)) return;
    failure.code = "RequestTimeTooSkewed";
    failure.server_time = date_header;
}

namespace {

/// The server asks for patience, whatever the status: errors come in a 200's body too, and the token service throttles with 400.
bool asks_to_wait(std::string_view code) {
    static constexpr std::string_view codes[] = {
        "SlowDown",           "RequestTimeout", "OperationAborted",    "ConditionalRequestConflict", "InternalError",
        "ServiceUnavailable", "Throttling",     "ThrottlingException", "RequestLimitExceeded",       "IDPCommunicationError"};
    return std::ranges::find(codes, code) != std::end(codes);
}

} // namespace

Error error_of(const S3Failure& failure, const std::string& what) {
    const auto& code = failure.code;
    auto text = fmt::format("{}: HTTP {}{}{}{}{}{}", what, failure.status, code.empty() ? "" : " ", code,
                            failure.message.empty() ? "" : ": ", failure.message,
                            failure.request_id.empty() ? "" : fmt::format(" (request {})", failure.request_id));
    if (code == "RequestTimeTooSkewed")
        return Error(ErrorKind::misconfigured,
                     text + (failure.server_time.empty() ? "" : fmt::format("; the server's clock says {}", failure.server_time)),
                     "this machine's clock is wrong by more than 15 minutes: set it (timedatectl)");
    constexpr int client_went_away = 499; // a gateway's word for a request that it did not hear to the end
    const bool busy = failure.status >= 500 || failure.status == 429 || failure.status == 408 ||
                      failure.status == client_went_away || asks_to_wait(code);
    if (busy && failure.status != 501) return Error(ErrorKind::transient, text);
    if (code == "BadDigest" || code == "XAmzContentSHA256Mismatch" || code == "IncompleteBody")
        return Error(ErrorKind::transient, text, "bytes were changed or lost on the way");
    // The storage does as it should, in both.
    if (code == "NoSuchUpload")
        return Error(
            ErrorKind::refused, text,
            "somebody aborted it meanwhile: a rule of the bucket for incomplete uploads, or delete garbage? Run it again");
    if (code == "InvalidObjectState")
        return Error(ErrorKind::refused, text,
                     "the object is in an archive class, as Glacier: have the storage restore it first, with all that is needed");
    if (code == "NoSuchBucket" || failure.status == 404)
        return Error(ErrorKind::misconfigured, text, "does the bucket exist, and is it spelt right? walgd makes no buckets");
    if (code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch" || code == "ExpiredToken" || code == "InvalidToken")
        return Error(ErrorKind::denied, text, "check the credentials: `walg config` tells where they come from");
    if (failure.status == 401 || failure.status == 403)
        return Error(ErrorKind::denied, text, "do the credentials allow this under this prefix?");
    if (failure.status >= 300 && failure.status < 400 && failure.region.empty() && !failure.location.empty())
        return Error(ErrorKind::misconfigured, text,
                     fmt::format("it sends us to {}: is that the server, or the scheme, that AWS_ENDPOINT should have?",
                                 failure.location));
    if (failure.status >= 300 && failure.status < 400)
        return Error(ErrorKind::misconfigured, text,
                     fmt::format("the bucket is in another region{}: set AWS_REGION",
                                 failure.region.empty() ? "" : " (" + failure.region + ")"));
    return Error(ErrorKind::misconfigured, text);
}

Error error_of(const DeleteFailure& failure, const std::string& what) {
    S3Failure said;
    said.status = failure.code == "AccessDenied" ? 403 : asks_to_wait(failure.code) ? 503 : 400; // as it would be for one alone
    said.code = failure.code;
    said.message = failure.message;
    return error_of(said, what);
}

ListPage parse_list(std::string_view xml) {
    const auto document = parse(xml, "ListBucketResult");
    const auto root = document.document_element();
    const bool encoded = std::string_view(root.child_value("EncodingType")) == "url";
    auto decoded = [&](const char* text) { return encoded ? form_decoded(text) : std::string(text); };
    ListPage page;
    for (const auto& item : root.children("Contents")) {
        ObjectInfo info;
        info.key = ObjectKey(decoded(item.child_value("Key")));
        info.bytes = item.child("Size").text().as_ullong();
        info.modified = time_of(item.child_value("LastModified"));
        info.etag = item.child_value("ETag");
        page.objects.push_back(std::move(info));
    }
    for (const auto& item : root.children("CommonPrefixes")) page.folders.push_back(decoded(item.child_value("Prefix")));
    if (std::string_view(root.child_value("IsTruncated")) == "true") {
        page.next = root.child_value("NextContinuationToken");
        if (page.next->empty())
            throw Error(ErrorKind::transient, "a listing says that it goes on, but not where",
                        "does the server know ListObjectsV2?");
    }
    return page;
}

std::string parse_upload_id(std::string_view xml) {
    const auto document = parse(xml, "InitiateMultipartUploadResult");
    std::string id = document.document_element().child_value("UploadId");
    if (id.empty()) throw Error(ErrorKind::transient, "the server started an upload without naming it");
    return id;
}

std::vector<DeleteFailure> parse_delete(std::string_view xml) {
    const auto document = parse(xml, "DeleteResult");
    std::vector<DeleteFailure> failures;
    for (const auto& item : document.document_element().children("Error"))
        failures.push_back({item.child_value("Key"), item.child_value("Code"), item.child_value("Message")});
    return failures;
}

namespace {

/// Of an answer that begins before the server knows how it ends. Returns its ETag.
std::string parse_late_answer(std::string_view xml, std::string_view root, const std::string& what) {
    pugi::xml_document document;
    if (document.load_buffer(xml.data(), xml.size()) && document.document_element().name() == root)
        return document.document_element().child_value("ETag");
    auto failure = parse_failure(200, xml, "", "");
    if (failure.code.empty()) throw Error(ErrorKind::transient, fmt::format("{}: the answer is cut or not S3's", what));
    failure.status = failure.code == "InternalError" || failure.code == "SlowDown" ? 503 : 400;
    throw error_of(failure, what);
}

} // namespace

void check_complete(std::string_view xml, const std::string& what) {
    parse_late_answer(xml, "CompleteMultipartUploadResult", what);
}

void check_copied(std::string_view xml, const std::string& what) { parse_late_answer(xml, "CopyObjectResult", what); }

std::string parse_copied_piece(std::string_view xml, const std::string& what) {
    return parse_late_answer(xml, "CopyPartResult", what);
}

UploadsPage parse_uploads(std::string_view xml) {
    const auto document = parse(xml, "ListMultipartUploadsResult");
    const auto root = document.document_element();
    UploadsPage page;
    for (const auto& item : root.children("Upload"))
        page.uploads.push_back({item.child_value("Key"), item.child_value("UploadId"), time_of(item.child_value("Initiated"))});
    if (std::string_view(root.child_value("IsTruncated")) == "true") {
        page.next_key = root.child_value("NextKeyMarker");
        page.next_id = root.child_value("NextUploadIdMarker");
    }
    return page;
}

bool parse_versioning(std::string_view xml) {
    const auto document = parse(xml, "VersioningConfiguration");
    return *document.document_element().child_value("Status") != '\0';
}

std::string parse_object_lock(std::string_view xml) {
    const auto document = parse(xml, "ObjectLockConfiguration");
    const auto retention = document.document_element().child("Rule").child("DefaultRetention");
    const std::string_view mode = retention.child_value("Mode"), days = retention.child_value("Days"),
                           years = retention.child_value("Years");
    if (mode.empty()) return {};
    return fmt::format("{} for {} {}", mode, days.empty() ? years : days, days.empty() ? "years" : "days");
}

std::string parse_location(std::string_view xml) {
    return parse(xml, "LocationConstraint").document_element().text().as_string();
}

std::string delete_body(const std::vector<std::string>& keys) {
    pugi::xml_document document;
    auto root = document.append_child("Delete");
    root.append_child("Quiet").text().set("true");
    for (const auto& key : keys) root.append_child("Object").append_child("Key").text().set(key.c_str());
    return xml_text(document);
}

std::string complete_body(const std::vector<std::pair<int, std::string>>& etags) {
    pugi::xml_document document;
    auto root = document.append_child("CompleteMultipartUpload");
    for (const auto& [number, etag] : etags) {
        auto part = root.append_child("Part");
        part.append_child("PartNumber").text().set(number);
        part.append_child("ETag").text().set(etag.c_str());
    }
    return xml_text(document);
}

StsCredentials parse_sts(std::string_view xml, const std::string& action) {
    const auto document = parse(xml, action + "Response");
    const auto found = document.document_element().child((action + "Result").c_str()).child("Credentials");
    StsCredentials credentials{found.child_value("AccessKeyId"), found.child_value("SecretAccessKey"),
                               found.child_value("SessionToken"), found.child_value("Expiration")};
    if (credentials.access_key.empty() || credentials.secret_key.empty())
        throw Error(ErrorKind::transient, "the security token service answered without credentials");
    return credentials;
}

} // namespace walgd::storage

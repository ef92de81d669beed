#include "common/storage/s3/client.hpp"
#include "common/base/in_quotes.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>
#include <openssl/evp.h>

namespace walgd::storage {

namespace {

constexpr std::size_t failure_bytes_max = 1 << 20;
/// By which a server says that it does not know a header.
constexpr int bad_request = 400, not_implemented = 501;

std::string md5_base64(ByteView bytes) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_md5(), nullptr);
    return base64(std::as_bytes(std::span(digest, length)));
}

/// Fit to be a host name's label: else only path style works. Dots break the certificate's wildcard, so they count as unfit for
/// TLS.
bool dns_safe(const std::string& bucket, bool tls) {
    return bucket.size() >= 3 && bucket.size() <= 63 && std::ranges::all_of(bucket, [&](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || (c == '.' && !tls);
           });
}

/// Other credentials may do: the source may hold newer ones by now. The answer to HEAD does not tell why, so it may be that too.
bool may_be_stale(const S3Failure& failure) {
    static constexpr std::string_view codes[] = {"ExpiredToken",          "InvalidToken",         "InvalidAccessKeyId",
                                                 "SignatureDoesNotMatch", "TokenRefreshRequired", ""};
    return std::ranges::find(codes, failure.code) != std::end(codes);
}

/// What follows from an answer with `bad_request` or `not_implemented`: is it If-None-Match that the server does not know? Some
/// say so by the code, some by naming the header.
bool knows_no_condition(const S3Failure& failure, std::string_view body) {
    return failure.code == "NotImplemented" ||
           (failure.code.starts_with("Invalid") && lower_case(body).find("if-none-match") != std::string::npos);
}

/// The bucket locks what is put into it, and takes nothing then that has no MD5, though the body's SHA-256 is signed.
bool wants_md5(const S3Failure& failure) {
    return failure.status == bad_request && lower_case(failure.message).find("content-md5") != std::string::npos;
}

/// An answer whose body was read before.
class ReadAnswer : public HttpAnswer {
public:
    ReadAnswer(HttpHead head, std::string body) : head_(std::move(head)), body_(std::move(body)) {}
    const HttpHead& head() const override { return head_; }
    awaitable<std::size_t> read(MutableBytes into) override {
        const auto part = bytes_of(body_).subspan(at_).first(std::min(into.size(), body_.size() - at_));
        std::ranges::copy(part, into.begin());
        at_ += part.size();
        co_return part.size();
    }

private:
    HttpHead head_;
    std::string body_;
    std::size_t at_ = 0;
};

struct Endpoint {
    HttpServer server;
    std::string path; ///< below which it serves S3: "/storage/v1/s3"; mostly empty
};

Endpoint split_endpoint(std::string_view text) {
    const auto scheme = text.find("://");
    auto slash = text.find('/', scheme == std::string_view::npos ? 0 : scheme + 3);
    // A password, which may have a slash in it, is for parse_endpoint() to refuse as a whole.
    if (text.find('@') != std::string_view::npos || slash == std::string_view::npos) slash = text.size();
    auto path = text.substr(slash);
    while (path.ends_with('/')) path.remove_suffix(1);
    return {parse_endpoint(text.substr(0, slash), "AWS_ENDPOINT"), std::string(path)};
}

TransportOptions transport_options(const S3Options& options) {
    return {options.ca_file, options.connections_max, options.connect_timeout, options.stall_timeout, options.proxies};
}

} // namespace

std::string content_md5(std::string_view body) { return md5_base64(bytes_of(body)); }

S3Client::S3Client(S3Options options, asio::any_io_executor io, Log& log)
    : S3Client(options, make_transport(transport_options(options), std::move(io)), log) {}

S3Client::S3Client(S3Options options, std::unique_ptr<Transport> transport, Log& log)
    : options_(std::move(options)), transport_(std::move(transport)), credentials_(options_, *transport_, log), log_(log),
      region_(options_.region) {
    if (!options_.endpoint.empty()) split_endpoint(options_.endpoint);
}

std::string S3Client::full_key(const std::string& key) const {
    return options_.prefix.empty() ? key : options_.prefix + "/" + key;
}
std::string S3Client::name_of(const std::string& key) const { return fmt::format("s3://{}/{}", options_.bucket, full_key(key)); }
std::string S3Client::describe() const {
    return fmt::format("s3://{}{}{}", options_.bucket, options_.prefix.empty() ? "" : "/", options_.prefix);
}

std::vector<Expiry> S3Client::expiries() const {
    std::vector<Expiry> all;
    for (const auto& [server, end] : transport_->certificates()) all.push_back({Expiry::Of::certificate, server, end});
    const auto& credentials = credentials_.current();
    if (credentials && credentials->expires) all.push_back({Expiry::Of::credentials, credentials->source, *credentials->expires});
    return all;
}

HttpServer S3Client::server() const {
    const auto region = region_.empty() ? std::string("us-east-1") : region_;
    auto server = options_.endpoint.empty()
                      ? parse_endpoint(fmt::format("https://s3.{}{}.{}", options_.dual_stack ? "dualstack." : "", region,
                                                   amazon_domain(region)),
                                       "AWS_REGION")
                      : split_endpoint(options_.endpoint).server;
    if (!path_style()) server.host = options_.bucket + "." + server.host;
    return server;
}

bool S3Client::amazon() const { return options_.endpoint.empty() || server().host.ends_with(".amazonaws.com"); }

bool S3Client::path_style() const {
    if (options_.force_path_style) return true;
    const bool tls = !options_.endpoint.starts_with("http://");
    if (!dns_safe(options_.bucket, tls)) return true;
    // No name goes before an address.
    boost::system::error_code no_address;
    if (!options_.endpoint.empty()) asio::ip::make_address(split_endpoint(options_.endpoint).server.host, no_address);
    return !options_.endpoint.empty() && !no_address;
}

HttpFields S3Client::customer_key_headers() const {
    if (options_.sse_customer_key.empty()) return {};
    const auto key = bytes_of(options_.sse_customer_key);
    return {{"x-amz-server-side-encryption-customer-algorithm", options_.sse.empty() ? "AES256" : options_.sse},
            {"x-amz-server-side-encryption-customer-key", base64(key)},
            {"x-amz-server-side-encryption-customer-key-md5", md5_base64(key)}};
}

HttpFields S3Client::copy_source_headers(const std::string& key) const {
    HttpFields headers{
        {"x-amz-copy-source", fmt::format("/{}/{}", uri_encoded(options_.bucket, false), uri_encoded(full_key(key), true))}};
    constexpr std::string_view head = "x-amz-";
    for (const auto& [name, value] : customer_key_headers())
        headers.emplace_back("x-amz-copy-source-" + name.substr(head.size()), value);
    return headers;
}

HttpFields S3Client::encryption_headers() const {
    if (!options_.sse_customer_key.empty()) return customer_key_headers();
    HttpFields headers;
    if (!options_.sse.empty()) headers.emplace_back("x-amz-server-side-encryption", options_.sse);
    if (!options_.sse_kms_id.empty()) headers.emplace_back("x-amz-server-side-encryption-aws-kms-key-id", options_.sse_kms_id);
    return headers;
}

awaitable<std::unique_ptr<HttpAnswer>> S3Client::send_once(const S3Request& request, bool new_credentials) {
    const auto credentials = co_await credentials_.get(new_credentials);
    const auto to = server();
    HttpRequest http;
    http.method = request.method;
    if (!options_.endpoint.empty()) http.path = uri_encoded(split_endpoint(options_.endpoint).path, true) + "/";
    if (path_style()) http.path += uri_encoded(options_.bucket, false) + (request.key.empty() ? "" : "/");
    if (!request.key.empty()) http.path += uri_encoded(full_key(request.key), true);
    http.query = request.query;
    http.headers = request.headers;
    if (wants_md5_ && request.method == "PUT") http.headers.emplace_back("content-md5", md5_base64(request.body));
    http.body = request.body;
    const auto payload = request.body_sha256.empty() ? sha256_hex(request.body) : request.body_sha256;
    sign(http, to.authority(), credentials, region_.empty() ? "us-east-1" : region_, "s3", std::chrono::system_clock::now(),
         payload);
    if (options_.yc_session_token) http.headers.emplace_back("x-yacloud-subjecttoken", credentials.session_token);
    std::optional<Error> failure;
    const auto began = std::chrono::steady_clock::now();
    try {
        auto answer = co_await transport_->open(to, http);
        log_.debug("event=s3_request method={} key={} status={} ms={}", http.method, in_quotes(http.path), answer->head().status,
                   std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count());
        co_return answer;
    } catch (const Error& error) {
        failure = error.within(request.what);
    }
    throw *failure;
}

/// Amazon's bucket without a region: asked for. Other endpoints mostly take any name, and say so where they do not.
awaitable<void> S3Client::find_region() {
    if (!region_.empty()) co_return;
    if (!amazon()) {
        region_ = "us-east-1";
        co_return;
    }
    const auto what = fmt::format("cannot find out the region of bucket {}", options_.bucket);
    const auto found = co_await ask_region(what);
    region_ = found.region;
    if (!region_.empty()) co_return;
    const auto error = error_of(found, what);
    throw Error(error.kind(), error.what(), "set AWS_REGION");
}

/// Where the bucket is, in `region` of what the server said; empty there, if it did not tell.
awaitable<S3Failure> S3Client::ask_region(std::string what) {
    S3Request request;
    request.method = "GET";
    request.query = {{"location", ""}};
    request.what = std::move(what);
    auto answer = co_await send_once(request, false);
    const auto header = answer->head().header("x-amz-bucket-region");
    const auto request_id = answer->head().header("x-amz-request-id");
    const auto status = answer->head().status;
    const auto body = co_await read_text(*answer, failure_bytes_max);
    auto found = parse_failure(status, status == 200 ? "" : body, request_id, header);
    if (status == 200 && found.region.empty()) found.region = parse_location(body);
    if (status == 200 && found.region.empty()) found.region = "us-east-1";
    if (found.region == "EU") found.region = "eu-west-1";
    co_return found;
}

/// From now on requests go to `region`, and are signed for it.
void S3Client::move_to(const std::string& region) {
    log_.info("event=region_found bucket={} region={}", options_.bucket, region);
    // Amazon's hosts are a region's each; another server's is the only one that we know.
    const auto host = options_.endpoint.empty() ? std::string() : split_endpoint(options_.endpoint).server.host;
    if (host == "s3.amazonaws.com" || host == fmt::format("s3.{}.{}", region_, amazon_domain(region_))) options_.endpoint.clear();
    region_ = region;
}

/// With the detours that S3 asks for: another region, other credentials, an MD5.
awaitable<std::unique_ptr<HttpAnswer>> S3Client::send(const S3Request& request) {
    co_await find_region();
    bool new_credentials = false, other_region = false;
    for (;;) {
        const bool with_md5 = wants_md5_;
        auto answer = co_await send_once(request, new_credentials);
        const auto status = answer->head().status;
        const bool suspicious = status == 301 || status == 307 || status == 400 || status == 403;
        if (!suspicious) co_return answer;
        const auto request_id = answer->head().header("x-amz-request-id");
        const auto region_header = answer->head().header("x-amz-bucket-region");
        const auto body = request.method == "HEAD" ? std::string() : co_await read_text(*answer, failure_bytes_max);
        auto failure = parse_failure(status, body, request_id, region_header);
        if (request.method == "HEAD" && failure.region.empty() && status != 403 && !other_region) {
            // The answer to HEAD has no body that could tell.
            const auto found = co_await ask_region(request.what);
            failure.region = found.region;
        }
        const auto location = answer->head().header("location");
        failure.location = location.substr(0, location.find('?'));
        tell_skew(failure, answer->head().header("date"), std::chrono::system_clock::now());
        const bool elsewhere = !failure.region.empty() && failure.region != region_ && status != 403;
        if (elsewhere && !other_region) {
            move_to(failure.region);
            other_region = true;
            continue;
        }
        if (credentials_.renewable() && may_be_stale(failure) && !new_credentials) {
            new_credentials = true;
            continue;
        }
        if (request.method == "PUT" && !with_md5 && wants_md5(failure)) {
            wants_md5_ = true;
            continue;
        }
        if (std::ranges::find(request.accepted, status) == request.accepted.end()) throw error_of(failure, request.what);
        std::unique_ptr<HttpAnswer> read = std::make_unique<ReadAnswer>(answer->head(), body);
        co_return read;
    }
}

awaitable<S3Answer> S3Client::call(S3Request request, std::size_t bytes_max) {
    auto answer = co_await send(request);
    S3Answer whole;
    whole.head = answer->head();
    std::optional<Error> failed;
    try {
        whole.body = co_await read_text(*answer, bytes_max);
    } catch (const Error& error) {
        failed = error.within(request.what);
    }
    if (failed) throw *failed;
    if (std::ranges::find(request.accepted, whole.head.status) != request.accepted.end()) co_return whole;
    throw error_of(parse_failure(whole.head.status, whole.body, whole.head.header("x-amz-request-id"), ""), request.what);
}

awaitable<S3Answer> S3Client::call_if_absent(S3Request request, std::size_t bytes_max) {
    const auto method = request.method;
    const auto before = knows_conditions_.find(method);
    if (before == knows_conditions_.end() || before->second) {
        auto conditional = request;
        conditional.headers.emplace_back("if-none-match", "*");
        for (const int status : {412, bad_request, not_implemented}) conditional.accepted.push_back(status);
        auto answer = co_await call(std::move(conditional), bytes_max);
        const auto status = answer.head.status;
        if (status != bad_request && status != not_implemented) {
            knows_conditions_.emplace(method, true);
            co_return answer;
        }
        const auto failure = parse_failure(status, answer.body, answer.head.header("x-amz-request-id"), "");
        // One that took the condition before is not asked to do without: that would replace what is there.
        const auto found = knows_conditions_.find(method);
        if (!knows_no_condition(failure, answer.body) || (found != knows_conditions_.end() && found->second))
            throw error_of(failure, request.what);
    }
    auto answer = co_await call(std::move(request), bytes_max);
    if (knows_conditions_.emplace(method, false).second)
        log_.warn("event=no_conditions storage={} text=\"the server does not know If-None-Match with {}\"", describe(), method);
    co_return answer;
}

awaitable<std::unique_ptr<HttpAnswer>> S3Client::open(S3Request request) {
    auto answer = co_await send(request);
    const auto status = answer->head().status;
    if (status == 200 || status == 206) co_return answer;
    const auto body = co_await read_text(*answer, failure_bytes_max);
    const auto failure = parse_failure(status, body, answer->head().header("x-amz-request-id"), "");
    if (is_absent(failure)) co_return nullptr;
    if (status == 416) throw Error(ErrorKind::corrupt, fmt::format("{}: it has fewer bytes than were asked for", request.what));
    throw error_of(failure, request.what);
}

awaitable<std::optional<HttpHead>> S3Client::head(std::string key) {
    S3Request request;
    request.method = "HEAD";
    request.key = key;
    request.headers = customer_key_headers();
    request.accepted = {200, 404};
    request.what = fmt::format("cannot look at {}", name_of(key));
    const auto answer = co_await call(request, failure_bytes_max);
    if (answer.head.status == 200) {
        bucket_seen_ = true;
        co_return answer.head;
    }
    // The answer to HEAD has no code in it: a missing bucket looks like a missing object until it was seen.
    co_await check_bucket();
    co_return std::nullopt;
}

awaitable<void> S3Client::check_bucket() {
    if (bucket_seen_) co_return;
    S3Request request;
    request.method = "GET";
    request.query = {{"list-type", "2"}, {"max-keys", "1"}, {"prefix", full_key("")}};
    request.what = fmt::format("cannot list {}", describe());
    co_await call(request, failure_bytes_max);
    bucket_seen_ = true;
}

} // namespace walgd::storage

#pragma once
#include "common/storage/s3/answers.hpp"
#include "common/storage/s3/credentials.hpp"
#include "common/storage/s3/http.hpp"
#include "common/storage/s3/s3_storage.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace walgd::storage {

struct S3Request {
    std::string method;
    std::string key; ///< relative to the prefix; empty: the bucket itself
    HttpFields query, headers;
    ByteView body;
    std::string body_sha256;        ///< hex; computed where it is empty
    std::vector<int> accepted{200}; ///< other statuses are an Error
    std::string what;               ///< for messages: "cannot put s3://bucket/key"
};

struct S3Answer {
    HttpHead head;
    std::string body;
};

/// Requests to one bucket: addressing, signature, credentials, region. Knows HTTP, not objects.
class S3Client {
public:
    S3Client(S3Options options, asio::any_io_executor io, Log& log);
    /// Over a transport of the caller's: for tests.
    S3Client(S3Options options, std::unique_ptr<Transport> transport, Log& log);

    const S3Options& options() const { return options_; }
    std::string describe() const;
    std::string full_key(const std::string& key) const;
    std::string name_of(const std::string& key) const; ///< "s3://bucket/prefix/key"

    std::vector<Expiry> expiries() const;

    /// The whole answer.
    awaitable<S3Answer> call(S3Request request, std::size_t bytes_max);
    /// The same for what is to be stored only if there is no such object (If-None-Match); 412: there is one. A server that never
    /// knew that header and says so is sent the request without it: whoever must know looks first (probe_conditional_put()).
    awaitable<S3Answer> call_if_absent(S3Request request, std::size_t bytes_max);
    /// An answer whose body is read as it comes; nullptr: the server says that there is no such object.
    awaitable<std::unique_ptr<HttpAnswer>> open(S3Request request);
    /// Nothing: there is no such object. A bucket that is not there is an Error.
    awaitable<std::optional<HttpHead>> head(std::string key);

    HttpFields encryption_headers() const;   ///< for new objects
    HttpFields customer_key_headers() const; ///< for every access, with SSE-C
    /// "x-amz-copy-source" of an object here, and what reading it takes.
    HttpFields copy_source_headers(const std::string& key) const;

private:
    awaitable<std::unique_ptr<HttpAnswer>> send(const S3Request& request);
    awaitable<std::unique_ptr<HttpAnswer>> send_once(const S3Request& request, bool new_credentials);
    awaitable<void> find_region();
    awaitable<S3Failure> ask_region(std::string what);
    void move_to(const std::string& region);
    awaitable<void> check_bucket();
    HttpServer server() const;
    bool amazon() const;
    bool path_style() const;

    S3Options options_;
    std::unique_ptr<Transport> transport_;
    CredentialChain credentials_;
    Log& log_;
    std::string region_;
    bool bucket_seen_ = false;
    bool wants_md5_ = false;                       ///< the bucket, of what is put into it
    std::map<std::string, bool> knows_conditions_; ///< the server, by method; what is not in it was not seen yet
};

std::string content_md5(std::string_view body);

} // namespace walgd::storage

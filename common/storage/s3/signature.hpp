#pragma once
#include "common/base/wipe.hpp"
#include "common/storage/s3/http.hpp"

#include <chrono>
#include <string>

namespace walgd::storage {

/// Whoever signs; the secrets are wiped when it goes.
struct Credentials {
    std::string access_key, secret_key, session_token;
    std::optional<std::chrono::system_clock::time_point> expires;
    std::string source; ///< for messages: "environment", "profile default of ~/.aws/credentials"

    ~Credentials() {
        wipe(secret_key);
        wipe(session_token);
    }
};

/// Adds x-amz-date, x-amz-content-sha256, the session token and Authorization: AWS signature version 4 in the request's headers
/// (docs.aws.amazon.com, "Signature Calculations for the Authorization Header"). `host` is the Host header's value. A pure
/// function.
void sign(HttpRequest& request, const std::string& host, const Credentials& credentials, const std::string& region,
          const std::string& service, std::chrono::system_clock::time_point now, const std::string& payload_sha256);

/// "20130524T000000Z"
std::string amz_date(std::chrono::system_clock::time_point time);
/// In lower case, as the signature wants it.
std::string sha256_hex(ByteView bytes);

} // namespace walgd::storage

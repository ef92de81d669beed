#include "common/storage/s3/signature.hpp"

#include "common/base/bytes.hpp"
#include "common/base/sha256.hpp"

#include <algorithm>
#include <ctime>
#include <fmt/format.h>
#include <openssl/hmac.h>

namespace walgd::storage {

namespace {

std::string hmac(std::string_view key, std::string_view text) {
    unsigned char digest[32];
    unsigned int length = sizeof digest;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         digest, &length);
    std::string text_of_digest(reinterpret_cast<const char*>(digest), length);
    ::explicit_bzero(digest, sizeof digest);
    return text_of_digest;
}

std::string canonical_query(const HttpFields& query) {
    std::vector<std::string> pairs;
    for (const auto& [name, value] : query) pairs.push_back(uri_encoded(name, false) + "=" + uri_encoded(value, false));
    std::ranges::sort(pairs);
    std::string text;
    for (const auto& pair : pairs) text += (text.empty() ? "" : "&") + pair;
    return text;
}

} // namespace

std::string amz_date(std::chrono::system_clock::time_point time) {
    const auto seconds = std::chrono::system_clock::to_time_t(time);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
                       utc.tm_min, utc.tm_sec);
}

std::string sha256_hex(ByteView bytes) {
    const auto digest = sha256(bytes);
    return to_hex(digest);
}

void sign(HttpRequest& request, const std::string& host, const Credentials& credentials, const std::string& region,
          const std::string& service, std::chrono::system_clock::time_point now, const std::string& payload_sha256) {
    const auto date = amz_date(now);
    const auto day = date.substr(0, 8);
    request.headers.emplace_back("x-amz-date", date);
    request.headers.emplace_back("x-amz-content-sha256", payload_sha256);
    if (!credentials.session_token.empty()) request.headers.emplace_back("x-amz-security-token", credentials.session_token);

    auto headers = request.headers;
    headers.emplace_back("host", host);
    std::ranges::sort(headers);
    std::string canonical_headers, signed_headers;
    for (const auto& [name, value] : headers) {
        canonical_headers += name + ":" + std::string(trimmed(value)) + "\n";
        signed_headers += (signed_headers.empty() ? "" : ";") + name;
    }
    const auto canonical = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, request.path, canonical_query(request.query),
                                       canonical_headers, signed_headers, payload_sha256);
    const auto scope = fmt::format("{}/{}/{}/aws4_request", day, region, service);
    const auto to_sign = fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", date, scope, sha256_hex(bytes_of(canonical)));
    auto key = "AWS4" + credentials.secret_key;
    const WipeAtEnd wiped(key);
    for (const auto& part : {day, region, service, std::string("aws4_request")}) {
        auto next = hmac(key, part);
        key.swap(next);
        wipe(next);
    }
    const auto signature = hmac(key, to_sign);
    request.headers.emplace_back("authorization",
                                 fmt::format("AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={},Signature={}",
                                             credentials.access_key, scope, signed_headers, to_hex(bytes_of(signature))));
}

} // namespace walgd::storage

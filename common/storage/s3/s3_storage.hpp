#pragma once
#include "common/base/log.hpp"
#include "common/storage/s3/proxy.hpp"
#include "common/storage/storage.hpp"

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace walgd::storage {

/// Everything about one bucket, as the settings say it (walg-surface.md A.5, S3).
struct S3Options {
    std::string bucket, prefix; ///< prefix without leading and trailing slash
    std::string endpoint;       ///< "http://host:port", "https://...", "host:port" (https); empty: Amazon's of the region
    std::string region;         ///< empty: found out (GetBucketLocation for Amazon's, us-east-1 for other endpoints)
    bool force_path_style = false;
    bool dual_stack = false; ///< Amazon's hosts that have IPv6 addresses too; of no matter with an endpoint
    std::string access_key, secret_key, session_token; ///< given explicitly; else the chain below
    std::string profile, shared_credentials_file, config_file;
    std::string web_identity_token_file, role_arn, role_session_name;
    bool yc_session_token = false; ///< keys come from the instance alone, and their token goes in Yandex's header too
    std::map<std::string, std::string>
        environment;     ///< for the credential chain: AWS_CONTAINER_CREDENTIALS_*, AWS_EC2_METADATA_*, HOME
    std::string ca_file; ///< PEM; empty: the system's
    ProxyRules proxies;
    std::string storage_class = "STANDARD";
    std::string sse, sse_kms_id, sse_customer_key;
    unsigned connections_max = 32;
    std::chrono::milliseconds connect_timeout{10000};
    std::chrono::milliseconds stall_timeout{30000}; ///< no byte either way for this long: transient error
    std::size_t delete_batch = 1000;
};

/// An S3 bucket over HTTP/1.1 with SigV4. One request a call, no retries (see make_retrying_storage): what can be tried again is
/// thrown as `transient`. Lives on the executor `io`. `log` gets one debug line a request.
std::unique_ptr<Storage> make_s3_storage(S3Options options, asio::any_io_executor io, Log& log);

class Transport;
/// Over a transport of the caller's: for tests.
std::unique_ptr<Storage> make_s3_storage(S3Options options, std::unique_ptr<Transport> transport, Log& log);

} // namespace walgd::storage

#include "config/s3_settings.hpp"

#include "common/base/bytes.hpp"
#include "config/archive_url.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <initializer_list>

namespace walgd::config {

namespace {

/// AES-256.
constexpr std::size_t customer_key_bytes = 32;

/// The first of them that says something.
std::string environment_of(std::initializer_list<const char*> names) {
    for (const auto* name : names) {
        if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
    }
    return {};
}

/// Bucket and prefix.
void set_place(storage::S3Options& options, const Settings& settings) {
    const auto prefix = settings.text("s3_prefix");
    if (!prefix.starts_with("s3://") || prefix.size() == 5)
        throw Error(ErrorKind::misconfigured,
                    fmt::format("s3_prefix ({}) is '{}', which is not s3://bucket/path", settings.source("s3_prefix"), prefix));
    const auto rest = prefix.substr(5);
    const auto slash = rest.find('/');
    options.bucket = rest.substr(0, slash);
    if (options.bucket.empty())
        throw Error(ErrorKind::misconfigured,
                    fmt::format("s3_prefix ({}) is '{}', which names no bucket", settings.source("s3_prefix"), prefix),
                    "like this: s3://bucket/path");
    // A URL, as WAL-G reads it: "a%20b" is the folder "a b".
    auto path = percent_decoded(slash == std::string::npos ? std::string() : rest.substr(slash + 1));
    if (!path || rest.find_first_of("?#") != std::string::npos)
        throw Error(ErrorKind::misconfigured,
                    fmt::format("s3_prefix ({}) is '{}', which is no URL of a folder", settings.source("s3_prefix"), prefix),
                    "a percent sign in the folder's name is written %25, a question mark %3F, a hash sign %23");
    while (path->starts_with('/')) path->erase(0, 1);
    options.prefix = joined(*path, settings.text("storage_prefix"));
}

void set_credentials(storage::S3Options& options, const Settings& settings) {
    // As files of secrets have it, an end of line may be left behind a key: in a header it would end the line there.
    options.access_key = trimmed(settings.text("aws_access_key_id"));
    options.secret_key = trimmed(settings.text("aws_secret_access_key"));
    options.session_token = trimmed(settings.text("aws_session_token"));
    if (options.access_key.empty() != options.secret_key.empty())
        throw Error(ErrorKind::misconfigured, "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is given",
                    "give both, or neither to use another source of credentials");
    options.profile = settings.text("aws_profile");
    options.shared_credentials_file = settings.text("aws_shared_credentials_file");
    options.config_file = settings.text("aws_config_file");
    options.web_identity_token_file = settings.text("aws_web_identity_token_file");
    options.role_arn = settings.text("aws_role_arn");
    // Its default names a session that a token begins; that a role is assumed with own keys has to be asked for.
    if (settings.given("aws_role_session_name")) options.role_session_name = settings.text("aws_role_session_name");
    options.yc_session_token = settings.flag("s3_use_yc_session_token");
    for (const auto* name : {"HOME", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                             "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                             "AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL_STS"}) {
        if (const char* value = std::getenv(name); value != nullptr) options.environment[name] = value;
    }
}

void check_customer_key(const storage::S3Options& options) {
    if (options.sse_customer_key.empty()) return;
    if (options.sse_customer_key.size() != customer_key_bytes)
        throw Error(
            ErrorKind::misconfigured,
            fmt::format("s3_sse_c has {} bytes, a customer key has {}", options.sse_customer_key.size(), customer_key_bytes),
            "WALG_S3_SSE_C is the key itself, neither hex nor base64");
    if (!options.sse.empty() && options.sse != "AES256")
        throw Error(ErrorKind::misconfigured, fmt::format("s3_sse is {}, and s3_sse_c gives a key of one's own", options.sse),
                    "keep one of them; with a customer key s3_sse is AES256 or not given");
}

void set_encryption(storage::S3Options& options, const Settings& settings) {
    options.sse = settings.text("s3_sse");
    options.sse_kms_id = settings.text("s3_sse_kms_id");
    options.sse_customer_key = settings.text("s3_sse_c");
    if ((options.sse == "aws:kms") != !options.sse_kms_id.empty())
        throw Error(ErrorKind::misconfigured, "s3_sse_kms_id goes with s3_sse aws:kms, and only with it",
                    "set WALG_S3_SSE=aws:kms and WALG_S3_SSE_KMS_ID together");
    check_customer_key(options);
}

} // namespace

std::string joined(std::string path, std::string_view below) {
    while (path.ends_with('/')) path.pop_back();
    while (below.starts_with('/')) below.remove_prefix(1);
    while (below.ends_with('/')) below.remove_suffix(1);
    return below.empty() ? path : path.empty() ? std::string(below) : fmt::format("{}/{}", path, below);
}

storage::S3Options s3_options(const Settings& settings) {
    storage::S3Options options;
    set_place(options, settings);
    options.endpoint = settings.text("aws_endpoint");
    options.region = settings.text("aws_region");
    options.dual_stack = settings.flag("aws_dual_stack");
    options.force_path_style = settings.flag("aws_s3_force_path_style");
    set_credentials(options, settings);
    options.ca_file = settings.text("s3_ca_cert_file");
    options.proxies = proxy_rules();
    options.storage_class = settings.text("s3_storage_class");
    set_encryption(options, settings);
    options.connections_max = static_cast<unsigned>(std::max<std::int64_t>(settings.number("upload_concurrency"),
                                                                           settings.number("download_concurrency"))) +
                              8;
    options.stall_timeout = settings.duration("storage_stall_timeout");
    return options;
}

std::uint64_t piece_bytes(const Settings& settings) {
    constexpr std::uint64_t pieces_in_memory = 4;
    const auto asked = settings.bytes("s3_max_part_size"), most = settings.bytes("memory_budget") / pieces_in_memory;
    if (asked < (5 << 20))
        throw Error(ErrorKind::misconfigured,
                    fmt::format("s3_max_part_size is {}, S3 wants at least 5 MiB", settings.text("s3_max_part_size")));
    // WAL-G's own 20 MiB, or more, may stand in settings that know nothing of a budget.
    if (asked > most && !settings.given("memory_budget")) return most;
    if (asked > most)
        throw Error(ErrorKind::misconfigured,
                    fmt::format("memory_budget ({}) is less than four times s3_max_part_size ({})",
                                settings.text("memory_budget"), settings.text("s3_max_part_size")),
                    "raise WALGD_MEMORY_BUDGET, or lower WALG_S3_MAX_PART_SIZE");
    return asked;
}

storage::ProxyRules proxy_rules() {
    return storage::ProxyRules({environment_of({"HTTPS_PROXY", "https_proxy"}), environment_of({"HTTP_PROXY", "http_proxy"}),
                                environment_of({"NO_PROXY", "no_proxy"})});
}

} // namespace walgd::config

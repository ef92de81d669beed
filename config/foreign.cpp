#include "config/foreign.hpp"

#include <array>

namespace walgd::config {

namespace {

using namespace std::string_view_literals;

constexpr std::array without_effect{"WALG_UPLOAD_QUEUE"sv,
                                    "WALG_DOWNLOAD_FILE_RETRIES"sv,
                                    "WALG_UPLOAD_WAL_METADATA"sv,
                                    "WALG_PG_WAL_PAGE_SIZE"sv,
                                    "WALG_PG_BLOCK_SIZE"sv,
                                    "WALG_FORCE_WAL_DELTA"sv,
                                    "WALG_USE_REVERSE_UNPACK"sv,
                                    "WALG_SKIP_REDUNDANT_TARS"sv,
                                    "WALG_DIRECT_IO"sv,
                                    "WALG_DIRECT_IO_BLOCK_COUNT"sv,
                                    "WALG_ALIVE_CHECK_INTERVAL"sv,
                                    "WALG_STOP_BACKUP_TIMEOUT"sv,
                                    "WALG_SERIALIZER_TYPE"sv,
                                    "S3_LOG_LEVEL"sv,
                                    "WALG_STATSD_ADDRESS"sv,
                                    "WALG_STATSD_EXTRA_TAGS"sv,
                                    "HTTP_LISTEN"sv,
                                    "HTTP_EXPOSE_PPROF"sv,
                                    "HTTP_EXPOSE_EXPVAR"sv,
                                    "PROFILE_SAMPLING_RATIO"sv,
                                    "PROFILE_MODE"sv,
                                    "PROFILE_PATH"sv,
                                    "GOMAXPROCS"sv,
                                    "GODEBUG"sv,
                                    "S3_MIN_THROTTLING_RETRY_DELAY"sv,
                                    "S3_MAX_THROTTLING_RETRY_DELAY"sv,
                                    "S3_RANGE_BATCH_ENABLED"sv,
                                    "S3_RANGE_MAX_RETRIES"sv,
                                    "S3_SKIP_VALIDATION"sv,
                                    "S3_USE_LIST_OBJECTS_V1"sv,
                                    "S3_ENABLE_VERSIONING"sv,
                                    "S3_DELETE_BATCH_SIZE"sv,
                                    "S3_DISABLE_100_CONTINUE"sv,
                                    "S3_RETENTION_MODE"sv, // of S3_RETENTION_PERIOD
                                    "AWS_DEFAULT_OUTPUT"sv,
                                    "WALG_FAILOVER_STORAGES_CACHE_EMA_ALIVE_LIMIT"sv,
                                    "WALG_FAILOVER_STORAGES_CACHE_EMA_DEAD_LIMIT"sv,
                                    "WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_ALIVE_MAX"sv,
                                    "WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_ALIVE_MIN"sv,
                                    "WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_DEAD_MAX"sv,
                                    "WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_DEAD_MIN"sv,
                                    "WALG_ENVELOPE_CACHE_EXPIRATION"sv};

constexpr std::array of_scripts{"WALG_DISABLE_S3_SSE"sv,
                                "WALE_DISABLE_S3_SSE"sv,
                                "WALG_BACKUP_FROM_REPLICA"sv,
                                "WALG_BACKUP_COMPRESSION_METHOD"sv,
                                "WALG_ENV_DIR"sv,
                                "WALE_ENV_DIR"sv,
                                "WALE_S3_ENDPOINT"sv,
                                "WALE_BACKUP_THRESHOLD_MEGABYTES"sv,
                                "WALE_BACKUP_THRESHOLD_PERCENTAGE"sv,
                                "WALG_VERSION"sv,
                                "WALE_VERSION"sv,
                                "WALGD_VERSION"sv};

constexpr std::array of_key_ring{"WALG_GPG_KEY_ID"sv, "WALE_GPG_KEY_ID"sv, "GPG_KEY_ID"sv};

constexpr std::array refused{"WALG_CSE_KMS_ID"sv,
                             "WALG_CSE_KMS_REGION"sv,
                             "YC_CSE_KMS_KEY_ID"sv,
                             "YC_SERVICE_ACCOUNT_KEY_FILE"sv,
                             "WALG_ENVELOPE_PGP_KEY"sv,
                             "WALG_ENVELOPE_PGP_KEY_PATH"sv,
                             "WALG_ENVELOPE_PGP_YC_CSE_KMS_KEY_ID"sv,
                             "WALG_ENVELOPE_PGP_YC_SERVICE_ACCOUNT_KEY_FILE"sv,
                             "WALG_ENVELOPE_PGP_YC_ENDPOINT"sv,
                             "WALG_GS_PREFIX"sv,
                             "WALE_GS_PREFIX"sv,
                             "WALG_AZ_PREFIX"sv,
                             "WALE_AZ_PREFIX"sv,
                             "WALG_SSH_PREFIX"sv,
                             "WALG_SWIFT_PREFIX"sv,
                             "WALE_SWIFT_PREFIX"sv,
                             "WALG_OSS_PREFIX"sv,
                             "S3_RETENTION_PERIOD"sv,
                             "S3_ENDPOINT_SOURCE"sv,
                             "S3_ENDPOINT_PORT"sv,
                             "S3_REQUEST_ADDITIONAL_HEADERS"sv};

} // namespace

std::span<const std::string_view> unused_settings() { return without_effect; }
std::span<const std::string_view> scripts_settings() { return of_scripts; }
std::span<const std::string_view> refused_settings() { return refused; }
bool asks_for_nothing(std::string_view name, std::string_view value) {
    return name == "S3_RETENTION_PERIOD" && (value == "-1" || value == "0");
}
std::span<const std::string_view> key_ring_settings() { return of_key_ring; }

} // namespace walgd::config

#include "config/settings.hpp"

#include <array>

namespace walgd::config {

namespace {

using namespace std::string_view_literals;

constexpr std::span<const std::string_view> no_words;
constexpr std::array s3_prefix_aliases{"WALE_S3_PREFIX"sv, "S3_PREFIX"sv};
constexpr std::array file_prefix_aliases{"WALE_FILE_PREFIX"sv, "FILE_PREFIX"sv};
constexpr std::array storage_prefix_aliases{"WALE_STORAGE_PREFIX"sv, "STORAGE_PREFIX"sv};
constexpr std::array aws_access_key_id_aliases{"AWS_ACCESS_KEY"sv};
constexpr std::array aws_secret_access_key_aliases{"AWS_SECRET_KEY"sv};
constexpr std::array aws_region_aliases{"AWS_DEFAULT_REGION"sv};
constexpr std::array aws_endpoint_aliases{"AWS_ENDPOINT_URL_S3"sv, "AWS_ENDPOINT_URL"sv};
constexpr std::array aws_s3_force_path_style_aliases{"S3_FORCE_PATH_STYLE"sv, "WALG_S3_FORCE_PATH_STYLE"sv};
constexpr std::array aws_dual_stack_aliases{"AWS_USE_DUALSTACK_ENDPOINT"sv};
constexpr std::array s3_ca_cert_file_aliases{"S3_CA_CERT_FILE"sv, "WALE_S3_CA_CERT_FILE"sv, "AWS_CA_BUNDLE"sv};
constexpr std::array s3_storage_class_aliases{"S3_STORAGE_CLASS"sv, "WALE_S3_STORAGE_CLASS"sv};
constexpr std::array yc_session_token_aliases{"WALG_S3_USE_YC_SESSION_TOKEN"sv, "WALE_S3_USE_YC_SESSION_TOKEN"sv};
constexpr std::array s3_sse_aliases{"S3_SSE"sv, "WALE_S3_SSE"sv};
constexpr std::array s3_sse_choices{"AES256"sv, "aws:kms"sv};
constexpr std::array s3_sse_kms_id_aliases{"S3_SSE_KMS_ID"sv, "WALE_S3_SSE_KMS_ID"sv};
constexpr std::array s3_sse_c_aliases{"S3_SSE_C"sv, "WALE_S3_SSE_C"sv};
constexpr std::array s3_max_part_size_aliases{"S3_MAX_PART_SIZE"sv, "WALE_S3_MAX_PART_SIZE"sv};
constexpr std::array s3_max_retries_aliases{"S3_MAX_RETRIES"sv, "WALE_S3_MAX_RETRIES"sv};
constexpr std::array compression_method_aliases{"WALE_COMPRESSION_METHOD"sv};
constexpr std::array compression_level_choices{"fixed"sv, "auto"sv};
constexpr std::array compression_method_choices{"lz4"sv, "zstd"sv, "brotli"sv, "lzma"sv, "none"sv};
constexpr std::array libsodium_key_transform_choices{"none"sv, "hex"sv, "base64"sv};
constexpr std::array prevent_wal_overwrite_aliases{"WALE_PREVENT_WAL_OVERWRITE"sv};
constexpr std::array upload_concurrency_aliases{"WALE_UPLOAD_CONCURRENCY"sv};
constexpr std::array download_concurrency_aliases{"WALE_DOWNLOAD_CONCURRENCY"sv};
constexpr std::array upload_disk_concurrency_aliases{"WALE_UPLOAD_DISK_CONCURRENCY"sv};
constexpr std::array tar_size_threshold_aliases{"WALE_TAR_SIZE_THRESHOLD"sv};
constexpr std::array sentinel_user_data_aliases{"WALE_SENTINEL_USER_DATA"sv};
constexpr std::array delta_max_steps_aliases{"WALE_DELTA_MAX_STEPS"sv};
constexpr std::array delta_origin_aliases{"WALE_DELTA_ORIGIN"sv};
constexpr std::array delta_origin_choices{"LATEST"sv, "LATEST_FULL"sv};
constexpr std::array delta_source_choices{"best"sv, "summaries"sv, "map"sv, "wal"sv, "scan"sv};
constexpr std::array pgsslmode_choices{"disable"sv, "allow"sv, "prefer"sv, "require"sv, "verify-ca"sv, "verify-full"sv};
constexpr std::array log_level_aliases{"WALE_LOG_LEVEL"sv};
constexpr std::array log_format_choices{"text"sv, "json"sv};
constexpr std::array log_level_choices{"NORMAL"sv, "DEVEL"sv, "ERROR"sv};
constexpr std::array schedule_on_choices{"primary"sv, "standby"sv, "any"sv};
constexpr std::array log_destination_aliases{"WALE_LOG_DESTINATION"sv};

// Name, environment, further environment names, type, unit, default, help, secret, allowed values. In the order in which people
// read about them.
// clang-format off
constexpr Setting table[] = {
    // Where the archive is
    {"s3_prefix", "WALG_S3_PREFIX", s3_prefix_aliases, Type::text, "", "", "The archive in S3: s3://bucket/path, a URL: %20 is a blank", false, no_words},
    {"file_prefix", "WALG_FILE_PREFIX", file_prefix_aliases, Type::path, "", "", "The archive in a mounted folder, which must exist", false, no_words},
    {"storage_prefix", "WALG_STORAGE_PREFIX", storage_prefix_aliases, Type::text, "", "", "A sub-folder of the prefix for everything", false, no_words},
    // S3
    {"aws_access_key_id", "AWS_ACCESS_KEY_ID", aws_access_key_id_aliases, Type::text, "", "", "Access key; without it shared files, web identity, container and instance credentials are tried", false, no_words},
    {"aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", aws_secret_access_key_aliases, Type::text, "", "", "Secret key", true, no_words},
    {"aws_session_token", "AWS_SESSION_TOKEN", no_words, Type::text, "", "", "Session token of temporary credentials", true, no_words},
    {"aws_region", "AWS_REGION", aws_region_aliases, Type::text, "", "", "Region; found out where it is not given", false, no_words},
    {"aws_endpoint", "AWS_ENDPOINT", aws_endpoint_aliases, Type::text, "", "", "Server other than Amazon's: http://host:port or https://host/path", false, no_words},
    {"aws_s3_force_path_style", "AWS_S3_FORCE_PATH_STYLE", aws_s3_force_path_style_aliases, Type::flag, "", "false", "Put the bucket into the path instead of the host name", false, no_words},
    {"aws_dual_stack", "AWS_DUAL_STACK", aws_dual_stack_aliases, Type::flag, "", "false", "Use Amazon's hosts that IPv6 reaches too, where aws_endpoint names no server", false, no_words},
    {"aws_profile", "AWS_PROFILE", no_words, Type::text, "", "", "Profile of the shared files", false, no_words},
    {"aws_shared_credentials_file", "AWS_SHARED_CREDENTIALS_FILE", no_words, Type::path, "", "", "Shared credentials file; ~/.aws/credentials if not given", false, no_words},
    {"aws_config_file", "AWS_CONFIG_FILE", no_words, Type::path, "", "", "Shared config file; ~/.aws/config if not given", false, no_words},
    {"aws_web_identity_token_file", "AWS_WEB_IDENTITY_TOKEN_FILE", no_words, Type::path, "", "", "Token with which aws_role_arn is assumed", false, no_words},
    {"aws_role_arn", "AWS_ROLE_ARN", no_words, Type::text, "", "", "Role that is assumed: with the web identity token, or, where aws_role_session_name is set too, with the keys that are found otherwise", false, no_words},
    {"aws_role_session_name", "AWS_ROLE_SESSION_NAME", no_words, Type::text, "", "walgd", "Name of the session of an assumed role", false, no_words},
    {"s3_use_yc_session_token", "S3_USE_YC_SESSION_TOKEN", yc_session_token_aliases, Type::flag, "", "false", "Yandex Cloud: credentials of the instance's service account alone, whose token goes in X-YaCloud-SubjectToken", false, no_words},
    {"s3_ca_cert_file", "WALG_S3_CA_CERT_FILE", s3_ca_cert_file_aliases, Type::path, "", "", "Certificates (PEM) that are trusted beside the system's", false, no_words},
    {"s3_storage_class", "WALG_S3_STORAGE_CLASS", s3_storage_class_aliases, Type::text, "", "STANDARD", "Storage class of new objects; STANDARD sends none", false, no_words},
    {"s3_sse", "WALG_S3_SSE", s3_sse_aliases, Type::text, "", "", "Server-side encryption: AES256 or aws:kms", false, s3_sse_choices},
    {"s3_sse_kms_id", "WALG_S3_SSE_KMS_ID", s3_sse_kms_id_aliases, Type::text, "", "", "KMS key; exactly with s3_sse aws:kms", false, no_words},
    {"s3_sse_c", "WALG_S3_SSE_C", s3_sse_c_aliases, Type::text, "", "", "Customer key (32 bytes) for server-side encryption", true, no_words},
    {"s3_max_part_size", "WALG_S3_MAX_PART_SIZE", s3_max_part_size_aliases, Type::bytes, "bytes", "8MiB", "Size of the pieces of large objects, at least 5 MiB; smaller than WAL-G's 20 MiB, so that memory stays small; a quarter of memory_budget at most, where that is not given", false, no_words},
    {"s3_max_retries", "WALG_S3_MAX_RETRIES", s3_max_retries_aliases, Type::number, "", "15", "Attempts of one request before it is given up", false, no_words},
    {"network_rate_limit", "WALG_NETWORK_RATE_LIMIT", no_words, Type::bytes, "bytes", "0", "Bytes a second to and from the storage; WAL has as many for itself, so that it waits for no backup; 0: no limit", false, no_words},
    {"storage_deadline", "WALGD_STORAGE_DEADLINE", no_words, Type::duration, "s", "10m", "Time for all attempts of one request", false, no_words},
    {"storage_stall_timeout", "WALGD_STORAGE_STALL_TIMEOUT", no_words, Type::duration, "s", "30s", "A connection on which nothing moves for so long is given up", false, no_words},
    // Failover storages
    {"failover_storages", "WALG_FAILOVER_STORAGES", no_words, Type::storages, "", "", "Storages beside the one above, which is called default: a name each, with its settings (what it does not set of S3's is as above, credentials only all together; at another endpoint path style, storage class and server-side encryption are its own). New objects go to the first that can be written to, default before the names in their order; all are read", true, no_words},
    {"failover_storages_check", "WALG_FAILOVER_STORAGES_CHECK", no_words, Type::flag, "", "true", "Find out which storages can be worked with; false: none is left out, and new objects go to default alone", false, no_words},
    {"failover_storages_check_timeout", "WALG_FAILOVER_STORAGES_CHECK_TIMEOUT", no_words, Type::duration, "s", "30s", "So long a storage may fail before the next one takes its place; also of a check", false, no_words},
    {"failover_storages_check_size", "WALG_FAILOVER_STORAGES_CHECK_SIZE", no_words, Type::bytes, "bytes", "1MiB", "Size of the object (wal-g_storage_check) that a check writes and removes", false, no_words},
    {"failover_storages_cache_lifetime", "WALG_FAILOVER_STORAGES_CACHE_LIFETIME", no_words, Type::duration, "s", "15m", "A storage that was not heard of for so long is checked, and one that failed gets its place back then", false, no_words},
    {"target_storage", "WALG_TARGET_STORAGE", no_words, Type::text, "", "", "Work with this storage alone: default, or a name of failover_storages; all: with all of them", false, no_words},
    // Packing
    {"compression_method", "WALG_COMPRESSION_METHOD", compression_method_aliases, Type::text, "", "lz4", "Compression of new objects; all are read", false, compression_method_choices},
    {"zstd_level", "WALG_ZSTD_LEVEL", no_words, Type::text, "", "", "Level for zstd: fastest, default, better, best or a number; without it parameters tuned for PostgreSQL's pages and WAL", false, no_words},
    {"compression_level", "WALGD_COMPRESSION_LEVEL", no_words, Type::text, "", "fixed", "fixed: as zstd_level says; auto: zstd for WAL is faster while WAL files wait, denser when none did for 30 s", false, compression_level_choices},
    {"libsodium_key", "WALG_LIBSODIUM_KEY", no_words, Type::text, "", "", "Key for libsodium encryption", true, no_words},
    {"libsodium_key_path", "WALG_LIBSODIUM_KEY_PATH", no_words, Type::path, "", "", "File with the key for libsodium encryption", false, no_words},
    {"libsodium_key_transform", "WALG_LIBSODIUM_KEY_TRANSFORM", no_words, Type::text, "", "none", "How the libsodium key is written", false, libsodium_key_transform_choices},
    {"pgp_key", "WALG_PGP_KEY", no_words, Type::text, "", "", "OpenPGP key (armored) for encryption; a public key is enough to write", true, no_words},
    {"pgp_key_path", "WALG_PGP_KEY_PATH", no_words, Type::path, "", "", "File with the OpenPGP key", false, no_words},
    {"pgp_key_passphrase", "WALG_PGP_KEY_PASSPHRASE", no_words, Type::text, "", "", "Passphrase of the OpenPGP key", true, no_words},
    // WAL
    {"prevent_wal_overwrite", "WALG_PREVENT_WAL_OVERWRITE", prevent_wal_overwrite_aliases, Type::flag, "", "false", "Only under the name wal-g, where WAL-G's default overwrites; walgd and walg never overwrite", false, no_words},
    {"upload_concurrency", "WALG_UPLOAD_CONCURRENCY", upload_concurrency_aliases, Type::number, "", "16", "WAL files, or pieces of a backup, on their way to the storage at once", false, no_words},
    {"total_bg_uploaded_limit", "TOTAL_BG_UPLOADED_LIMIT", no_words, Type::number, "", "32", "WAL files that are stored ahead of PostgreSQL's requests, where PGDATA can be read; 0: none", false, no_words},
    {"pg_ready_rename", "PG_READY_RENAME", no_words, Type::flag, "", "false", "Mark WAL files that were stored ahead as .done for PostgreSQL, so that it does not ask for them; wal-push without a daemon then stores ahead too", false, no_words},
    {"commit_index", "WALGD_COMMIT_INDEX", no_words, Type::flag, "", "true", "Note commit times, restore points and checkpoints of the WAL that walgd stores, under walgd_005/index/: restore and restorable then need not read WAL to find a moment", false, no_words},
    {"download_concurrency", "WALG_DOWNLOAD_CONCURRENCY", download_concurrency_aliases, Type::number, "", "10", "Parts of a backup that are fetched at once (bounded by twice the cores), and WAL segments that the daemon prefetches at most; 1: none", false, no_words},
    {"prefetch_dir", "WALG_PREFETCH_DIR", no_words, Type::path, "", "", "Folder where the daemon unpacks ahead what has no room in memory_budget (with 64 MiB: segments larger than 16 MB); without it these are not unpacked ahead. Never pg_wal", false, no_words},
    {"daemon_wal_upload_timeout", "WALG_DAEMON_WAL_UPLOAD_TIMEOUT", no_words, Type::duration, "s", "60s", "The daemon answers an archive_command after so long, stored or not", false, no_words},
    {"fetch_timeout", "WALGD_FETCH_TIMEOUT", no_words, Type::duration, "s", "5m", "A WAL file that the storage did not give after so long is an error, never absent", false, no_words},
    {"pg_wal_size", "WALG_PG_WAL_SIZE", no_words, Type::number, "MiB", "", "Size of WAL segments (initdb --wal-segsize); where it is not given, the header of a stored segment tells", false, no_words},
    {"pgbackrest_stanza", "PGBACKREST_STANZA", no_words, Type::text, "", "main", "walg pgbackrest: the stanza of the pgBackRest repository that is read", false, no_words},
    {"integrity_max_delayed_wals", "WALG_INTEGRITY_MAX_DELAYED_WALS", no_words, Type::number, "", "0", "wal-verify: so many of the newest segments may be missing because they are late", false, no_words},
    {"slotname", "WALG_SLOTNAME", no_words, Type::text, "", "walg", "Physical replication slot of wal-receive; made when it is not there", false, no_words},
    // Base backup
    {"pgdata", "PGDATA", no_words, Type::path, "", "", "The cluster's data directory; without it backup-push lets the server send its files", false, no_words},
    {"disk_rate_limit", "WALG_DISK_RATE_LIMIT", no_words, Type::bytes, "bytes", "0", "Bytes a second that a backup reads of the data directory, over all its threads; 0: no limit", false, no_words},
    {"upload_disk_concurrency", "WALG_UPLOAD_DISK_CONCURRENCY", upload_disk_concurrency_aliases, Type::number, "", "1", "Threads that read and pack the data directory", false, no_words},
    {"tar_size_threshold", "WALG_TAR_SIZE_THRESHOLD", tar_size_threshold_aliases, Type::bytes, "bytes", "1073741823", "A part is closed when it has more plain bytes; without it parts are smaller where that lets a restore use every core", false, no_words},
    {"tar_disable_fsync", "WALG_TAR_DISABLE_FSYNC", no_words, Type::flag, "", "false", "Do not write a restored backup out to disk before it counts as restored", false, no_words},
    {"sentinel_user_data", "WALG_SENTINEL_USER_DATA", sentinel_user_data_aliases, Type::json, "", "", "JSON that is kept with every backup", false, no_words},
    {"verify_page_checksums", "WALG_VERIFY_PAGE_CHECKSUMS", no_words, Type::flag, "", "true", "Check page checksums while a backup is taken, where the cluster has them", false, no_words},
    {"disable_partial_restore", "WALG_DISABLE_PARTIAL_RESTORE", no_words, Type::flag, "", "false", "Do not note the names of all tables, which WAL-G's backup-fetch --restore-only needs, and which costs a connection to each database", false, no_words},
    {"store_all_corrupt_blocks", "WALG_STORE_ALL_CORRUPT_BLOCKS", no_words, Type::flag, "", "false", "Name all damaged blocks of a file in the backup's metadata, not only the first ten", false, no_words},
    {"delta_max_steps", "WALG_DELTA_MAX_STEPS", delta_max_steps_aliases, Type::number, "", "0", "Delta backups between two full ones; 0: all are full", false, no_words},
    {"delta_origin", "WALG_DELTA_ORIGIN", delta_origin_aliases, Type::text, "", "LATEST", "What a delta is based on: the latest backup, or the full backup at the root of its chain", false, delta_origin_choices},
    {"delta_from_name", "WALG_DELTA_FROM_NAME", no_words, Type::text, "", "", "The backup that the next delta is based on, instead of the latest", false, no_words},
    {"delta_from_user_data", "WALG_DELTA_FROM_USER_DATA", no_words, Type::json, "", "", "The same, by the user data of that backup", false, no_words},
    {"fetch_target_user_data", "WALG_FETCH_TARGET_USER_DATA", no_words, Type::json, "", "", "The backup that backup-fetch restores, by its user data, instead of a name", false, no_words},
    {"use_wal_delta", "WALG_USE_WAL_DELTA", no_words, Type::flag, "", "false", "Keep a map of the pages that each 16 segments of WAL change, while they are archived (<first segment>_delta, as WAL-G), and let it tell a delta what changed; needs pgdata to read WAL where PostgreSQL has it, else it is fetched", false, no_words},
    {"delta_source", "WALGD_DELTA_SOURCE", no_words, Type::text, "", "best", "What tells a delta which pages changed: summaries (PostgreSQL 17 and later, summarize_wal = on), the map that use_wal_delta keeps, the wal since the parent, or a scan of all pages; best: the first of them that can and is worth it. A scan takes the place of what does not tell all", false, delta_source_choices},
    {"without_files_metadata", "WALG_WITHOUT_FILES_METADATA", no_words, Type::flag, "", "false", "Do not write files_metadata.json; the backup is a full one, and no delta can be based on it", false, no_words},
    {"use_database_composer", "WALG_USE_DATABASE_COMPOSER", no_words, Type::flag, "", "false", "Begin a part of its own for the files of each database, so that fewer are fetched to restore one", false, no_words},
    {"use_rating_composer", "WALG_USE_RATING_COMPOSER", no_words, Type::flag, "", "false", "Put files into one part that are updated about as often, as PostgreSQL's statistics tell (rows written of each table; one connection to each database), so that parts of cold files stay as they are from one backup to the next", false, no_words},
    {"use_copy_composer", "WALG_USE_COPY_COMPOSER", no_words, Type::flag, "", "false", "Take full backups, never deltas, and let the storage copy those parts of the latest full backup whose files are all unchanged, instead of reading and sending them again", false, no_words},
    {"stop_wal_timeout", "WALGD_STOP_WAL_TIMEOUT", no_words, Type::duration, "s", "1h", "How long the last WAL of a backup may take to reach the archive", false, no_words},
    // What stays; in the file also as one group: keep: {full: 7, days: 14}
    {"keep_full", "WALGD_KEEP_FULL", no_words, Type::number, "", "", "walg delete plan: so many full backups stay, and all that is younger than the oldest of them", false, no_words},
    {"keep_days", "WALGD_KEEP_DAYS", no_words, Type::number, "", "", "walg delete plan: any moment of so many days can be recovered to", false, no_words},
    {"keep_weekly", "WALGD_KEEP_WEEKLY", no_words, Type::number, "", "", "walg delete plan: the newest full backup of each of so many weeks stays, with the WAL of its own", false, no_words},
    {"keep_monthly", "WALGD_KEEP_MONTHLY", no_words, Type::number, "", "", "walg delete plan: the newest full backup of each of so many months stays, with the WAL of its own", false, no_words},
    {"keep_wal", "WALGD_KEEP_WAL", no_words, Type::number, "", "", "walg delete plan: days of WAL to recover by; not given: as far as keep_full and keep_days reach", false, no_words},
    // PostgreSQL connection
    {"pghost", "PGHOST", no_words, Type::text, "", "", "Host or socket folder, or several with commas; libpq's default if not given", false, no_words},
    {"pgport", "PGPORT", no_words, Type::text, "", "", "Port; or one for each host, with commas", false, no_words},
    {"pguser", "PGUSER", no_words, Type::text, "", "", "User", false, no_words},
    {"pgpassword", "PGPASSWORD", no_words, Type::text, "", "", "Password", true, no_words},
    {"pgpassfile", "PGPASSFILE", no_words, Type::path, "", "", "Password file", false, no_words},
    {"pgdatabase", "PGDATABASE", no_words, Type::text, "", "", "Database", false, no_words},
    {"pgsslmode", "PGSSLMODE", no_words, Type::text, "", "", "TLS to the server", false, pgsslmode_choices},
    {"pgsslkey", "PGSSLKEY", no_words, Type::path, "", "", "Client key", false, no_words},
    {"pgsslcert", "PGSSLCERT", no_words, Type::path, "", "", "Client certificate", false, no_words},
    {"pgsslrootcert", "PGSSLROOTCERT", no_words, Type::path, "", "", "Certificates that the server's is checked against", false, no_words},
    {"pgappname", "PGAPPNAME", no_words, Type::text, "", "walgd", "Application name that the server shows", false, no_words},
    // The daemon
    {"socket", "WALGD_SOCKET", no_words, Type::path, "", "/run/walgd/walgd.sock", "The daemon's socket; walg-push and walg-fetch read no file: they have it from WALGD_SOCKET or --socket", false, no_words},
    {"walg_socket", "WALGD_WALG_SOCKET", no_words, Type::path, "", "", "A second socket, where the daemon speaks WAL-G's protocol for walg-daemon-client and the walg_archive module; needs pgdata", false, no_words},
    {"schedule_full", "WALGD_SCHEDULE_FULL", no_words, Type::text, "", "", "When the daemon takes a full base backup: crontab(5)'s five fields, or @daily, @weekly, @monthly", false, no_words},
    {"schedule_delta", "WALGD_SCHEDULE_DELTA", no_words, Type::text, "", "", "When the daemon takes a base backup as delta_max_steps says: a delta, or a full one where the chain is long enough", false, no_words},
    {"schedule_verify", "WALGD_SCHEDULE_VERIFY", no_words, Type::text, "", "", "When the daemon reads back what was stored since the last time, within verify_bytes", false, no_words},
    {"schedule_retention", "WALGD_SCHEDULE_RETENTION", no_words, Type::text, "", "", "When the daemon deletes what the keep settings let go", false, no_words},
    {"verify_bytes", "WALGD_VERIFY_BYTES", no_words, Type::bytes, "bytes", "10GiB", "How much a scheduled verify reads at most; the next one goes on there", false, no_words},
    {"schedule_timezone", "WALGD_SCHEDULE_TIMEZONE", no_words, Type::text, "", "UTC", "Time zone of the schedule, as the tz database names it", false, no_words},
    {"schedule_jitter", "WALGD_SCHEDULE_JITTER", no_words, Type::duration, "s", "0s", "Scheduled tasks begin up to so much later, half of the time to the next run at most; each host at another moment", false, no_words},
    {"schedule_on", "WALGD_SCHEDULE_ON", no_words, Type::text, "", "primary", "Which server's daemon takes scheduled backups: primary; standby (the primary after half an hour); any", false, schedule_on_choices},
    {"hook_command", "WALGD_HOOK_COMMAND", no_words, Type::path, "", "", "Program that is run at backup_done, backup_failed, archive_lag ...: the event's name as its argument, its JSON as its input", false, no_words},
    {"hook_url", "WALGD_HOOK_URL", no_words, Type::text, "", "", "URL that the same events are posted to, as JSON", true, no_words},
    {"hook_lag", "WALGD_HOOK_LAG", no_words, Type::duration, "s", "10m", "WAL that waits for so long without one file stored is the event archive_lag", false, no_words},
    {"catalogue_refresh", "WALGD_CATALOGUE_REFRESH", no_words, Type::duration, "s", "1h", "How often the daemon lists the archive anew, for metrics, page, gaps and wal-show; what it stores itself is known at once", false, no_words},
    {"http_listen", "WALGD_HTTP_LISTEN", no_words, Type::text, "", "", "Where metrics, health and the status page are served: 127.0.0.1:9351; without it nowhere", false, no_words},
    {"http_token", "WALGD_HTTP_TOKEN", no_words, Type::text, "", "", "Token (Authorization: Bearer) that other machines must send, and everyone who starts something by HTTP", true, no_words},
    {"http_tls_cert", "WALGD_HTTP_TLS_CERT", no_words, Type::path, "", "", "Certificate (PEM) of the HTTP listener", false, no_words},
    {"http_tls_key", "WALGD_HTTP_TLS_KEY", no_words, Type::path, "", "", "Private key (PEM) of http_tls_cert", false, no_words},
    {"http_open", "WALGD_HTTP_OPEN", no_words, Type::flag, "", "false", "Other machines may read /metrics, /livez and /readyz without TLS and token", false, no_words},
    {"memory_budget", "WALGD_MEMORY_BUDGET", no_words, Type::bytes, "bytes", "64MiB", "All large buffers come out of it; work waits for it", false, no_words},
    {"drain_timeout", "WALGD_DRAIN_TIMEOUT", no_words, Type::duration, "s", "5m", "After the first stop signal WAL is taken for so long at most, while PostgreSQL still runs", false, no_words},
    {"log_level", "WALG_LOG_LEVEL", log_level_aliases, Type::text, "", "NORMAL", "How much is logged", false, log_level_choices},
    {"log_destination", "WALG_LOG_DESTINATION", log_destination_aliases, Type::path, "", "stderr", "Where log lines go: stderr (under systemd the journal, with priorities) or a file", false, no_words},
    {"log_format", "WALGD_LOG_FORMAT", no_words, Type::text, "", "text", "How the daemon writes log lines: text, or json with one object a line", false, log_format_choices},
};
// clang-format on

} // namespace

std::span<const Setting> settings_table() { return table; }

} // namespace walgd::config

#include "config/setup.hpp"

#include "common/archive/layout.hpp"
#include "common/base/bytes.hpp"
#include "common/base/files.hpp"
#include "common/base/wipe.hpp"
#include "common/codec/cipher.hpp"
#include "common/storage/failover/failover_storage.hpp"
#include "common/storage/file/file_storage.hpp"
#include "common/storage/health/watched_storage.hpp"
#include "common/storage/limit/limited_storage.hpp"
#include "common/storage/retry/retrying_storage.hpp"
#include "common/storage/s3/s3_storage.hpp"
#include "config/failover_settings.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace walgd::config {

namespace {

/// They wait for fsync while the CPU pool packs.
constexpr std::size_t disk_threads = 4;
/// AES-256.
constexpr std::size_t customer_key_bytes = 32;

/// WAL has a rate for itself: it does not stand in line behind a backup's pieces. Nor does the look whether a storage can be
/// written to, whose time is limited.
struct NetworkRates {
    explicit NetworkRates(std::uint64_t bytes_per_second) : wal(bytes_per_second), other(bytes_per_second) {}
    RateLimit& of(const storage::ObjectKey& key) {
        const auto& path = key.path();
        return path.starts_with(archive::wal_folder) || path == storage::check_name ? wal : other;
    }
    RateLimit wal, other;
};

struct Opening {
    const Settings& settings;
    asio::any_io_executor io;
    asio::any_io_executor disk; ///< for what blocks on a file system
    Log& log;
    NetworkRates* rates = nullptr; ///< of all storages together; nullptr: no limit
};

std::string joined(std::string path, std::string_view below) {
    while (path.ends_with('/')) path.pop_back();
    while (below.starts_with('/')) below.remove_prefix(1);
    while (below.ends_with('/')) below.remove_suffix(1);
    return below.empty() ? path : path.empty() ? std::string(below) : fmt::format("{}/{}", path, below);
}

std::string file_root(const Settings& settings) {
    auto root = settings.text("file_prefix");
    if (root.starts_with("file://localhost")) root.erase(0, 16);
    return joined(root, settings.text("storage_prefix"));
}

std::unique_ptr<storage::Storage> open_file_storage(const Opening& opening) {
    // Who asks for encryption must not find plain files.
    for (const auto* name : {"s3_sse", "s3_sse_kms_id", "s3_sse_c"}) {
        if (opening.settings.given(name))
            throw Error(ErrorKind::misconfigured,
                        fmt::format("{} is given ({}), but a folder encrypts nothing", name, opening.settings.source(name)),
                        "take it out; WALG_LIBSODIUM_KEY or WALG_PGP_KEY encrypt on every storage");
    }
    return storage::make_file_storage(file_root(opening.settings), opening.disk);
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

/// The first of them that says something.
std::string environment_of(std::initializer_list<const char*> names) {
    for (const auto* name : names) {
        if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
    }
    return {};
}

storage::S3Options s3_options(const Settings& settings) {
    storage::S3Options options;
    const auto prefix = settings.text("s3_prefix");
    if (!prefix.starts_with("s3://") || prefix.size() == 5)
        throw Error(ErrorKind::misconfigured,
                    fmt::format("s3_prefix ({}) is '{}', which is not s3://bucket/path", settings.source("s3_prefix"), prefix));
    const auto rest = prefix.substr(5);
    const auto slash = rest.find('/');
    options.bucket = rest.substr(0, slash);
    if (options.bucket.empty()) throw Error(ErrorKind::misconfigured, fmt::format("s3_prefix '{}' names no bucket", prefix));
    auto path = slash == std::string::npos ? std::string() : rest.substr(slash + 1);
    while (path.starts_with('/')) path.erase(0, 1);
    options.prefix = joined(path, settings.text("storage_prefix"));
    options.endpoint = settings.text("aws_endpoint");
    options.region = settings.text("aws_region");
    options.force_path_style = settings.flag("aws_s3_force_path_style");
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
    options.role_session_name = settings.text("aws_role_session_name");
    for (const auto* name : {"HOME", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                             "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                             "AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL_STS"}) {
        if (const char* value = std::getenv(name); value != nullptr) options.environment[name] = value;
    }
    options.ca_file = settings.text("s3_ca_cert_file");
    options.proxies = proxy_rules();
    options.storage_class = settings.text("s3_storage_class");
    options.sse = settings.text("s3_sse");
    options.sse_kms_id = settings.text("s3_sse_kms_id");
    options.sse_customer_key = settings.text("s3_sse_c");
    if ((options.sse == "aws:kms") != !options.sse_kms_id.empty())
        throw Error(ErrorKind::misconfigured, "s3_sse_kms_id goes with s3_sse aws:kms, and only with it",
                    "set WALG_S3_SSE=aws:kms and WALG_S3_SSE_KMS_ID together");
    check_customer_key(options);
    options.connections_max = static_cast<unsigned>(std::max<std::int64_t>(settings.number("upload_concurrency"),
                                                                           settings.number("download_concurrency"))) +
                              8;
    options.stall_timeout = settings.duration("storage_stall_timeout");
    return options;
}

std::unique_ptr<storage::Storage> open_s3_storage(const Opening& opening) {
    return storage::make_s3_storage(s3_options(opening.settings), opening.io, opening.log);
}

std::string s3_place(const Settings& settings) {
    const auto options = s3_options(settings);
    return fmt::format("{} s3://{}/{}", options.endpoint.empty() ? options.region : options.endpoint, options.bucket,
                       options.prefix);
}

/// One line a storage.
struct StorageKind {
    std::string_view setting;
    std::unique_ptr<storage::Storage> (*open)(const Opening&);
    std::string (*place)(const Settings&);
    bool over_a_network;
};
constexpr StorageKind storage_kinds[] = {
    {"s3_prefix", &open_s3_storage, &s3_place, true},
    {"file_prefix", &open_file_storage, &file_root, false},
};

const StorageKind& chosen_storage(const Settings& settings) {
    std::vector<const StorageKind*> chosen;
    for (const auto& kind : storage_kinds) {
        if (settings.given(kind.setting)) chosen.push_back(&kind);
    }
    if (chosen.empty())
        throw Error(
            ErrorKind::misconfigured, "Failed to find any configured storage",
            "set WALG_S3_PREFIX=s3://bucket/path or WALG_FILE_PREFIX=/mounted/folder, or name them in /etc/walgd/walgd.yaml");
    if (chosen.size() > 1)
        throw Error(ErrorKind::misconfigured,
                    fmt::format("two storages are configured: WALG_S3_PREFIX ({}) and WALG_FILE_PREFIX ({})",
                                settings.source("s3_prefix"), settings.source("file_prefix")),
                    "keep one of them");
    return *chosen.front();
}

/// The key's text and where it came from, out of the setting or the file that the other one names.
std::pair<std::string, std::string> key_of(const Settings& settings, const std::string& name) {
    const auto path_name = name + "_path";
    if (settings.given(name) && settings.given(path_name))
        throw Error(
            ErrorKind::misconfigured,
            fmt::format("both {} ({}) and {} ({}) are given", name, settings.source(name), path_name, settings.source(path_name)),
            "keep one of them");
    if (settings.given(name)) return {settings.text(name), settings.source(name)};
    if (settings.given(path_name))
        return {std::string(trimmed(read_secret_file(settings.text(path_name)))),
                fmt::format("{} (from {})", settings.text(path_name), settings.source(path_name))};
    return {};
}

/// The cipher that the keys ask for; nullptr without any. A key setting that would not be used is an error.
std::unique_ptr<codec::Cipher> chosen_cipher(const Settings& settings) {
    auto [sodium, sodium_source] = key_of(settings, "libsodium_key");
    auto [pgp, pgp_source] = key_of(settings, "pgp_key");
    const WipeAtEnd sodium_wiped(sodium), pgp_wiped(pgp);
    auto needs = [&](std::string_view name, std::string_view key) {
        if (settings.given(name))
            throw Error(ErrorKind::misconfigured,
                        fmt::format("{} is given ({}), but no key that it belongs to", name, settings.source(name)),
                        fmt::format("set {} too, or take it out", key));
    };
    if (!sodium_source.empty() && !pgp_source.empty())
        throw Error(
            ErrorKind::misconfigured,
            fmt::format("keys for libsodium ({}) and OpenPGP ({}) are given; only one can be used", sodium_source, pgp_source),
            "keep one of them");
    if (sodium_source.empty()) needs("libsodium_key_transform", "WALG_LIBSODIUM_KEY or WALG_LIBSODIUM_KEY_PATH");
    if (pgp_source.empty()) needs("pgp_key_passphrase", "WALG_PGP_KEY or WALG_PGP_KEY_PATH");
    if (!sodium_source.empty()) {
        const auto transform = settings.text("libsodium_key_transform");
        return codec::make_libsodium_cipher(sodium,
                                            transform == "hex"      ? codec::KeyTransform::hex
                                            : transform == "base64" ? codec::KeyTransform::base64
                                                                    : codec::KeyTransform::none,
                                            "WALG_LIBSODIUM_KEY, " + sodium_source);
    }
    if (!pgp_source.empty())
        return codec::make_openpgp_cipher(pgp, settings.text("pgp_key_passphrase"), "WALG_PGP_KEY, " + pgp_source);
    return nullptr;
}

archive::Packing packing_of(const Settings& settings, const codec::Cipher* cipher) {
    archive::Packing packing;
    packing.compression = codec::compression_by_name(settings.text("compression_method"));
    packing.cipher = cipher;
    if (settings.text("compression_level") == "auto" && (packing.compression->name() != "zstd" || settings.given("zstd_level")))
        throw Error(ErrorKind::misconfigured,
                    "compression_level is auto, which goes with compression_method zstd and no zstd_level",
                    "set WALG_COMPRESSION_METHOD=zstd and take zstd_level out, or take compression_level out");
    if (settings.given("zstd_level")) {
        if (packing.compression->name() != "zstd")
            throw Error(ErrorKind::misconfigured,
                        fmt::format("zstd_level is given, but compression_method is {}", packing.compression->name()),
                        "set WALG_COMPRESSION_METHOD=zstd, or take it out");
        packing.level = settings.text("zstd_level");
        packing.compression->check_level(packing.level);
    }
    return packing;
}

} // namespace

std::string archive_place(const Settings& settings) {
    std::string place;
    for (const auto& [name, own] : storage_settings(settings, settings.text("target_storage")))
        place += (place.empty() ? "" : " + ") + chosen_storage(own).place(own);
    return place;
}

namespace {

/// A storage with its decorators: watched, then tried again as `patience` says.
class OpenStorage {
public:
    OpenStorage(const Opening& opening, storage::StorageHealth& health, storage::RequestMeter& meter)
        : kind_(chosen_storage(opening.settings)), base_(kind_.open(opening)),
          watched_(storage::make_watched_storage(*base_, health, meter)), limited_(limited(opening.rates)) {
        policy_.attempts_max = static_cast<int>(std::max<std::int64_t>(1, opening.settings.number("s3_max_retries")));
        policy_.deadline = opening.settings.duration("storage_deadline");
        patient_ = retrying(policy_, opening.log);
    }

    storage::Storage& patient() { return patient_ ? *patient_ : once(); }
    /// The same, given up after `limit`.
    storage::Storage& quick(std::chrono::milliseconds limit, Log& log) {
        auto policy = policy_;
        policy.deadline = std::min(policy.deadline, limit);
        quick_ = retrying(policy, log);
        return quick_ ? *quick_ : once();
    }

private:
    /// Each call is one try.
    storage::Storage& once() { return limited_ ? *limited_ : *watched_; }
    std::unique_ptr<storage::Storage> limited(NetworkRates* rates) {
        if (rates == nullptr) return nullptr;
        return storage::make_limited_storage(*watched_,
                                             [rates](const storage::ObjectKey& key) -> RateLimit& { return rates->of(key); });
    }
    /// A mounted folder answers or does not: nullptr.
    std::unique_ptr<storage::Storage> retrying(const storage::RetryPolicy& policy, Log& log) {
        if (!kind_.over_a_network) return nullptr;
        return storage::make_retrying_storage(once(), policy, storage::real_retry_environment(), log);
    }

    const StorageKind& kind_;
    storage::RetryPolicy policy_;
    std::unique_ptr<storage::Storage> base_, watched_, limited_, patient_, quick_;
};

storage::FailoverOptions failover_options(const Settings& settings) {
    storage::FailoverOptions options;
    options.members.check = settings.flag("failover_storages_check");
    options.members.check_timeout = settings.duration("failover_storages_check_timeout");
    options.members.lifetime = settings.duration("failover_storages_cache_lifetime");
    options.members.check_bytes = settings.bytes("failover_storages_check_size");
    options.anchor_of = &archive::sentinel_of;
    options.neighbours = &archive::segments_around;
    if (options.members.check_timeout.count() == 0 || options.members.lifetime.count() == 0)
        throw Error(ErrorKind::misconfigured,
                    fmt::format("failover_storages_check_timeout is {}, failover_storages_cache_lifetime {}; neither can be 0",
                                settings.text("failover_storages_check_timeout"),
                                settings.text("failover_storages_cache_lifetime")),
                    "to find out nothing set failover_storages_check=false");
    return options;
}

/// Several storages as one.
class FailoverSetup {
public:
    FailoverSetup(const Opening& opening, const std::vector<StorageSettings>& storages, storage::StorageHealth& health,
                  storage::RequestMeter& meter) {
        auto options = failover_options(opening.settings);
        std::vector<storage::FailoverMember> members;
        for (const auto& [name, settings] : storages) {
            healths_.push_back(std::make_unique<storage::StorageHealth>());
            opened_.push_back(std::make_unique<OpenStorage>(
                Opening{settings, opening.io, opening.disk, opening.log, opening.rates}, *healths_.back(), meter));
            auto& quick = opened_.back()->quick(options.members.check_timeout, opening.log);
            members.push_back({name, quick, opened_.back()->patient()});
        }
        failover_ = std::make_unique<storage::Failover>(std::move(members), std::move(options), opening.io, opening.log);
        watched_ = storage::make_watched_storage(failover_->storage(), health, logical_);
    }

    storage::Storage& storage() { return *watched_; }
    storage::Failover& failover() { return *failover_; }

private:
    std::vector<std::unique_ptr<storage::StorageHealth>> healths_; ///< of each
    std::vector<std::unique_ptr<OpenStorage>> opened_;
    storage::RequestMeter logical_; ///< of the whole: what it asks of each is counted there
    std::unique_ptr<storage::Failover> failover_;
    std::unique_ptr<storage::Storage> watched_;
};

} // namespace

struct ArchiveSetup::Parts {
    Parts(const Settings& settings, asio::any_io_executor io, Log& log, const std::string& target)
        : cipher(chosen_cipher(settings)), cpu(std::max(2U, std::thread::hardware_concurrency())), disk(disk_threads),
          budget(settings.bytes("memory_budget")) {
        const auto storages = storage_settings(settings, target.empty() ? settings.text("target_storage") : target);
        if (const auto rate = settings.bytes("network_rate_limit"); rate > 0) rates.emplace(rate);
        const Opening opening{storages.front().settings, io, disk.get_executor(), log, rates ? &*rates : nullptr};
        if (storages.size() > 1)
            several = std::make_unique<FailoverSetup>(opening, storages, health, meter);
        else
            single = std::make_unique<OpenStorage>(opening, health, meter);
        archive = std::make_unique<archive::Archive>(archive::Archive{
            several ? several->storage() : single->patient(), packing_of(settings, cipher.get()), io, cpu.get_executor(), budget,
            log, &health, &meter, several ? &several->failover().aliveness() : nullptr});
    }
    ~Parts() {
        cpu.join();
        disk.join();
    }

    std::unique_ptr<codec::Cipher> cipher;
    asio::thread_pool cpu, disk;
    MemoryBudget budget;
    storage::StorageHealth health;
    storage::RequestMeter meter;
    std::optional<NetworkRates> rates;
    std::unique_ptr<OpenStorage> single;
    std::unique_ptr<FailoverSetup> several;
    std::unique_ptr<archive::Archive> archive;
};

ArchiveSetup::ArchiveSetup(const Settings& settings, asio::any_io_executor io, Log& log, const std::string& target) {
    piece_bytes(settings);
    for (const auto* name : {"upload_concurrency", "download_concurrency", "upload_disk_concurrency"}) {
        if (settings.number(name) < 1 || settings.number(name) > 1024)
            throw Error(ErrorKind::misconfigured,
                        fmt::format("{} is {}, and should be from 1 to 1024", name, settings.number(name)));
    }
    for (const auto* name : {"storage_stall_timeout", "daemon_wal_upload_timeout", "fetch_timeout"}) {
        if (settings.duration(name).count() == 0)
            throw Error(
                ErrorKind::misconfigured,
                fmt::format("{} ({}) is {}, within which nothing is done", name, settings.source(name), settings.text(name)),
                "there is no setting for no limit: write a long time, such as 24h");
    }
    parts_ = std::make_unique<Parts>(settings, io, log, target);
}

ArchiveSetup::~ArchiveSetup() = default;
archive::Archive& ArchiveSetup::archive() { return *parts_->archive; }
awaitable<void> ArchiveSetup::watch_storages() {
    if (!parts_->several) co_return;
    co_await parts_->several->failover().watch();
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

pg::ConnectionOptions connection_options(const Settings& settings) {
    static constexpr std::pair<const char*, const char*> keywords[] = {{"pghost", "host"},
                                                                       {"pgport", "port"},
                                                                       {"pguser", "user"},
                                                                       {"pgpassword", "password"},
                                                                       {"pgpassfile", "passfile"},
                                                                       {"pgdatabase", "dbname"},
                                                                       {"pgsslmode", "sslmode"},
                                                                       {"pgsslkey", "sslkey"},
                                                                       {"pgsslcert", "sslcert"},
                                                                       {"pgsslrootcert", "sslrootcert"},
                                                                       {"pgappname", "application_name"}};
    pg::ConnectionOptions options;
    for (const auto& [setting, keyword] : keywords) {
        if (!settings.text(setting).empty()) options[keyword] = settings.text(setting);
    }
    // The database that every cluster has; libpq would take the user's name.
    options.try_emplace("dbname", "postgres");
    return options;
}

} // namespace walgd::config

#include "config/setup.hpp"

#include "common/archive/layout.hpp"
#include "common/base/worker_pool.hpp"
#include "common/storage/failover/failover_storage.hpp"
#include "common/storage/file/file_storage.hpp"
#include "common/storage/health/watched_storage.hpp"
#include "common/storage/limit/limited_storage.hpp"
#include "common/storage/retry/retrying_storage.hpp"
#include "common/storage/s3/s3_storage.hpp"
#include "config/failover_settings.hpp"
#include "config/packing_settings.hpp"
#include "config/s3_settings.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <thread>
#include <vector>

namespace walgd::config {

namespace {

/// They wait for fsync while the CPU pool packs.
constexpr std::size_t disk_threads = 4;

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

std::string archive_place(const Settings& settings) {
    std::string place;
    for (const auto& [name, own] : storage_settings(settings, settings.text("target_storage")))
        place += (place.empty() ? "" : " + ") + chosen_storage(own).place(own);
    return place;
}

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
    WorkerPool cpu, disk;
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

#include "common/archive/wal/wal_fetch.hpp"
#include "client/walg/verb.hpp"
#include "client/walg/wal_fetch_codes.hpp"

#include <fmt/format.h>

namespace walgd::cli {

namespace {

class WalFetch : public Verb {
public:
    std::string name() const override { return "wal-fetch"; }
    std::string help() const override {
        return "Fetch one WAL file (restore_command = 'walg wal-fetch \"%f\" \"%p\"'); exit 1: the archive has none, 200: "
               "anything else";
    }
    int failure_code(bool as_walg) const override { return fetch_code_failed(as_walg); }

    void options(CLI::App& command) override {
        command.add_option("wal_name", name_, "Name of the WAL file, as PostgreSQL says it in %f")->required();
        command.add_option("destination_filename", destination_, "Where to, as PostgreSQL says it in %p")->required();
        command.add_option("--target-storage", target_storage_,
                           "Work with this storage alone: default, or a name of WALG_FAILOVER_STORAGES");
    }

    int run(Context& context) override {
        context.target_storage = target_storage_;
        auto& archive = context.archive();
        std::optional<archive::WalFetcher> fetcher;
        auto task = [&]() -> awaitable<archive::Fetched> {
            fetcher.emplace(archive);
            const auto fetched = co_await fetcher->fetch(name_, destination_, context.as_walg);
            co_return fetched;
        };
        if (run_blocking(context.io, task(), context.stop) == archive::Fetched::stored) return 0;
        if (context.as_walg)
            context.log.error("Archive '{}' does not exist.", name_);
        else
            context.log.info("{} is not in {}", name_, archive.storage.describe());
        return fetch_code_absent(context.as_walg);
    }

private:
    std::string name_, destination_, target_storage_;
};

} // namespace

std::unique_ptr<Verb> make_wal_fetch() { return std::make_unique<WalFetch>(); }

} // namespace walgd::cli

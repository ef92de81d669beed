#include "common/archive/wal_fetch.hpp"
#include "client/walg/verb.hpp"

#include <fmt/format.h>

namespace walgd::cli {

namespace {

/// As restore_command: what PostgreSQL makes of them is in design.md's table of programs. Under 126 it goes on without the
/// file, above it stops instead of promoting.
constexpr int code_absent = 1, code_failed = 200;
constexpr int walg_code_absent = 74, walg_code_failed = 1;

class WalFetch : public Verb {
public:
    std::string name() const override { return "wal-fetch"; }
    std::string help() const override {
        return "Fetch one WAL file (restore_command = 'walg wal-fetch \"%f\" \"%p\"'); exit 1: the archive has none, 200: "
               "anything else";
    }
    int failure_code(bool as_walg) const override { return as_walg ? walg_code_failed : code_failed; }

    void options(CLI::App& command) override {
        command.add_option("wal_name", name_, "Name of the WAL file, as PostgreSQL says it in %f")->required();
        command.add_option("destination_filename", destination_, "Where to, as PostgreSQL says it in %p")->required();
        command.add_option("--target-storage", target_storage_, "Accepted as WAL-G's; the only storage is 'default'")
            ->check(CLI::IsMember({"default"}));
    }

    int run(Context& context) override {
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
        return context.as_walg ? walg_code_absent : code_absent;
    }

private:
    std::string name_, destination_, target_storage_;
};

} // namespace

std::unique_ptr<Verb> make_wal_fetch() { return std::make_unique<WalFetch>(); }

} // namespace walgd::cli

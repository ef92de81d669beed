#include "client/walg/pgbackrest.hpp"
#include "client/walg/wal_fetch_codes.hpp"
#include "common/pgbackrest/wal_fetch.hpp"

namespace walgd::cli {

namespace {

class PgbackrestWalFetch : public PgbackrestWord {
public:
    std::string name() const override { return "wal-fetch"; }
    std::string help() const override {
        return "Fetch one WAL file (restore_command = 'walg pgbackrest wal-fetch \"%f\" \"%p\"'); exit 1: the stanza has none, "
               "200: anything else";
    }
    int failure_code(bool as_walg) const override { return fetch_code_failed(as_walg); }

    void options(CLI::App& command) override {
        command.add_option("wal_name", name_, "Name of the WAL file, as PostgreSQL says it in %f")->required();
        command.add_option("destination_filename", destination_, "Where to, as PostgreSQL says it in %p")->required();
    }

    int run(Context& context, pgbackrest::Repository& repository) override {
        auto fetch = pgbackrest::fetch_wal(repository, name_, destination_, context.as_walg);
        if (run_blocking(context.io, std::move(fetch), context.stop) == archive::Fetched::stored) return 0;
        context.log.info("{} is not in stanza {} of {}", name_, repository.stanza(), context.archive().storage.describe());
        return fetch_code_absent(context.as_walg);
    }

private:
    std::string name_, destination_;
};

} // namespace

std::unique_ptr<PgbackrestWord> make_pgbackrest_wal_fetch() { return std::make_unique<PgbackrestWalFetch>(); }

} // namespace walgd::cli
